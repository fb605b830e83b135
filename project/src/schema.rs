//! The JSON Schema of `config_template.json`, so that editors complete and check it while it is written.
//!
//! It is made from the same tables that the checks use. Every value with a type may also be a `$env_…` placeholder,
//! since the schema sees the template before it is filled in.

use serde_json::{Map, Value, json};

use crate::browser::{BROWSER, BrowserOptions, FLAGS, HONOURED_FLAGS, OUTER, SCREEN, ScreenSettings};
use crate::capability::Capability;
use crate::fingerprint::{self, FingerprintSettings};
use crate::identity::{self, IdentitySettings};
use crate::lendable::Lendable;
use crate::limits::Limits;
use crate::proxy::{PROXY, ProxySettings};
use crate::resolve::{Counts, SANDBOX};
use crate::sandbox;
use crate::setting::{Kind, Preset, Setting};
use crate::suggest::list;
use crate::template::SECTIONS;

/// What names the dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema (2020-12) of `config_template.json`.
pub fn template_schema() -> Value {
    let mut run = properties(Counts::TABLE);
    run.insert(SANDBOX.to_owned(), sandbox_schema());
    let contents = [run, agent_properties(), Map::new()];
    let mut sections: Map<String, Value> = SECTIONS
        .iter()
        .zip(contents)
        .map(|((name, meaning), properties)| ((*name).to_owned(), open_object(meaning, properties)))
        .collect();
    sections.insert(
        "$schema".to_owned(),
        json!({ "type": "string", "description": "Where editors find this schema; Armada ignores it." }),
    );
    json!({
        "$schema": DIALECT,
        "title": "Configuration template of an Armada project",
        "description": "Defaults of a run, its agents and its jobs. A string that starts with `$env_` is replaced by \
                        the value of that name in config_local.json or config_distant.json.",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
        "$defs": {
            "placeholder": {
                "type": "string",
                "pattern": "^\\$env_.",
                "description": "The value of this name in config_local.json or config_distant.json.",
            },
        },
    })
}

