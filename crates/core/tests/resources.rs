//! Compute environments, queues and definitions: what may be made of them, and what is refused.

mod common;

use fornada_core::arn::Scope;
use fornada_core::container::ContainerOverrides;
use fornada_core::job::JobStatus::{Failed, Runnable, Running};
use fornada_core::job::workload::Overrides;
use fornada_core::refusal::{Refusal, Undeletable};
use fornada_core::resource::Status;
use fornada_core::resource::job_queue::QUEUE_DELETED;

use common::build::{environment_arn, tags};
use common::{Lost, World, definition, environment, job, queue, queue_arn, scope};

#[test]
fn creation_and_update_settle_in_a_later_turn() {
    let mut world = World::empty(1);
    let status = |world: &World| world.environment("ce").map(|ce| ce.status);
    let given = environment("ce");
    world.turn(|turn| turn.create_compute_environment(given.0.clone(), given.1.clone())).unwrap();
    assert_eq!(status(&world), Some(Status::Creating));
    assert_eq!(world.state.next_timer().map(|at| at.0), Some(world.now + 1));
    world.advance(1);
    assert_eq!(status(&world), Some(Status::Valid));
    world.turn(|turn| turn.update_compute_environment(given.0, 0)).unwrap();
    assert_eq!(status(&world), Some(Status::Updating));
    // A crash between the two does not leave it there.
    world.crash_and_recover();
    assert_eq!(status(&world), Some(Status::Valid));
    assert_eq!(world.state.next_timer(), None);
}

#[test]
fn what_the_state_does_not_allow_is_refused_and_changes_nothing() {
    type Ask = fn(&mut World) -> Result<(), Refusal>;
    let (ce, q, missing) = (environment_arn("ce"), queue_arn("q"), environment_arn("nope"));
    let cases: Vec<(&str, Ask, Refusal)> = vec![
        (
            "create an environment twice",
            |w| w.create_environment(environment("ce")),
            Refusal::AlreadyExists { arn: ce.clone() },
        ),
        ("create a queue twice", |w| w.create_queue(queue("q")), Refusal::AlreadyExists { arn: q.clone() }),
        (
            "update a missing environment",
            |w| w.update_environment(environment("nope")),
            Refusal::NoSuchResource { arn: missing.clone() },
        ),
        (
            "update a missing queue",
            |w| w.update_queue(queue("nope")),
            Refusal::NoSuchResource { arn: queue_arn("nope") },
        ),
        (
            "delete a missing environment",
            |w| delete_environment(w, "nope"),
            Refusal::NoSuchResource { arn: missing.clone() },
        ),
        (
            "delete a missing queue",
            |w| delete_queue(w, "nope"),
            Refusal::NoSuchResource { arn: queue_arn("nope") },
        ),
        (
            "delete an ENABLED environment",
            |w| delete_environment(w, "free"),
            Refusal::CannotDelete(Undeletable::NotDisabled),
        ),
        (
            "delete an ENABLED queue",
            |w| delete_queue(w, "q"),
            Refusal::CannotDelete(Undeletable::NotDisabled),
        ),
        (
            "delete an environment that a queue uses",
            |w| delete_environment(w, "used"),
            Refusal::CannotDelete(Undeletable::InUse),
        ),
        (
            "queue over a missing environment",
            |w| w.create_queue(queue("x").environments(["nope"])),
            Refusal::EnvironmentNotValid { arn: missing.clone() },
        ),
        (
            "queue over a new environment",
            |w| w.create_queue(queue("x").environments(["new"])),
            Refusal::EnvironmentNotValid { arn: environment_arn("new") },
        ),
        (
            "queue over both kinds",
            |w| w.create_queue(queue("x").environments(["ce", "fargate"])),
            Refusal::MixedEnvironments,
        ),
        (
            "update a queue to both kinds",
            |w| w.update_queue(queue("q").environments(["fargate", "ce"])),
            Refusal::MixedEnvironments,
        ),
        (
            "update while it is being created",
            |w| w.update_environment(environment("new")),
            Refusal::BeingModified { arn: environment_arn("new") },
        ),
        (
            "delete while it is being created",
            |w| delete_environment(w, "new"),
            Refusal::CannotDelete(Undeletable::BeingModified),
        ),
        (
            "update an older version",
            |w| w.turn(|t| t.update_job_queue(queue("q").0, 7)),
            Refusal::BeingModified { arn: q.clone() },
        ),
        (
            "submit to a missing queue",
            |w| w.try_submit(job("a").queue("nope")).map(drop),
            Refusal::NoSuchResource { arn: queue_arn("nope") },
        ),
        (
            "submit to a DISABLED queue",
            |w| w.try_submit(job("a").queue("off")).map(drop),
            Refusal::QueueDisabled { arn: queue_arn("off") },
        ),
        (
            "submit a missing definition",
            |w| w.try_submit(job("a").with(|s| s.definition = "d:2".into())).map(drop),
            Refusal::NoActiveDefinition { name: "d:2".into() },
        ),
        (
            "submit to the other platform",
            |w| w.try_submit(job("a").queue("fargate")).map(drop),
            Refusal::WrongPlatform { capability: "EC2".into() },
        ),
        (
            "share identifier",
            |w| w.try_submit(job("a").with(|s| s.share_identifier = Some("s".into()))).map(drop),
            Refusal::ShareOnFifoQueue,
        ),
        (
            "older overrides",
            |w| w.try_submit(job("a").with(|s| s.legacy_override = true)).map(drop),
            Refusal::DeprecatedOverride,
        ),
        (
            "missing parameter",
            |w| {
                w.try_submit(job("a").with(|s| {
                    let command = Some(vec!["Ref::x".into()]);
                    s.overrides = Overrides::Container(ContainerOverrides { command, ..Default::default() });
                }))
                .map(drop)
            },
            Refusal::MissingParameter { name: "x".into() },
        ),
    ];
    for (name, ask, want) in cases {
        let mut world = World::new(2);
        world.create_environment(environment("free")).unwrap();
        world.create_environment(environment("fargate").fargate()).unwrap();
        world.create_queue(queue("fargate").environments(["fargate"])).unwrap();
        world.create_queue(queue("off").environments(["ce"]).disabled()).unwrap();
        world.create_environment(environment("used")).unwrap();
        world.create_queue(queue("user").environments(["used"])).unwrap();
        world.update_environment(environment("used").disabled()).unwrap();
        let new = environment("new");
        world.turn(|turn| turn.create_compute_environment(new.0, new.1)).unwrap();
        let before = (world.state.compute_environments().clone(), world.state.job_queues().clone());
        assert_eq!(ask(&mut world), Err(want), "{name}");
        assert_eq!(
            (world.state.compute_environments(), world.state.job_queues()),
            (&before.0, &before.1),
            "{name}"
        );
        assert!(world.jobs.is_empty(), "{name}");
    }
}

