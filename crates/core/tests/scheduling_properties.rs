//! Random clusters, queues and jobs, in virtual time: what must hold of every schedule.

mod common;

use fornada_core::id::JobId;
use fornada_core::resource::consumable_resource::Change;
use fornada_core::state::Settings;
use proptest::prelude::*;

use common::build::{consumable_arn, environment_arn, fair_share, multinode, tags};
use common::cluster::{Cluster, size};
use common::{Submit, environment, job, queue, scope};

/// As many as the neediest job needs.
const LICENCES: u64 = 3;

#[derive(Clone, Debug)]
struct Kind {
    queue: usize,
    share: bool,
    vcpus: u32,
    memory_mib: u64,
    gpus: u32,
    nodes: Option<u32>,
    array: Option<u32>,
    priority: u32,
    licences: u64,
    timeout: Option<u32>,
    seconds: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Submit(Kind),
    Cancel(u16),
    Terminate(u16),
    Advance(u64),
    Disconnect(u16),
    Connect(u16),
    /// An environment may use so many vCPUs.
    Ceiling(u32),
    Licences(u64),
    /// Everything is looked at as if it had changed.
    LookAgain,
}

fn kind() -> impl Strategy<Value = Kind> {
    let amounts = (1u32..7, prop_oneof![Just(1u64), 100u64..900], prop_oneof![6 => Just(0u32), 1 => 1u32..3]);
    let many = prop_oneof![
        4 => Just((None, None)),
        2 => (2u32..5).prop_map(|size| (None, Some(size))),
        2 => (2u32..5).prop_map(|nodes| (Some(nodes), None)),
    ];
    let rest =
        (0u32..3, prop_oneof![4 => Just(0), 1 => 1..=LICENCES], prop::option::of(60u32..600), 1u64..900);
    (0usize..3, any::<bool>(), amounts, many, rest).prop_map(
        |(
            queue,
            share,
            (vcpus, memory_mib, gpus),
            (nodes, array),
            (priority, licences, timeout, seconds),
        )| {
            Kind { queue, share, vcpus, memory_mib, gpus, nodes, array, priority, licences, timeout, seconds }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => kind().prop_map(Step::Submit),
        2 => any::<u16>().prop_map(Step::Cancel),
        1 => any::<u16>().prop_map(Step::Terminate),
        8 => (0u64..300_000).prop_map(Step::Advance),
        1 => any::<u16>().prop_map(Step::Disconnect),
        2 => any::<u16>().prop_map(Step::Connect),
        1 => (2u32..20).prop_map(Step::Ceiling),
        1 => (0..=LICENCES).prop_map(Step::Licences),
        3 => Just(Step::LookAgain),
    ]
}

/// Some machines; FIFO queues of unequal priority, and one with shares, over two environments.
fn cluster(settings: Settings, machines: &[(u32, u64, u32)]) -> Cluster {
    let machines = machines.iter().map(|&(vcpus, memory, gpus)| size(vcpus, memory, gpus));
    let mut cluster = Cluster::new(settings, machines);
    cluster.create_environment(environment("small").max_vcpus(5));
    cluster.create_environment(environment("large"));
    cluster.create_queue(queue("0").priority(9).environments(["small", "large"]));
    cluster.create_queue(queue("1").priority(1).environments(["large"]));
    let created =
        cluster.turn(|turn| turn.create_scheduling_policy(fair_share("p", &[("a", 5_000)]), tags([])));
    created.expect("a new name");
    cluster.create_queue(queue("2").priority(1).environments(["large", "small"]).policy("p"));
    let licence = consumable_arn("licence");
    let created = cluster.turn(|turn| turn.create_consumable_resource(licence, true, LICENCES, tags([])));
    created.expect("a new name");
    for nodes in 2..5 {
        let name = format!("{nodes}-nodes");
        cluster.turn(|turn| turn.register_job_definition(&scope(), &name, multinode(nodes, 0)));
    }
    cluster
}

fn submission(kind: &Kind) -> Submit {
    let submit = job("j").queue(&kind.queue.to_string()).priority(kind.priority);
    let submit = match kind.nodes {
        Some(nodes) => submit.definition(&format!("{nodes}-nodes")),
        None => submit.vcpus(kind.vcpus).memory_mib(kind.memory_mib),
    };
    let submit = if kind.gpus > 0 && kind.nodes.is_none() { submit.gpus(kind.gpus) } else { submit };
    let submit = if kind.licences > 0 { submit.needs("licence", kind.licences) } else { submit };
    let submit = if kind.queue == 2 {
        submit.share(if kind.share { "a" } else { "b" })
    } else {
        submit.with(|submission| submission.scheduling_priority = None)
    };
    let submit = match kind.array {
        Some(size) => submit.array(size),
        None => submit,
    };
    match kind.timeout {
        Some(seconds) => submit.timeout(seconds),
        None => submit,
    }
}

fn pick(jobs: &[JobId], n: u16) -> Option<JobId> {
    jobs.get(usize::from(n) % jobs.len().max(1)).copied()
}

fn apply(cluster: &mut Cluster, jobs: &mut Vec<JobId>, step: Step) {
    let machine = |n: u16| usize::from(n) % cluster.machines();
    match step {
        Step::Submit(kind) => jobs.push(cluster.submit(submission(&kind), kind.seconds)),
        Step::Cancel(n) => {
            pick(jobs, n).into_iter().for_each(|id| cluster.turn(|turn| turn.cancel_job(id, &"no".into())));
        }
        Step::Terminate(n) => {
            pick(jobs, n)
                .into_iter()
                .for_each(|id| cluster.turn(|turn| turn.terminate_job(id, &"no".into())));
        }
        Step::Advance(millis) => cluster.advance(millis),
        Step::Disconnect(n) => cluster.disconnect(machine(n)),
        Step::Connect(n) => cluster.connect(machine(n)),
        Step::Ceiling(vcpus) => {
            let arn = environment_arn("small");
            let version = cluster.state.compute_environments()[&arn].version;
            let given = environment("small").max_vcpus(vcpus).0;
            cluster.turn(|turn| turn.update_compute_environment(given, version)).expect("it exists");
            cluster.advance(1);
        }
        Step::Licences(total) => {
            let licence = consumable_arn("licence");
            let set =
                cluster.turn(|turn| turn.update_consumable_resource(&licence, Change::Set(total), None));
            assert_eq!(set, Ok(total));
        }
        Step::LookAgain => {
            let missed = cluster.look_again();
            assert!(missed.is_empty(), "could have started before: {missed:?}");
        }
    }
}

fn machines() -> impl Strategy<Value = Vec<(u32, u64, u32)>> {
    prop::collection::vec((2u32..9, 500u64..2000, prop_oneof![3 => Just(0u32), 1 => 1u32..3]), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A pass looks only at what could have changed since the last. That misses nothing.
    #[test]
    fn a_pass_over_what_has_changed_finds_what_a_full_pass_finds(
        machines in machines(),
        backfill in any::<bool>(),
        steps in prop::collection::vec(step(), 10..80),
    ) {
        let mut cluster = cluster(Settings { backfill, ..Settings::default() }, &machines);
        let mut jobs = Vec::new();
        for step in steps {
            apply(&mut cluster, &mut jobs, step);
        }
        let missed = cluster.look_again();
        prop_assert!(missed.is_empty(), "could have started before: {:?}", missed.iter().map(|id| jobs.iter().position(|job| job.job == id.job)).collect::<Vec<_>>());
    }

    /// In a FIFO queue with backfill, where every job has a timeout, each starts before all work ahead of it could have run
    /// one after the other, whatever comes behind it.
    #[test]
    fn nobody_starves(
        machines in machines(),
        jobs in prop::collection::vec((1u32..9, prop::option::of(2u32..5), 60u32..600, 0u64..100_000), 2..60),
    ) {
        let mut cluster = cluster(Settings::default(), &machines);
        let widest = machines.iter().map(|machine| machine.0).max().unwrap_or(0);
        let total: u32 = machines.iter().map(|machine| machine.0).sum();
        let (mut ahead, mut bounds) = (0, Vec::new());
        for (vcpus, nodes, timeout, pause) in jobs {
            cluster.advance(pause);
            let submit = job("j").queue("1").timeout(timeout);
            let submit = match nodes.filter(|&nodes| nodes <= total) {
                Some(nodes) => submit.definition(&format!("{nodes}-nodes")),
                None => submit.vcpus(vcpus.min(widest)),
            };
            // It ends in time: one that is stopped for its timeout ends a little later.
            bounds.push((cluster.submit(submit, u64::from(timeout) - 1), cluster.now + ahead));
            ahead += u64::from(timeout) * 1000;
        }
        cluster.advance(ahead);
        prop_assert!(cluster.is_idle(), "gangs do not keep each other from starting");
        for (id, bound) in bounds {
            let of = |id: JobId| if cluster.state.job(id.job).is_some_and(|job| job.nodes.is_some()) { JobId::node(id.job, 0) } else { id };
            let start = cluster.start_of(of(id));
            prop_assert!(start.is_some_and(|start| start <= bound), "{:?}, not {}", start, bound);
        }
    }

    /// The same input makes the same schedule.
    #[test]
    fn schedules_are_deterministic(machines in machines(), steps in prop::collection::vec(step(), 10..40)) {
        let run = || {
            let mut cluster = cluster(Settings::default(), &machines);
            let mut jobs = Vec::new();
            steps.iter().for_each(|step| apply(&mut cluster, &mut jobs, step.clone()));
            cluster.started
        };
        prop_assert_eq!(run(), run());
    }
}

/// Under steady load, what shares get over hours is as one to the weight of each. Source: AWS Batch User Guide, fair-share
/// scheduling policies (a weight of 0.125 entitles to 8 times as much).
#[test]
fn shares_get_what_their_weights_entitle_them_to() {
    for weights in [&[10_000, 10_000][..], &[10_000, 5_000], &[10_000, 20_000, 40_000], &[1_250, 10_000]] {
        let names: Vec<String> = (0..weights.len()).map(|n| n.to_string()).collect();
        let shares: Vec<(&str, u32)> =
            names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        let mut cluster = Cluster::new(Settings::default(), vec![size(32, 1000, 0); 4]);
        cluster.create_environment(environment("ce"));
        cluster
            .turn(|turn| turn.create_scheduling_policy(fair_share("p", &shares), tags([])))
            .expect("a new name");
        cluster.create_queue(queue("fair").environments(["ce"]).policy("p"));
        for round in 0..12 {
            for name in &names {
                let submit = job(name).queue("fair").share(name).array(600);
                cluster.submit(submit, 297 + round % 3);
            }
        }
        cluster.advance(3_600_000); // until what was before the load is forgotten
        let from = cluster.started.len();
        cluster.advance(3 * 3_600_000);
        let mut got = vec![0.0; weights.len()];
        for (_, id, _) in &cluster.started[from..] {
            let name = &cluster.state.job(id.job).expect("it started").name;
            got[name.parse::<usize>().expect("a number")] += 1.0;
        }
        let whole: f64 = got.iter().sum();
        let entitled: f64 = weights.iter().map(|&weight| 1.0 / f64::from(weight)).sum();
        for (got, &weight) in got.iter().zip(weights) {
            let (part, want) = (got / whole, 1.0 / f64::from(weight) / entitled);
            assert!(
                (part / want - 1.0).abs() < 0.05,
                "{weights:?}: {part} of all for weight {weight}, not {want}"
            );
        }
    }
}
