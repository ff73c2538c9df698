//! `fornada top`: queues, shares, environments, instances and jobs, live.
//!
//! | part | file |
//! |---|---|
//! | what is looked at, and what a key does | `screen` |
//! | how it is drawn | `view` |
//! | the same once, as text | `snapshot` |

mod screen;
mod snapshot;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use fornada_api::extensions::explanation::Explanation;
use fornada_api::extensions::overview::Overview;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc;

use super::connect::Clients;
use super::{args, explain, extension, print, print_json};
use screen::{Reaction, Screen};

pub(crate) const EXAMPLES: &str = "\
Examples:
  fornada top
  fornada top --interval 5
  fornada top --once --output json | jq '.queues[] | {name, jobs}'

Keys: Tab and arrows move, Enter explains the selected job, / filters jobs, q quits.";

/// `fornada top`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Seconds between two looks
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Print what there is now, and end; so it is also where the output is not a terminal
    #[arg(long)]
    once: bool,
    /// What to print with --once
    #[arg(long, value_enum, default_value_t)]
    output: args::Output,
}

/// Something that happened.
enum Happening {
    Looked(Result<Overview>),
    Explained(Box<Result<Explanation>>),
    Terminal(Event),
}

/// Shows what is going on, until the person has seen enough.
pub(crate) async fn top(args: &TopArgs, aws: &Clients) -> Result<ExitCode> {
    let answer = extension::get(aws, "overview").await?;
    if args.output == args::Output::Json {
        print_json(&answer)?;
    } else if args.once || !io::stdout().is_terminal() {
        print(&snapshot::text(&read(answer)?))?;
    } else {
        let screen = Screen::new(read(answer)?);
        // Restored also when something panics: `try_init` sees to that.
        let mut terminal = ratatui::try_init().context("the terminal cannot be set up")?;
        let watched = watch(&mut terminal, screen, Duration::from_secs(args.interval), aws).await;
        ratatui::restore();
        watched?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    interval: Duration,
    aws: &Clients,
) -> Result<()> {
    let (happenings, mut happened) = mpsc::channel(64);
    let keys = happenings.clone();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if keys.blocking_send(Happening::Terminal(event)).is_err() {
                return;
            }
        }
    });
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_looking = false;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        terminal.draw(|frame| view::draw(frame, &mut screen))?;
        let happening = tokio::select! {
            happening = happened.recv() => happening,
            _ = terminated.recv() => return Ok(()),
            pressed = tokio::signal::ctrl_c() => return Ok(pressed?),
            _ = ticks.tick(), if !is_looking => {
                is_looking = true;
                let (aws, answers) = (aws.clone(), happenings.clone());
                tokio::spawn(async move {
                    let looked = extension::get(&aws, "overview").await.and_then(read);
                    let _ = answers.send(Happening::Looked(looked)).await; // nobody waits for it after the end
                });
                continue;
            }
        };
        match happening {
            None => return Ok(()),
            Some(Happening::Looked(looked)) => {
                is_looking = false;
                screen.look(looked);
            }
            Some(Happening::Explained(explained)) => screen.explain(*explained),
            Some(Happening::Terminal(event)) => match screen.react(&event) {
                Reaction::Quit => return Ok(()),
                Reaction::Redraw => {}
                Reaction::Explain(id) => {
                    let (aws, answers) = (aws.clone(), happenings.clone());
                    tokio::spawn(async move {
                        let answer = extension::get(&aws, &format!("explain/{id}")).await;
                        let _ = answers
                            .send(Happening::Explained(Box::new(answer.and_then(explain::read))))
                            .await;
                    });
                }
            },
        }
    }
}

fn read(answer: serde_json::Value) -> Result<Overview> {
    serde_json::from_value(answer)
        .context("the server answers in a way that this version does not understand")
}
