//! The direction of dependencies between the crates of this workspace, as `docs/architecture.md` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate → workspace crates that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fornada-model", &[]),
    ("fornada-core", &[]),
    ("fornada-engine", &["fornada-core"]),
    ("fornada-store", &["fornada-engine", "fornada-core"]),
    ("fornada-node", &["fornada-engine", "fornada-core"]),
    ("fornada-sim", &["fornada-engine", "fornada-core"]),
    ("fornada-api", &["fornada-model", "fornada-engine", "fornada-core"]),
    (
        "fornada",
        &[
            "fornada-model",
            "fornada-core",
            "fornada-engine",
            "fornada-store",
            "fornada-node",
            "fornada-sim",
            "fornada-api",
        ],
    ),
    ("xtask", &[]),
];

/// What would let `core` wait, draw lots, or reach outside itself.
const IMPURE: &[&str] =
    &["tokio", "async-trait", "futures", "rand", "getrandom", "rustix", "libc", "jiff", "chrono"];

/// Dependencies by package, development ones left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output =
        Command::new(cargo).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let normal = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies");
        all.iter().filter(|dependency| dependency["kind"].is_null()).map(name).collect()
    };
    packages.iter().map(|package| (name(package), normal(package))).collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let found = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (package, on) in &found {
        let may = allowed.get(package.as_str());
        let may = may.unwrap_or_else(|| {
            panic!("{package} is new: say here and in docs/architecture.md what it may use")
        });
        let wrong: Vec<_> =
            on.iter().filter(|on| found.contains_key(*on) && !may.contains(&on.as_str())).collect();
        assert!(wrong.is_empty(), "{package} must not depend on {wrong:?}");
    }
    assert_eq!(found.len(), ALLOWED.len(), "a crate of the list is gone");
}

#[test]
fn core_is_pure() {
    let core = &dependencies()["fornada-core"];
    let impure: Vec<_> = IMPURE.iter().filter(|name| core.contains(**name)).collect();
    assert!(impure.is_empty(), "fornada-core must not depend on {impure:?}");
}
