//! `fornada restore`: a data directory from a backup.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::copy::copy;
use super::staging::Staging;
use super::{check, must_be_data_dir, must_not_be_in_use};
use crate::cli::args::Output;

pub(crate) const EXAMPLES: &str = "\
Examples:
  mv ~/.local/share/fornada ~/fornada-damaged && fornada restore /backups/monday && fornada up
  fornada restore /backups/monday --data-dir ./a-look-at-monday

Jobs that the backup calls STARTING or RUNNING run nowhere any more: their attempts are lost, and they retry as their retry
strategies say. Stop the server and the node that the backup was made of before you start the restored one: both would be the
same machine.";

/// `fornada restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Directory that `fornada backup` made
    from: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Makes `data_dir`, which does not exist or is empty. What is checked is the copy that will be used.
pub(crate) fn restore(args: &RestoreArgs, data_dir: &Path) -> Result<ExitCode> {
    must_be_data_dir(&args.from)?;
    must_not_be_in_use(data_dir)?;
    let staging = Staging::begin(data_dir)?;
    let copied = copy(&args.from, staging.path())?;
    let report = check::inspect(staging.path());
    if report.has_fault() {
        report.print_findings()?;
        bail!("{} has faults, so nothing was restored: restore another backup", args.from.display());
    }
    staging.finish()?;
    let said = format!("restored {} to {}", args.from.display(), data_dir.display());
    super::report(&copied, &said, args.output)
}
