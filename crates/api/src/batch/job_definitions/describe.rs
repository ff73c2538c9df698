//! DescribeJobDefinitions: some revisions, those of a name, or all; the newest of a name first.
//!
//! Source: AWS Batch API reference, DescribeJobDefinitions.

use std::cmp::Reverse;
use std::sync::Arc;

use fornada_core::arn::Scope;
use fornada_core::resource::job_definition::JobDefinition;
use fornada_core::state::State;
use fornada_model::batch as model;

use super::super::require::require;
use super::super::selection::{MAX, check_count};
use super::super::{paging, tags};
use super::{KIND, wire_revision};
use crate::app::Call;
use crate::error::WireError;

const ACTIVE: &str = "ACTIVE";
const INACTIVE: &str = "INACTIVE";

pub(in super::super) async fn describe(
    call: &Call,
    request: model::DescribeJobDefinitionsRequest,
) -> Result<model::DescribeJobDefinitionsResponse, WireError> {
    let scope = call.scope.clone();
    let (page, next_token) = call.app.engine.read(move |state| select(state, &scope, request)).await??;
    let definitions = page.iter().map(|definition| described(definition)).collect::<Result<_, _>>()?;
    Ok(model::DescribeJobDefinitionsResponse { job_definitions: Some(definitions), next_token })
}

type Page = (Vec<Arc<JobDefinition>>, Option<String>);

fn select(
    state: &State,
    scope: &Scope,
    request: model::DescribeJobDefinitionsRequest,
) -> Result<Page, WireError> {
    let model::DescribeJobDefinitionsRequest {
        job_definition_name: name,
        job_definitions,
        max_results,
        next_token,
        status,
    } = request;
    if let Some(names) = job_definitions.filter(|names| !names.is_empty()) {
        require(
            name.is_none() && status.is_none(),
            "jobDefinitions cannot be combined with jobDefinitionName or status.",
        )?;
        check_count(&names)?;
        let arns = names.iter().map(|name| scope.resolve(KIND, name)).filter(|arn| scope.owns(arn));
        let mut found: Vec<_> = arns.filter_map(|arn| state.job_definition(&arn).cloned()).collect();
        found.sort_by_key(|definition| (definition.family_arn(), Reverse(definition.revision)));
        found.dedup_by_key(|definition| definition.arn.clone());
        return Ok((found, None));
    }
    if let Some(status) = &status {
        require([ACTIVE, INACTIVE].contains(&status.as_str()), "status must be one of [ACTIVE, INACTIVE].")?;
    }
    let prefix = scope.resolve(KIND, name.as_deref().unwrap_or_default());
    let all = state.job_definitions();
    let families = all.range(prefix.clone()..).take_while(|(family, _)| match name {
        Some(_) => **family == prefix && scope.owns(family),
        None => family.starts_with(prefix.as_str()),
    });
    let revisions = families.flat_map(|(_, revisions)| revisions.values().rev());
    let wanted = revisions.filter(|definition| status.as_deref().is_none_or(|s| s == status_of(definition)));
    let question = (prefix.as_str(), name.is_some(), &status);
    paging::page(wanted.cloned(), max_results, MAX, next_token.as_deref(), &question)
}

fn status_of(definition: &JobDefinition) -> &'static str {
    if definition.active { ACTIVE } else { INACTIVE }
}

fn described(definition: &JobDefinition) -> Result<model::JobDefinition, WireError> {
    let stored: model::JobDefinition =
        serde_json::from_str(definition.document.as_str()).map_err(WireError::server)?;
    Ok(model::JobDefinition {
        job_definition_arn: definition.arn.clone().into(),
        job_definition_name: definition.name().to_owned(),
        revision: wire_revision(definition.revision),
        status: Some(status_of(definition).to_owned()),
        tags: Some(tags::to_wire(&definition.tags)),
        ..stored
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use fornada_core::time::Timestamp;
    use fornada_core::turn::Turn;
    use serde_json::{Value, json};

    #[test]
    fn by_revision_by_name_or_all_and_only_ones_own() {
        let scope = |account: &str| Scope { region: "eu-west-1".into(), account: account.into() };
        let (mine, other) = (scope("111111111111"), scope("222222222222"));
        let mut state = State::default();
        let mut turn = Turn::begin(&mut state, Timestamp::default(), 0);
        let container = json!({ "image": "host", "vcpus": 1, "memory": 4 });
        let request =
            json!({ "jobDefinitionName": "x", "type": "container", "containerProperties": container });
        let definition =
            super::super::definition(&mine, serde_json::from_value(request).unwrap(), &Limits::default())
                .unwrap();
        for (scope, name) in [(&mine, "b"), (&mine, "a"), (&mine, "a"), (&mine, "a-1"), (&other, "c")] {
            turn.register_job_definition(scope, name, definition.clone());
        }
        turn.deregister_job_definition(&mine, "a:1").unwrap();

        let select = |request: Value| {
            let request = serde_json::from_value(request).unwrap();
            let (page, next) = select(turn.state(), &mine, request).map_err(|error| error.message)?;
            let named = |d: &Arc<JobDefinition>| d.arn.rsplit_once('/').unwrap().1.to_owned();
            Ok::<_, String>((page.iter().map(named).collect::<Vec<_>>(), next))
        };
        let foreign = other.resolve(KIND, "c:1");
        let cases: [(Value, &[&str]); 8] = [
            (json!({}), &["a:2", "a:1", "a-1:1", "b:1"]),
            (json!({ "status": "ACTIVE" }), &["a:2", "a-1:1", "b:1"]),
            (json!({ "jobDefinitionName": "a" }), &["a:2", "a:1"]),
            (json!({ "jobDefinitionName": "a", "status": "INACTIVE" }), &["a:1"]),
            (json!({ "jobDefinitionName": other.resolve(KIND, "c").as_str() }), &[]),
            (json!({ "jobDefinitions": ["a:1", "b:1", "a:2", "a:1", "x:1", "a:9"] }), &["a:2", "a:1", "b:1"]),
            (json!({ "jobDefinitions": [foreign.as_str()] }), &[]),
            (json!({ "jobDefinitions": [mine.resolve(KIND, "b:1").as_str()] }), &["b:1"]),
        ];
        for (request, want) in cases {
            assert_eq!(select(request.clone()).unwrap().0, want, "{request}");
        }
        let (first, next) = select(json!({ "maxResults": 3 })).unwrap();
        let (second, last) = select(json!({ "maxResults": 3, "nextToken": next })).unwrap();
        assert_eq!((first.len(), second.len(), last), (3, 1, None));
        for bad in [
            json!({ "jobDefinitions": ["a:1"], "jobDefinitionName": "a" }),
            json!({ "status": "active" }),
            json!({ "status": "ACTIVE", "maxResults": 3, "nextToken": next }),
            json!({ "jobDefinitions": vec!["a:1"; 101] }),
        ] {
            assert!(select(bad.clone()).is_err(), "{bad}");
        }
        let echoed = described(turn.state().job_definition(&mine.resolve(KIND, "a:1")).unwrap()).unwrap();
        assert_eq!(
            (echoed.revision, echoed.status.as_deref(), &*echoed.job_definition_name),
            (1, Some("INACTIVE"), "a")
        );
    }
}
