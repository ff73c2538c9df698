use fornada_core::container::ContainerDependency;
use fornada_core::quantity::Resources;

use super::*;

/// `name`, with `!` before it if it is not essential and `^` if it is an init container, then `name:CONDITION` for each
/// dependency.
fn container(text: &str) -> LaunchContainer {
    let mut words = text.split(' ');
    let marked = words.next().unwrap();
    let depends_on = words.map(|word| {
        let (name, condition) = word.split_once(':').unwrap();
        let condition = match condition {
            "START" => Condition::Start,
            "COMPLETE" => Condition::Complete,
            "SUCCESS" => Condition::Success,
            other => panic!("{other}"),
        };
        ContainerDependency { container: name.into(), condition }
    });
    LaunchContainer {
        name: marked.trim_start_matches(['!', '^']).into(),
        image: "host".into(),
        entry_point: Vec::new(),
        command: Vec::new(),
        environment: Vec::new(),
        secrets: Vec::new(),
        resources: Resources::default(),
        log_group: Text::default(),
        log_stream: Text::default(),
        essential: !marked.starts_with('!'),
        depends_on: depends_on.collect(),
        init: marked.starts_with('^'),
    }
}

/// Plays `script` and returns what followed from it.
///
/// Events: `+a` started, `a=3` ended by itself, `a~3` ended after it was told to stop, `a!` could not start, `a?` was
/// stopped before it started, `stop`. What follows is `a` for a container to start, `STOP` once all are to stop, and at the
/// end ` -> a` for the one that decides.
fn play(kind: TaskKind, containers: &[&str], script: &str) -> String {
    let containers: Vec<LaunchContainer> = containers.iter().map(|text| container(text)).collect();
    let index = |name: &str| containers.iter().position(|container| *container.name == *name).unwrap();
    let mut task = Task::new(kind, &containers);
    let (mut seen, mut said_stop) = (Vec::new(), false);
    let mut follow = |task: &mut Task, seen: &mut Vec<String>| {
        seen.extend(task.due().into_iter().map(|index| containers[index].name.to_string()));
        if task.is_stopping() && !std::mem::replace(&mut said_stop, true) {
            seen.push("STOP".into());
        }
    };
    follow(&mut task, &mut seen);
    for event in script.split(' ').filter(|event| !event.is_empty()) {
        if event == "stop" {
            task.stop();
        } else if let Some(name) = event.strip_prefix('+') {
            task.started(index(name));
        } else if let Some(name) = event.strip_suffix('!') {
            task.not_started(index(name), Some("bad".into()), true);
        } else if let Some(name) = event.strip_suffix('?') {
            task.not_started(index(name), None, false);
        } else if let Some((name, code)) = event.split_once('=') {
            task.ended(index(name), code.parse().unwrap(), true);
        } else if let Some((name, code)) = event.split_once('~') {
            task.ended(index(name), code.parse().unwrap(), false);
        } else {
            panic!("{event}");
        }
        seen.push(format!("[{event}]"));
        follow(&mut task, &mut seen);
    }
    let decides = task.decides().map_or("nobody", |index| &containers[index].name);
    format!("{} -> {decides}", seen.join(" "))
}

