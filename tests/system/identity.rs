//! Made-up people, from inside scripts: every job has its own, in every attempt the same, and only with a grant.

use std::collections::BTreeSet;

use armada_protocol::Status;
use armada_tests::calls;
use armada_tests::guests::component;
use armada_tests::run::{Finished, TestRun};
use serde_json::{Value, json};

/// A run that may make up people.
fn run() -> TestRun {
    TestRun::of(component("identity")).sandbox(json!({"capabilities": ["identity", "monitoring"]}))
}

fn results(finished: &Finished) -> Vec<Value> {
    finished
        .jobs
        .iter()
        .map(|job| {
            assert_eq!(job.status, Status::Success, "{:?}", job.error);
            serde_json::from_str(job.result.as_ref().unwrap().get()).unwrap()
        })
        .collect()
}

#[test]
fn every_job_has_a_person_of_its_own_who_stays_when_it_is_tried_again() {
    calls::record();
    let finished = run().jobs((0..6).map(|index| json!({"retry": index % 2 == 0}))).agents(2).finish();
    let results = results(&finished);
    let mut everybody = BTreeSet::new();
    for (job, result) in finished.jobs.iter().zip(&results) {
        let told: Vec<Value> =
            job.events.iter().map(|event| serde_json::from_str(&event.report.content).unwrap()).collect();
        assert_eq!(told.len(), if job.index % 2 == 0 { 2 } else { 1 });
        assert!(told.iter().all(|person| *person == result["own"]), "{told:?}");
        everybody.insert(result["own"]["email"].to_string());
        everybody.insert(result["german"]["email"].to_string());
        let german = &result["german"];
        assert_eq!(
            (&german["locale"], &german["female"], &german["address"][5]),
            (&json!("de-DE"), &json!(true), &json!("DE"))
        );
        assert!(german["phone"].as_str().unwrap().starts_with("+49 "), "{german}");
        assert!(result["unknown"].as_str().unwrap().contains("the locales are en-US"), "{result}");
        assert!(result["before_jobs"].as_str().unwrap().contains("no job is running"), "{result}");
    }
    assert_eq!(everybody.len(), 12, "{everybody:?}");
    let missing: Vec<_> = calls::contract(&["identity"]).difference(&calls::recorded()).cloned().collect();
    assert!(missing.is_empty(), "functions that nobody has called: {missing:?}");
}

#[test]
fn people_are_as_the_agent_message_wants_them() {
    let message = json!({"config_identity": {"email_domain": "mail.example.net", "locale": "fr-FR"}});
    let result = &results(&run().agent_message(message).finish())[0];
    let own = &result["own"];
    assert!(own["email"].as_str().unwrap().ends_with("@mail.example.net"), "{own}");
    assert_eq!((&own["locale"], &own["address"][5]), (&json!("fr-FR"), &json!("FR")));
}

#[test]
fn people_are_made_up_only_where_project_and_operator_both_say_so() {
    let not_asked = run().sandbox(json!({"capabilities": ["monitoring"]}));
    let not_allowed = run().ceiling(json!({"capabilities": ["monitoring"]}));
    for (run, says) in [
        (not_asked, "add \"identity\" to run_message.sandbox.capabilities in config/config_template.json"),
        (not_allowed, "the project asks for it, but the operator's ceiling does not allow it"),
    ] {
        let result = &results(&run.finish())[0];
        assert_eq!(result["kind"], "denied", "{result}");
        assert!(result["said"].as_str().unwrap().contains(says), "{result}");
    }
}
