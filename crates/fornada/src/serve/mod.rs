//! The long-running commands: `up`, `server` and `node`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::args::{NodeArgs, ServerArgs, UpArgs};

/// Server and node in the foreground.
pub(crate) fn up(_args: UpArgs) -> Result<ExitCode> {
    bail!("this build has no server")
}

/// The server without a node.
pub(crate) fn server(_args: ServerArgs) -> Result<ExitCode> {
    bail!("this build has no server")
}

/// The node: the supervisor process that owns the running attempts of this machine.
pub(crate) fn node(_args: NodeArgs) -> Result<ExitCode> {
    bail!("this build has no node")
}
