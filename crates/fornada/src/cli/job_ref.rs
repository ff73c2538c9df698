//! What a person may write for a job: its id, the beginning of its id, or its name; for a child of an array (or a node
//! of a multi-node job) with `:index` (or `#node`) behind it.

use anyhow::{Result, anyhow, bail};

use super::connect::Clients;
use super::job_list::{self, NameFilter, Query};
use super::{duration, outcome};

/// The beginning of an id is looked for among this many of the newest jobs of each queue.
const PREFIX_SEARCH: usize = 1000;

/// Enough of an id to tell it from the others on the screen.
const SHORT_ID: usize = 8;

/// A job that a reference may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    id: String,
    name: String,
    created_at: i64,
    over: bool,
}

/// What a reference means among some candidates.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    One(&'a Candidate),
    Many(Vec<&'a Candidate>),
    None,
}

/// The id that the reference stands for.
pub(crate) async fn resolve(aws: &Clients, reference: &str) -> Result<String> {
    let (parent, suffix) = split(reference);
    if is_id(parent) {
        return Ok(reference.to_owned());
    }
    let name = Query {
        name: Some(NameFilter::Exactly(parent.to_owned())),
        limit: PREFIX_SEARCH,
        ..Query::default()
    };
    let mut candidates = candidates(aws, &name).await?;
    if candidates.is_empty() && could_begin_id(parent) {
        candidates = self::candidates(aws, &Query { limit: PREFIX_SEARCH, ..Query::default() }).await?;
    }
    match meaning(parent, &candidates) {
        Meaning::One(job) => Ok(format!("{}{suffix}", job.id)),
        Meaning::None => bail!("there is no job with the id or name {parent}"),
        Meaning::Many(jobs) => Err(anyhow!("{parent} may be any of these jobs:{}", list(&jobs))),
    }
}

/// The ids that all the references stand for.
pub(crate) async fn resolve_all(aws: &Clients, references: &[String]) -> Result<Vec<String>> {
    let mut ids = Vec::with_capacity(references.len());
    for reference in references {
        ids.push(resolve(aws, reference).await?);
    }
    Ok(ids)
}

/// The beginning of an id, with the `:index` or `#node` behind it, which every command takes for the id.
pub(crate) fn shorten(id: &str) -> String {
    let (parent, suffix) = split(id);
    format!("{}{suffix}", parent.get(..SHORT_ID).unwrap_or(parent))
}

async fn candidates(aws: &Clients, query: &Query) -> Result<Vec<Candidate>> {
    let jobs = job_list::list(aws, query).await?.into_iter().map(|job| job.summary);
    let candidate = |job: aws_sdk_batch::types::JobSummary| Candidate {
        over: job.status().is_some_and(outcome::is_over),
        created_at: job.created_at.unwrap_or_default(),
        id: job.job_id.unwrap_or_default(),
        name: job.job_name.unwrap_or_default(),
    };
    Ok(jobs.map(candidate).collect())
}

/// A name means the newest job of that name; only then may it be the beginning of an id.
fn meaning<'a>(reference: &str, candidates: &'a [Candidate]) -> Meaning<'a> {
    let named = candidates.iter().filter(|job| job.name == reference);
    if let Some(newest) = named.max_by_key(|job| job.created_at) {
        return Meaning::One(newest);
    }
    let lower = reference.to_ascii_lowercase();
    let matching: Vec<&Candidate> = candidates.iter().filter(|job| job.id.starts_with(&lower)).collect();
    match matching[..] {
        [] => Meaning::None,
        [job] => Meaning::One(job),
        _ => Meaning::Many(matching),
    }
}

/// The job and the `:index` or `#node` behind it; neither ids nor names contain those signs.
fn split(reference: &str) -> (&str, &str) {
    let at = reference.find([':', '#']).unwrap_or(reference.len());
    reference.split_at(at)
}

/// Whether this is a whole job id, a UUID.
fn is_id(text: &str) -> bool {
    text.len() == 36 && could_begin_id(text)
}

fn could_begin_id(text: &str) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let fits = |(at, c): (usize, char)| if DASHES.contains(&at) { c == '-' } else { c.is_ascii_hexdigit() };
    !text.is_empty() && text.len() <= 36 && text.char_indices().all(fits)
}

fn list(jobs: &[&Candidate]) -> String {
    let line = |job: &&Candidate| {
        let age = duration::short(duration::now_ms() - job.created_at);
        let state = if job.over { "ended" } else { "not ended" };
        format!("\n  {} {} ({state}, submitted {age} ago)", job.id, job.name)
    };
    jobs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ab120000-0000-4000-8000-000000000001";
    const B: &str = "ab340000-0000-4000-8000-000000000002";
    const C: &str = "cd000000-0000-4000-8000-000000000003";

    fn jobs() -> Vec<Candidate> {
        [(A, "count", 1), (B, "count", 3), (C, "ab", 2)]
            .map(|(id, name, created_at)| Candidate {
                id: id.into(),
                name: name.into(),
                created_at,
                over: false,
            })
            .to_vec()
    }

    #[test]
    fn a_reference_is_a_name_or_the_beginning_of_an_id() {
        let jobs = jobs();
        let cases = [
            ("count", Some(B), "the newest of the name"),
            ("ab", Some(C), "a name before an id"),
            ("ab1", Some(A), "a unique beginning"),
            ("AB3", Some(B), "without regard to case"),
            (C, Some(C), "a whole id"),
            ("coun", None, "names are whole"),
            ("ff", None, "unknown"),
        ];
        for (reference, want, case) in cases {
            let want = want.map_or(Meaning::None, |id| {
                Meaning::One(jobs.iter().find(|job| job.id == id).expect("a job of the table"))
            });
            assert_eq!(meaning(reference, &jobs), want, "{case}");
        }
        assert_eq!(meaning("a", &jobs), Meaning::Many(vec![&jobs[0], &jobs[1]]));
    }

    #[test]
    fn references_split_before_index_or_node() {
        let cases = [("count:3", ("count", ":3")), ("ab12#0", ("ab12", "#0")), ("count", ("count", ""))];
        for (reference, want) in cases {
            assert_eq!(split(reference), want);
        }
    }

    #[test]
    fn short_ids_keep_the_index() {
        assert_eq!(shorten(A), "ab120000");
        assert_eq!(shorten(&format!("{A}:12")), "ab120000:12");
    }

    #[test]
    fn only_uuids_are_ids() {
        let cases =
            [(A, true), (&A[..8], false), ("count", false), ("000000000000000000000000000000000000", false)];
        for (text, want) in cases {
            assert_eq!(is_id(text), want, "{text}");
        }
        assert!(could_begin_id("ab120000-0") && !could_begin_id("ab12-") && !could_begin_id(""));
    }
}