#[test]
fn what_follows_from_what() {
    struct Case(&'static str, TaskKind, &'static [&'static str], &'static str, &'static str);
    use TaskKind::{Container, Ecs, Eks};
    for Case(about, kind, containers, script, want) in [
        Case("one that ends well", Container, &["a"], "+a a=0", "a [+a] [a=0] STOP -> a"),
        Case("one that cannot start", Container, &["a"], "a!", "a [a!] STOP -> a"),
        Case("one that is stopped", Container, &["a"], "+a stop a~143", "a [+a] [stop] STOP [a~143] -> a"),
        Case("one that is stopped early", Container, &["a"], "stop a?", "a [stop] STOP [a?] -> a"),
        Case("nothing at all", Ecs, &[], "stop", "[stop] STOP -> nobody"),
        // Init containers
        Case(
            "init containers run one by one, then the others",
            Eks,
            &["^i", "^j", "a", "b"],
            "+i i=0 +j j=0 +a +b a=0 b=0",
            "i [+i] [i=0] j [+j] [j=0] a b [+a] [+b] [a=0] [b=0] -> i",
        ),
        Case(
            "a failing init container is the end",
            Eks,
            &["^i", "^j", "a"],
            "+i i=2",
            "i [+i] [i=2] STOP -> i",
        ),
        Case("one that cannot start as well", Eks, &["^i", "a"], "i!", "i [i!] STOP -> i"),
        Case("stopped between them", Eks, &["^i", "a"], "+i stop i~0", "i [+i] [stop] STOP [i~0] -> a"),
        Case("stopped in the first", Eks, &["^i", "a"], "+i stop i~143", "i [+i] [stop] STOP [i~143] -> i"),
        // Pods
        Case(
            "in a pod no container stops another, and each counts",
            Eks,
            &["a", "b", "c"],
            "+a +b +c b=0 a=3 c=0",
            "a b c [+a] [+b] [+c] [b=0] [a=3] [c=0] -> a",
        ),
        // Conditions
        Case(
            "START waits for the process, not for its end",
            Ecs,
            &["a b:START", "b"],
            "+b +a a=0 b~143",
            "b [+b] a [+a] [a=0] STOP [b~143] -> a",
        ),
        Case(
            "START holds of what has ended",
            Ecs,
            &["a b:START c:COMPLETE", "!b", "!c"],
            "+b b=0 +c c=0",
            "b c [+b] [b=0] [+c] [c=0] a -> a",
        ),
        Case(
            "COMPLETE takes any end",
            Ecs,
            &["a b:COMPLETE", "!b"],
            "+b b=9 +a a=0",
            "b [+b] [b=9] a [+a] [a=0] STOP -> a",
        ),
        Case(
            "SUCCESS takes a good end",
            Ecs,
            &["a b:SUCCESS", "!b"],
            "+b b=0 +a a=4",
            "b [+b] [b=0] a [+a] [a=4] STOP -> a",
        ),
        Case(
            "and ends the attempt without it",
            Ecs,
            &["a b:SUCCESS", "!b"],
            "+b b=9",
            "b [+b] [b=9] STOP -> a",
        ),
        Case(
            "down a chain, unless nobody essential needs it",
            Ecs,
            &["a", "!c d:COMPLETE", "!d b:SUCCESS", "!b"],
            "+a +b b=1 a=0",
            "a b [+a] [+b] [b=1] [a=0] STOP -> a",
        ),
        Case(
            "down a chain to an essential one",
            Ecs,
            &["a c:START", "!c b:SUCCESS", "!b"],
            "+b b=1",
            "b [+b] [b=1] STOP -> a",
        ),
        Case("what never ran is not complete", Ecs, &["a b:COMPLETE", "!b"], "b!", "b [b!] STOP -> a"),
        // Essential and not
        Case(
            "an essential end stops the others",
            Ecs,
            &["a", "b", "!c"],
            "+a +b +c b=0 a~143 c~143",
            "a b c [+a] [+b] [+c] [b=0] STOP [a~143] [c~143] -> b",
        ),
        Case(
            "a failure that came by itself counts",
            Ecs,
            &["a", "b"],
            "+a +b b=0 a=7",
            "a b [+a] [+b] [b=0] STOP [a=7] -> a",
        ),
        Case(
            "the first failure decides",
            Ecs,
            &["a", "b"],
            "+a +b b=3 a=7",
            "a b [+a] [+b] [b=3] STOP [a=7] -> b",
        ),
        Case(
            "a non-essential end does not matter",
            Ecs,
            &["a", "!b"],
            "+a +b b=5 a=0",
            "a b [+a] [+b] [b=5] [a=0] STOP -> a",
        ),
        Case("nor one that cannot start", Ecs, &["a", "!b"], "b! +a a=0", "a b [b!] [+a] [a=0] STOP -> a"),
        Case(
            "an essential second that cannot start",
            Ecs,
            &["a", "b"],
            "+a b! a~143",
            "a b [+a] [b!] STOP [a~143] -> b",
        ),
        Case(
            "stopped while the other waits",
            Ecs,
            &["a", "!b", "c a:START"],
            "stop +a a~143 b?",
            "a b [stop] STOP [+a] [a~143] [b?] -> a",
        ),
        Case(
            "stopped, and one ends well",
            Ecs,
            &["a", "b a:SUCCESS"],
            "+a stop a~0",
            "a [+a] [stop] STOP [a~0] -> b",
        ),
        Case(
            "stopped, and all end well",
            Ecs,
            &["a", "b"],
            "+a +b stop a~0 b~0",
            "a b [+a] [+b] [stop] STOP [a~0] [b~0] -> a",
        ),
        Case(
            "a request after an end changes nothing",
            Ecs,
            &["a", "b"],
            "+a +b a=0 stop b~143",
            "a b [+a] [+b] [a=0] STOP [stop] [b~143] -> a",
        ),
        Case("only non-essential ones", Ecs, &["!a"], "+a a=1", "a [+a] [a=1] -> a"),
        // What cannot come must not hang.
        Case("a circle", Ecs, &["a", "b c:START", "c b:START"], "", "STOP -> b"),
        Case("itself", Ecs, &["a a:START"], "", "STOP -> a"),
        Case(
            "a circle that nobody needs",
            Ecs,
            &["a", "!b c:START", "!c b:START"],
            "+a a=0",
            "a [+a] [a=0] STOP -> a",
        ),
        Case("an init container that needs a later one", Eks, &["^i a:START", "a"], "", "STOP -> i"),
        Case("one that is not there", Ecs, &["a x:START", "!b"], "", "STOP -> a"),
    ] {
        assert_eq!(play(kind, containers, script), want, "{about}");
    }
}

#[test]
fn the_reason_says_what_was_waited_for() {
    let reason = |containers: &[&str], index| {
        let containers: Vec<LaunchContainer> = containers.iter().map(|text| container(text)).collect();
        let mut task = Task::new(TaskKind::Ecs, &containers);
        for index in task.due() {
            task.started(index);
            task.ended(index, 1, true);
        }
        task.due();
        task.reason(index).unwrap().to_string()
    };
    let text = |dependency, target, why| {
        format!(
            "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{dependency}] for \
             target [{target}] as dependency {why}."
        )
    };
    assert_eq!(reason(&["a b:SUCCESS", "!b"], 0), text("b", "a", "did not exit successfully"));
    assert_eq!(reason(&["!a b:START", "!b c:SUCCESS", "!c"], 0), text("b", "a", "did not start"));
    assert_eq!(reason(&["a b:START", "b a:START"], 0), text("b", "a", "is part of a circle"));
    assert_eq!(reason(&["a x:START"], 0), text("x", "a", "does not exist"));
}

/// Every order of what can happen to three containers: none hangs, none starts twice, and nothing starts after STOP.
#[test]
fn every_course_comes_to_its_end() {
    let sets: [&[&str]; 4] = [
        &["^i", "a", "b"],
        &["a", "b a:START", "!c a:COMPLETE"],
        &["a b:SUCCESS", "!b", "c"],
        &["!a", "b a:COMPLETE", "!c b:SUCCESS"],
    ];
    for (containers, kind) in sets.into_iter().flat_map(|set| [(set, TaskKind::Ecs), (set, TaskKind::Eks)]) {
        let parsed: Vec<LaunchContainer> = containers.iter().map(|text| container(text)).collect();
        let mut courses = vec![Vec::<(usize, u8)>::new()];
        let mut ends = 0;
        while let Some(course) = courses.pop() {
            let mut task = Task::new(kind, &parsed);
            let mut active: Vec<(usize, bool)> = Vec::new(); // with whether it runs
            let mut given = [0; 3];
            let mut follow = |task: &mut Task, active: &mut Vec<(usize, bool)>| {
                let was_stopping = task.is_stopping();
                for index in task.due() {
                    given[index] += 1;
                    assert!(given[index] == 1 && !was_stopping, "{containers:?} {course:?}");
                    active.push((index, false));
                }
            };
            follow(&mut task, &mut active);
            for (at, what) in &course {
                let (index, runs) = active[*at];
                match (runs, what) {
                    (false, 0) => task.not_started(index, None, !task.is_stopping()),
                    (false, _) => task.started(index),
                    (true, code) => task.ended(index, i32::from(*code), !task.is_stopping()),
                }
                match (runs, what) {
                    (false, 1) => active[*at].1 = true,
                    _ => _ = active.remove(*at),
                }
                follow(&mut task, &mut active);
            }
            if active.is_empty() {
                ends += 1;
                assert!(task.decides().is_some());
                let waits = task.members.iter().any(|member| member.state == State::Waiting);
                assert!(!waits || task.is_stopping(), "{containers:?} {course:?} hangs");
            }
            for at in 0..active.len() {
                courses.extend([0, 1].map(|what| [course.clone(), vec![(at, what)]].concat()));
            }
        }
        assert!(ends > 4, "{containers:?}: {ends}");
    }
}
