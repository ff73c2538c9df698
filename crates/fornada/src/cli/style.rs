//! Colours: one per job status, and the choice whether there are any.
//!
//! Everything is written with its styles through `anstream`, which takes them out again where the stream is not a
//! terminal, where `NO_COLOR` is set, or where `--color` says so. No other place decides about colour.

use anstyle::{AnsiColor, Style};
use aws_sdk_batch::types::JobStatus;
use clap::ValueEnum;

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes this the choice for both output streams.
    pub(crate) fn write_global(self) {
        let choice = match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The colour of a job status, the same in every command.
pub(crate) fn status_color(status: &JobStatus) -> Option<AnsiColor> {
    match status {
        JobStatus::Succeeded => Some(AnsiColor::Green),
        JobStatus::Failed => Some(AnsiColor::Red),
        JobStatus::Running => Some(AnsiColor::Cyan),
        JobStatus::Starting => Some(AnsiColor::Blue),
        JobStatus::Runnable => Some(AnsiColor::Yellow),
        _ => None,
    }
}

/// The text in the style, and plain after it.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A status in its colour.
pub(crate) fn paint_status(status: &JobStatus) -> String {
    paint(Style::new().fg_color(status_color(status).map(Into::into)), status.as_str())
}
