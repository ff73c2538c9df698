//! The command line: one file a command, and small modules named after what they hold.
//!
//! The commands are clients of the public API through the AWS SDK for Rust; nothing here looks into the server. Data
//! goes to stdout, everything else (progress, hints, errors) to stderr. An error is one sentence and exit code 1.

pub(crate) mod api_error;
pub(crate) mod args;
mod attempt_log;
pub(crate) mod capacity;
pub(crate) mod completions;
pub(crate) mod config;
mod connect;
mod containers;
pub(crate) mod data_dir;
mod describe;
mod duration;
mod env;
mod explain;
mod explanation_card;
mod extension;
mod follow;
mod job_card;
mod job_definition;
mod job_file;
mod job_graph;
mod job_list;
mod job_ref;
mod job_tables;
mod jobs;
mod log_stream;
mod logs;
mod nodes;
mod outcome;
mod poll;
mod progress;
mod response_json;
mod run;
mod shell_quote;
mod stop;
pub(crate) mod style;
mod submit;
pub(crate) mod table;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) use args::{Cli, Command};
use args::{ClientCommand, GlobalArgs};

/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs a command that talks to a server.
pub(crate) fn run_client(global: &GlobalArgs, command: ClientCommand) -> Result<ExitCode> {
    let connection = connect::Connection::find(global.data_dir.as_deref())?;
    if let ClientCommand::Env(args) = command {
        return env::print(&args, &connection);
    }
    // One thread is plenty for a program that waits for one server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let aws = connection.clients();
    let result = runtime.block_on(async {
        match command {
            ClientCommand::Env(_) => unreachable!("answered above"),
            ClientCommand::Run(args) => Box::pin(run::run(args, &aws)).await,
            ClientCommand::Submit(args) => submit::submit(args, &aws).await,
            ClientCommand::Jobs(args) => jobs::jobs(&args, &aws).await,
            ClientCommand::Logs(args) => logs::logs(&args, &aws).await,
            ClientCommand::Describe(args) => describe::describe(&args, &aws).await,
            ClientCommand::Explain(args) => explain::explain(&args, &aws).await,
            ClientCommand::Top(args) => top::top(&args, &aws).await,
            ClientCommand::Cancel(args) => stop::cancel(&args, &aws).await,
            ClientCommand::Terminate(args) => stop::terminate(&args, &aws).await,
        }
    });
    result.map_err(|error| match api_error::unreachable_cause(&error) {
        Some(cause) => connection.no_server(cause),
        None => error,
    })
}

/// Prints an error in one sentence; a closed pipe (`| head`) is no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if broken_pipe {
        return ExitCode::SUCCESS;
    }
    // Where stderr cannot be written to, there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{} {error:#}", style::paint(style::ERROR, "error:"));
    ExitCode::FAILURE
}

/// Writes to stdout, with colours only where they belong.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// A duration in milliseconds as people read it.
pub(crate) fn short_duration(milliseconds: u64) -> String {
    duration::short(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

/// Writes a remark for the person, apart from the data.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes a value as indented JSON, as the aws CLI does.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value).context("cannot write JSON")?))
}
