//! The long-running commands: `up`, `server` and `node`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::args::{NodeArgs, ServerArgs, UpArgs};

/// Server and node in the foreground.
pub(crate) fn up(args: UpArgs) -> Result<ExitCode> {
    bail!("this build has no server for {}", args.server.data_dir.display())
}

/// The server without a node.
pub(crate) fn server(args: ServerArgs) -> Result<ExitCode> {
    bail!("this build has no server for {}", args.data_dir.display())
}

/// The node: the supervisor process that owns the running attempts of this machine.
pub(crate) fn node(args: NodeArgs) -> Result<ExitCode> {
    bail!("this build has no node for {}", args.data_dir.display())
}
