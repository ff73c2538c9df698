//! The output of one attempt: that of all its containers, merged by time.

use anyhow::Result;
use aws_sdk_batch::types::JobDetail;
use aws_sdk_cloudwatchlogs::types::OutputLogEvent;

use super::connect::Clients;
use super::containers::{self, Container};
use super::log_stream::LogStream;

/// The logs of the containers and how far they have been read.
#[derive(Clone, Debug)]
pub(crate) struct AttemptLog {
    /// Counted from 1.
    pub(crate) attempt: usize,
    /// By the name of the container.
    streams: Vec<(String, LogStream)>,
}

impl AttemptLog {
    /// The log of attempt `number` (1-based), or of the newest one, of all containers or of the one that is named; `None` if
    /// there is none yet.
    pub(crate) fn of(job: &JobDetail, number: Option<usize>, container: Option<&str>) -> Option<AttemptLog> {
        let ended = containers::attempts(job).into_iter().map(|attempt| attempt.containers);
        let mut attempts: Vec<Vec<Container<'_>>> = ended.collect();
        // The newest containers are those of an attempt that has ended, once that is listed.
        let newest = containers::newest(job);
        let is_listed = |one: &Container<'_>| {
            attempts.iter().flatten().any(|container| container.log_stream == one.log_stream)
        };
        if newest.iter().any(|container| container.log_stream.is_some() && !is_listed(container)) {
            attempts.push(newest);
        }
        let attempt = number.unwrap_or(attempts.len());
        let containers = attempts.get(attempt.checked_sub(1)?)?;
        let wanted = containers.iter().filter(|one| container.is_none_or(|name| name == one.name));
        let streams: Vec<_> = wanted
            .filter_map(|container| Some((container.name.to_owned(), LogStream::of(container)?)))
            .collect();
        (!streams.is_empty()).then_some(AttemptLog { attempt, streams })
    }

    /// Takes in the streams that the same attempt has by now.
    pub(crate) fn add(&mut self, newer: AttemptLog) {
        for (name, stream) in newer.streams {
            if !self.streams.iter().any(|(_, known)| known.is_same(&stream)) {
                self.streams.push((name, stream));
            }
        }
    }

    /// Hands over everything that has been written since the last call, with the name of the container; returns how many
    /// events that was.
    pub(crate) async fn read_on(
        &mut self,
        aws: &Clients,
        mut take: impl FnMut(&str, &OutputLogEvent) -> Result<()>,
    ) -> Result<usize> {
        for (_, stream) in &mut self.streams {
            stream.fetch(aws).await?;
        }
        let mut count = 0;
        while let Some((name, stream)) = self.earliest() {
            if let Some(event) = stream.take() {
                take(name, &event)?;
                count += 1;
            }
            stream.fetch(aws).await?;
        }
        Ok(count)
    }

    /// The stream with the event that is next in time; of those at the same time, that of the first container.
    fn earliest(&mut self) -> Option<(&str, &mut LogStream)> {
        let waiting = self.streams.iter_mut().filter(|(_, stream)| stream.head().is_some());
        let next = waiting.min_by_key(|(_, stream)| stream.head().and_then(OutputLogEvent::timestamp));
        next.map(|(name, stream)| (name.as_str(), stream))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_batch::types::{
        AttemptContainerDetail, AttemptDetail, AttemptEcsTaskDetails, AttemptTaskContainerDetails,
        ContainerDetail, EcsPropertiesDetail, EcsTaskDetails, TaskContainerDetails,
    };

    use super::*;

    fn streams(log: &AttemptLog) -> Vec<&str> {
        log.streams.iter().map(|(_, log)| log.stream.as_str()).collect()
    }

    fn job(ended: &[Option<&str>], newest: Option<&str>) -> JobDetail {
        let attempt = |stream: &Option<&str>| {
            let container = AttemptContainerDetail::builder().set_log_stream_name(stream.map(String::from));
            AttemptDetail::builder().container(container.build()).build()
        };
        JobDetail::builder()
            .set_attempts(Some(ended.iter().map(attempt).collect()))
            .container(ContainerDetail::builder().set_log_stream_name(newest.map(String::from)).build())
            .build()
    }

    #[test]
    fn each_attempt_has_its_own_stream() {
        let cases = [
            (job(&[], None), None, None),
            (job(&[], Some("a")), None, Some(("a", 1))),
            (job(&[], Some("a")), Some(1), Some(("a", 1))),
            (job(&[], Some("a")), Some(0), None),
            (job(&[Some("a")], Some("a")), None, Some(("a", 1))),
            (job(&[Some("a")], Some("a")), Some(2), None),
            (job(&[Some("a")], Some("b")), Some(1), Some(("a", 1))),
            (job(&[Some("a")], Some("b")), Some(2), Some(("b", 2))),
            (job(&[Some("a"), Some("b")], Some("b")), None, Some(("b", 2))),
            (job(&[Some("a"), None], None), None, None),
            (job(&[Some("a"), None], None), Some(1), Some(("a", 1))),
        ];
        for (index, (job, number, want)) in cases.into_iter().enumerate() {
            let log = AttemptLog::of(&job, number, None);
            let got = log.as_ref().map(|log| (streams(log)[0], log.attempt));
            assert_eq!(got, want, "case {index}");
        }
    }

    /// Containers by name, each with its stream if it has started.
    type Task<'a> = &'a [(&'a str, Option<&'a str>)];

    fn job_of_tasks(ended: &[Task<'_>], newest: Task<'_>) -> JobDetail {
        let one = |(name, stream): &(&str, Option<&str>)| {
            let builder = AttemptTaskContainerDetails::builder().name(*name);
            builder.set_log_stream_name(stream.map(String::from)).build()
        };
        let attempt = |task: &Task<'_>| {
            let containers = task.iter().map(one).collect();
            let task = AttemptEcsTaskDetails::builder().set_containers(Some(containers)).build();
            AttemptDetail::builder().task_properties(task).build()
        };
        let one = |(name, stream): &(&str, Option<&str>)| {
            let builder = TaskContainerDetails::builder().name(*name);
            builder.set_log_stream_name(stream.map(String::from)).build()
        };
        let newest = EcsTaskDetails::builder().set_containers(Some(newest.iter().map(one).collect())).build();
        JobDetail::builder()
            .set_attempts(Some(ended.iter().map(attempt).collect()))
            .ecs_properties(EcsPropertiesDetail::builder().task_properties(newest).build())
            .build()
    }

    #[test]
    fn an_attempt_has_a_stream_for_each_container_that_started() {
        let first: Task<'_> = &[("main", Some("m1")), ("side", Some("s1"))];
        let second: Task<'_> = &[("main", Some("m2")), ("side", None)];
        let waiting: Task<'_> = &[("main", None), ("side", None)];
        let ended = || job_of_tasks(&[first, second], second);
        let cases = [
            (job_of_tasks(&[], waiting), None, None, None),
            (job_of_tasks(&[], first), None, None, Some((vec!["m1", "s1"], 1))),
            (job_of_tasks(&[first], second), None, None, Some((vec!["m2"], 2))),
            (ended(), None, None, Some((vec!["m2"], 2))),
            (ended(), None, Some("side"), None),
            (ended(), Some(1), Some("side"), Some((vec!["s1"], 1))),
            (ended(), Some(1), None, Some((vec!["m1", "s1"], 1))),
        ];
        for (index, (job, number, container, want)) in cases.into_iter().enumerate() {
            let log = AttemptLog::of(&job, number, container);
            assert_eq!(log.as_ref().map(|log| (streams(log), log.attempt)), want, "case {index}");
        }
    }

    #[test]
    fn streams_are_added_once() {
        let one = |task| AttemptLog::of(&job_of_tasks(&[], task), None, None).expect("it has a log");
        let mut log = one(&[("main", Some("m")), ("side", None)]);
        log.add(one(&[("main", Some("m")), ("side", Some("s"))]));
        assert_eq!(streams(&log), ["m", "s"]);
    }
}
