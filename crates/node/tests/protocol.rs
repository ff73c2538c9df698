//! The messages between server and node, byte by byte: a server and a node of different releases must understand each other.
//!
//! `tests/golden/v2.hex` holds each message of version 2 as it was first written, a line each; it does not change. What
//! is written today may have more members at the end of a list, which an older reader skips, and differ in nothing else.
//! `UPDATE_GOLDEN=1` writes the file anew, which is right only for the version that has not been released yet.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use fornada_core::arn::Scope;
use fornada_core::attempt::{
    Action, AttemptReport, ContainerOutcome, Host, Launch, LaunchContainer, Observation, Outcome, Usage,
};
use fornada_core::container::{Condition, ContainerDependency};
use fornada_core::id::{AttemptId, JobId, Member, TaskId, Uuid};
use fornada_core::instance::Architecture;
use fornada_core::quantity::Resources;
use fornada_core::task::TaskKind;
use fornada_core::text::Document;
use fornada_core::time::Timestamp;
use fornada_node::protocol::{Request, Response};
use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode};

const JOB: Uuid = Uuid::from_u128(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100);
const RESOURCES: Resources = Resources { milli_vcpus: 1500, memory_mib: 2048, gpus: 2 };
const END: Timestamp = Timestamp(1_800_000_000_500);

fn attempt(member: Member, number: u32) -> AttemptId {
    AttemptId { job: JobId { job: JOB, member }, number }
}

fn container(name: &str) -> LaunchContainer {
    LaunchContainer {
        name: name.into(),
        image: "host".into(),
        entry_point: vec!["/bin/sh".into()],
        command: vec!["-c".into(), "true".into()],
        environment: vec![("AWS_BATCH_JQ_NAME".into(), "default".into())],
        secrets: vec![("PASSWORD".into(), "arn:aws:secretsmanager:us-east-1:000000000000:secret:a".into())],
        resources: RESOURCES,
        log_group: "/aws/batch/job".into(),
        log_stream: format!("render/{name}/0123").into(),
        essential: true,
        depends_on: Vec::new(),
        init: false,
    }
}

