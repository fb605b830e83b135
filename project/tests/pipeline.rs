//! Random configurations, written to files: either they are refused, or they come out as the reference has it.
//!
//! The model below is a translation of the reference's description, one function for each step, on data of its own. It
//! shares nothing with the crate but the JSON library.

#![cfg(test)]

use std::path::Path;

use armada_project::{Configuration, Mode, Overrides};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The steps of the reference.
mod reference {
    use super::{Map, Value};

    pub(super) fn replace_env_values(value: Value, tune: &Map<String, Value>) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix("$env_") {
                Some(name) => tune[name].clone(),
                None => Value::String(text),
            },
            Value::Array(items) => items.into_iter().map(|item| replace_env_values(item, tune)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| (key, replace_env_values(value, tune))).collect()
            }
            other => other,
        }
    }

    pub(super) fn parse_value(text: &str) -> Value {
        let like_object = text.starts_with('{') && text.ends_with('}');
        let like_list = text.starts_with('[') && text.ends_with(']');
        if !like_object && !like_list {
            return Value::from(text);
        }
        match serde_json::from_str(text) {
            Ok(parsed) => parse_inside(parsed),
            Err(_) => Value::from(text),
        }
    }

    fn parse_inside(value: Value) -> Value {
        match value {
            Value::String(text) => parse_value(&text),
            Value::Array(items) => items.into_iter().map(parse_inside).collect(),
            Value::Object(members) => members.into_iter().map(|(key, value)| (key, parse_inside(value))).collect(),
            other => other,
        }
    }

    pub(super) fn parse_csv_to_list(header: &[String], rows: &[Vec<String>]) -> Vec<Map<String, Value>> {
        let tagged = rows.iter().enumerate().map(|(index, cells)| {
            let mut row: Map<String, Value> =
                header.iter().zip(cells).map(|(key, cell)| (key.clone(), parse_value(cell))).collect();
            row.insert("targetted_job".to_owned(), index.into());
            row
        });
        tagged.collect()
    }

    fn merge_dicts(default: &mut Map<String, Value>, overriding: &Map<String, Value>) {
        for (key, value) in overriding {
            if let (Value::Object(value), Some(Value::Object(default))) = (value, default.get_mut(key)) {
                merge_dicts(default, value);
            } else {
                default.insert(key.clone(), value.clone());
            }
        }
    }

    pub(super) fn merge_messages(
        default: &Map<String, Value>,
        number: usize,
        rows: &[Map<String, Value>],
    ) -> Vec<Map<String, Value>> {
        let mut messages = vec![default.clone(); number];
        for (message, row) in messages.iter_mut().zip(rows) {
            merge_dicts(message, row);
        }
        messages
    }
}

#[derive(Clone, Debug)]
struct Case {
    default: Map<String, Value>,
    tune: Map<String, Value>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    more: usize,
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers only", |number| number.is_finite()).prop_map(Value::from),
        "[a-z,\"\n é]{0,6}".prop_map(Value::from),
        // Strings that are read again, some of which are not JSON.
        Just(Value::from(r#"{"a": "[\"{}\", 1]"}"#)),
        Just(Value::from("[1, 2")),
        Just(Value::from("{a}")),
    ]
}

fn object_of<S: Strategy<Value = Value>>(values: S) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(("[a-e]", values), 0..5).prop_map(|members| members.into_iter().collect())
}

fn value(leaf: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object_of(inner).prop_map(Value::from),
        ]
    })
}

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9,\"\n\r é]{0,8}",
        object_of(value(leaf())).prop_map(|object| Value::from(object).to_string()),
        prop::collection::vec(value(leaf()), 0..4).prop_map(|list| Value::from(list).to_string()),
        Just(" {no json}".to_owned()),
        Just("{\"half\": ".to_owned()),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let with_placeholders = prop_oneof![3 => leaf(), 1 => "[A-D]".prop_map(|name| json!(format!("$env_{name}")))];
    let default = object_of(value(with_placeholders));
    let tune = prop::collection::vec(value(leaf()), 4).prop_map(|values| {
        ["A", "B", "C", "D"].iter().zip(values).map(|(name, value)| ((*name).to_owned(), value)).collect::<Map<_, _>>()
    });
    let header = prop::sample::subsequence(vec!["a", "b", "c", "é \"x\", y", "z"], 1..=5).prop_shuffle();
    (default, tune, header, 0..3usize).prop_flat_map(|(default, tune, header, more)| {
        let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
        let row = prop::collection::vec(cell(), header.len());
        prop::collection::vec(row, 0..5).prop_map(move |rows| Case {
            default: default.clone(),
            tune: tune.clone(),
            header: header.clone(),
            rows,
            more,
        })
    })
}

fn write(root: &Path, file: &str, content: &[u8]) {
    std::fs::create_dir_all(root.join("config")).unwrap();
    std::fs::write(root.join("config").join(file), content).unwrap();
}

