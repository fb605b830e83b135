//! What is done to a browser's traffic: `config_proxy.rules` and `config_proxy.modifiers`.
//!
//! A rule says what becomes of requests, and the host does it without asking anybody. A modifier is a module of the
//! project (in Rust: a name in `armada::project!`) that is asked; it says for which URLs, and of which it gets the
//! bodies. A body that nobody asks for is never held.

use serde_json::{Map, Value};
use url::Url;

use crate::path::ValuePath;
use crate::proxy::PROXY;
use crate::setting::{Problem, unknown_key};
use crate::suggest::{found, quoted};
use crate::url_pattern::{UrlPattern, UrlPatternError};

/// The lists in the block of an agent's message.
pub(crate) const LISTS: [&str; 2] = [RULES, MODIFIERS];
const RULES: &str = "rules";
pub(crate) const MODIFIERS: &str = "modifiers";
/// The keys of a rule, of what it responds with, and of a modifier.
const RULE: [&str; 6] = ["urls", "block", "redirect", "respond", "request_headers", "response_headers"];
const RESPOND: [&str; 3] = ["status", "headers", "body"];
const MODIFIER: [&str; 3] = ["name", "urls", "bodies"];
/// Headers that carry a message, and that neither rules nor modifiers change; in lower case.
pub const FIXED_HEADERS: [&str; 8] = [
    "host",
    "content-length",
    "connection",
    "upgrade",
    "transfer-encoding",
    "te",
    "sec-websocket-key",
    "sec-websocket-accept",
];
/// How many rules, how many modifiers, and how many headers of a rule there may be.
const MOST: usize = 100;
/// How many URL patterns there may be in all.
const PATTERNS: usize = 200;

/// What is done to a browser's traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSettings {
    /// What the host does, in this order.
    pub rules: Vec<RuleSettings>,
    /// Who is asked then, in this order.
    pub modifiers: Vec<ModifierSettings>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// The URLs that it is for; all where none is given.
    pub urls: Vec<UrlPattern>,
    /// What becomes of their requests.
    pub action: RuleAction,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Nothing is sent; the request fails in the page.
    Block,
    /// Nothing is sent; the browser is told to ask for this URL instead.
    Redirect(String),
    /// Nothing is sent; the browser gets this.
    Respond {
        /// The HTTP status.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// It goes on with other headers: each is set in place of all of its name, or removed where there is no value.
    Headers {
        /// Those of the request.
        request: Vec<(String, Option<String>)>,
        /// Those of its response.
        response: Vec<(String, Option<String>)>,
    },
}

/// A modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifierSettings {
    /// Its name: a module of a Python project, or what `armada::project!` calls it.
    pub name: String,
    /// The URLs that it is asked about; all where none is given.
    pub urls: Vec<UrlPattern>,
    /// Those of them whose bodies it gets; none where none is given.
    pub bodies: Vec<UrlPattern>,
}

impl RuleSettings {
    /// Whether it is for a URL.
    pub fn is_for(&self, url: &str) -> bool {
        self.urls.is_empty() || any_matches(&self.urls, url)
    }
}

impl ModifierSettings {
    /// Whether it is asked about a URL.
    pub fn is_asked_about(&self, url: &str) -> bool {
        self.urls.is_empty() || any_matches(&self.urls, url)
    }

    /// Whether it gets the bodies of a URL.
    pub fn gets_body_of(&self, url: &str) -> bool {
        self.is_asked_about(url) && any_matches(&self.bodies, url)
    }
}

fn any_matches(patterns: &[UrlPattern], url: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(url))
}

impl TrafficSettings {
    /// Reads the rules and modifiers of a merged agent message.
    pub(crate) fn read(
        message: &Map<String, Value>,
        pattern: &mut dyn FnMut(&str) -> Result<Option<UrlPattern>, UrlPatternError>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut reader = Reader { patterns: 0, pattern, problems };
        Self {
            rules: reader.list(message, RULES, "such as [{\"urls\": [\"**/*.png\"], \"block\": true}]", Reader::rule),
            modifiers: reader.list(message, MODIFIERS, "such as [\"addon.prices\"]", Reader::modifier),
        }
    }
}

