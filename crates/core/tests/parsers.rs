//! Ids and ARNs that clients send: any text is read or refused, and what was read is written in one form.

use fornada_core::arn::{Scope, name_of};
use fornada_core::id::{JobId, Member, Uuid};
use proptest::prelude::*;

/// Close to an id, or far from it.
fn any_id() -> impl Strategy<Value = String> {
    let uuid = any::<u128>().prop_map(|bits| Uuid::from_u128(bits).as_hyphenated().to_string());
    prop_oneof![
        any::<String>(),
        (uuid, "([:#]\\PC{0,12})?|[:#][0-9]{0,11}").prop_map(|(uuid, rest)| uuid + &rest),
        "[0-9a-fA-F-]{36}([:#][0-9]{1,3})?",
    ]
}

/// Close to an ARN, or far from it.
fn any_arn() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "arn(:[a-z0-9-]{0,3}){0,6}", "arn:aws:batch:r:1:(job-queue/)?\\PC{0,9}"]
}

proptest! {
    #[test]
    fn job_ids_are_refused_or_read_and_written_in_one_form(text in any_id()) {
        if let Ok(id) = text.parse::<JobId>() {
            let written = id.to_string();
            prop_assert_eq!(written.parse(), Ok(id));
            prop_assert!(written.len() <= text.len(), "{} is longer than {}", written, text);
        }
    }

    #[test]
    fn job_ids_read_back(bits: u128, number: u32) {
        let job = Uuid::from_u128(bits);
        for member in [Member::Whole, Member::Index(number), Member::Node(number)] {
            let id = JobId { job, member };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_name_resolves_into_the_callers_scope_and_an_arn_into_its_own(
        arn in any_arn(),
        name in "[A-Za-z0-9][A-Za-z0-9_-]{0,127}",
        region in "(us|eu|cn|us-gov)-[a-z]{1,9}-[1-9]",
        account in "[0-9]{12}",
    ) {
        let scope = Scope { region: region.as_str().into(), account: account.as_str().into() };
        let resolved = scope.resolve("job-queue", &name);
        prop_assert_eq!(Scope::of(&resolved), Some(scope.clone()));
        prop_assert_eq!(name_of(&resolved), name.as_str());
        prop_assert_eq!(scope.resolve("job-queue", &resolved), resolved);
        if arn.starts_with("arn:") {
            prop_assert_eq!(scope.resolve("job-queue", &arn), arn.as_str());
        } else {
            prop_assert!(scope.owns(&scope.resolve("job-queue", &arn)));
        }
        prop_assert!(!scope.owns(&arn) || arn.starts_with("arn:"));
        prop_assert!(arn.ends_with(name_of(&arn)));
    }
}
