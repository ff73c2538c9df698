//! The screen as letters.

use std::collections::BTreeMap;

use fornada_api::extensions::explanation::{Explanation, Share, Waits};
use fornada_api::extensions::overview::{Amounts, Environment, Instance, Job, Overview, Queue, QueueShare};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::super::screen::{Reaction, Screen};
use super::draw;

fn overview(shares: &[&str]) -> Overview {
    let job = |n: u8, status: &str, reason: Option<&str>| Job {
        job_id: format!("{n:08x}-0000-4000-8000-000000000000"),
        job_name: format!("job-{n}"),
        queue: "default".into(),
        status: status.into(),
        since: 0,
        instance_id: reason.is_none().then(|| "i-00000000000000001".into()),
        reason: reason.map(str::to_owned),
    };
    Overview {
        at: 5_000,
        queues: vec![Queue {
            name: "default".into(),
            state: "ENABLED".into(),
            status: "VALID".into(),
            priority: 1,
            jobs: BTreeMap::from([("RUNNING".into(), 1), ("RUNNABLE".into(), 1234)]),
            attempts: 1,
            used_vcpus: 6.0,
        }],
        shares: shares
            .iter()
            .map(|identifier| QueueShare {
                queue: "default".into(),
                share: Share { share_identifier: (*identifier).into(), used_vcpus: 6.0, weight_factor: 1.0 },
            })
            .collect(),
        environments: vec![Environment {
            name: "local".into(),
            kind: "COMPUTE".into(),
            state: "ENABLED".into(),
            status: "VALID".into(),
            unit: "vCPUs".into(),
            used: 6.0,
            max: Some(8.0),
        }],
        instances: vec![Instance {
            instance_id: "i-00000000000000001".into(),
            state: "CONNECTED".into(),
            capacity: Amounts { vcpus: 8.0, memory_mib: 16_384, gpus: 0 },
            used: Amounts { vcpus: 6.0, memory_mib: 1024, gpus: 0 },
            attempts: 1,
            ..Instance::default()
        }],
        running: vec![job(1, "RUNNING", None)],
        waiting: vec![job(2, "RUNNABLE", Some("Waiting for the turn of share \"blue\""))],
    }
}

/// What is on a screen of this size, line by line.
fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
    (0..height).map(line).collect()
}

fn press(screen: &mut Screen, code: KeyCode) -> Reaction {
    screen.react(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

#[test]
fn everything_is_in_its_place() {
    let text = drawn(&mut Screen::new(overview(&["blue"])), 120, 30);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("1 running   1234 runnable"), "{text}");
    assert!(lines[3].contains("default") && lines[3].contains("1234"), "{text}");
    assert!(lines[3].contains("████████░░ 6/8 vCPUs"), "{text}");
    assert!(lines[7].contains("blue") && lines[7].contains("██████████"), "{text}");
    assert!(lines[11].contains("00000001      RUNNING   5.0s"), "{text}");
    assert!(lines[12].contains("job-2") && lines[12].contains("turn of share \"blue\""), "{text}");
    assert!(lines[29].contains("q quit"), "{text}");
    assert!(lines[7].contains("6/8") && lines[7].contains("1.0/16.0 GiB"), "{text}");
    let without = drawn(&mut Screen::new(overview(&[])), 120, 30);
    assert!(!without.contains("SHARE") && without.contains("1.0/16.0 GiB"), "{without}");
}

#[test]
fn a_narrow_screen_shows_the_panel_of_the_focus() {
    let mut screen = Screen::new(overview(&["blue"]));
    let text = drawn(&mut screen, 80, 24);
    assert!(text.contains("QUEUE") && !text.contains("ENVIRONMENT") && text.contains("INSTANCE"), "{text}");
    for want in ["QUEUE", "ENVIRONMENT", "SHARE", "INSTANCE"] {
        press(&mut screen, KeyCode::Tab);
        let text = drawn(&mut screen, 80, 24);
        assert!(text.contains(want), "{want}: {text}");
    }
}

#[test]
fn any_size_is_drawn() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
        let mut screen = Screen::new(overview(&["blue"]));
        screen.explanation = Some(Explanation::default());
        drawn(&mut screen, width, height);
    }
}

#[test]
fn keys_move_filter_and_ask() {
    let mut screen = Screen::new(overview(&[]));
    assert_eq!(press(&mut screen, KeyCode::Down), Reaction::Redraw);
    let second = Reaction::Explain("00000002-0000-4000-8000-000000000000".into());
    assert_eq!(press(&mut screen, KeyCode::Enter), second);
    press(&mut screen, KeyCode::Down); // there is no third

    press(&mut screen, KeyCode::Char('/'));
    "QUIT".chars().for_each(|c| assert_eq!(press(&mut screen, KeyCode::Char(c)), Reaction::Redraw));
    assert!(drawn(&mut screen, 120, 30).contains("Jobs (0) with \"QUIT\""));
    press(&mut screen, KeyCode::Esc);
    press(&mut screen, KeyCode::Char('/'));
    "blue".chars().for_each(|c| drop(press(&mut screen, KeyCode::Char(c))));
    press(&mut screen, KeyCode::Enter);
    assert_eq!(press(&mut screen, KeyCode::Enter), second, "the one job that is left");

    screen.explanation = Some(Explanation {
        status: "RUNNABLE".into(),
        summary: "Waiting for capacity".into(),
        waits: Some(Waits { jobs_ahead: Some(3), vcpus_ahead: Some(4.0), ..Waits::default() }),
        ..Explanation::default()
    });
    let text = drawn(&mut screen, 120, 30);
    assert!(text.contains("RUNNABLE: Waiting for capacity"), "{text}");
    assert!(text.contains("3 jobs, which need 4 vCPUs"), "{text}");
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Reaction::Redraw, "it closes the explanation");
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Reaction::Quit);
}

#[test]
fn what_cannot_be_seen_stays_as_it_was() {
    let mut screen = Screen::new(overview(&[]));
    screen.look(Err(anyhow::anyhow!("the server does not answer")));
    let text = drawn(&mut screen, 120, 30);
    assert!(text.contains("job-2") && text.contains("the server does not answer"), "{text}");
}