/// Reads values, and collects what is wrong with them.
struct Reader<'a> {
    /// How many URL patterns there were.
    patterns: usize,
    /// Reads one.
    pattern: &'a mut dyn FnMut(&str) -> Result<Option<UrlPattern>, UrlPatternError>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn list<T>(
        &mut self,
        message: &Map<String, Value>,
        name: &str,
        example: &str,
        mut read: impl FnMut(&mut Self, &Value, &ValuePath) -> Option<T>,
    ) -> Vec<T> {
        let path = ValuePath::of_keys([PROXY, name]);
        match message.get(PROXY).and_then(|block| block.get(name)) {
            None => Vec::new(),
            Some(Value::Array(entries)) if entries.len() <= MOST => {
                let entries = entries.iter().enumerate();
                entries.filter_map(|(index, entry)| read(self, entry, &path.index(index))).collect()
            }
            Some(Value::Array(_)) => {
                self.problems.push(Problem::of_value(&path, format!("more than {MOST} {name}")));
                Vec::new()
            }
            Some(other) => {
                let problem = Problem::of_value(&path, format!("expected a list of {name}, found {}", found(other)));
                self.problems.push(problem.help(example));
                Vec::new()
            }
        }
    }

    fn rule(&mut self, entry: &Value, path: &ValuePath) -> Option<RuleSettings> {
        let example = "such as {\"urls\": [\"**/*.png\"], \"block\": true}";
        let (members, is_understood) = self.members(entry, path, "a rule", example, &RULE)?;
        let urls = self.patterns(members, "urls", path);
        let headers = members.contains_key("request_headers") || members.contains_key("response_headers");
        let given = ["block", "redirect", "respond"].into_iter().filter(|key| members.contains_key(*key));
        let action = match (given.collect::<Vec<_>>().as_slice(), headers) {
            ([], true) => RuleAction::Headers {
                request: self.headers(members, "request_headers", path),
                response: self.headers(members, "response_headers", path),
            },
            (["block"], false) => match members.get("block") {
                Some(Value::Bool(true)) => RuleAction::Block,
                _ => return self.wrong(&path.key("block"), "`block` must be true, or the rule be left out"),
            },
            (["redirect"], false) => match members.get("redirect").and_then(Value::as_str) {
                Some(url) if is_web_url(url) => RuleAction::Redirect(url.to_owned()),
                _ => {
                    return self
                        .wrong(&path.key("redirect"), "`redirect` must be the http or https URL to go to instead");
                }
            },
            (["respond"], false) => self.respond(members.get("respond")?, &path.key("respond"))?,
            // What it does is what was misspelt.
            ([], false) if !is_understood => return None,
            _ => {
                let wrong = "a rule does one thing: `block`, `redirect`, `respond`, or `request_headers` and \
                             `response_headers`";
                return self.wrong(path, wrong);
            }
        };
        Some(RuleSettings { urls, action })
    }

    fn respond(&mut self, entry: &Value, path: &ValuePath) -> Option<RuleAction> {
        let example = "such as {\"status\": 200, \"headers\": {\"content-type\": \"text/plain\"}, \"body\": \"none\"}";
        let (members, _) = self.members(entry, path, "a response", example, &RESPOND)?;
        let status = match members.get("status").map_or(Some(200), Value::as_u64).map(u16::try_from) {
            Some(Ok(status @ 200..=599)) => status,
            _ => return self.wrong(&path.key("status"), "`status` must be an HTTP status from 200 to 599"),
        };
        let body = match members.get("body") {
            None => String::new(),
            Some(Value::String(body)) => body.clone(),
            Some(_) => return self.wrong(&path.key("body"), "`body` must be a text"),
        };
        let headers = self.headers(members, "headers", path);
        let valued = |(name, value): (String, Option<String>)| match value {
            Some(value) => Some((name, value)),
            None => self.wrong(&path.key("headers").key(&name), "a header of a response needs a value"),
        };
        Some(RuleAction::Respond { status, headers: headers.into_iter().filter_map(valued).collect(), body })
    }

    fn modifier(&mut self, entry: &Value, path: &ValuePath) -> Option<ModifierSettings> {
        if let Value::String(name) = entry
            && !name.is_empty()
        {
            return Some(ModifierSettings { name: name.clone(), urls: Vec::new(), bodies: Vec::new() });
        }
        let example = "or an object such as {\"name\": \"addon.prices\", \"bodies\": [\"**\"]}";
        let (members, is_understood) = self.members(entry, path, "the name of a module", example, &MODIFIER)?;
        let (urls, bodies) = (self.patterns(members, "urls", path), self.patterns(members, "bodies", path));
        let name = match members.get("name") {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            // The name is what was misspelt.
            None if !is_understood => return None,
            _ => return self.wrong(path, "a modifier needs a `name`: the module that has its functions"),
        };
        Some(ModifierSettings { name, urls, bodies })
    }

    /// The members of an object, and whether all of them are among these keys.
    fn members<'v>(
        &mut self,
        entry: &'v Value,
        path: &ValuePath,
        what: &str,
        example: &str,
        keys: &[&'static str],
    ) -> Option<(&'v Map<String, Value>, bool)> {
        let Value::Object(members) = entry else {
            let problem = Problem::of_value(path, format!("expected {what}, found {}", found(entry)));
            self.problems.push(problem.help(example));
            return None;
        };
        let unknown = members.keys().filter(|key| !keys.contains(&key.as_str()));
        let problems = unknown.map(|key| unknown_key(&path.key(key), key, keys.iter().copied()));
        let known = self.problems.len();
        self.problems.extend(problems);
        Some((members, self.problems.len() == known))
    }

    fn patterns(&mut self, members: &Map<String, Value>, key: &str, path: &ValuePath) -> Vec<UrlPattern> {
        let path = path.key(key);
        let texts = match members.get(key) {
            None => return Vec::new(),
            // Nobody who empties a list means that it is for everything.
            Some(Value::Array(texts)) if texts.is_empty() => {
                let absent = if key == "bodies" { "none" } else { "all URLs" };
                let problem = Problem::of_value(&path, format!("`{key}` has no URL pattern"));
                self.problems.push(problem.help(format!("leave it out for {absent}")));
                return Vec::new();
            }
            Some(Value::Array(texts)) => texts,
            Some(_) => {
                let wrong = format!("`{key}` must be a list of URL patterns such as \"**/api/*\"");
                return self.wrong(&path, wrong).unwrap_or_default();
            }
        };
        self.patterns = self.patterns.saturating_add(texts.len());
        if self.patterns > PATTERNS {
            return self.wrong(&path, format!("more than {PATTERNS} URL patterns in all")).unwrap_or_default();
        }
        let pattern = |(index, text): (usize, &Value)| match text.as_str().map(|text| (self.pattern)(text)) {
            Some(Ok(pattern)) => pattern,
            Some(Err(error)) => self.wrong(&path.index(index), format!("{error}")),
            None => self.wrong(&path.index(index), format!("expected a URL pattern, found {}", found(text))),
        };
        texts.iter().enumerate().filter_map(pattern).collect()
    }

    /// Headers by name; one without a value is null.
    fn headers(&mut self, members: &Map<String, Value>, key: &str, path: &ValuePath) -> Vec<(String, Option<String>)> {
        let path = path.key(key);
        match members.get(key) {
            None => Vec::new(),
            Some(Value::Object(headers)) if headers.len() <= MOST => {
                headers.iter().filter_map(|(name, value)| self.header(name, value, &path.key(name))).collect()
            }
            Some(Value::Object(_)) => self.wrong(&path, format!("more than {MOST} headers")).unwrap_or_default(),
            Some(_) => {
                let wrong =
                    format!("`{key}` must be an object of header names and values such as {{\"x-test\": \"1\"}}");
                self.wrong(&path, wrong).unwrap_or_default()
            }
        }
    }

    fn header(&mut self, name: &str, value: &Value, path: &ValuePath) -> Option<(String, Option<String>)> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || TOKEN.contains(&byte)) {
            let problem = Problem::of_key(path, format!("{} is no name for a header", quoted(name)));
            self.problems.push(problem.help("names have letters, digits and hyphens"));
            return None;
        }
        if FIXED_HEADERS.iter().any(|fixed| name.eq_ignore_ascii_case(fixed)) {
            let wrong = format!("the header `{name}` is not to be changed: it is what carries the message");
            self.problems.push(Problem::of_key(path, wrong));
            return None;
        }
        let value = match value {
            Value::Null => None,
            Value::String(text) if text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) => {
                Some(text.clone())
            }
            Value::String(_) => {
                return self
                    .wrong(path, format!("the value of the header `{name}` may only have printable ASCII characters"));
            }
            other => {
                let problem = Problem::of_value(
                    path,
                    format!("the value of the header `{name}` must be a text, found {}", found(other)),
                );
                let scalar = matches!(other, Value::Number(_) | Value::Bool(_));
                self.problems.push(if scalar {
                    problem.help(format!("write it in quotes: \"{other}\""))
                } else {
                    problem
                });
                return None;
            }
        };
        Some((name.to_owned(), value))
    }

    fn wrong<T>(&mut self, path: &ValuePath, wrong: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::of_value(path, wrong.into()));
        None
    }
}

