//! Starting the process of an attempt.
//!
//! A job's process dies with the *thread* that forked it (`PR_SET_PDEATHSIG`), so all are forked by a few threads that
//! live as long as the node. Several of them, so that one slow start delays no other.

use std::ffi::{CString, NulError, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fornada_core::attempt::{Launch, LaunchContainer};
use fornada_core::time::Timestamp;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit};
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};

use crate::cgroup::{Cgroups, Group};
use crate::environment::{self, Endpoints};
use crate::exec::{self, Descriptors, Failure, Plan};
use crate::user::{self, User};

/// Forks are mostly spent in the kernel: more threads than this gain nothing, fewer wait for each other.
const THREADS: usize = 3;

/// The image name that stands for this machine's own file system.
pub(crate) const HOST_IMAGE: &str = "host";

/// What all attempts of a node share.
pub(crate) struct Context {
    /// [`environment::base`].
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where the node was started; absolute.
    pub(crate) working_directory: PathBuf,
    pub(crate) cgroups: Cgroups,
    /// Directory of the notes of what runs.
    pub(crate) notes: PathBuf,
    pub(crate) endpoints: Mutex<Endpoints>,
    /// What the node was given, before it asked for more.
    pub(crate) open_files: Rlimit,
    /// Whether the image `host` is allowed.
    pub(crate) host_image: bool,
}

/// A process that runs.
pub(crate) struct Process {
    /// Also its process group and session.
    pub(crate) pid: Pid,
    /// Readable when it ended.
    pub(crate) pidfd: OwnedFd,
    /// Reading end of its stdout and stderr.
    pub(crate) output: OwnedFd,
    pub(crate) group: Option<Group>,
    pub(crate) started_at: Timestamp,
}

/// `container.reason` of an attempt that did not start; at most 255 characters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// An end in the words of Amazon ECS.
    fn new(error: &str, text: impl AsRef<str>) -> Refusal {
        Refusal(format!("{error}: {}", text.as_ref()).chars().take(255).collect())
    }

    fn start(text: impl AsRef<str>) -> Refusal {
        Refusal::new("CannotStartContainerError", text)
    }
}

type Order = (Arc<Launch>, oneshot::Sender<Result<Process, Refusal>>);

/// The threads that fork. They end when this is dropped, and what they forked with them.
pub(crate) struct Spawner {
    orders: mpsc::Sender<Order>,
    /// One a thread: who has none can still be stopped before anything was started.
    pub(crate) permits: Semaphore,
}

impl Spawner {
    pub(crate) fn new(context: &Arc<Context>) -> io::Result<Spawner> {
        let (orders, receiver) = mpsc::channel::<Order>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let (context, receiver) = (context.clone(), receiver.clone());
            let work = move || loop {
                let order = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((launch, reply)) = order else { return };
                let _ = reply.send(spawn(&context, &launch));
            };
            std::thread::Builder::new().name(format!("spawn-{number}")).spawn(work)?;
        }
        Ok(Spawner { orders, permits: Semaphore::new(THREADS) })
    }

    /// Starts the process of `launch`. Whoever calls holds one of the permits.
    pub(crate) async fn spawn(&self, launch: Arc<Launch>) -> Result<Process, Refusal> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refusal::start("the node is shutting down.");
        self.orders.send((launch, reply)).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The part of a job definition's container properties that a process needs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerProperties {
    user: Option<String>,
    ulimits: Option<Vec<Ulimit>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ulimit {
    name: String,
    soft_limit: i64,
    hard_limit: i64,
}

fn spawn(context: &Context, launch: &Launch) -> Result<Process, Refusal> {
    let Some(container) = launch.containers.first() else {
        return Err(Refusal::start("the task has no container."));
    };
    let plan = plan(context, launch, container)?;
    let note = context.notes.join(launch.task_id.to_string());
    let noted = File::create(&note).map_err(platform)?;
    let group = context.cgroups.create(launch.task_id, &launch.resources).map_err(platform);
    let started = group.and_then(|group| match start(&plan, group.as_ref()) {
        Ok((pid, pidfd, output)) => Ok(Process { pid, pidfd, output, group, started_at: crate::now() }),
        Err(refusal) => {
            group.iter().for_each(|group| _ = group.remove());
            Err(refusal)
        }
    });
    match &started {
        Ok(process) => crate::sweep::complete(noted, process.pid),
        Err(_) => _ = fs::remove_file(note),
    }
    started
}

/// The process, what tells its end, and the reading end of its output.
fn start(plan: &Plan, group: Option<&Group>) -> Result<(Pid, OwnedFd, OwnedFd), Refusal> {
    let (output, input) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| platform(error.into()))?;
    let io = Descriptors {
        stdin: File::open("/dev/null").map_err(platform)?,
        output: input,
        doors: group.map_or(Ok(Vec::new()), Group::doors).map_err(platform)?,
    };
    let (pid, pidfd) = exec::spawn(plan, &io).map_err(|failure| refusal(plan, failure))?;
    Ok((pid, pidfd, output))
}