fn sandbox_schema() -> Value {
    let names = Capability::ALL.iter().map(|capability| capability.name());
    let meanings: Vec<Value> = Capability::ALL
        .iter()
        .map(|capability| json!({ "const": capability.name(), "description": capability.meaning() }))
        .collect();
    let contents = [
        json!({ "type": "array", "items": or_placeholder(json!({ "oneOf": meanings })), "examples": [names.collect::<Vec<_>>()] }),
        json!({
            "type": "array",
            "items": or_placeholder(json!({
                "type": "string",
                "pattern": "^[^\\s/\\\\?#@%$]+$",
                "description": "A host such as `example.com`, `example.com:8080`, `example.com:*`, `*.example.com`, \
                                `127.0.0.1`, `[::1]:8000`, or `*` for any.",
            })),
        }),
        json!({ "type": "object", "properties": properties(Limits::TABLE), "additionalProperties": false }),
    ];
    let names = json!({
        "type": "array",
        "items": or_placeholder(json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$" })),
    });
    let lendable = Lendable::ALL.into_iter().map(|kind| ((kind.key(), kind.meaning()), names.clone()));
    let members: Map<String, Value> = sandbox::KEYS
        .into_iter()
        .zip(contents)
        .chain(lendable)
        .map(|((name, meaning), schema)| (name.to_owned(), described(meaning, or_placeholder(schema))))
        .collect();
    let schema = json!({ "type": "object", "properties": members, "additionalProperties": false });
    described(
        "What the project asks to be allowed, and its limits. Nothing is allowed where it is absent.",
        or_placeholder(schema),
    )
}

fn agent_properties() -> Map<String, Value> {
    let mut browser = properties(BrowserOptions::TABLE);
    let flags = HONOURED_FLAGS.iter().map(|(flag, _)| *flag);
    let flags = described(
        &format!("Chromium flags. Honoured are {}; others are ignored.", list(flags)),
        or_placeholder(json!({ "type": "array", "items": or_placeholder(json!({ "type": "string" })) })),
    );
    browser.insert(FLAGS.to_owned(), flags);
    let mut proxy = properties(ProxySettings::TABLE);
    proxy.extend(traffic());
    let blocks: Map<String, Value> = [
        (SCREEN, open_object("The screen of the agent's browser.", properties(ScreenSettings::TABLE))),
        (BROWSER, open_object("How the agent's browser is started and used.", browser)),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect();
    [
        (OUTER, open_object("The agent's browser.", blocks)),
        (fingerprint::KEY, open_object("The device that the browser shows.", properties(FingerprintSettings::TABLE))),
        (identity::KEY, open_object("The people that are made up.", properties(IdentitySettings::TABLE))),
        (PROXY, open_object("The agent's way out.", proxy)),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

/// What is done to a browser's traffic.
fn traffic() -> Map<String, Value> {
    let urls =
        |meaning: &str| described(meaning, json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }));
    let headers = |meaning: &str| {
        described(meaning, json!({ "type": "object", "additionalProperties": { "type": ["string", "null"] } }))
    };
    let rule = json!({
        "type": "object",
        "properties": {
            "urls": urls("The URLs that it is for, as patterns; all where it is absent."),
            "block": { "const": true, "description": "The request fails in the page." },
            "redirect": { "type": "string", "description": "The URL that the browser is told to ask for instead." },
            "respond": {
                "type": "object",
                "description": "What the browser gets; nothing is sent.",
                "properties": {
                    "status": { "type": "integer", "minimum": 200, "maximum": 599, "default": 200 },
                    "headers": { "type": "object", "additionalProperties": { "type": "string" } },
                    "body": { "type": "string" },
                },
                "additionalProperties": false,
            },
            "request_headers": headers("Headers of the request that are set, or removed where they are null."),
            "response_headers": headers("Headers of the response that are set, or removed where they are null."),
        },
        "additionalProperties": false,
    });
    let modifier = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "The module that has its functions." },
            "urls": urls("The URLs that it is asked about, as patterns; all where it is absent."),
            "bodies": urls("Those of them whose bodies it gets, as patterns; none where it is absent."),
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    let list = |meaning: &str, item: Value| {
        described(meaning, or_placeholder(json!({ "type": "array", "items": or_placeholder(item) })))
    };
    let rules = "What the host does to the browser's traffic, in this order. Needs the capability `proxy`.";
    let modifiers =
        "Modules of the project that change the browser's traffic, in this order. Needs the capability `proxy`.";
    Map::from_iter([
        ("rules".to_owned(), list(rules, rule)),
        ("modifiers".to_owned(), list(modifiers, json!({ "anyOf": [{ "type": "string" }, modifier] }))),
    ])
}

/// An object that may have other keys too.
fn open_object(meaning: &str, properties: Map<String, Value>) -> Value {
    described(meaning, or_placeholder(json!({ "type": "object", "properties": properties })))
}

fn properties(table: &[Setting]) -> Map<String, Value> {
    table.iter().map(|setting| (setting.name.to_owned(), property(setting))).collect()
}

fn property(setting: &Setting) -> Value {
    let schema = match setting.kind {
        Kind::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::OldSwitch => json!({ "enum": [true, false, 1, 0] }),
        Kind::Text(form) => json!({ "type": "string", "pattern": form.pattern() }),
    };
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" Unit: {}.", setting.unit) };
    let mut schema = described(&format!("{}{unit}", setting.meaning), or_placeholder(schema));
    let default = setting.default.map(|preset| match preset {
        Preset::Whole(number) => json!(number),
        Preset::Number(number) => json!(number),
        Preset::Switch(on) => json!(on),
    });
    if let (Some(default), Value::Object(members)) = (default, &mut schema) {
        members.insert("default".to_owned(), default);
    }
    schema
}

fn or_placeholder(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/placeholder" }] })
}

fn described(meaning: &str, schema: Value) -> Value {
    let mut members = Map::new();
    members.insert("description".to_owned(), meaning.into());
    if let Value::Object(schema) = schema {
        members.extend(schema);
    }
    Value::Object(members)
}
