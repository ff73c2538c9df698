//! `fornada backup`: a copy of the data directory that is a data directory itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::copy::copy;
use super::must_be_data_dir;
use super::staging::Staging;
use crate::cli::args::Output;

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada backup /backups/monday
  fornada backup \"/backups/$(date +%F)\" && fornada check --data-dir \"/backups/$(date +%F)\"

The server goes on meanwhile. The copy has every job that was acknowledged before the backup began, the access keys and the
secrets: keep it as safe as the original.";

/// `fornada backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Directory to make; it does not exist, or is empty
    to: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Copies `data_dir`.
pub(crate) fn backup(args: &BackupArgs, data_dir: &Path) -> Result<ExitCode> {
    must_be_data_dir(data_dir)?;
    let data_dir =
        data_dir.canonicalize().with_context(|| format!("cannot look at {}", data_dir.display()))?;
    let staging = Staging::begin(&args.to)?;
    if staging.path().canonicalize()?.starts_with(&data_dir) {
        bail!("{} lies in the data directory: choose a place outside of it", args.to.display());
    }
    let copied = copy(&data_dir, staging.path())?;
    staging.finish()?;
    super::report(&copied, &format!("backed up {} to {}", data_dir.display(), args.to.display()), args.output)
}
