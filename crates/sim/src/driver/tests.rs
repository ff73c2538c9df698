//! Small simulations on machines that are there by themselves; helpers of all tests of the driver.

mod measure;
mod scaled;

use fornada_core::container::{ContainerOverrides, ContainerTemplate, Requirements};
use fornada_core::id::TaskId;
use fornada_core::job::retry::RetryStrategy;
use fornada_core::job::submit::Submission;
use fornada_core::job::workload::Overrides;
use fornada_core::quantity::Resources;
use fornada_core::resource::compute_environment::{Platform, Specification};
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::resource::job_queue;
use fornada_core::resource::tags::Tags;
use fornada_core::scale::Scaling;
use fornada_core::state::Settings;
use fornada_core::text::Document;

use super::*;
use crate::cloud::Parameters;
use crate::journal::AttemptEnd;
use crate::report::{Report, csv, html};
use crate::workload::{After, Behaviour, Template};

const BEGIN: Timestamp = Timestamp(1_000_000);

fn scope() -> Scope {
    Scope { region: "us-east-1".into(), account: "000000000000".into() }
}

/// A queue `q` before one environment `ce`, and a definition `d` of 1 vCPU and 100 MiB.
fn state(platform: Platform, max_vcpus: Option<u32>, scaling: Option<Box<Scaling>>) -> State {
    let mut state = State::default();
    state.configure(Settings { scale: true, ..Settings::default() });
    let mut turn = Turn::begin(&mut state, Timestamp(1), 1);
    let ce = scope().resolve("compute-environment", "ce");
    let document = Document::default();
    let given = Specification { arn: ce.clone(), platform, enabled: true, max_vcpus, scaling, document };
    turn.create_compute_environment(given, Tags::new()).unwrap();
    let requirements = Requirements { milli_vcpus: Some(1000), memory_mib: Some(100), gpus: None };
    let container = ContainerTemplate { image: "host".into(), requirements, ..Default::default() };
    let definition = JobDefinition {
        arn: Text::default(),
        revision: 0,
        active: true,
        container: Some(container),
        parameters: Default::default(),
        retry: None,
        timeout_seconds: None,
        propagate_tags: None,
        scheduling_priority: None,
        fargate: false,
        legacy_requirements: false,
        tags: Tags::new(),
        document: Document::default(),
        created_at: Timestamp::default(),
        container_properties: Document::default(),
        task: None,
        nodes: None,
        managed_instances: None,
        consumables: None,
        architecture: None,
    };
    turn.register_job_definition(&scope(), "d", definition);
    turn.finish();
    settle(&mut state);
    let mut turn = Turn::begin(&mut state, Timestamp(100_000), 2);
    let given = job_queue::Specification {
        arn: scope().resolve("job-queue", "q"),
        enabled: true,
        priority: 1,
        environments: vec![ce],
        scheduling_policy: None,
        service_environment: None,
        time_limits: None,
        document: Document::default(),
    };
    turn.create_job_queue(given, Tags::new()).unwrap();
    turn.finish();
    settle(&mut state);
    state
}

fn settle(state: &mut State) {
    while let Some(at) = state.next_timer() {
        Turn::begin(state, at, 3).finish();
    }
}

fn machine(vcpus: u64) -> Machine {
    let capacity = Resources { milli_vcpus: vcpus * 1000, memory_mib: 10_000, gpus: 0 };
    let host = Host {
        instance_id: format!("i-{vcpus:017x}").into(),
        incarnation: TaskId(1),
        capacity,
        architecture: None,
    };
    Machine { host, kind: "own".into(), unbounded: false }
}

/// Jobs of definition `d` that come at these seconds and run for 10 seconds.
fn jobs(name: &str, at: &[u64]) -> Template {
    Template {
        submission: Submission {
            name: name.into(),
            queue: "q".into(),
            definition: "d".into(),
            ..Default::default()
        },
        after: Vec::new(),
        behaviour: Behaviour { run_time: Distribution::Fixed(10.0), ..Behaviour::default() },
        arrivals: at.iter().map(|second| Timestamp(BEGIN.0 + second * 1000)).collect(),
    }
}

