//! What is on the screen, and what a key changes of it.

use anyhow::Result;
use fornada_api::extensions::explanation::Explanation;
use fornada_api::extensions::overview::{Job, Overview};
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::widgets::TableState;

/// The parts of the screen that can be moved in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Queues,
    Environments,
    Shares,
    Instances,
    Jobs,
}

impl Panel {
    const ALL: [Panel; 5] =
        [Panel::Queues, Panel::Environments, Panel::Shares, Panel::Instances, Panel::Jobs];
}

/// What the person wants now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Redraw,
    Explain(String),
    Quit,
}

/// All that is drawn.
pub(super) struct Screen {
    pub(super) overview: Overview,
    pub(super) focus: Panel,
    /// Which row of each panel is selected, in the order of [`Panel::ALL`].
    rows: [TableState; 5],
    /// Only jobs that hold this text are shown.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    /// Shown over everything until the next key.
    pub(super) explanation: Option<Explanation>,
    /// What went wrong last.
    pub(super) trouble: Option<String>,
}

impl Screen {
    pub(super) fn new(overview: Overview) -> Screen {
        let rows = std::array::from_fn(|_| TableState::new().with_selected(0));
        Screen {
            overview,
            focus: Panel::Jobs,
            rows,
            filter: String::new(),
            is_typing: false,
            explanation: None,
            trouble: None,
        }
    }

    /// Takes a new look. What cannot be seen now stays as it was.
    pub(super) fn look(&mut self, looked: Result<Overview>) {
        match looked {
            Ok(overview) => {
                self.overview = overview;
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    pub(super) fn explain(&mut self, explained: Result<Explanation>) {
        match explained {
            Ok(explanation) => self.explanation = Some(explanation),
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    /// The jobs that the filter leaves: those that run, then those that wait.
    pub(super) fn jobs(&self) -> Vec<&Job> {
        let filter = self.filter.to_lowercase();
        let holds = |job: &&Job| {
            let reason = job.reason.as_deref().unwrap_or_default();
            let texts = [&job.job_id, &job.job_name, &job.queue, &job.status, reason];
            texts.iter().any(|text| text.to_lowercase().contains(&filter))
        };
        self.overview.running.iter().chain(&self.overview.waiting).filter(holds).collect()
    }

    /// The selection of a panel, for drawing it.
    pub(super) fn rows_of(&mut self, panel: Panel) -> &mut TableState {
        &mut self.rows[panel as usize]
    }

    fn count(&self, panel: Panel) -> usize {
        match panel {
            Panel::Queues => self.overview.queues.len(),
            Panel::Environments => self.overview.environments.len(),
            Panel::Shares => self.overview.shares.len(),
            Panel::Instances => self.overview.instances.len(),
            Panel::Jobs => self.jobs().len(),
        }
    }

    pub(super) fn react(&mut self, event: &Event) -> Reaction {
        let Event::Key(key) = event else { return Reaction::Redraw };
        if key.kind == KeyEventKind::Release {
            return Reaction::Redraw;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Reaction::Quit;
        }
        if self.explanation.take().is_some() {
            return Reaction::Redraw;
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Reaction::Redraw;
        }
        match key.code {
            KeyCode::Char('q') => return Reaction::Quit,
            KeyCode::Char('/') => {
                self.is_typing = true;
                self.focus = Panel::Jobs;
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Panel::ALL.len() - 1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(10),
            KeyCode::PageUp => self.step(-10),
            KeyCode::Home => self.step(isize::MIN),
            KeyCode::End => self.step(isize::MAX),
            KeyCode::Enter if self.focus == Panel::Jobs => {
                let selected = self.rows[Panel::Jobs as usize].selected().unwrap_or(0);
                if let Some(job) = self.jobs().get(selected) {
                    return Reaction::Explain(job.job_id.clone());
                }
            }
            _ => {}
        }
        Reaction::Redraw
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
        self.rows[Panel::Jobs as usize].select(Some(0));
    }

    /// Goes on to the next panel that shows something.
    fn turn(&mut self, by: usize) {
        let mut at = self.focus as usize;
        for _ in Panel::ALL {
            at = (at + by) % Panel::ALL.len();
            if self.count(Panel::ALL[at]) > 0 {
                self.focus = Panel::ALL[at];
                return;
            }
        }
    }

    fn step(&mut self, by: isize) {
        let last = self.count(self.focus).saturating_sub(1);
        let rows = self.rows_of(self.focus);
        let at = rows.selected().unwrap_or(0).saturating_add_signed(by).min(last);
        rows.select(Some(at));
    }
}
