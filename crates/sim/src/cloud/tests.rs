//! Whatever is asked of the cloud: every launch is answered once, and what is gone stays gone.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn request(number: u8, spot: bool) -> Provision {
    Provision::Launch(Box::new(InstanceRequest {
        instance_id: id(number),
        compute_environment: "arn:aws:batch:us-east-1:000000000000:compute-environment/ce".into(),
        instance_type: if number % 7 == 6 { "no.such" } else { "m6i.large" }.into(),
        market: if spot { Market::Spot } else { Market::OnDemand },
        max_price: (number % 3 == 2).then_some(30_000),
    }))
}

fn id(number: u8) -> Text {
    format!("i-{number:017x}").into()
}

#[derive(Clone, Debug)]
enum Step {
    Launch(u8, bool),
    Terminate(u8),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_u8, any::<bool>()).prop_map(|(number, spot)| Step::Launch(number, spot)),
        (0..40_u8).prop_map(Step::Terminate),
        (0..10_000_000_u32).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn every_launch_is_answered_once_and_what_is_gone_stays_gone(
        steps in proptest::collection::vec(step(), 1..80), seed in any::<u64>(),
    ) {
        let parameters = Parameters {
            launch_failure_probability: 0.1,
            spot_shortage_probability: 0.2,
            spot_interruptions_per_hour: 0.5,
            ..Parameters::default()
        };
        let mut cloud = SimulatedCloud::new(parameters, seed, Timestamp(0));
        let mut now = 0;
        let mut asked: BTreeMap<Text, Vec<&str>> = BTreeMap::new();
        let mut seen = Vec::new();
        for step in steps {
            match step {
                Step::Launch(number, spot) => {
                    asked.entry(id(number)).or_default();
                    cloud.perform(vec![request(number, spot)]);
                }
                Step::Terminate(number) => cloud.perform(vec![Provision::Terminate(id(number))]),
                Step::Wait(millis) => {
                    now += u64::from(millis);
                    seen.extend(cloud.advance(Timestamp(now)));
                }
            }
        }
        let all: Vec<Provision> = asked.keys().cloned().map(Provision::Terminate).collect();
        cloud.perform(all);
        seen.extend(cloud.advance(Timestamp(now + 1_000_000_000)));
        for observation in seen {
            let (id, what) = match observation {
                Observation::Connected(host, _) => (host.instance_id, "connected"),
                Observation::LaunchFailed(id, _) => (id, "failed"),
                Observation::Interrupted(id) => (id, "interrupted"),
                Observation::Terminated(id) => (id, "terminated"),
                other => panic!("{other:?} is no observation of a cloud"),
            };
            asked.get_mut(&id).expect("only of what was asked for").push(what);
        }
        for (id, life) in &asked {
            let is_legal = matches!(
                life.as_slice(),
                ["failed"] | ["terminated"] | ["connected", "terminated"] | ["connected", "interrupted", "terminated"]
            );
            prop_assert!(is_legal, "{id}: {life:?}");
        }
        prop_assert!(cloud.is_empty());
        let account = cloud.account();
        prop_assert_eq!(account.len(), asked.len());
        for facts in account {
            prop_assert!(facts.ended_at.is_some_and(|end| end >= facts.requested_at));
            prop_assert_eq!(facts.end == InstanceEnd::Failed, asked[&facts.id] == ["failed"]);
            prop_assert!(facts.cost <= facts.cost_on_demand, "{facts:?}");
        }
    }
}

#[test]
fn a_spot_instance_is_taken_back_two_minutes_after_its_notice() {
    let parameters = Parameters {
        launch_delay: Distribution::Fixed(60.0),
        spot_interruptions_per_hour: 1000.0,
        ..Parameters::default()
    };
    let mut cloud = SimulatedCloud::new(parameters, 1, Timestamp(0));
    cloud.perform(vec![request(1, true)]);
    assert_eq!(cloud.next_event(), Some(Timestamp(60_000)));
    assert!(matches!(cloud.advance(Timestamp(60_000))[..], [Observation::Connected(..)]));
    let notice = cloud.next_event().expect("a notice");
    assert!(matches!(cloud.advance(notice)[..], [Observation::Interrupted(_)]));
    assert_eq!(cloud.next_event(), Some(Timestamp(notice.0 + 120_000)));
    assert!(matches!(cloud.advance(Timestamp(notice.0 + 120_000))[..], [Observation::Terminated(_)]));
    assert_eq!(cloud.account()[0].cost, 0, "it was taken back within the hour");
}

#[test]
fn what_is_short_cannot_be_had_while_it_is_short() {
    let shortage = |of: &str, market| Shortage {
        instance_type: of.to_owned(),
        market,
        from: Timestamp(10),
        until: Timestamp(20),
    };
    for (shortage, spot, now, want) in [
        (shortage("m6i.large", None), false, 10, true),
        (shortage("m6i.large", None), false, 9, false),
        (shortage("m6i.large", None), false, 20, false),
        (shortage("m6i", Some(Market::Spot)), true, 15, true),
        (shortage("m6i", Some(Market::Spot)), false, 15, false),
        (shortage("c6i", None), false, 15, false),
        (shortage("*", None), false, 15, true),
    ] {
        let parameters = Parameters { shortages: vec![shortage.clone()], ..Parameters::default() };
        let mut cloud = SimulatedCloud::new(parameters, 1, Timestamp(0));
        cloud.advance(Timestamp(now));
        cloud.perform(vec![request(1, spot)]);
        let seen = cloud.advance(Timestamp(1_000_000));
        let is_refused = seen == [Observation::LaunchFailed(id(1), LaunchFailure::InsufficientCapacity)];
        assert_eq!(is_refused, want, "{shortage:?} at {now}, spot: {spot}");
    }
}
