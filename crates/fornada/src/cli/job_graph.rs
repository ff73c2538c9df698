//! The order in which the jobs of a file are submitted, and what must hold among them before any is.
//!
//! A job is submitted after all that it depends on, because SubmitJob wants their ids; jobs that do not depend on each
//! other keep the order of the file.

use std::collections::HashMap;

use super::job_file::{DependencyKind, Job};

/// What is wrong with a graph of jobs; each names the job to change.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GraphError {
    #[error("the file has no jobs")]
    Empty,
    #[error("two jobs are named `{0}`")]
    Duplicate(String),
    #[error("job `{0}` needs either an image or a jobDefinition, and not both")]
    Definition(String),
    #[error("job `{0}` gives both attempts and retryStrategy")]
    Retry(String),
    #[error("job `{job}` depends on `{unknown}`, which is not in the file")]
    Unknown { job: String, unknown: String },
    #[error("job `{0}` has a dependency without a job, which only `type: SEQUENTIAL` on an array may be")]
    NoJob(String),
    #[error("jobs depend on each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
}

/// The indexes of `jobs` in the order in which to submit them.
pub(crate) fn order(jobs: &[Job]) -> Result<Vec<usize>, GraphError> {
    if jobs.is_empty() {
        return Err(GraphError::Empty);
    }
    let mut by_name = HashMap::new();
    for (index, job) in jobs.iter().enumerate() {
        if by_name.insert(job.name.as_str(), index).is_some() {
            return Err(GraphError::Duplicate(job.name.clone()));
        }
    }
    let mut needs = Vec::with_capacity(jobs.len());
    for job in jobs {
        check(job)?;
        let names = job.depends_on.iter().filter_map(|dependency| dependency.job.as_ref());
        let indexes = names.map(|name| {
            by_name
                .get(name.as_str())
                .copied()
                .ok_or_else(|| GraphError::Unknown { job: job.name.clone(), unknown: name.clone() })
        });
        needs.push(indexes.collect::<Result<Vec<usize>, _>>()?);
    }
    sort(&needs).map_err(|cycle| GraphError::Cycle(cycle.iter().map(|at| jobs[*at].name.clone()).collect()))
}

fn check(job: &Job) -> Result<(), GraphError> {
    if job.image.is_some() == job.job_definition.is_some() {
        return Err(GraphError::Definition(job.name.clone()));
    }
    if job.attempts.is_some() && job.retry_strategy.is_some() {
        return Err(GraphError::Retry(job.name.clone()));
    }
    let sequential = |kind| kind == Some(DependencyKind::Sequential) && job.array.is_some();
    if job.depends_on.iter().any(|dependency| dependency.job.is_none() && !sequential(dependency.kind)) {
        return Err(GraphError::NoJob(job.name.clone()));
    }
    Ok(())
}

/// Depth first without recursion, so that a chain of any length fits; the error is a circle, its first index repeated
/// at the end.
fn sort(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    for start in 0..needs.len() {
        // The way from `start` to the job in hand, each with the number of its needs already seen to.
        let mut path = if marks[start] == Mark::New { vec![(start, 0)] } else { Vec::new() };
        while let Some((at, seen)) = path.last_mut() {
            marks[*at] = Mark::Open;
            let Some(&next) = needs[*at].get(*seen) else {
                marks[*at] = Mark::Done;
                order.push(*at);
                path.pop();
                continue;
            };
            *seen += 1;
            match marks[next] {
                Mark::Done => {}
                Mark::New => path.push((next, 0)),
                Mark::Open => {
                    let circle = path.iter().map(|(at, _)| *at).skip_while(|at| *at != next);
                    return Err(circle.chain([next]).collect());
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::job_file::JobFile;

    fn order_of(jobs: &str) -> Result<Vec<String>, GraphError> {
        let jobs = JobFile::parse(&format!("jobs: [{jobs}]")).expect("the file reads").jobs;
        Ok(order(&jobs)?.into_iter().map(|index| jobs[index].name.clone()).collect())
    }

    #[test]
    fn dependencies_come_first_and_the_file_decides_the_rest() {
        let cases = [
            ("{name: a, image: i}", vec!["a"]),
            ("{name: a, image: i}, {name: b, image: i}", vec!["a", "b"]),
            ("{name: a, image: i, dependsOn: [b]}, {name: b, image: i}", vec!["b", "a"]),
            (
                "{name: d, image: i, dependsOn: [b, c]}, {name: b, image: i, dependsOn: [a]}, \
                 {name: c, image: i, dependsOn: [{job: a, type: N_TO_N}]}, {name: a, image: i}",
                vec!["a", "b", "c", "d"],
            ),
            ("{name: a, image: i, array: 3, dependsOn: [{type: SEQUENTIAL}]}", vec!["a"]),
            ("{name: a, image: i, dependsOn: [b, b]}, {name: b, jobDefinition: d}", vec!["b", "a"]),
        ];
        for (jobs, want) in cases {
            assert_eq!(order_of(jobs), Ok(want.into_iter().map(String::from).collect()), "{jobs}");
        }
    }

    #[test]
    fn a_long_chain_fits() {
        let needs: Vec<Vec<usize>> =
            (0..100_000).map(|at| if at < 99_999 { vec![at + 1] } else { vec![] }).collect();
        assert_eq!(sort(&needs), Ok((0..100_000).rev().collect()));
    }

    #[test]
    fn mistakes_are_found_before_anything_is_submitted() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let cases = [
            ("", GraphError::Empty),
            ("{name: a, image: i}, {name: a, image: i}", GraphError::Duplicate("a".into())),
            ("{name: a}", GraphError::Definition("a".into())),
            ("{name: a, image: i, jobDefinition: d}", GraphError::Definition("a".into())),
            ("{name: a, image: i, attempts: 2, retryStrategy: {attempts: 2}}", GraphError::Retry("a".into())),
            (
                "{name: a, image: i, dependsOn: [x]}",
                GraphError::Unknown { job: "a".into(), unknown: "x".into() },
            ),
            ("{name: a, image: i, dependsOn: [{type: SEQUENTIAL}]}", GraphError::NoJob("a".into())),
            ("{name: a, image: i, array: 2, dependsOn: [{type: N_TO_N}]}", GraphError::NoJob("a".into())),
            ("{name: a, image: i, dependsOn: [a]}", GraphError::Cycle(names(&["a", "a"]))),
            (
                "{name: z, image: i, dependsOn: [a]}, {name: a, image: i, dependsOn: [b]}, \
                 {name: b, image: i, dependsOn: [c]}, {name: c, image: i, dependsOn: [a]}",
                GraphError::Cycle(names(&["a", "b", "c", "a"])),
            ),
        ];
        for (jobs, want) in cases {
            assert_eq!(order_of(jobs), Err(want), "{jobs}");
        }
    }
}
