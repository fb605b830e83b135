//! The OpenAPI document: it is what it was, unless somebody looks at the difference, and what it says is so.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Server;

#[test]
fn the_document_is_as_before() {
    let document = super::super::routes().to_openapi();
    let mut document = serde_json::to_value(document).unwrap();
    document["info"]["version"] = "".into();
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn every_route_answers_as_it_is_documented() {
    let server = Server::start().await;
    let document = server.get("/api/openapi.json").await.json();
    let run = server.run().await;
    let job = server.job(&run).await;
    let event = server.event(&job, "seen").await["event_uuid"].as_str().unwrap().to_owned();
    let mut asked = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        let path = template
            .replace("{run_uuid}", &run)
            .replace("{job_uuid}", &job)
            .replace("{event_uuid}", &event)
            .replace("{name}", "page.png")
            .replace("{digest}", &format!("sha256:{}", "0".repeat(64)));
        for (method, operation) in operations.as_object().unwrap() {
            // What it removes, the others need.
            if method == "delete" {
                continue;
            }
            let query =
                if template == "/api/events" && method == "get" { format!("?run_uuid={run}") } else { String::new() };
            let body = operation.get("requestBody").map(|_| body(template, &run, &job));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = server.ask(method.clone(), &format!("{path}{query}"), &[], body).await;
            let documented = followed(&operation["responses"][answer.status.as_str()], &document);
            assert!(documented.is_object(), "{method} {path} answers {}: {}", answer.status, answer.text());
            assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.text());
            let media_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
            if let (Some(media_type), Some(content)) = (media_type, documented["content"].as_object()) {
                let media_type = media_type.split(';').next().unwrap();
                assert!(content.contains_key(media_type), "{method} {path} answers {media_type}");
                if let Some(schema) = content[media_type].get("schema").filter(|_| media_type.ends_with("json")) {
                    assert_is(&answer.json(), schema, &document, &format!("{method} {path}"));
                }
            }
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    server.stop().await;
}

fn body(template: &str, run: &str, job: &str) -> Value {
    match template {
        "/api/runs" => json!({ "run_uuid": run }),
        "/api/jobs" => json!({ "run_uuid": run }),
        "/api/jobs/status" => json!({ "job_uuid": job, "job_status": "Running" }),
        "/api/events" => json!({ "job_uuid": job, "event_content": "seen" }),
        _ => json!({}),
    }
}

/// What is said here, or where this points to.
fn followed<'d>(said: &'d Value, document: &'d Value) -> &'d Value {
    let Some(name) = said["$ref"].as_str() else { return said };
    document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not documented"))
}

/// Everything that a document points to.
fn references(said: &Value) -> Vec<&Value> {
    match said {
        Value::Object(members) => {
            let nested = members.values().flat_map(references);
            members.get("$ref").map(|_| said).into_iter().chain(nested).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// That a value is what a schema says, as far as names, types and words go.
fn assert_is(value: &Value, schema: &Value, document: &Value, place: &str) {
    let schema = followed(schema, document);
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.iter().any(|known| known == is), "{place} is {is}, documented as {types:?}");
    if let Value::Array(items) = value {
        for item in items {
            assert_is(item, &schema["items"], document, &format!("{place}[]"));
        }
    }
    if let (Value::Object(members), Some(properties)) = (value, schema["properties"].as_object()) {
        for (name, member) in members {
            let schema = properties.get(name).unwrap_or_else(|| panic!("{place}.{name} is not documented"));
            assert_is(member, schema, document, &format!("{place}.{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().unwrap()), "{place} has no {name}");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_and_points_to_nothing_that_it_has_not() {
    let server = Server::start().await;
    let answer = server.get("/tracking/api/openapi.json/").await;
    assert_eq!(answer.status, StatusCode::OK);
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let references = references(&document);
    assert!(references.len() > 100);
    for reference in references {
        assert!(followed(reference, &document).is_object());
    }
    server.stop().await;
}
