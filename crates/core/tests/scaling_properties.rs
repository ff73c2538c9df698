//! Random days of environments that scale: whatever clients, the cloud and crashes do, the rules hold, and when the faults
//! stop every job ends and every fleet is as small as it may be.
//!
//! The rules are checked with every turn by the cloud itself (`common::cloud`): indexes agree with records, ceilings hold,
//! nothing starts on an instance that is not ready or is going, no timer fires for ever, recovery leaks and doubles nothing.

mod common;

use fornada_core::resource::compute_environment::Specification;
use fornada_core::resource::consumable_resource::Change;
use fornada_core::resource::scheduling_policy::Kind;
use fornada_core::scale::AllocationStrategy::{BestFit, BestFitProgressive, SpotCapacityOptimized};
use fornada_core::text::Text;
use proptest::prelude::*;

use common::build::{consumable_arn, environment_arn, fair_share, tags};
use common::cloud::{Cloud, fleet};
use common::{Lost, Submit, job, queue};

const TYPES: [&str; 5] = ["m6i.large", "m6i.xlarge", "c6i.large", "c6i.2xlarge", "g4dn.xlarge"];
const ENVIRONMENTS: [&str; 3] = ["strict", "free", "spot"];
/// As many as the neediest job needs.
const LICENCES: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Submit(Shape),
    Turns(u8),
    Pass(u32),
    Short(usize, bool),
    Reclaim(u16),
    Lose(u16),
    Update(usize, Update),
    Licences(u64),
}

#[derive(Clone, Debug)]
struct Shape {
    vcpus: u32,
    gpu: bool,
    nodes: Option<u32>,
    size: Option<u32>,
    attempts: u32,
    /// Of the fair-share queue, if any.
    share: Option<bool>,
    needs: u64,
    runs: u64,
}

#[derive(Clone, Debug)]
struct Update {
    min: u32,
    max: u32,
    enabled: bool,
    replaces: bool,
    terminates: bool,
    delayed: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![
        3 => Just((None, None)),
        2 => (2u32..6).prop_map(|size| (Some(size), None)),
        1 => (2u32..4).prop_map(|nodes| (None, Some(nodes))),
    ];
    let needs = prop_oneof![4 => Just(0), 1 => 1..=LICENCES];
    let shape = (
        1u32..5,
        prop::bool::weighted(0.1),
        size,
        1u32..4,
        any::<Option<bool>>(),
        needs,
        prop_oneof![10_000u64..100_000, 100_000u64..3_000_000],
    )
        .prop_map(|(vcpus, gpu, (size, nodes), attempts, share, needs, runs)| {
            let gpu = gpu && nodes.is_none();
            Shape { vcpus, gpu, nodes, size, attempts, share, needs, runs }
        });
    let update = (0u32..9, 0u32..20, prop::bool::weighted(0.8), any::<[bool; 3]>()).prop_map(
        |(min, max, enabled, [replaces, terminates, delayed])| Update {
            min: min.min(max),
            max,
            enabled,
            replaces,
            terminates,
            delayed,
        },
    );
    prop_oneof![
        8 => shape.prop_map(Step::Submit),
        6 => (1u8..20).prop_map(Step::Turns),
        6 => (0u32..900_000).prop_map(Step::Pass),
        2 => (0..TYPES.len(), any::<bool>()).prop_map(|(one, short)| Step::Short(one, short)),
        2 => any::<u16>().prop_map(Step::Reclaim),
        1 => any::<u16>().prop_map(Step::Lose),
        2 => (0..ENVIRONMENTS.len(), update).prop_map(|(one, update)| Step::Update(one, update)),
        1 => (0..=LICENCES).prop_map(Step::Licences),
    ]
}

/// A step, and whether the server crashes with it.
fn steps() -> impl Strategy<Value = Vec<(Step, Option<Lost>)>> {
    let crash = prop_oneof![
        20 => Just(None),
        1 => Just(Some(Lost::Nothing)),
        1 => Just(Some(Lost::Actions)),
        1 => Just(Some(Lost::Everything)),
    ];
    prop::collection::vec((step(), crash), 5..50)
}

fn cloud() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.create(fleet("strict", 8, BestFit, &["m6i.large", "m6i.xlarge"]));
    cloud.create(fleet("free", 16, BestFitProgressive, &["m6i", "c6i.2xlarge", "g4dn.xlarge"]));
    cloud.create(fleet("spot", 16, SpotCapacityOptimized, &["c6i.large", "c6i.2xlarge"]));
    let mut policy = fair_share("p", &[]);
    if let Kind::FairShare(fair) = &mut policy.kind {
        fair.compute_reservation = Some(40);
    }
    cloud.turn(|turn| turn.create_scheduling_policy(policy, tags([]))).expect("a new name");
    cloud.create_queue(queue("q").priority(3).environments(["strict", "free"]));
    cloud.create_queue(queue("fair").environments(["spot", "free"]).policy("p"));
    let licence = consumable_arn("licence");
    cloud
        .turn(|turn| turn.create_consumable_resource(licence, true, LICENCES, tags([])))
        .expect("a new name");
    (2..4).for_each(|nodes| cloud.define_gang(nodes, 2, 1));
    cloud
}