fn launch(kind: TaskKind, containers: Vec<LaunchContainer>) -> Launch {
    Launch {
        attempt: attempt(Member::Node(3), 2),
        task_id: TaskId(0x0123_4567_89ab_cdef),
        scope: Scope { region: "us-east-1".into(), account: "000000000000".into() },
        job_name: "render".into(),
        kind,
        containers,
        resources: RESOURCES,
        properties: Document::new(r#"{"image":"host"}"#),
        cluster: "AWSBatch-local".into(),
        incarnation: TaskId(7),
        address: Some(Ipv4Addr::new(127, 1, 0, 3)),
        instance_id: "i-0123456789abcdef0".into(),
    }
}

/// What the server says.
fn requests() -> Vec<(&'static str, Request)> {
    let start = |kind, containers| Request::Perform(vec![Action::Start(Box::new(launch(kind, containers)))]);
    let after = |condition| {
        let depends_on = vec![ContainerDependency { container: "first".into(), condition }];
        LaunchContainer { depends_on, essential: false, ..container("later") }
    };
    let several = vec![
        LaunchContainer { init: true, ..container("first") },
        after(Condition::Start),
        after(Condition::Complete),
        after(Condition::Success),
    ];
    let bare = Launch { address: None, ..launch(TaskKind::Container, vec![container("default")]) };
    vec![
        ("hello", Request::Hello { version: 2, endpoint_url: "http://127.0.0.1:8600".into() }),
        ("perform_start", Request::Perform(vec![Action::Start(Box::new(bare))])),
        ("perform_start_ecs", start(TaskKind::Ecs, several)),
        ("perform_start_eks", start(TaskKind::Eks, vec![container("pod")])),
        (
            "perform_stop_forget",
            Request::Perform(vec![
                Action::Stop(attempt(Member::Whole, 1)),
                Action::Forget(attempt(Member::Index(9999), 10)),
            ]),
        ),
        ("shutdown_idle", Request::Shutdown { stop_jobs: false }),
        ("shutdown_all", Request::Shutdown { stop_jobs: true }),
    ]
}

/// What a node says; other observations come from elsewhere.
fn responses() -> Vec<(&'static str, Response)> {
    let host = |architecture| Host {
        instance_id: "i-0123456789abcdef0".into(),
        incarnation: TaskId(7),
        capacity: RESOURCES,
        architecture,
    };
    let whole = attempt(Member::Whole, 1);
    let outcome = Outcome {
        exit_code: Some(137),
        reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
        usage: Usage { peak_memory_bytes: 1 << 30, cpu_time_millis: 12_345 },
        containers: Some(vec![ContainerOutcome {
            name: "first".into(),
            exit_code: Some(1),
            reason: None,
            started: true,
        }]),
    };
    let begun = AttemptReport { attempt: whole, started_at: Some(Timestamp(1_800_000_000_000)), ended: None };
    let ended = AttemptReport { ended: Some((END, outcome)), ..begun.clone() };
    let never = AttemptReport {
        attempt: whole,
        started_at: None,
        ended: Some((END, Outcome::without_process(Some("CannotStartContainerError: a".into())))),
    };
    let connected =
        Observation::Connected(host(Some(Architecture::X86_64)), vec![begun, ended.clone(), never.clone()]);
    vec![
        ("refused", Response::Refused { version: 2 }),
        ("connected", Response::Observed(vec![connected])),
        (
            "connected_arm",
            Response::Observed(vec![
                Observation::Connected(host(Some(Architecture::Arm64)), Vec::new()),
                Observation::Connected(host(None), Vec::new()),
            ]),
        ),
        (
            "observed",
            Response::Observed(vec![
                Observation::Started(whole, END),
                Observation::Exited(ended),
                Observation::Exited(never),
                Observation::Disconnected("i-0123456789abcdef0".into()),
                Observation::Refused(whole),
            ]),
        ),
    ]
}

#[test]
fn messages_of_version_2_are_read_and_what_is_written_is_read_by_version_2() {
    let mut golden = Golden::open("v2.hex");
    requests().iter().for_each(|(name, message)| golden.check(name, message));
    responses().iter().for_each(|(name, message)| golden.check(name, message));
    golden.close();
}

/// Lines of `name hex`.
struct Golden {
    path: PathBuf,
    lines: BTreeMap<String, String>,
    is_update: bool,
}

impl Golden {
    fn open(name: &str) -> Golden {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
        let text = if is_update { String::new() } else { std::fs::read_to_string(&path).unwrap() };
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let lines = lines.map(|(name, hex)| (name.to_owned(), hex.to_owned())).collect();
        Golden { path, lines, is_update }
    }

    fn check<T: Debug + PartialEq + Encode<()> + for<'b> Decode<'b, ()>>(&mut self, name: &str, message: &T) {
        let written = minicbor::to_vec(message).unwrap();
        if self.is_update {
            let hex = written.iter().map(|byte| format!("{byte:02x}")).collect();
            self.lines.insert(name.to_owned(), hex);
            return;
        }
        let hex = self.lines.remove(name).unwrap_or_else(|| panic!("{name} is not recorded"));
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let recorded: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        assert_eq!(minicbor::decode::<T>(&recorded).unwrap(), *message, "{name}: reads as it was meant");
        let (mut old, mut new) = (Decoder::new(&recorded), Decoder::new(&written));
        assert!(
            extends(&mut old, &mut new) && new.position() == written.len(),
            "{name}: an older reader would read something else"
        );
    }

    fn close(self) {
        if self.is_update {
            let text: String = self.lines.iter().map(|(name, hex)| format!("{name} {hex}\n")).collect();
            return std::fs::write(&self.path, text).unwrap();
        }
        assert!(self.lines.is_empty(), "no message for {:?}", self.lines.keys());
    }
}

/// Whether the next value of `new` is that of `old`, but for more members at the end of lists; passes both.
fn extends(old: &mut Decoder<'_>, new: &mut Decoder<'_>) -> bool {
    if old.datatype().unwrap() == Type::Array && new.datatype().unwrap() == Type::Array {
        let (few, many) = (old.array().unwrap().unwrap(), new.array().unwrap().unwrap());
        let same = few <= many && (0..few).all(|_| extends(old, new));
        (few..many).for_each(|_| new.skip().unwrap());
        return same;
    }
    let value = |decoder: &mut Decoder<'_>| {
        let start = decoder.position();
        decoder.skip().unwrap();
        decoder.input()[start..decoder.position()].to_vec()
    };
    value(old) == value(new)
}

#[test]
fn a_later_member_is_an_extension_and_a_changed_one_is_not() {
    let bytes = |message: &Request| minicbor::to_vec(message).unwrap();
    let is_extension = |old: &[u8], new: &[u8]| extends(&mut Decoder::new(old), &mut Decoder::new(new));
    let shutdown = bytes(&Request::Shutdown { stop_jobs: true });
    let later = [0x82, 0x02, 0x82, 0xf5, 0x61, b'a']; // [2, [true, "a"]]
    assert!(is_extension(&shutdown, &later));
    assert!(!is_extension(&later, &shutdown));
    assert!(!is_extension(&bytes(&Request::Shutdown { stop_jobs: false }), &shutdown));
}
