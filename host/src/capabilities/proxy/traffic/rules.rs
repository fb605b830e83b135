//! Rules: what the host does to traffic without asking anybody, `config_proxy.rules`.

use armada_project::{RuleAction, RuleSettings};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};

use crate::capabilities::proxy::body::{Body, whole};

/// The rules of an agent, in their order.
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    settings: RuleSettings,
    action: Action,
}

enum Action {
    Block,
    Answer { status: StatusCode, headers: HeaderMap, body: Bytes },
    Headers { request: Vec<Change>, response: Vec<Change> },
}

/// A header that is set, or removed.
type Change = (HeaderName, Option<HeaderValue>);

/// What a rule does with a request instead of sending it.
pub(super) enum Instead {
    /// It fails, because of this rule.
    Block(String),
    /// The browser gets this.
    Answer(Response<Body>),
}

impl Rules {
    /// The rules of these settings. Says what makes no sense.
    pub(super) fn new(settings: &[RuleSettings]) -> Result<Self, String> {
        let rule = |(index, settings): (usize, &RuleSettings)| {
            let action = Action::new(&settings.action);
            let action = action.map_err(|error| format!("config_proxy.rules[{index}]: {error}"))?;
            Ok(Rule { settings: settings.clone(), action })
        };
        settings.iter().enumerate().map(rule).collect::<Result<_, String>>().map(Self)
    }

    fn of<'a>(&'a self, url: &'a str) -> impl Iterator<Item = (usize, &'a Action)> {
        let rules = self.0.iter().enumerate();
        let matching = rules.filter(move |(_, rule)| rule.settings.is_for(url));
        matching.map(|(index, rule)| (index, &rule.action))
    }

    /// Whether there is any for a URL.
    pub(super) fn are_there_for(&self, url: &str) -> bool {
        self.of(url).next().is_some()
    }

    /// Changes the headers of a request, up to the rule that has something else done instead of sending it.
    pub(super) fn request(&self, url: &str, headers: &mut HeaderMap) -> Option<Instead> {
        for (index, action) in self.of(url) {
            match action {
                Action::Block => return Some(Instead::Block(format!("config_proxy.rules[{index}] blocks it"))),
                Action::Answer { status, headers, body } => {
                    let mut response = Response::new(whole(body.clone()));
                    *response.status_mut() = *status;
                    response.headers_mut().clone_from(headers);
                    return Some(Instead::Answer(response));
                }
                Action::Headers { request, .. } => change(headers, request),
            }
        }
        None
    }

    /// Changes the headers of a response.
    pub(super) fn response(&self, url: &str, headers: &mut HeaderMap) {
        for (_, action) in self.of(url) {
            if let Action::Headers { response, .. } = action {
                change(headers, response);
            }
        }
    }
}

impl Action {
    fn new(settings: &RuleAction) -> Result<Self, String> {
        let named = |name: &str| name.parse::<HeaderName>().map_err(|_| format!("{name:?} is no name for a header"));
        let valued =
            |value: &str| HeaderValue::from_str(value).map_err(|_| "a header has an impossible value".to_owned());
        let changes = |changes: &[(String, Option<String>)]| {
            let change = |(name, value): &(String, Option<String>)| {
                Ok((named(name)?, value.as_deref().map(valued).transpose()?))
            };
            changes.iter().map(change).collect::<Result<Vec<_>, String>>()
        };
        Ok(match settings {
            RuleAction::Block => Self::Block,
            RuleAction::Redirect(url) => {
                let headers = [(LOCATION, valued(url)?), (CONTENT_LENGTH, 0.into())].into_iter().collect();
                Self::Answer { status: StatusCode::TEMPORARY_REDIRECT, headers, body: Bytes::new() }
            }
            RuleAction::Respond { status, headers, body } => {
                let status = StatusCode::from_u16(*status).map_err(|_| format!("{status} is no HTTP status"))?;
                let mut all = HeaderMap::new();
                for (name, value) in headers {
                    all.append(named(name)?, valued(value)?);
                }
                Self::Answer { status, headers: all, body: body.clone().into() }
            }
            RuleAction::Headers { request, response } => {
                Self::Headers { request: changes(request)?, response: changes(response)? }
            }
        })
    }
}

fn change(headers: &mut HeaderMap, changes: &[Change]) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None => drop(headers.remove(name)),
        }
    }
}
