//! Starting the process of a container: what to execute, as whom and where, in which cgroup.
//!
//! Everything here blocks for a moment, and is done by the threads of [`crate::spawner`].

use std::ffi::{CString, NulError, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fornada_core::attempt::{Launch, LaunchContainer};
use fornada_core::task::TaskKind;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit};

use crate::cgroup::{Cgroups, Group};
use crate::environment::{self, Endpoints, Own};
use crate::exec::{self, Descriptors, Failure, Plan};
use crate::expansion::{Expansion, TooLong, Variables};
use crate::metadata::container_id;
use crate::properties::Properties;
use crate::secrets::{Secret, Secrets};
use crate::sweep::{self, Traces};
use crate::user::{self, User};

/// The image name that stands for this machine's own file system.
pub(crate) const HOST_IMAGE: &str = "host";

/// What all attempts of a node share.
pub(crate) struct Context {
    /// [`environment::base`].
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) cgroups: Cgroups,
    pub(crate) traces: Traces,
    pub(crate) endpoints: Mutex<Endpoints>,
    /// What the node was given, before it asked for more.
    pub(crate) open_files: Rlimit,
    pub(crate) secrets: Secrets,
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

/// What is made for a task before its first process.
#[derive(Default)]
pub(crate) struct Prepared {
    /// The cgroup around those of several containers.
    group: Option<Group>,
    /// Of each container, by index; empty when there are none.
    secrets: Vec<Vec<(Text, Secret)>>,
}

impl Prepared {
    /// Whether there is anything to prepare: not for one container without secrets, which is to start fast.
    pub(crate) fn is_needed(launch: &Launch) -> bool {
        launch.containers.len() > 1 || launch.containers.iter().any(|container| !container.secrets.is_empty())
    }

    pub(crate) fn new(context: &Context, launch: &Launch) -> Result<Prepared, Refusal> {
        let secrets = launch.containers.iter().map(|container| context.secrets.of(container));
        let secrets = secrets.collect::<Result<_, _>>().map_err(|(value_from, error)| {
            tracing::warn!(%value_from, %error, "a secret cannot be had");
            let value_from: String = value_from.chars().take(120).collect();
            Refusal::new(
                "ResourceInitializationError",
                format!("unable to pull secrets or registry auth: {value_from}: {error}"),
            )
        })?;
        if launch.containers.len() == 1 {
            return Ok(Prepared { group: None, secrets });
        }
        context.traces.note(launch.task_id).map_err(platform)?; // the cgroup is in use
        context.traces.make_around(launch.task_id).map_err(|error| no_directory(context, error))?;
        let group = context.cgroups.create(launch.task_id, &launch.resources).map_err(platform)?;
        if let Some(Err(error)) = group.as_ref().map(Group::divide) {
            group.iter().for_each(|group| _ = group.remove());
            return Err(platform(error));
        }
        Ok(Prepared { group, secrets })
    }

    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }
}

/// Starts the process of one container of `launch`.
pub(crate) fn spawn(
    context: &Context,
    launch: &Launch,
    prepared: &Prepared,
    index: usize,
) -> Result<Process, Refusal> {
    let container = &launch.containers[index];
    let secrets = prepared.secrets.get(index).map(Vec::as_slice).unwrap_or_default();
    let note = context.traces.note(launch.task_id).map_err(platform)?;
    let plan = plan(context, launch, index, secrets)?;
    let group = match &prepared.group {
        Some(task) => task.create(index, &container.resources).map(Some),
        None if launch.containers.len() == 1 => context.cgroups.create(launch.task_id, &launch.resources),
        None => Ok(None),
    };
    let group = group.map_err(platform)?;
    match start(&plan, group.as_ref()) {
        Ok((pid, pidfd, output)) => {
            sweep::complete(note, pid);
            Ok(Process { pid, pidfd, output, group, started_at: crate::now() })
        }
        Err(refusal) => {
            group.iter().for_each(|group| _ = group.remove());
            Err(refusal)
        }
    }
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
fn plan(
    context: &Context,
    launch: &Launch,
    index: usize,
    secrets: &[(Text, Secret)],
) -> Result<Plan, Refusal> {
    let container = &launch.containers[index];
    check_image(context, &container.image)?;
    let (command, variables) = expanded(launch.kind, container)?;
    let Some(program) = command.first() else {
        return Err(Refusal::start("no command was given, and the image 'host' has none of its own."));
    };
    let properties = Properties::of(launch, &container.name);
    let user = switch_to(properties.user().as_deref())?;
    let endpoints = context.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let id = container_id(launch, index);
    let own = Own { region: &launch.scope.region, id: &id, variables: &variables, user: user.as_ref() };
    // Without the secrets: of these variables errors show a part.
    let environment = environment::of(own, &context.environment, &endpoints);
    let directory = match environment::value(&environment, "FORNADA_WORKDIR") {
        None => context
            .traces
            .make_directory(launch, index, user.as_ref())
            .map_err(|error| no_directory(context, error))?,
        Some(path) => working_directory(Path::new(path))?,
    };
    let path = environment::value(&environment, "PATH").unwrap_or_default();
    let file = find_program(program, path, &directory)?;

    let mut limits = vec![(Resource::Nofile, context.open_files)];
    limits.extend(properties.limits());
    let arguments = command.iter().map(|argument| CString::new(argument.as_str()));
    let has_zero = |error: NulError| Refusal::start(format!("exec: \"{program}\": {error}"));
    Ok(Plan {
        file: CString::new(file.as_os_str().as_bytes()).map_err(has_zero)?,
        arguments: arguments.collect::<Result<_, _>>().map_err(has_zero)?,
        environment: environment::block(secrets, environment).map_err(has_zero)?,
        directory: CString::new(directory.as_os_str().as_bytes()).map_err(has_zero)?,
        limits,
        user,
    })
}

/// Only what stands for this machine's own file system runs here.
fn check_image(context: &Context, image: &Text) -> Result<(), Refusal> {
    let why = if *image != *HOST_IMAGE {
        let image: String = image.chars().take(100).collect();
        format!(
            "image '{image}' cannot be run here: only the image '{HOST_IMAGE}' (this machine's own file system) is \
             available."
        )
    } else if !context.host_image {
        format!("the image '{HOST_IMAGE}' is switched off on this server.")
    } else {
        return Ok(());
    };
    Err(Refusal::new("CannotPullContainerError", why))
}

/// Command and variables as they are given to the process: those of a pod may refer to each other.
fn expanded(kind: TaskKind, container: &LaunchContainer) -> Result<(Vec<Text>, Variables), Refusal> {
    let elements = container.entry_point.iter().chain(&container.command);
    if kind != TaskKind::Eks {
        return Ok((elements.cloned().collect(), container.environment.clone()));
    }
    let too_long = |_: TooLong| Refusal::start("exec: argument list too long");
    let mut expansion = Expansion::new(&container.environment).map_err(too_long)?;
    let command = elements.map(|element| expansion.expand(element)).collect::<Result<_, _>>();
    Ok((command.map_err(too_long)?, expansion.into_variables()))
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

fn no_directory(context: &Context, error: io::Error) -> Refusal {
    tracing::warn!(%error, "cannot make a working directory");
    let place = context.traces.temporary.display();
    Refusal::new("CannotCreateContainerError", format!("cannot make a working directory in {place}: {error}"))
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
