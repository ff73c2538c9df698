//! The loop against a store whose commits the test holds, releases and fails, and a clock that it turns.
//!
//! Nothing sleeps: each test waits for a state, and for none longer than [`DEADLINE`].
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../core/tests/common/build.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of core")]
mod build;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::task::Poll;
use std::time::Duration;

use fornada_core::attempt::{Action, Host, Observation};
use fornada_core::id::TaskId;
use fornada_core::instance::Provision;
use fornada_core::quantity::Resources;
use fornada_core::record::{Change, Loaded, Record};
use fornada_core::resource::Status;
use fornada_core::state::Settings;
use fornada_core::time::Timestamp;
use fornada_core::turn::Turn;
use fornada_engine::port::backend::Backend;
use fornada_engine::port::clock::Clock;
use fornada_engine::port::provisioner::Provisioner;
use fornada_engine::port::store::{Error, Store};
use fornada_engine::{Engine, Fatal, Handle, Ports, Unavailable};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use build::{definition, environment, environment_arn, job, queue, queue_arn, scope};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(20);

type Verdict = Result<(), Error>;

/// Commits at once; while `hold` is set, shows each commit to the test and waits for its verdict.
struct HeldStore {
    hold: Arc<AtomicBool>,
    arrived: mpsc::UnboundedSender<Vec<Change>>,
    verdicts: blocking::Receiver<Verdict>,
    /// How many changes are durable.
    durable: Arc<AtomicUsize>,
}

impl Store for HeldStore {
    fn load(&mut self) -> Result<Loaded, Error> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, changes: &[Change]) -> Verdict {
        if self.hold.load(Ordering::SeqCst) {
            drop(self.arrived.send(changes.to_vec()));
            self.verdicts.recv().unwrap_or(Ok(()))?; // without a test, there is nobody left to wait for
        }
        self.durable.fetch_add(changes.len(), Ordering::SeqCst);
        Ok(())
    }
}

/// Notes each action with the number of changes that were durable by then.
struct Recorder {
    durable: Arc<AtomicUsize>,
    performed: mpsc::UnboundedSender<(Action, usize)>,
}

/// There is nothing to launch.
struct NoProvisioner;

impl Provisioner for NoProvisioner {
    fn perform(&mut self, provisions: Vec<Provision>) {
        panic!("nothing scales, but {provisions:?} was asked for");
    }
}

impl Backend for Recorder {
    fn perform(&self, actions: Vec<Action>) {
        let durable = self.durable.load(Ordering::SeqCst);
        actions.into_iter().for_each(|action| drop(self.performed.send((action, durable))));
    }
}

#[derive(Clone, Default)]
struct ManualClock(Arc<AtomicU64>);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct World {
    engine: Engine,
    handle: Handle,
    clock: ManualClock,
    hold: Arc<AtomicBool>,
    commits: mpsc::UnboundedReceiver<Vec<Change>>,
    verdicts: blocking::Sender<Verdict>,
    durable: Arc<AtomicUsize>,
    performed: mpsc::UnboundedReceiver<(Action, usize)>,
}

impl World {
    /// An engine without records that commits at once.
    fn start() -> World {
        let (hold, durable) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (arrived, commits) = mpsc::unbounded_channel();
        let (verdicts, awaited) = blocking::channel();
        let (sender, performed) = mpsc::unbounded_channel();
        let clock = ManualClock::default();
        let mut seed = 0;
        let engine = Engine::start(Ports {
            store: Box::new(HeldStore {
                hold: hold.clone(),
                arrived,
                verdicts: awaited,
                durable: durable.clone(),
            }),
            backend: Box::new(Recorder { durable: durable.clone(), performed: sender }),
            provisioner: Box::new(NoProvisioner),
            events: None,
            settings: Settings::default(),
            clock: Box::new(clock.clone()),
            entropy: Box::new(move || {
                seed += 1;
                seed
            }),
        });
        let engine = engine.unwrap();
        World { handle: engine.handle(), engine, clock, hold, commits, verdicts, durable, performed }
    }

    /// From now on each commit waits for [`World::release`] or [`World::fail`].
    fn hold(&self) {
        self.hold.store(true, Ordering::SeqCst);
    }

    /// The changes of the commit that waits for its verdict.
    async fn held(&mut self) -> Vec<Change> {
        within(self.commits.recv()).await.unwrap()
    }

    fn release(&self) {
        self.verdicts.send(Ok(())).unwrap();
    }

    fn fail(&self) {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
        self.verdicts.send(Err(Error { what: "the disk is full".into(), source })).unwrap();
    }

