//! A project's own view of its browser's traffic: modifiers, in an instance beside the script's.
//!
//! The instance shares nothing with the script's and cannot do more than report. It is made when a modifier is first asked,
//! and made anew after a fault. Whatever goes wrong in it (a failure, a trap, a budget that is exhausted) fails the request
//! that it was for: what was to be changed does not go out unchanged.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use armada_project::ModifierSettings;
use tokio::sync::Mutex;

use crate::capabilities::Capabilities;
use crate::contract::Failure;
use crate::contract::modifiers::{Request, RequestVerdict, Response, ResponseVerdict};
use crate::instance::{Answer, Budget, Fault, Instance, Role, Template};
use crate::url_pattern::UrlPattern;

/// The modifiers of an agent, in the order in which they are asked.
pub(crate) struct Modifiers {
    modifiers: Vec<Modifier>,
    budget: Budget,
    /// How many bytes of a body a modifier gets at most.
    most_bytes: u64,
    /// What the instance is made of, once the agent has it.
    source: OnceLock<Source>,
    instance: Mutex<Option<Instance>>,
}

struct Source {
    template: Template,
    /// The instance holds them while it is there; they hold this.
    capabilities: Weak<Capabilities>,
}

struct Modifier {
    name: String,
    urls: Vec<UrlPattern>,
    bodies: Vec<UrlPattern>,
}

impl Modifier {
    fn is_asked_about(&self, url: &str) -> bool {
        self.urls.is_empty() || self.urls.iter().any(|pattern| pattern.matches(url))
    }

    fn gets_body_of(&self, url: &str) -> bool {
        self.is_asked_about(url) && self.bodies.iter().any(|pattern| pattern.matches(url))
    }
}

impl Modifiers {
    /// The modifiers of these settings; each pattern that makes no sense is told.
    pub(crate) fn new(settings: &[ModifierSettings], seconds: f64, most_bytes: u64) -> Result<Self, String> {
        let patterns = |texts: &[String]| {
            let patterns = texts.iter().map(|text| UrlPattern::parse(text).map_err(|error| format!("{text:?}: {error}")));
            patterns.collect::<Result<Vec<_>, _>>()
        };
        let modifiers = settings.iter().map(|settings| {
            let ModifierSettings { name, urls, bodies } = settings;
            Ok(Modifier { name: name.clone(), urls: patterns(urls)?, bodies: patterns(bodies)? })
        });
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Ok(Self {
            modifiers: modifiers.collect::<Result<_, String>>()?,
            budget: Budget { cpu: time, wall: time, limit: "seconds_per_modification" },
            most_bytes,
            source: OnceLock::new(),
            instance: Mutex::default(),
        })
    }

    /// From now on, instances are made of this. Says why that cannot be, if modifiers are named.
    pub(crate) fn use_template(&self, template: &Template, capabilities: &Arc<Capabilities>) -> Result<(), String> {
        if !self.modifiers.is_empty() && !template.is_modifying() {
            return Err("config_proxy.modifiers names modifiers, but the component was built by an SDK without them: \
                        build it again"
                .to_owned());
        }
        let capabilities = Arc::downgrade(capabilities);
        // A second time it is the same.
        let _ = self.source.set(Source { template: template.clone(), capabilities });
        Ok(())
    }

    /// Whether any is asked about a URL.
    pub(crate) fn are_asked_about(&self, url: &str) -> bool {
        self.modifiers.iter().any(|modifier| modifier.is_asked_about(url))
    }

    /// How many bytes of the bodies of a URL are held for one of them, if one gets them.
    pub(crate) fn most_bytes_of(&self, url: &str) -> Option<u64> {
        self.modifiers.iter().any(|modifier| modifier.gets_body_of(url)).then_some(self.most_bytes)
    }