fn write_csv(case: &Case) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_record(&case.header).unwrap();
    for row in &case.rows {
        writer.write_record(row).unwrap();
    }
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_the_references(case in case()) {
        let folder = tempfile::tempdir().unwrap();
        let number = (case.rows.len() + case.more).max(1);
        let template = json!({"run_message": {"number_of_jobs": number}, "default_job_message": case.default});
        write(folder.path(), "config_template.json", template.to_string().as_bytes());
        write(folder.path(), "config_local.json", Value::from(case.tune.clone()).to_string().as_bytes());
        write(folder.path(), "data_job.csv", &write_csv(&case));

        let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()).unwrap();
        let Value::Object(default) = reference::replace_env_values(case.default.clone().into(), &case.tune) else { panic!() };
        let rows = reference::parse_csv_to_list(&case.header, &case.rows);
        let expected: Vec<String> = reference::merge_messages(&default, number, &rows)
            .iter()
            .map(|message| serde_json::to_string(message).unwrap())
            .collect();

        let maps: Vec<String> =
            configuration.jobs().map(|message| serde_json::to_string(&message.unwrap()).unwrap()).collect();
        prop_assert_eq!(&maps, &expected);
        let (mut jobs, mut lines) = (configuration.jobs(), Vec::new());
        while let Some(written) = jobs.write_line(&mut lines) {
            written.unwrap();
        }
        prop_assert_eq!(String::from_utf8(lines).unwrap(), expected.join("\n") + "\n");
        for (index, expected) in (0..).zip(&expected) {
            prop_assert_eq!(&serde_json::to_string(&configuration.job_message(index).unwrap()).unwrap(), expected);
            // Put together again, the explained values are the message.
            for explained in configuration.explain_job(index).unwrap() {
                let pointer: String = explained.path.steps().iter().map(|step| match step {
                    armada_project::Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                    armada_project::Step::Index(index) => format!("/{index}"),
                }).collect();
                let message: Value = serde_json::from_str(expected).unwrap();
                prop_assert_eq!(message.pointer(&pointer), Some(&explained.value));
            }
        }
        prop_assert!(configuration.job_message(number as u64).is_err());
    }

    #[test]
    fn any_files_are_resolved_or_refused(
        template in hostile(),
        tune in hostile(),
        agents in hostile_csv(),
        jobs in hostile_csv(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "config_template.json", &template);
        write(folder.path(), "config_local.json", &tune);
        write(folder.path(), "data_agent.csv", &agents);
        write(folder.path(), "data_job.csv", &jobs);
        match Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()) {
            Ok(configuration) => {
                let count = configuration.agents().chain(configuration.jobs()).filter(|message| message.is_ok()).count();
                prop_assert_eq!(count as u64, u64::from(configuration.number_of_agents()) + configuration.number_of_jobs());
                configuration.explain_run();
                configuration.explain_agent(0).unwrap();
                configuration.explain_job(0).unwrap();
            }
            Err(mistakes) => {
                prop_assert!(mistakes.count() > 0);
                for mistake in mistakes.iter() {
                    let mut shown = String::new();
                    miette::GraphicalReportHandler::new().render_report(&mut shown, mistake).unwrap();
                    prop_assert!(!shown.contains("Failed to read contents"), "{}", shown);
                    prop_assert!(!mistake.to_string().contains(|c: char| c.is_control()), "{mistake:?}");
                }
            }
        }
    }
}

/// Bytes that some part of reading a configuration will stumble on.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        "\r",
        "\u{feff}",
        "\u{1b}",
        "1",
        "1e999",
        "-",
        "null",
        "true",
        "\"$env_A\"",
        "\"$env_\"",
        "\"run_message\":{",
        "\"default_agent_message\":{",
        "\"default_job_message\":{",
        "\"sandbox\":{",
        "\"limits\":{",
        "\"pages\":",
        "\"config_fantomas\":{",
        "\"config_browser\":{",
        "\"A\":1",
        "\"number_of_jobs\":",
        "\"capabilities\":[",
        "\"allowed_hosts\":[\"*.x:*\",\"::\",\"é\"]",
        "{}",
        "[]",
    ]);
    prop_oneof![
        4 => prop::collection::vec(words, 0..20).prop_map(|words| words.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => object_of(value(leaf())).prop_map(|object| json!({"default_agent_message": object}).to_string().into_bytes()),
        1 => Just(br#"{"default_agent_message":{"a":"$env_A"},"default_job_message":{}}"#.to_vec()),
    ]
}

fn hostile_csv() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "a",
        "b",
        ",",
        ",",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\"",
        "\"\"",
        "{",
        "}",
        "[",
        "]",
        "{}",
        "\"{\"\"a\"\":1}\"",
        " ",
        "\u{feff}",
        "\u{1b}",
        "é",
        "1",
        "0",
        "targetted_job",
        "targetted_agent",
        "run_id",
        "config_fantomas",
        "\"{\"\"config_browser\"\":1}\"",
    ]);
    prop_oneof![
        4 => prop::collection::vec(words, 0..24).prop_map(|words| words.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}
