//! The nodes of a multi-node job.

use anyhow::Result;
use aws_sdk_batch::types::JobDetail;

use super::connect::Clients;
use super::poll;

/// The id of the main node; `None` for a job that is not the parent of nodes.
pub(crate) fn main_id(job: &JobDetail) -> Option<String> {
    let main_node = job.node_properties()?.main_node()?;
    Some(format!("{}#{main_node}", job.job_id()?))
}

/// All nodes by index; none for a job that is not the parent of nodes.
pub(crate) async fn describe(aws: &Clients, job: &JobDetail) -> Result<Vec<JobDetail>> {
    let num_nodes = job.node_properties().and_then(|nodes| nodes.num_nodes()).unwrap_or(0);
    let id = job.job_id().unwrap_or_default();
    let ids: Vec<String> = (0..num_nodes).map(|node| format!("{id}#{node}")).collect();
    let mut nodes = poll::describe_jobs(aws, &ids).await?;
    nodes.sort_by_key(index);
    Ok(nodes)
}

/// Which node this is; `None` for a job that is not a node.
pub(crate) fn index(job: &JobDetail) -> Option<i32> {
    job.node_details()?.node_index()
}

/// Whether this is the node that decides how the job ends.
pub(crate) fn is_main(job: &JobDetail) -> bool {
    job.node_details().and_then(|node| node.is_main_node()).unwrap_or(false)
}
