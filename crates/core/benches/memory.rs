//! Bytes that what waits costs: `cargo bench -p fornada-core --bench memory`.
//!
//! What is counted is what was asked of the allocator and not given back while the state holds the jobs.
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fornada_core::container::ContainerOverrides;
use fornada_core::job::submit::Submission;
use fornada_core::job::workload::Overrides;

mod common;
use common::{SHAPES, Site, fair, plain, shape};

/// Counts the bytes that are held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Large enough that no table is about to double or has just done so: hash tables of 7/8 · 2^17 entries are full.
const JOBS: usize = 110_000;

fn held(what: &str, units: usize, jobs: impl Iterator<Item = Submission>) {
    let mut site = Site::new();
    let before = HELD.load(Ordering::Relaxed);
    site.submit(jobs);
    let bytes = (HELD.load(Ordering::Relaxed) - before) as f64 / units as f64;
    println!("{what}\t{bytes:.0}");
}

fn main() {
    let shaped =
        |n: usize| ContainerOverrides { requirements: shape(n * 7919 % SHAPES), ..Default::default() };
    held("a queued job", JOBS, (0..JOBS).map(|_| plain("fifo")));
    held(
        "a queued job with a command of its own",
        JOBS,
        (0..JOBS).map(|n| {
            let command = Some(vec!["sort".into(), format!("input/{n}").into()]);
            let overrides = Overrides::Container(ContainerOverrides { command, ..Default::default() });
            Submission { overrides, ..plain("fifo") }
        }),
    );
    held(
        "a queued job with a size of its own, of 1,000",
        JOBS,
        (0..JOBS).map(|n| Submission { overrides: Overrides::Container(shaped(n)), ..plain("fifo") }),
    );
    held(
        "a queued job of one of 500 shares",
        JOBS,
        fair(JOBS).map(|job| Submission { overrides: Overrides::None, ..job }),
    );
    held("a queued job of one of 500 shares with a size of its own, of 1,000", JOBS, fair(JOBS));
    let array = |_| Submission { array_size: Some(10_000), ..plain("fifo") };
    held("a child of an array of 10,000 that has not started", 1_000_000, (0..100).map(array));
}
