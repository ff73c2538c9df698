//! How the screen is drawn: what there is to run on above, the jobs below, one line of keys at the bottom.

use fornada_api::extensions::overview::{Environment, Instance, Job, Queue, QueueShare};
use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, Wrap};

use super::super::{duration, explanation_card, job_ref};
use super::screen::{Panel, Screen};

/// Statuses in the order of a job's life, with the heads of their columns.
const STATUSES: [(&str, &str); 7] = [
    ("SUBMITTED", "SUBM"),
    ("PENDING", "PEND"),
    ("RUNNABLE", "RUNA"),
    ("STARTING", "STRT"),
    ("RUNNING", "RUN"),
    ("SUCCEEDED", "SUCC"),
    ("FAILED", "FAIL"),
];
/// Rows that a panel above the jobs shows at most, without its frame and head.
const ROWS_MAX: usize = 6;
/// Columns from which on panels stand beside each other.
const WIDE: u16 = 110;
/// Cells of a bar.
const BAR: usize = 10;

pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let overview = &screen.overview;
    let upper = overview.queues.len().max(overview.environments.len());
    let lower = overview.shares.len().max(overview.instances.len());
    let height = |rows: usize| Constraint::Length(u16::try_from(rows.min(ROWS_MAX)).unwrap_or(0) + 3);
    let [head, upper, lower, jobs, foot] = Layout::vertical([
        Constraint::Length(1),
        height(upper),
        height(lower),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(screen), head);
    // Where two do not fit beside each other, that of the focus is shown.
    let is_narrow = frame.area().width < WIDE;
    match screen.focus {
        Panel::Environments if is_narrow => environments(frame, screen, upper),
        _ if is_narrow => queues(frame, screen, upper),
        _ => {
            let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(upper);
            queues(frame, screen, left);
            environments(frame, screen, right);
        }
    }
    match screen.focus {
        Panel::Shares if is_narrow => shares(frame, screen, lower),
        _ if is_narrow || screen.overview.shares.is_empty() => instances(frame, screen, lower),
        _ => {
            let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(lower);
            shares(frame, screen, left);
            instances(frame, screen, right);
        }
    }
    self::jobs(frame, screen, jobs);
    frame.render_widget(keys(screen), foot);
    explanation(frame, screen);
}

fn title(screen: &Screen) -> Line<'static> {
    let overview = &screen.overview;
    let count = |status| overview.queues.iter().filter_map(|q| q.jobs.get(status)).sum::<u32>();
    let attempts: u32 = overview.queues.iter().map(|queue| queue.attempts).sum();
    Line::from(vec![
        " fornada top ".bold().reversed(),
        format!("  {}", &duration::local_time(overview.at)[..19]).into(),
        format!("   {attempts} running").fg(Color::Cyan),
        format!("   {} runnable", count("RUNNABLE")).fg(Color::Yellow),
        format!("   {} pending", count("PENDING")).into(),
    ])
}

fn queues(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let head = ["QUEUE", "PRIO"].into_iter().chain(STATUSES.map(|(_, head)| head));
    let row = |queue: &Queue| {
        let name = if queue.state == "ENABLED" { queue.name.clone() } else { format!("{} ⏸", queue.name) };
        let counts = STATUSES.iter().map(|(status, _)| {
            let count = queue.jobs.get(*status).copied().unwrap_or(0);
            match count {
                0 => Cell::from("·".dim()),
                _ => Cell::from(count.to_string()).style(Style::new().fg(color(status))),
            }
        });
        let cells = [Cell::from(name), Cell::from(queue.priority.to_string())].into_iter().chain(counts);
        Row::new(cells.collect::<Vec<_>>())
    };
    let rows: Vec<Row<'_>> = screen.overview.queues.iter().map(row).collect();
    let widths = [Constraint::Fill(1), Constraint::Length(4)].into_iter().chain([Constraint::Length(5); 7]);
    panel(frame, screen, Panel::Queues, "Job queues", area, head.collect(), widths.collect(), rows);
}