/// What makes a job ask for so many vCPUs.
fn of_vcpus(vcpus: u64) -> Overrides {
    let requirements = Requirements { milli_vcpus: Some(vcpus * 1000), memory_mib: None, gpus: None };
    Overrides::Container(ContainerOverrides { requirements, ..Default::default() })
}

/// On machines that are there by themselves.
fn run(workload: &Workload, machines: Vec<Machine>, change: impl FnOnce(&mut Options)) -> Journal {
    let mut options = Options { start_delay: Distribution::Fixed(1.0), ..Options::default() };
    change(&mut options);
    simulate(workload, state(Platform::Unmanaged, None, None), machines, Parameters::default(), options)
}

fn simulate(
    workload: &Workload,
    state: State,
    machines: Vec<Machine>,
    parameters: Parameters,
    options: Options,
) -> Journal {
    let cloud = SimulatedCloud::new(parameters, options.seed, BEGIN);
    let simulation = Simulation { state, scope: scope(), workload, machines, cloud, begin: BEGIN, options };
    simulation.run(&mut |_| ()).expect("every job is accepted")
}

fn of(templates: impl IntoIterator<Item = Template>) -> Workload {
    let mut workload = Workload::default();
    templates.into_iter().for_each(|template| workload.add(template));
    workload
}

/// When each unit ended, in seconds.
fn ends(journal: &Journal) -> Vec<Option<u64>> {
    journal.units.iter().map(|unit| unit.ended_at.map(|at| (at - BEGIN.0) / 1000)).collect()
}

#[test]
fn jobs_run_one_after_the_other_where_there_is_room_for_one() {
    let workload = of([jobs("a", &[0, 0, 5])]);
    let journal = run(&workload, vec![machine(1)], |_| ());
    assert_eq!(ends(&journal), [Some(11), Some(22), Some(33)], "a second to start, ten to run");
    let report = Report::new("golden".to_owned(), &workload, &journal);
    assert!((report.makespan - 33.0).abs() < 1e-9);
    assert_eq!((report.jobs.total, report.jobs.succeeded), (3, 3));
    let waits = &report.queues[0];
    assert_eq!((waits.queue.as_str(), waits.p50, waits.max), ("q", 11.0, 17.0));
    assert_eq!(report.vcpus.utilisation, Some(1.0));
    assert_eq!(report.series.waiting["q"][..6], [1.0, 1.0, 1.0, 1.0, 1.0, 2.0]);
}

#[test]
fn dependents_come_after_what_they_wait_for() {
    let array = |name: &str| {
        let mut template = jobs(name, &[0]);
        template.submission.array_size = Some(3);
        template
    };
    let with = |template: Template, after| Template { after, ..template };
    let after = |kind| vec![After { template: 0, kind }];
    let workload = of([
        array("first"),
        with(array("pairs"), after(AfterKind::NToN)),
        with(jobs("last", &[0]), after(AfterKind::Success)),
        with(array("chain"), after(AfterKind::Sequential)),
    ]);
    let journal = run(&workload, vec![machine(16)], |_| ());
    let first = [11, 11, 11];
    let want = [&first[..], &[22, 22, 22], &[22], &[11, 22, 33]].concat();
    assert_eq!(ends(&journal), want.into_iter().map(Some).collect::<Vec<_>>());
    let report = Report::new(String::new(), &workload, &journal);
    assert!(report.queues[0].max.abs() < 1e-9, "nobody waited for capacity");
}

#[test]
fn attempts_fail_and_are_tried_again() {
    let mut failing = jobs("failing", &[0]);
    failing.behaviour.exit_code = 3;
    failing.submission.retry = Some(RetryStrategy { attempts: 3, evaluate_on_exit: Vec::new() });
    let mut large = jobs("large", &[0]);
    large.behaviour.memory_used = Some(Distribution::Fixed(101.0));
    let mut slow = jobs("slow", &[0]);
    slow.behaviour.run_time = Distribution::Fixed(100.0);
    slow.submission.timeout_seconds = Some(60);
    let workload = of([failing, large, slow]);
    let journal = run(&workload, vec![machine(16)], |_| ());
    assert!(journal.units.iter().all(|unit| unit.status == JobStatus::Failed));
    let report = Report::new(String::new(), &workload, &journal).attempts;
    assert_eq!((report.total, report.retries, report.failed, report.out_of_memory), (5, 2, 3, 1));
    assert_eq!(journal.attempts[2].end, AttemptEnd::Stopped(143));
    assert_eq!(ends(&journal)[2], Some(62), "a second to start, sixty to run, one to stop");
}