fn delete_environment(world: &mut World, name: &str) -> Result<(), Refusal> {
    world.turn(|turn| turn.delete_compute_environment(&environment_arn(name)))
}

fn delete_queue(world: &mut World, name: &str) -> Result<(), Refusal> {
    world.turn(|turn| turn.delete_job_queue(&queue_arn(name)))
}

#[test]
fn a_deleted_queue_terminates_its_jobs_and_is_gone_with_the_last() {
    for crash in [false, true] {
        let mut world = World::new(1);
        let (running, waiting) = (world.submit(job("a").attempts(3)), world.submit(job("b").array(2)));
        world.start(running);
        world.update_queue(queue("q").environments(["ce"]).disabled()).unwrap();
        delete_queue(&mut world, "q").unwrap();
        assert_eq!((world.status(running), world.status(waiting)), (Running, Failed));
        assert_eq!(world.reason(waiting), QUEUE_DELETED);
        assert!(world.machine.is_stopping(running));
        if crash {
            world.crash_and_recover();
        }
        world.advance(10);
        assert_eq!(world.queue("q").map(|queue| queue.status), Some(Status::Deleting));
        assert!(delete_queue(&mut world, "q").is_err() && world.create_queue(queue("q")).is_err());
        world.exit(running, 143);
        assert_eq!((world.status(running), &*world.reason(running)), (Failed, QUEUE_DELETED));
        world.advance(1);
        assert_eq!(world.queue("q"), None);
        // Nobody uses the environment any more, and the name is free again.
        world.create_queue(queue("q").environments(["ce"])).unwrap();
        let next = world.submit(job("next"));
        assert!(world.machine.live(next).is_some());
    }
}

#[test]
fn a_deleted_environment_is_gone_when_its_last_attempt_has_ended() {
    for crash in [false, true] {
        let mut world = World::new(2);
        world.create_environment(environment("next")).unwrap();
        let a = world.submit(job("a"));
        world.update_environment(environment("ce").disabled()).unwrap();
        world.update_queue(queue("q").environments(["next"])).unwrap();
        delete_environment(&mut world, "ce").unwrap();
        if crash {
            world.crash_during(Lost::Nothing, |_| ());
            world.connect();
        }
        world.advance(10);
        assert_eq!(world.environment("ce").map(|ce| ce.status), Some(Status::Deleting));
        world.exit(a, 0);
        world.advance(1);
        assert_eq!(world.environment("ce"), None);
        world.create_environment(environment("ce")).unwrap();
    }
}