fn environments(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let row = |environment: &Environment| {
        let is_open = environment.state == "ENABLED" && environment.status == "VALID";
        let state = if environment.state == "ENABLED" { &environment.status } else { &environment.state };
        let state = Cell::from(if is_open { "".into() } else { Span::from(state.clone()).fg(Color::Red) });
        let used = match environment.max {
            Some(max) => format!("{}/{max} {}", environment.used, environment.unit),
            None => format!("{} {}", environment.used, environment.unit),
        };
        let bar = bar(environment.used, environment.max.unwrap_or(0.0));
        Row::new([Cell::from(environment.name.clone()), Cell::from(bar), Cell::from(used), state])
    };
    let rows: Vec<Row<'_>> = screen.overview.environments.iter().map(row).collect();
    let widths = [Constraint::Fill(1), Constraint::Length(10), Constraint::Length(14), Constraint::Length(8)];
    let head = vec!["ENVIRONMENT", "", "USED", ""];
    panel(frame, screen, Panel::Environments, "Environments", area, head, widths.to_vec(), rows);
}

fn shares(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let most = screen.overview.shares.iter().map(|share| share.share.used_vcpus).fold(0.0, f64::max);
    let row = |QueueShare { queue, share }: &QueueShare| {
        Row::new([
            Cell::from(share.share_identifier.clone()),
            Cell::from(queue.clone()),
            Cell::from(bar(share.used_vcpus, most)),
            Cell::from(explanation_card::vcpus(share.used_vcpus)),
            Cell::from(share.weight_factor.to_string()),
        ])
    };
    let rows: Vec<Row<'_>> = screen.overview.shares.iter().map(row).collect();
    let widths = [
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(6),
    ];
    let head = vec!["SHARE", "QUEUE", "", "USED", "WEIGHT"];
    panel(frame, screen, Panel::Shares, "Shares", area, head, widths.to_vec(), rows);
}

fn instances(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let row = |instance: &Instance| {
        let is_connected = instance.state == "CONNECTED";
        let id = Span::from(instance.instance_id.clone());
        let (used, capacity) = (instance.used, instance.capacity);
        let cpu = format!("{}/{}", used.vcpus, capacity.vcpus);
        Row::new([
            Cell::from(id.fg(if is_connected { Color::Green } else { Color::Yellow })),
            Cell::from(bar(used.vcpus, capacity.vcpus)),
            Cell::from(if is_connected { cpu } else { instance.state.to_lowercase() }),
            Cell::from(format!("{}/{} GiB", gib(used.memory_mib), gib(capacity.memory_mib))),
            Cell::from(instance.attempts.to_string()),
        ])
    };
    let rows: Vec<Row<'_>> = screen.overview.instances.iter().map(row).collect();
    let widths = [
        Constraint::Length(19),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Fill(1),
        Constraint::Length(3),
    ];
    let head = vec!["INSTANCE", "", "VCPUS", "MEMORY", "RUN"];
    panel(frame, screen, Panel::Instances, "Instances", area, head, widths.to_vec(), rows);
}

fn jobs(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let at = screen.overview.at;
    let row = |job: &&Job| {
        let status = Cell::from(job.status.clone()).style(Style::new().fg(color(&job.status)));
        let why = job.reason.clone().or_else(|| job.instance_id.clone().map(|id| format!("on {id}")));
        Row::new([
            Cell::from(job_ref::shorten(&job.job_id)),
            status,
            Cell::from(duration::short(at - job.since)),
            Cell::from(job.queue.clone()),
            Cell::from(job.job_name.clone()),
            Cell::from(why.unwrap_or_default()),
        ])
    };
    let jobs = screen.jobs();
    let title = match screen.filter.is_empty() {
        true => format!("Jobs ({})", jobs.len()),
        false => format!("Jobs ({}) with \"{}\"", jobs.len(), screen.filter),
    };
    let rows: Vec<Row<'_>> = jobs.iter().map(row).collect();
    // As wide as what is in them, so that the reasons have the rest.
    let widest = |text: fn(&Job) -> &str, max: usize| {
        let width = jobs.iter().map(|job| text(job).chars().count()).max().unwrap_or(0).clamp(5, max);
        Constraint::Length(u16::try_from(width).unwrap_or(0))
    };
    let widths = [
        Constraint::Length(13),
        Constraint::Length(9),
        Constraint::Length(6),
        widest(|job| &job.queue, 16),
        widest(|job| &job.job_name, 24),
        Constraint::Fill(1),
    ];
    let head = vec!["JOB", "STATUS", "TIME", "QUEUE", "NAME", "WHERE, OR WHY IT WAITS"];
    panel(frame, screen, Panel::Jobs, &title, area, head, widths.to_vec(), rows);
}

