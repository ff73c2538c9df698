//! Jobs on Amazon EKS: one attempt is one pod.

use fornada_core::container::ContainerTemplate;
use fornada_core::job::Attempt;
use fornada_core::task::Task;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_model::batch as model;

use super::View;
use super::run::{ContainerState, Run};

/// `eksProperties`: what runs, and what the newest attempt says of each container.
pub(super) fn pod(
    given: model::EksPodProperties,
    templates: &[ContainerTemplate],
    newest: Option<&Run<'_>>,
) -> model::EksPropertiesDetail {
    let mut templates = templates.iter();
    let mut one = |given: model::EksContainer| {
        let state = newest.zip(templates.next()).map(|(run, template)| run.state_of(template));
        let state = state.unwrap_or_default();
        model::EksContainerDetail {
            args: given.args,
            command: given.command,
            env: given.env,
            exit_code: state.exit_code,
            image: Some(given.image),
            image_pull_policy: given.image_pull_policy,
            name: given.name,
            reason: reason(&state),
            resources: given.resources,
            security_context: given.security_context,
            volume_mounts: given.volume_mounts,
        }
    };
    // Init containers come first in the template too.
    let init_containers = given.init_containers.map(|all| all.into_iter().map(&mut one).collect());
    let containers = given.containers.map(|all| all.into_iter().map(&mut one).collect());
    let pod = model::EksPodPropertiesDetail {
        containers,
        dns_policy: given.dns_policy,
        host_network: given.host_network,
        image_pull_secrets: given.image_pull_secrets,
        init_containers,
        metadata: given.metadata,
        node_name: newest.map(|run| run.instance_id.clone().into()),
        pod_name: newest.map(Run::pod_name),
        security_context: given.security_context,
        service_account_name: given.service_account_name,
        share_process_namespace: given.share_process_namespace,
        volumes: given.volumes,
    };
    model::EksPropertiesDetail { pod_properties: Some(pod) }
}

/// One element of `eksAttempts`; `namespace` is the one that the job itself names.
pub(super) fn attempt(
    view: &View,
    task: Task<'_>,
    namespace: Option<&str>,
    attempt: &Attempt,
) -> model::EksAttemptDetail {
    let run = Run::of(view, attempt);
    let environment = view.environments.get(run.environment);
    let detail: Option<model::ComputeEnvironmentDetail> =
        environment.and_then(|ce| serde_json::from_str(ce.document.as_str()).ok());
    let cluster = detail.and_then(|detail| detail.eks_configuration);
    let of_cluster = cluster.as_ref().map(|eks| eks.kubernetes_namespace.clone());
    let containers = |init: bool| -> Vec<model::EksAttemptContainerDetail> {
        let is_init = |template: &&ContainerTemplate| template.role.as_ref().is_some_and(|role| role.init);
        let wanted = task.containers.iter().filter(|template| is_init(template) == init);
        let one = |template: &ContainerTemplate| {
            let state = run.state_of(template);
            model::EksAttemptContainerDetail {
                exit_code: state.exit_code,
                name: Some(template.name().to_owned()),
                reason: reason(&state),
                ..Default::default()
            }
        };
        wanted.map(one).collect()
    };
    model::EksAttemptDetail {
        containers: Some(containers(false)),
        eks_cluster_arn: cluster.map(|eks| eks.eks_cluster_arn),
        init_containers: Some(containers(true)),
        node_name: Some(Text::clone(run.instance_id).into()),
        pod_name: Some(run.pod_name()),
        pod_namespace: namespace.map(str::to_owned).or(of_cluster),
        started_at: attempt.started_at.map(Timestamp::as_millis),
        status_reason: Some(attempt.status_reason.clone().into()),
        stopped_at: Some(attempt.stopped_at.as_millis()),
    }
}

/// Why a container of a pod ended, in the kubelet's words unless more is known.
fn reason(state: &ContainerState) -> Option<String> {
    let of_exit = |code| if code == 0 { "Completed" } else { "Error" }.to_owned();
    state.reason.clone().or_else(|| state.exit_code.map(of_exit))
}
