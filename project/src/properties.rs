//! Properties of the parts, on input that nobody thought of.
//!
//! What the whole does with random configurations is in `tests/pipeline.rs`.

use proptest::prelude::*;
use serde_json::{Map, Value};
use url::Url;

use crate::host_pattern::HostPattern;
use crate::json::{looks_like_json, read, read_cell, read_value};
use crate::merge::{Observer, Unobserved, merge};
use crate::node::Source;
use crate::path::{Step, ValuePath};
use crate::text::{SourceFile, Span};

/// Any JSON value that this crate can hold, up to some levels deep.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers only", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[{\\[][ -~]{0,12}[}\\]]".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            object_of(inner).prop_map(Value::from),
        ]
    })
}

/// An object whose keys often meet those of another.
fn object_of(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((prop_oneof!["[abc]", any::<String>()], values), 0..5)
        .prop_map(|members| members.into_iter().collect())
}

/// Text that is nearly JSON: some, with a part of it replaced.
fn nearly_json() -> impl Strategy<Value = String> {
    (
        json(),
        any::<prop::sample::Index>(),
        0..4usize,
        prop_oneof![Just(String::new()), "[ -~\n\\\\\"{}\\[\\],:0-9eE.+-]{0,3}"],
    )
        .prop_map(|(value, at, length, put)| {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
            text.into_iter().collect()
        })
}

/// The merge in the fewest words, copying as it likes.
fn plain_merge(default: &mut Map<String, Value>, overriding: &Map<String, Value>) {
    for (key, value) in overriding {
        let both = value.is_object() && default.contains_key(key) && default[key].is_object();
        if both {
            let Value::Object(inner) = default.get_mut(key).unwrap() else { panic!() };
            plain_merge(inner, value.as_object().unwrap());
        } else {
            default.insert(key.clone(), value.clone());
        }
    }
}

/// The text of a value, which tells the order of keys and every digit.
fn text(value: &Map<String, Value>) -> String {
    serde_json::to_string(value).unwrap()
}

#[derive(Default)]
struct Log {
    here: ValuePath,
    replaced: Vec<ValuePath>,
}

impl Observer for Log {
    fn enter(&mut self, key: &str) {
        self.here.push(Step::Key(key.to_owned()));
    }
    fn leave(&mut self) {
        self.here.pop();
    }
    fn replaced(&mut self) {
        self.replaced.push(self.here.clone());
    }
}