/// What to execute, and as whom and where.
fn plan(context: &Context, launch: &Launch, container: &LaunchContainer) -> Result<Plan, Refusal> {
    if *container.image != *HOST_IMAGE {
        let image: String = container.image.chars().take(100).collect();
        return Err(Refusal::new(
            "CannotPullContainerError",
            format!(
                "image '{image}' cannot be run here: only the image '{HOST_IMAGE}' (this machine's own file system) is \
                 available."
            ),
        ));
    }
    if !context.host_image {
        return Err(Refusal::new(
            "CannotPullContainerError",
            format!("the image '{HOST_IMAGE}' is switched off on this server."),
        ));
    }
    let command = || container.entry_point.iter().chain(&container.command);
    let Some(program) = command().next() else {
        return Err(Refusal::start("no command was given, and the image 'host' has none of its own."));
    };
    let properties: ContainerProperties =
        serde_json::from_str(launch.properties.as_str()).unwrap_or_default();
    let user = switch_to(properties.user.as_deref())?;
    let endpoints = context.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let environment = environment::of(launch, container, &context.environment, user.as_ref(), &endpoints);
    let directory = match environment::value(&environment, "FORNADA_WORKDIR") {
        None => context.working_directory.clone(),
        Some(path) => working_directory(Path::new(path))?,
    };
    let path = environment::value(&environment, "PATH").unwrap_or_default();
    let file = find_program(program, path, &directory)?;

    let mut limits = vec![(Resource::Nofile, context.open_files)];
    limits.extend(properties.ulimits.iter().flatten().filter_map(limit));
    let arguments = command().map(|argument| CString::new(argument.as_str()));
    let has_zero = |error: NulError| Refusal::start(format!("exec: \"{program}\": {error}"));
    Ok(Plan {
        file: CString::new(file.as_os_str().as_bytes()).map_err(has_zero)?,
        arguments: arguments.collect::<Result<_, _>>().map_err(has_zero)?,
        environment: environment::block(environment).map_err(has_zero)?,
        directory: CString::new(directory.as_os_str().as_bytes()).map_err(has_zero)?,
        limits,
        user,
    })
}

/// Why a process did not start, in the words of container runtimes.
fn refusal(plan: &Plan, failure: Failure) -> Refusal {
    let file = plan.file.to_string_lossy();
    match failure {
        Failure::JoinCgroup(error) => platform(error.into()),
        Failure::SwitchUser(error) => Refusal::start(format!("cannot switch to the user: {}", text(error))),
        Failure::ChangeDirectory(error) => {
            Refusal::start(format!("cannot change to the working directory: {}", text(error)))
        }
        Failure::Clone(error) => Refusal::start(format!("fork: {}", text(error))),
        Failure::Exec(Errno::ACCESS) => Refusal::start(format!("exec: \"{file}\": permission denied")),
        // The file was there a moment ago: if one is missing it is its interpreter.
        Failure::Exec(error) => Refusal::start(format!("exec {file}: {}", text(error))),
    }
}

/// What the C library says, without Rust's number behind it.
fn text(error: Errno) -> String {
    let text = io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The machine is short of something that every attempt needs.
fn platform(error: io::Error) -> Refusal {
    tracing::warn!(%error, "cannot prepare an attempt");
    Refusal::new("CgroupError", format!("Agent could not create task's platform resources: {error}"))
}

/// Finds the file to execute, as a shell would in `directory`.
fn find_program(program: &str, path: &std::ffi::OsStr, directory: &Path) -> Result<PathBuf, Refusal> {
    let executable = |file: &Path| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let file = directory.join(program);
        return match fs::metadata(&file) {
            Ok(_) if executable(&file) => Ok(file),
            Ok(_) => Err(Refusal::start(format!("exec: \"{program}\": permission denied"))),
            Err(_) => {
                Err(Refusal::start(format!("exec: \"{program}\": stat {program}: no such file or directory")))
            }
        };
    }
    let mut places = std::env::split_paths(path).map(|place| directory.join(place).join(program));
    places
        .find(|file| !program.is_empty() && executable(file))
        .ok_or_else(|| Refusal::start(format!("exec: \"{program}\": executable file not found in $PATH")))
}

fn working_directory(path: &Path) -> Result<PathBuf, Refusal> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(Refusal::start(format!("FORNADA_WORKDIR '{shown}' is not an absolute path.")));
    }
    if !path.is_dir() {
        return Err(Refusal::start(format!("FORNADA_WORKDIR '{shown}' is not a directory of this machine.")));
    }
    Ok(path.to_owned())
}

/// The user to switch to; `None` to stay who we are.
fn switch_to(spec: Option<&str>) -> Result<Option<User>, Refusal> {
    let Some(spec) = spec.filter(|spec| !spec.is_empty()) else { return Ok(None) };
    let Some(user) = user::find(spec) else {
        return Err(Refusal::start(format!(
            "unable to find user {spec}: no matching entries in passwd file"
        )));
    };
    let own = rustix::process::geteuid();
    if own.is_root() {
        return Ok(Some(user));
    }
    if user.uid == own {
        return Ok(None);
    }
    Err(Refusal::start(format!("cannot run as user {spec}: the node does not run as root.")))
}

/// Source: AWS Batch API reference, Ulimit; names are those of Docker. -1 is no limit.
fn limit(ulimit: &Ulimit) -> Option<(Resource, Rlimit)> {
    let resource = match ulimit.name.as_str() {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    };
    let value = |limit: i64| u64::try_from(limit).ok();
    Some((resource, Rlimit { current: value(ulimit.soft_limit), maximum: value(ulimit.hard_limit) }))
}