#[expect(clippy::too_many_arguments, reason = "all that differs between five tables, each given once")]
fn panel(
    frame: &mut Frame<'_>,
    screen: &mut Screen,
    panel: Panel,
    title: &str,
    area: Rect,
    head: Vec<&'static str>,
    widths: Vec<Constraint>,
    rows: Vec<Row<'static>>,
) {
    let has_focus = screen.focus == panel;
    let border = if has_focus { Style::new().fg(Color::Cyan) } else { Style::new().dim() };
    let block = Block::new().borders(Borders::ALL).border_style(border).title(format!(" {title} "));
    let selected = if has_focus { Modifier::REVERSED } else { Modifier::empty() };
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().bold()))
        .row_highlight_style(Style::new().add_modifier(selected))
        .block(block);
    frame.render_stateful_widget(table, area, screen.rows_of(panel));
}

fn keys(screen: &Screen) -> Line<'static> {
    if screen.is_typing {
        return Line::from(format!(" filter: {}▏  Enter keeps it, Esc clears it", screen.filter));
    }
    match &screen.trouble {
        Some(trouble) => Line::from(format!(" {trouble}")).fg(Color::Red),
        None => {
            Line::from(" Tab ←→ panel   ↑↓ row   Enter explain   / filter   Esc no filter   q quit").dim()
        }
    }
}

/// Over everything else.
fn explanation(frame: &mut Frame<'_>, screen: &Screen) {
    let Some(explanation) = &screen.explanation else { return };
    let text = anstream::adapter::strip_str(&explanation_card::show(explanation)).to_string();
    let width = frame.area().width.saturating_sub(8).max(20);
    let lines =
        text.lines().map(|line| line.chars().count() / usize::from(width.max(3) - 2) + 1).sum::<usize>();
    let height = u16::try_from(lines + 2).unwrap_or(u16::MAX).min(frame.area().height);
    let [area] = Layout::vertical([Constraint::Length(height)]).flex(Flex::Center).areas(frame.area());
    let [area] = Layout::horizontal([Constraint::Length(width)]).flex(Flex::Center).areas(area);
    let block = Block::bordered().title(format!(" {} ", explanation.job_name)).fg(Color::Cyan);
    let paragraph =
        Paragraph::new(text).wrap(Wrap { trim: false }).style(Style::new().fg(Color::Reset)).block(block);
    frame.render_widget(Clear, area);
    frame.render_widget(paragraph, area);
}

/// `██████░░░░░░`: green, yellow from seven tenths on, red when full. Empty where there is no ceiling.
fn bar(used: f64, max: f64) -> Span<'static> {
    if max <= 0.0 {
        return Span::default();
    }
    let filled =
        (1..=BAR).filter(|&cell| used / max * BAR_CELLS >= f64::from(u8::try_from(cell).unwrap_or(0)) - 0.5);
    let filled = filled.count();
    let color = match used / max {
        full if full >= 1.0 => Color::Red,
        much if much >= 0.7 => Color::Yellow,
        _ => Color::Green,
    };
    Span::from(format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled))).fg(color)
}

/// [`BAR`] for reckoning.
const BAR_CELLS: f64 = 10.0;

/// MiB as GiB with one decimal.
fn gib(mib: u64) -> String {
    let tenths = mib.saturating_mul(10) / 1024;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The same colours as in every other command.
fn color(status: &str) -> Color {
    match status {
        "SUCCEEDED" => Color::Green,
        "FAILED" => Color::Red,
        "RUNNING" => Color::Cyan,
        "STARTING" | "SCHEDULED" => Color::Blue,
        "RUNNABLE" => Color::Yellow,
        _ => Color::Reset,
    }
}

#[cfg(test)]
mod tests;