#[test]
fn what_can_never_run_is_told_with_its_reason_and_ends_the_simulation() {
    let mut huge = jobs("huge", &[0, 0]);
    huge.submission.overrides = of_vcpus(8);
    let workload = of([huge, jobs("small", &[10])]);
    let journal = run(&workload, vec![machine(4)], |_| ());
    let report = Report::new(String::new(), &workload, &journal);
    assert_eq!((report.jobs.succeeded, report.jobs.unfinished), (1, 2));
    let [stuck] = &report.stuck[..] else { panic!("{:?}", report.stuck) };
    assert_eq!((stuck.name.as_str(), stuck.count), ("huge", 2));
    assert!(stuck.reason.starts_with("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"), "{}", stuck.reason);
}

#[test]
fn nothing_happens_after_the_end_that_was_set() {
    let workload = of([jobs("a", &[0, 0])]);
    let journal =
        run(&workload, vec![machine(1)], |options| options.until = Some(Timestamp(BEGIN.0 + 15_000)));
    assert_eq!(ends(&journal), [Some(11), None]);
    assert_eq!(journal.attempts[1].end, AttemptEnd::Unfinished);
}

/// Jobs of all kinds by chance, on two machines.
fn mixture() -> Workload {
    let mut many = jobs("many", &(0..200).map(|nth| nth * 2).collect::<Vec<_>>());
    many.behaviour.run_time = Distribution::LogNormal { median: 20.0, sigma: 1.0 };
    many.behaviour.failure_probability = 0.2;
    many.submission.retry = Some(RetryStrategy { attempts: 3, evaluate_on_exit: Vec::new() });
    let mut array = jobs("array", &[30]);
    array.submission.array_size = Some(50);
    array.behaviour.run_time = Distribution::Exponential(15.0);
    of([many, array])
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let all = |seed| {
        let workload = mixture();
        let journal = run(&workload, vec![machine(4), machine(8)], |options| options.seed = seed);
        let report = Report::new("same".to_owned(), &workload, &journal);
        let files = [csv::jobs(&workload, &journal), csv::series(&report), csv::instances(&journal)];
        (serde_json::to_string(&report).unwrap(), html::page(&report), files)
    };
    assert_eq!(all(7), all(7));
    assert_ne!(all(7).0, all(8).0);
}

#[test]
fn what_is_held_over_time_is_what_the_attempts_held() {
    let workload = mixture();
    let journal = run(&workload, vec![machine(4), machine(8)], |_| ());
    let report = Report::new(String::new(), &workload, &journal);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let held: f64 = journal
        .attempts
        .iter()
        .map(|attempt| {
            f64::from(attempt.milli_vcpus) / 1000.0 * (attempt.ended_at - attempt.placed_at) as f64 / 1000.0
        })
        .sum();
    assert!((report.vcpus.allocated * 3600.0 - held).abs() < 1e-6);
    let steps = report.series.steps;
    let widths = steps.starts().map(|start| (steps.end - start).min(steps.length));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let over_time: f64 =
        report.series.allocated.iter().zip(widths).map(|(mean, width)| mean * width as f64 / 1000.0).sum();
    assert!((over_time - held).abs() < 1e-6, "{over_time} is not {held}");
    let mut live = 0_i64;
    let mut moves: Vec<(u64, i64)> = journal
        .attempts
        .iter()
        .flat_map(|attempt| {
            let vcpus = i64::from(attempt.milli_vcpus);
            [(attempt.placed_at, vcpus), (attempt.ended_at, -vcpus)]
        })
        .collect();
    moves.sort_unstable();
    assert!(moves.iter().all(|(_, vcpus)| {
        live += vcpus;
        live <= 12_000
    }));
}