    /// Asks them about a request, each about what the one before has made of it.
    pub(crate) async fn request(&self, mut request: Request) -> Result<RequestVerdict, String> {
        let (url, body) = (request.url.clone(), request.body.take());
        let mut changed = false;
        let mut current_body = body;
        for modifier in self.modifiers.iter().filter(|modifier| modifier.is_asked_about(&url)) {
            let asked = Request {
                body: current_body.clone().filter(|_| modifier.gets_body_of(&url)),
                ..request.clone()
            };
            let (name, budget) = (modifier.name.clone(), self.budget);
            let answer = self.ask(async |instance| instance.modify_request(name, asked, budget).await).await;
            match answer.map_err(|reason| blamed(&modifier.name, &reason))? {
                RequestVerdict::Unchanged => {}
                RequestVerdict::Changed(next) => {
                    changed = true;
                    current_body = next.body.clone().or(current_body);
                    request = Request { body: None, ..next };
                }
                RequestVerdict::Blocked(reason) => return Err(blamed(&modifier.name, &format!("blocked it: {reason}"))),
                answered @ RequestVerdict::Answered(_) => return Ok(answered),
            }
        }
        request.body = current_body;
        Ok(if changed { RequestVerdict::Changed(request) } else { RequestVerdict::Unchanged })
    }

    /// Asks them about a response, each about what the one before has made of it.
    pub(crate) async fn response(&self, request: &Request, mut response: Response) -> Result<ResponseVerdict, String> {
        let url = request.url.clone();
        let mut changed = false;
        let mut current_body = response.body.take();
        for modifier in self.modifiers.iter().filter(|modifier| modifier.is_asked_about(&url)) {
            let asked = Response {
                body: current_body.clone().filter(|_| modifier.gets_body_of(&url)),
                ..response.clone()
            };
            let (name, request, budget) = (modifier.name.clone(), request.clone(), self.budget);
            let answer = self.ask(async |instance| instance.modify_response(name, request, asked, budget).await).await;
            match answer.map_err(|reason| blamed(&modifier.name, &reason))? {
                ResponseVerdict::Unchanged => {}
                ResponseVerdict::Changed(next) => {
                    changed = true;
                    current_body = next.body.clone().or(current_body);
                    response = Response { body: None, ..next };
                }
                ResponseVerdict::Blocked(reason) => {
                    return Err(blamed(&modifier.name, &format!("blocked it: {reason}")));
                }
            }
        }
        response.body = current_body;
        Ok(if changed { ResponseVerdict::Changed(response) } else { ResponseVerdict::Unchanged })
    }

    /// Asks the instance, which is made if there is none, and dropped after a fault.
    async fn ask<V>(&self, ask: impl AsyncFnOnce(&mut Instance) -> Option<Answer<V>>) -> Result<V, String> {
        let mut place = self.instance.lock().await;
        // Whoever gives up waiting leaves none behind that is in the middle of something.
        let mut instance = match place.take() {
            Some(instance) => instance,
            None => self.make().await?,
        };
        match ask(&mut instance).await {
            Some(Ok(answer)) => {
                *place = Some(instance);
                answer.map_err(|Failure { message, traceback, .. }| match traceback.as_str() {
                    "" => message,
                    places => format!("{message}\n{places}"),
                })
            }
            Some(Err(Fault(error))) => Err(format!("{}: {}", error.cause.describe(), error.message)),
            None => Err("the component has no modifiers".to_owned()),
        }
    }

    async fn make(&self) -> Result<Instance, String> {
        let source = self.source.get().ok_or("the agent is not open")?;
        let capabilities = source.capabilities.upgrade().ok_or("the agent is over")?;
        let made = Instance::new(&source.template, capabilities, Role::Modifier, self.budget).await;
        made.map_err(|Fault(error)| format!("{}: {}", error.cause.describe(), error.message))
    }

    /// Drops the instance; it is made anew when one is asked next.
    pub(crate) async fn close(&self) {
        self.instance.lock().await.take();
    }
}

/// What went wrong, and where.
fn blamed(name: &str, reason: &str) -> String {
    format!("the modifier `{name}`: {reason}")
}