#[test]
fn definitions_are_revised_and_deregistered() {
    let mut world = World::new(1);
    let revision =
        |world: &World, name: &str| world.state.active_definition(&scope(), name).map(|d| d.revision);
    let missing = |name: &str| Err(Refusal::NoActiveDefinition { name: name.into() });
    let arn = scope().resolve("job-definition", "d");
    world.turn(|turn| turn.register_job_definition(&scope(), "d", definition()));
    for (name, want) in [("d", 2), ("d:1", 1), (&*arn, 2), (&*format!("{arn}:1"), 1)] {
        assert_eq!(revision(&world, name), Ok(want), "{name}");
    }
    for name in ["d:3", "d:0", "d:x", "e", "d:"] {
        assert_eq!(revision(&world, name), missing(name));
    }

    let a = world.submit(job("a").vcpus(9));
    for _ in 0..2 {
        world.turn(|turn| turn.deregister_job_definition(&scope(), "d:2")).unwrap();
    }
    assert_eq!((revision(&world, "d"), revision(&world, "d:2")), (Ok(1), missing("d:2")));
    assert_eq!(
        world.turn(|turn| turn.deregister_job_definition(&scope(), "d")),
        missing("d").map(|_: u32| ())
    );
    assert_eq!(world.status(a), Runnable, "what was submitted goes on");
    world.turn(|turn| turn.deregister_job_definition(&scope(), "d:1")).unwrap();
    world.crash_and_recover();
    assert_eq!(revision(&world, "d"), missing("d"));
    let third = world.turn(|turn| turn.register_job_definition(&scope(), "d", definition()));
    assert_eq!((third.revision, &*third.arn), (3, &*format!("{arn}:3")));
    world.machine.host.capacity.milli_vcpus = 9000;
    world.update_environment(environment("ce").max_vcpus(9)).unwrap();
    world.connect();
    assert!(world.machine.live(a).is_some(), "also with an INACTIVE definition");
}

#[test]
fn tags_are_set_replaced_and_removed() {
    let mut world = World::new(1);
    let array = world.submit(job("a").array(2).with(|s| s.tags = tags([("a", "1"), ("b", "2")])));
    let arn = |id: fornada_core::id::JobId| world.state.job(array.job).unwrap().arn(id);
    let (job_arn, child_arn) = (arn(array), arn(common::child(array, 0)));
    let definition_arn = scope().resolve("job-definition", "d:1");
    for arn in [&*job_arn, &environment_arn("ce"), &queue_arn("q"), &definition_arn] {
        world.turn(|turn| turn.tag_resource(&scope(), arn, &tags([("b", "3"), ("c", "4")]))).unwrap();
        world.turn(|turn| turn.untag_resource(&scope(), arn, &["c".into(), "nope".into()])).unwrap();
    }
    world.crash_and_recover();
    assert_eq!(world.state.tags(&scope(), &job_arn), Ok(&tags([("a", "1"), ("b", "3")])));
    for arn in [&*environment_arn("ce"), &queue_arn("q"), &definition_arn] {
        assert_eq!(world.state.tags(&scope(), arn), Ok(&tags([("b", "3")])), "{arn}");
    }

    let many = (0..49).map(|n| (n.to_string().into(), "".into())).collect();
    assert_eq!(world.turn(|turn| turn.tag_resource(&scope(), &job_arn, &many)), Err(Refusal::TooManyTags));
    assert_eq!(world.state.tags(&scope(), &job_arn).map(|tags| tags.len()), Ok(2), "nothing was changed");
    let family = scope().resolve("job-definition", "d");
    let stranger = Scope { account: "111111111111".into(), ..scope() };
    let missing = |arn: &str| Refusal::NoSuchResource { arn: arn.into() };
    for (scope, arn, want) in [
        (scope(), &*child_arn, Refusal::NotTaggable { arn: child_arn.clone() }),
        (scope(), &*family, missing(&family)),
        (
            scope(),
            "arn:aws:batch:us-east-1:000000000000:job/x",
            missing("arn:aws:batch:us-east-1:000000000000:job/x"),
        ),
        (scope(), "q", missing("q")),
        (stranger, &*job_arn, missing(&job_arn)),
    ] {
        assert_eq!(world.state.tags(&scope, arn), Err(want.clone()), "{arn}");
        assert_eq!(world.turn(|turn| turn.tag_resource(&scope, arn, &tags([]))), Err(want), "{arn}");
    }
}