/// What a header's name may have besides letters and digits (RFC 9110, 5.6.2).
const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~";

fn is_web_url(text: &str) -> bool {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    is_web && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) && Url::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn traffic(block: Value) -> Result<TrafficSettings, Vec<String>> {
        let Value::Object(message) = json!({"config_proxy": block}) else { panic!() };
        let mut problems = Vec::new();
        let traffic = TrafficSettings::read(&message, &mut |text| text.parse().map(Some), &mut problems);
        if problems.is_empty() { Ok(traffic) } else { Err(problems.iter().map(Problem::to_string).collect()) }
    }

    #[test]
    fn a_modifier_is_a_name_or_says_what_it_is_for() {
        let modifiers = json!(["addon.one", {"name": "addon.two", "urls": ["**/api/*"], "bodies": ["**"]}]);
        let read = traffic(json!({"modifiers": modifiers})).unwrap();
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<UrlPattern>>();
        let expected =
            [("addon.one", patterns(&[]), patterns(&[])), ("addon.two", patterns(&["**/api/*"]), patterns(&["**"]))];
        let expected = expected.map(|(name, urls, bodies)| ModifierSettings { name: name.to_owned(), urls, bodies });
        assert_eq!((read.modifiers.as_slice(), read.rules.len()), (expected.as_slice(), 0));
        assert_eq!(traffic(json!({})).unwrap(), TrafficSettings::default());
    }

    #[test]
    fn a_rule_does_one_thing() {
        let rules = json!([
            {"urls": ["**/*.png"], "block": true},
            {"redirect": "https://shop.example/"},
            {"respond": {"headers": {"content-type": "text/plain"}, "body": "no"}},
            {"request_headers": {"x-test": "1", "referer": null}, "response_headers": {"etag": null}},
        ]);
        let read = traffic(json!({"rules": rules})).unwrap().rules;
        let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(ToOwned::to_owned));
        let expected = [
            RuleAction::Block,
            RuleAction::Redirect("https://shop.example/".to_owned()),
            RuleAction::Respond {
                status: 200,
                headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
                body: "no".to_owned(),
            },
            RuleAction::Headers {
                request: vec![header("x-test", Some("1")), header("referer", None)],
                response: vec![header("etag", None)],
            },
        ];
        assert_eq!(read.iter().map(|rule| rule.action.clone()).collect::<Vec<_>>(), expected);
        assert_eq!((read[0].urls.as_slice(), read[1].urls.len()), (["**/*.png".parse().unwrap()].as_slice(), 0));
    }

    #[test]
    fn every_mistake_in_modifiers_is_told() {
        let modifiers = json!([1, "", {"name": "a", "url": []}, {"urls": []}, {"nam": "b"}, {"name": "c", "urls": "x", "bodies": [1, "re=["]}, {"name": "d", "bodies": []}]);
        assert_eq!(
            traffic(json!({"modifiers": modifiers})).unwrap_err(),
            [
                "config_proxy.modifiers[0]: expected the name of a module, found 1",
                "config_proxy.modifiers[1]: expected the name of a module, found the text \"\"",
                "config_proxy.modifiers[2].url: there is no setting \"url\"",
                "config_proxy.modifiers[3].urls: `urls` has no URL pattern",
                "config_proxy.modifiers[3]: a modifier needs a `name`: the module that has its functions",
                "config_proxy.modifiers[4].nam: there is no setting \"nam\"",
                "config_proxy.modifiers[5].urls: `urls` must be a list of URL patterns such as \"**/api/*\"",
                "config_proxy.modifiers[5].bodies[0]: expected a URL pattern, found 1",
                "config_proxy.modifiers[5].bodies[1]: the URL pattern is no good: unclosed character class",
                "config_proxy.modifiers[6].bodies: `bodies` has no URL pattern",
            ]
        );
        assert!(traffic(json!({"modifiers": "addon.one"})).is_err());
    }

    #[test]
    fn every_mistake_in_rules_is_told() {
        let one_thing =
            "a rule does one thing: `block`, `redirect`, `respond`, or `request_headers` and `response_headers`";
        for (rule, problem) in [
            (json!("block"), ": expected a rule, found the text \"block\"".to_owned()),
            (json!({"urls": ["**"]}), format!(": {one_thing}")),
            (json!({"block": true, "redirect": "https://a.example/"}), format!(": {one_thing}")),
            (json!({"block": true, "request_headers": {}}), format!(": {one_thing}")),
            (json!({"blok": true}), ".blok: there is no setting \"blok\"".to_owned()),
            (
                json!({"urls": ["re=("], "block": true}),
                ".urls[0]: the URL pattern is no good: unclosed group".to_owned(),
            ),
            (json!({"urls": [], "block": true}), ".urls: `urls` has no URL pattern".to_owned()),
            (
                json!({"redirect": "https://["}),
                ".redirect: `redirect` must be the http or https URL to go to instead".to_owned(),
            ),
            (json!({"block": false}), ".block: `block` must be true, or the rule be left out".to_owned()),
            (
                json!({"redirect": "javascript:1"}),
                ".redirect: `redirect` must be the http or https URL to go to instead".to_owned(),
            ),
            (
                json!({"respond": {"status": 101}}),
                ".respond.status: `status` must be an HTTP status from 200 to 599".to_owned(),
            ),
            (
                json!({"respond": {"headers": {"x": null}}}),
                ".respond.headers.x: a header of a response needs a value".to_owned(),
            ),
            (json!({"respond": {"body": 1}}), ".respond.body: `body` must be a text".to_owned()),
        ] {
            assert_eq!(traffic(json!({"rules": [rule]})).unwrap_err(), [format!("config_proxy.rules[0]{problem}")]);
        }
        for (headers, problem) in [
            (json!({"a b": "1"}), "[\"a b\"]: \"a b\" is no name for a header"),
            (json!({"Host": "x"}), ".Host: the header `Host` is not to be changed: it is what carries the message"),
            (json!({"x": 1}), ".x: the value of the header `x` must be a text, found 1"),
            (json!({"x": ["1"]}), ".x: the value of the header `x` must be a text, found a list"),
            (json!({"x": "a\r\nb: c"}), ".x: the value of the header `x` may only have printable ASCII characters"),
            (json!([]), ": `request_headers` must be an object of header names and values such as {\"x-test\": \"1\"}"),
        ] {
            let problems = traffic(json!({"rules": [{"request_headers": headers}]})).unwrap_err();
            assert_eq!(problems, [format!("config_proxy.rules[0].request_headers{problem}")]);
        }
        assert!(traffic(json!({"rules": {}})).is_err());
        assert!(traffic(json!({"rules": [{"urls": vec!["**"; 201], "block": true}]})).is_err());
        assert!(traffic(json!({"rules": vec![json!({"block": true}); 101]})).is_err());
    }
}