fn submission(shape: &Shape) -> Submit {
    let Shape { vcpus, gpu, nodes, size, attempts, share, needs, runs: _ } = *shape;
    let mut submit = job("j").attempts(attempts);
    submit = match nodes {
        Some(nodes) => submit.definition(&format!("{nodes}x2")),
        None => submit.vcpus(vcpus),
    };
    submit = if gpu { submit.gpus(1) } else { submit };
    submit = match share {
        Some(share) => submit.queue("fair").share(if share { "a" } else { "b" }),
        None => submit,
    };
    submit = if needs > 0 { submit.needs("licence", needs) } else { submit };
    match size {
        Some(size) => submit.array(size),
        None => submit,
    }
}

fn pick(cloud: &Cloud, n: u16) -> Option<Text> {
    let there = cloud.instances.iter().filter(|(_, ec2)| !ec2.is_noticed).map(|(id, _)| id.clone());
    let there: Vec<Text> = there.collect();
    there.get(usize::from(n) % there.len().max(1)).cloned()
}

fn update(cloud: &mut Cloud, name: &str, update: &Update) {
    let ce = (*cloud.state.compute_environments()[&environment_arn(name)]).clone();
    let mut scaling = ce.scaling.clone().expect("it scales");
    scaling.min_vcpus = update.min;
    scaling.desired_vcpus = update.min;
    scaling.generation += u32::from(update.replaces);
    scaling.terminate_jobs_on_update = update.terminates;
    scaling.scale_down_delay_minutes = update.delayed.then_some(20);
    let given = Specification {
        arn: ce.arn.clone(),
        platform: ce.platform,
        enabled: update.enabled,
        max_vcpus: Some(update.max),
        scaling: Some(scaling),
        document: ce.document.clone(),
    };
    let _ = cloud.turn(|turn| turn.update_compute_environment(given, ce.version)); // refused while another goes on
}

fn set_licences(cloud: &mut Cloud, total: u64) {
    let licence = consumable_arn("licence");
    cloud
        .turn(|turn| turn.update_consumable_resource(&licence, Change::Set(total), None))
        .expect("it exists");
}

fn apply(cloud: &mut Cloud, step: &Step) {
    match step {
        Step::Submit(shape) => {
            let id = cloud.submit(submission(shape));
            cloud.lasts.insert(id.job, shape.runs);
        }
        Step::Turns(count) => (0..*count).for_each(|_| cloud.step()),
        Step::Pass(millis) => cloud.pass((*millis).into()),
        Step::Short(one, true) => {
            cloud.short.insert(TYPES[*one]);
        }
        Step::Short(one, false) => {
            cloud.short.remove(TYPES[*one]);
        }
        Step::Reclaim(n) => {
            if let Some(id) = pick(cloud, *n) {
                cloud.reclaim(&id);
            }
        }
        Step::Lose(n) => {
            if let Some(id) = pick(cloud, *n) {
                cloud.lose(&id);
            }
        }
        Step::Update(one, change) => update(cloud, ENVIRONMENTS[*one], change),
        Step::Licences(total) => set_licences(cloud, *total),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_job_ends_and_fleets_shrink(steps in steps(), min in 0u32..7) {
        let mut cloud = cloud();
        for (step, crash) in &steps {
            match crash {
                None => apply(&mut cloud, step),
                Some(lost) => cloud.crash(*lost, |cloud| apply(cloud, step)),
            }
        }

        cloud.short.clear();
        set_licences(&mut cloud, LICENCES);
        cloud.settle();
        for name in ENVIRONMENTS {
            let max = 16;
            update(&mut cloud, name, &Update { min, max, enabled: true, replaces: false, terminates: false, delayed: false });
        }
        cloud.settle();
        prop_assert!(cloud.all_ended(), "{:?}", cloud.waiting());
        for name in ENVIRONMENTS {
            let (vcpus, min) = (cloud.vcpus(name), u64::from(min));
            prop_assert!(vcpus >= min, "{} has {} of {}", name, vcpus, min);
            let of = cloud.instances.values().filter(|ec2| ec2.request.compute_environment == environment_arn(name));
            for ec2 in of {
                prop_assert!(vcpus - u64::from(ec2.instance_type.vcpus) < min, "{} could go of {}", name, vcpus);
            }
        }
        prop_assert_eq!(cloud.state.running_attempts(), 0);
    }
}