    fn advance(&self, millis: u64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Turns so far.
    fn turns(&self) -> u64 {
        self.handle.metrics().totals()[0].2
    }

    /// Environment `ce` and queue `q`, both VALID, definition `d`, and a machine that is connected.
    async fn furnish(&self) {
        self.handle
            .decide(|turn| {
                let ce = environment("ce");
                turn.create_compute_environment(ce.0, ce.1).unwrap();
            })
            .await
            .unwrap();
        self.advance(1000);
        let valid = || self.handle.read(|state| state.compute_environments()[&environment_arn("ce")].status);
        while within(valid()).await.unwrap() != Status::Valid {}
        let machine = Host {
            instance_id: "i-1".into(),
            incarnation: TaskId(1),
            capacity: Resources { milli_vcpus: 8000, memory_mib: 8, gpus: 0 },
            architecture: None,
        };
        self.handle.observe(Observation::Connected(machine, Vec::new())).await;
        self.handle
            .decide(|turn| {
                let queue = queue("q").environments(["ce"]);
                turn.create_job_queue(queue.0, queue.1).unwrap();
                turn.register_job_definition(&scope(), "d", definition());
            })
            .await
            .unwrap();
        self.advance(1000);
        let valid = || self.handle.read(|state| state.job_queues()[&queue_arn("q")].status);
        while within(valid()).await.unwrap() != Status::Valid {}
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

/// Polls once.
async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// A command that changes exactly one record.
fn register(name: &str) -> impl FnOnce(&mut Turn<'_>) + Send + use<> {
    let name = name.to_owned();
    move |turn| drop(turn.register_job_definition(&scope(), &name, definition()))
}

/// Names of the definitions that changes write.
fn registered(changes: &[Change]) -> Vec<String> {
    let name = |change: &Change| match change {
        Change::Put(Record::JobDefinition(definition)) => definition.name().to_owned(),
        other => panic!("{other:?}"),
    };
    changes.iter().map(name).collect()
}

#[tokio::test]
async fn replies_reads_and_actions_wait_for_the_commit() {
    let mut world = World::start();
    world.furnish().await;
    world.hold();
    let durable = world.durable.load(Ordering::SeqCst);
    let handle = world.handle.clone();
    let mut submitted = pin!(handle.decide(|turn| turn.submit_job(&scope(), job("a").0).unwrap().id));
    assert!(is_pending(submitted.as_mut()).await);
    let changes = world.held().await;
    let placed = changes.iter().any(|change| {
        matches!(change, Change::Put(Record::Job(job)) if job.execution.status.as_str() == "STARTING")
    });
    assert!(placed, "the job is placed in the turn that accepts it: {changes:?}");

    let (reading, mut begun) = mpsc::unbounded_channel();
    let mut seen = pin!(handle.read(move |state| {
        reading.send(()).unwrap();
        state.running_attempts()
    }));
    assert!(is_pending(seen.as_mut()).await);
    within(begun.recv()).await;
    assert!(is_pending(submitted.as_mut()).await, "no reply before its commit is durable");
    assert!(is_pending(seen.as_mut()).await, "no read shows what is not durable");
    assert!(world.performed.is_empty(), "no action before its commit is durable");

    world.release();
    let id = within(submitted).await.unwrap();
    assert_eq!(within(seen).await, Ok(1));
    let (action, durable_then) = within(world.performed.recv()).await.unwrap();
    assert!(matches!(&action, Action::Start(launch) if launch.attempt.job.job == id), "{action:?}");
    assert_eq!(durable_then, durable + changes.len());
    assert!(world.performed.is_empty(), "and nothing else happened");
}

#[tokio::test]
async fn what_comes_during_a_commit_is_committed_together() {
    let mut world = World::start();
    world.hold();
    let handle = world.handle.clone();
    let mut first = pin!(handle.decide(register("first")));
    assert!(is_pending(first.as_mut()).await);
    assert_eq!(registered(&world.held().await), ["first"]);
    // One more turn is decided while the first is being committed; what comes then gathers.
    let mut second = pin!(handle.decide(register("second")));
    let turns = world.turns();
    assert!(is_pending(second.as_mut()).await);
    within(async {
        while world.turns() == turns {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let names: Vec<String> = (0..100).map(|n| format!("late-{n:02}")).collect();
    let mut replies = JoinSet::new();
    for name in &names {
        let (handle, command) = (handle.clone(), register(name));
        replies.spawn(async move { handle.decide(command).await });
    }
    for _ in 0..names.len() {
        tokio::task::yield_now().await; // each task runs up to its reply
    }

    world.release();
    assert_eq!(within(first).await, Ok(()));
    assert_eq!(registered(&world.held().await), ["second"]);
    world.release();
    assert_eq!(within(second).await, Ok(()));
    assert_eq!(registered(&world.held().await), names, "one commit for all of them");
    assert!(replies.try_join_next().is_none(), "and no reply before it");
    world.release();
    assert!(within(replies.join_all()).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_failed_commit_stops_the_engine_and_nothing_of_it_is_acknowledged() {
    let mut world = World::start();
    world.furnish().await;
    world.hold();
    let handle = world.handle.clone();
    let mut submitted = pin!(handle.decide(|turn| turn.submit_job(&scope(), job("a").0).unwrap().id));
    assert!(is_pending(submitted.as_mut()).await);
    world.held().await;
    let mut behind = pin!(handle.read(|state| state.running_attempts()));
    assert!(is_pending(behind.as_mut()).await);
    world.fail();
    assert_eq!(within(submitted).await, Err(Unavailable::Stopped));
    assert_eq!(within(behind).await, Err(Unavailable::Stopped));
    // It stops by itself: no further input has to come first.
    match within(world.engine.stopped()).await {
        Some(Fatal::Commit(error)) => assert_eq!(error.to_string(), "the disk is full"),
        other => panic!("{other:?}"),
    }
    assert_eq!(within(handle.decide(register("later"))).await, Err(Unavailable::Stopped));
    within(handle.observe(Observation::Disconnected("i-1".into()))).await;
    assert!(world.performed.is_empty(), "no action of a failed commit");
    assert!(world.commits.is_empty(), "nothing is committed after it");
}

#[tokio::test]
async fn an_idle_engine_whose_commit_fails_stops_without_further_input() {
    let mut world = World::start();
    world.hold();
    let handle = world.handle.clone();
    let mut only = pin!(handle.decide(register("only")));
    assert!(is_pending(only.as_mut()).await);
    world.held().await;
    world.fail();
    assert_eq!(within(only).await, Err(Unavailable::Stopped));
    assert!(matches!(within(world.engine.stopped()).await, Some(Fatal::Commit(_))));
}

#[tokio::test]
async fn a_panic_stops_the_engine_and_nobody_hangs() {
    let mut world = World::start();
    world.hold();
    let handle = world.handle.clone();
    let mut before = pin!(handle.decide(register("before")));
    assert!(is_pending(before.as_mut()).await);
    world.held().await;
    let (for_wrong, for_after) = (handle.clone(), handle.clone());
    let wrong = tokio::spawn(async move {
        for_wrong
            .decide(|_| {
                if true {
                    panic!("on purpose")
                }
            })
            .await
    });
    let after = tokio::spawn(async move { for_after.decide(register("after")).await });
    assert_eq!(
        within(wrong).await.unwrap(),
        Err(Unavailable::Stopped),
        "the commit in flight holds nobody up"
    );
    assert_eq!(within(after).await.unwrap(), Err(Unavailable::Stopped));
    world.release();
    assert_eq!(within(before).await, Ok(()), "what was decided before is committed and acknowledged");
    assert!(matches!(within(world.engine.stopped()).await, Some(Fatal::Panic)));
    assert_eq!(within(handle.read(|_| ())).await, Err(Unavailable::Stopped));
    assert!(world.commits.is_empty(), "nothing of the turn that panicked is committed");
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_of_what_it_took() {
    const SENT: usize = 12_000;
    let mut world = World::start();
    world.hold();
    let handle = world.handle.clone();
    let mut first = pin!(handle.decide(register("first")));
    assert!(is_pending(first.as_mut()).await);
    world.held().await;
    let applied = Arc::new(AtomicUsize::new(0));
    let mut replies = JoinSet::new();
    for number in 0..SENT {
        let (handle, applied) = (handle.clone(), applied.clone());
        let command = register(&format!("n{number}"));
        replies.spawn(async move {
            let counted = move |turn: &mut Turn<'_>| {
                applied.fetch_add(1, Ordering::SeqCst);
                command(turn);
            };
            handle.decide(counted).await
        });
    }
    let refused = within(replies.join_next()).await.unwrap().unwrap();
    assert_eq!(refused, Err(Unavailable::Busy), "only a refusal is answered while nothing is durable");
    world.hold.store(false, Ordering::SeqCst);
    world.release();
    assert_eq!(within(first).await, Ok(()));
    // A turn that reached the store before it let go still waits there.
    world.verdicts.send(Ok(())).unwrap();
    let answers = within(replies.join_all()).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(Unavailable::Busy))));
    assert!((1024..SENT).contains(&accepted), "{accepted}");
    assert_eq!(applied.load(Ordering::SeqCst), accepted, "what was refused changed nothing");
    assert_eq!(world.durable.load(Ordering::SeqCst), accepted + 1, "what was accepted is durable");
}

#[tokio::test]
async fn timers_fire_without_input_once_the_clock_says_so() {
    let mut world = World::start();
    world.hold();
    let handle = world.handle.clone();
    let created = tokio::spawn(async move {
        let create = |turn: &mut Turn<'_>| {
            let ce = environment("ce");
            turn.create_compute_environment(ce.0, ce.1).unwrap();
        };
        handle.decide(create).await
    });
    let status = |changes: Vec<Change>| match &changes[..] {
        [Change::Put(Record::ComputeEnvironment(ce))] => ce.status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(world.held().await), Status::Creating);
    world.release();
    assert_eq!(within(created).await.unwrap(), Ok(()));
    // However often the loop looks, the clock decides.
    let turns = world.turns();
    within(async {
        while world.turns() < turns + 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(world.commits.is_empty(), "the clock stands still");
    world.advance(1000);
    assert_eq!(status(world.held().await), Status::Valid);
    world.release();
    drop(world.handle);
    assert!(within(world.engine.stopped()).await.is_none(), "without handles it ends in order");
}