/// Follows a path of keys.
fn at<'a>(value: &'a Map<String, Value>, path: &ValuePath) -> Option<&'a Value> {
    let mut steps = path.steps().iter().map(|step| match step {
        Step::Key(key) => key,
        Step::Index(_) => panic!("a merge does not look into lists"),
    });
    let first = value.get(steps.next()?)?;
    steps.try_fold(first, |value, key| value.get(key))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_does_what_the_plain_one_does(default in object_of(json()), row in object_of(json())) {
        let (mut ours, mut theirs) = (default.clone(), default);
        merge(&mut ours, row.clone(), &mut Unobserved);
        plain_merge(&mut theirs, &row);
        prop_assert_eq!(text(&ours), text(&theirs));
    }

    #[test]
    fn merging_the_same_row_twice_changes_nothing_more(default in object_of(json()), row in object_of(json())) {
        let mut once = default;
        merge(&mut once, row.clone(), &mut Unobserved);
        let mut twice = once.clone();
        merge(&mut twice, row, &mut Unobserved);
        prop_assert_eq!(text(&once), text(&twice));
    }

    #[test]
    fn keys_keep_their_order_and_new_ones_come_last(default in object_of(json()), row in object_of(json())) {
        let before: Vec<String> = default.keys().cloned().collect();
        let added: Vec<String> = row.keys().filter(|key| !default.contains_key(*key)).cloned().collect();
        let mut merged = default;
        merge(&mut merged, row, &mut Unobserved);
        prop_assert_eq!(merged.keys().cloned().collect::<Vec<_>>(), [before, added].concat());
    }

    #[test]
    fn what_is_observed_is_what_came_from_the_row(default in object_of(json()), row in object_of(json())) {
        let (mut watched, mut plain, mut log) = (default.clone(), default, Log::default());
        merge(&mut watched, row.clone(), &mut log);
        merge(&mut plain, row.clone(), &mut Unobserved);
        prop_assert_eq!(text(&watched), text(&plain));
        for path in &log.replaced {
            prop_assert_eq!(at(&watched, path), at(&row, path));
        }
        prop_assert_eq!(log.here, ValuePath::default());
    }

    #[test]
    fn json_comes_back_as_it_was_written(value in json()) {
        for written in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert_eq!(read_value(&written).unwrap().to_string(), value.to_string());
            prop_assert_eq!(read(&written, Source::Template).0.unwrap().to_value().to_string(), value.to_string());
        }
    }

    #[test]
    fn what_is_read_is_json_and_what_is_not_read_is_not_or_would_lose_something(written in nearly_json()) {
        let theirs: Result<Value, _> = serde_json::from_str(&written);
        match (read_value(&written), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.to_string(), theirs.to_string()),
            (Ok(ours), Err(error)) => prop_assert!(false, "{ours} was read from {written:?}, but: {error}"),
            (Err(faults), theirs) => {
                prop_assert!(!faults.is_empty());
                prop_assert!(theirs.is_err() || faults.iter().all(|fault| !fault.syntax), "{written:?}: {faults:?}");
            }
        }
    }

    #[test]
    fn faults_lie_inside_the_text_and_can_be_shown(written in prop_oneof![nearly_json(), any::<String>()]) {
        let file = SourceFile::new("f", written);
        for fault in read(file.text(), Source::Template).1 {
            prop_assert!(fault.span.end <= file.text().len());
            prop_assert!(file.text().get(fault.span.start..fault.span.end).is_some());
            let mistake = fault.in_file(&file);
            let mut shown = String::new();
            miette::GraphicalReportHandler::new().render_report(&mut shown, &mistake).unwrap();
            prop_assert!(!shown.contains("Failed to read contents"), "{}", shown);
        }
    }

    #[test]
    fn any_place_of_any_text_has_a_line_and_column(written in "(?s).{0,200}", start: usize, length in 0..50usize) {
        let file = SourceFile::new("f", written);
        let start = start % (file.text().len() + 1);
        let position = file.position(start);
        let before = String::from_utf8_lossy(&file.text().as_bytes()[..start]).into_owned();
        prop_assert_eq!(position.line as usize, before.matches('\n').count() + 1);
        let mut shown = String::new();
        let mistake = file.mistake(Span::new(start, start + length), "wrong");
        miette::GraphicalReportHandler::new().render_report(&mut shown, &mistake).unwrap();
        prop_assert!(!shown.contains("Failed to read contents"), "{}", shown);
    }

    #[test]
    fn texts_in_a_cell_that_are_json_are_read_again(value in json()) {
        let cell = value.to_string();
        prop_assume!(looks_like_json(&cell));
        // A string in a cell may look like JSON that would lose something, which is a mistake here.
        if let Ok(read) = read_cell(&cell, 0) {
            prop_assert_eq!(read.to_string(), plain_parse(value).to_string());
        }
    }

    #[test]
    fn any_cell_is_read_or_refused(cell in prop_oneof!["[{\\[](?s).{0,40}[}\\]]", nearly_json()]) {
        if looks_like_json(&cell) && let Err(faults) = read_cell(&cell, 0) {
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.iter().all(|fault| fault.span.end <= cell.len()));
        }
    }

    #[test]
    fn a_host_pattern_is_its_text(text in any_host()) {
        if let Ok(pattern) = text.parse::<HostPattern>() {
            let canonical = pattern.to_string();
            prop_assert_eq!(canonical.parse::<HostPattern>(), Ok(pattern.clone()));
            prop_assert_eq!(serde_json::from_str::<HostPattern>(&serde_json::to_string(&pattern).unwrap()).unwrap(), pattern);
        }
    }

    #[test]
    fn the_pattern_for_a_url_allows_it_and_no_other_host(one in any_url(), two in any_url()) {
        let (Ok(one), Ok(two)) = (Url::parse(&one), Url::parse(&two)) else { return Ok(()) };
        let Some(pattern) = HostPattern::for_url(&one) else {
            let host = one.host_str().unwrap_or_default();
            let is_name = !host.is_empty() && host.trim_end_matches('.') == host && host.split('.').all(|label| !label.is_empty());
            prop_assert!(!is_name || one.port() == Some(0) || !matches!(one.scheme(), "http" | "https" | "ws" | "wss"));
            return Ok(());
        };
        prop_assert!(pattern.allows(&one));
        prop_assert_eq!(pattern.to_string().parse::<HostPattern>().unwrap(), pattern.clone());
        let without_root = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
        if pattern.allows(&two) {
            prop_assert_eq!(without_root(&one), without_root(&two));
            prop_assert!(matches!(two.scheme(), "http" | "https" | "ws" | "wss"));
        }
    }

    #[test]
    fn sub_domains_end_in_the_domain(name in "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}", url in any_url()) {
        let (Ok(pattern), Ok(url)) = (format!("*.{name}:*").parse::<HostPattern>(), Url::parse(&url)) else { return Ok(()) };
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        if pattern.allows(&url) {
            let domain = format!(".{name}");
            prop_assert!(host.ends_with(&domain));
        }
    }
}

/// What a cell means: a text inside it that is JSON again is read again.
fn plain_parse(value: Value) -> Value {
    match value {
        Value::String(text)
            if text.starts_with('{') && text.ends_with('}') || text.starts_with('[') && text.ends_with(']') =>
        {
            serde_json::from_str(&text).map(plain_parse).unwrap_or(Value::String(text))
        }
        Value::Array(items) => items.into_iter().map(plain_parse).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, plain_parse(value))).collect(),
        other => other,
    }
}

fn any_host() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(\\*\\.)?[a-zA-Z0-9.é_-]{0,12}(:[0-9*]{0,6})?",
        "[0-9x.]{1,16}(:[0-9]{1,5})?",
        "\\[[0-9a-f:.]{0,20}\\](:[0-9*]{0,5})?",
    ]
}

fn any_url() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(http|https|ws|wss|ftp|file|about|data|javascript)://([a-c]{1,2}@)?[a-c]{1,2}(\\.[a-c]{1,2}){0,3}\\.?(:(80|443|8080))?/[ -~]{0,5}",
        "https?://[0-9x.]{1,12}/",
        "https?://\\[[0-9a-f:]{2,20}\\](:[0-9]{1,5})?/",
    ]
}

#[test]
fn nesting_stops_where_other_readers_still_follow() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read_value(&nested(120)).is_ok());
    assert!(read_value(&nested(121)).is_err());
    assert!(read_value(&"[".repeat(1_000_000)).is_err());
    assert!(read_value(&"{\"a\":".repeat(1_000_000)).is_err());
    assert!(serde_json::from_str::<Value>(&format!("[[[[{}]]]]", nested(120))).is_ok());
}
