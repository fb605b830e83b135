//! The published schema is the one that the tables make, and it judges templates as the resolver does.

#![cfg(test)]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&armada_project::template_schema()).unwrap()
}

/// The templates of the golden configurations, and whether they came out right.
fn golden() -> Vec<(PathBuf, bool, Value)> {
    let cases = std::fs::read_dir(crate_folder().join("tests/golden")).unwrap().map(|entry| entry.unwrap().path());
    let templates = cases.filter_map(|case| {
        let text = std::fs::read_to_string(case.join("config/config_template.json")).ok()?;
        let template = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        let good = case.join("expected.jsonl").exists();
        Some((case, good, template))
    });
    templates.collect()
}

#[test]
fn the_published_schema_is_up_to_date() {
    let path = crate_folder().join("schema/config_template.schema.json");
    let schema = serde_json::to_string_pretty(&armada_project::template_schema()).unwrap() + "\n";
    if std::env::var_os("ARMADA_BLESS").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), schema, "run with ARMADA_BLESS=1 to write {}", path.display());
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&armada_project::template_schema()));
}

#[test]
fn templates_that_resolve_are_valid() {
    let (validator, mut seen) = (validator(), 0);
    for (case, _, template) in golden().iter().filter(|(_, good, _)| *good) {
        let errors: Vec<String> = validator.iter_errors(template).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", case.display());
        seen += 1;
    }
    assert!(seen > 8);
}

#[test]
fn mistakes_that_a_schema_can_see_are_seen() {
    let validator = validator();
    let names = [
        "sandbox",
        "sandbox_is_no_object",
        "counts",
        "counts_that_are_no_whole_numbers",
        "unknown_sections",
        "not_objects",
        "template_is_a_list",
        "browser_settings",
        "several_mistakes",
    ];
    for name in names {
        let (_, _, template) = golden().into_iter().find(|(case, ..)| case.ends_with(name)).unwrap();
        assert!(!validator.is_valid(&template), "{name}");
    }
}

#[test]
fn every_typed_value_is_checked_on_its_own() {
    let validator = validator();
    let in_limits = |limits: Value| json!({"run_message": {"sandbox": {"limits": limits}}});
    let in_browser = |block: Value| json!({"default_agent_message": {"config_fantomas": {"config_browser": block}}});
    for (template, valid) in [
        (json!({}), true),
        (json!({"$schema": "x", "run_message": {"own": {"keys": ["pass"]}}}), true),
        (json!({"run_message": {"number_of_agents": "$env_N", "number_of_jobs": 3}}), true),
        (json!({"run_message": {"number_of_agents": "$env_"}}), false),
        (json!({"run_message": {"number_of_agents": "3"}}), false),
        (json!({"run_message": "$env_RUN"}), true),
        (json!({"run_message": {"sandbox": "$env_SANDBOX"}}), true),
        (json!({"run_message": {"sandbox": {"allowed_hosts": ["*", "a.b:*", "[::1]:80", "$env_HOST"]}}}), true),
        (json!({"run_message": {"sandbox": {"allowed_hosts": ["https://a.b"]}}}), false),
        (json!({"run_message": {"sandbox": {"capabilities": ["browser", "monitoring", "$env_MORE"]}}}), true),
        (json!({"run_message": {"sandbox": {"capabilities": ["browsers"]}}}), false),
        (in_limits(json!({"memory_mib": 4096, "seconds_per_job": 0.5, "fresh_instance_per_job": true})), true),
        (in_limits(json!({"memory_mib": 4097})), false),
        (in_limits(json!({"memory": 1})), false),
        (in_limits(json!({"pages": "$env_PAGES"})), true),
        (in_browser(json!({"locale": "de-DE", "own": 1, "fantomas_browser_options": ["--x", "$env_FLAG"]})), true),
        (in_browser(json!({"locale": "de;q=1"})), false),
        (in_browser(json!({"jobs_per_browser": 0})), false),
        (json!({"default_agent_message": {"config_fantomas": {"config_screen": {"screen_visible": 1}}}}), true),
        (json!({"default_agent_message": {"config_fantomas": {"config_screen": {"screen_visible": "yes"}}}}), false),
    ] {
        assert_eq!(validator.is_valid(&template), valid, "{template}");
    }
}
