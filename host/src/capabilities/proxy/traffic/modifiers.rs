//! A project's own view of its browser's traffic: modifiers, in an instance beside the script's.
//!
//! The instance shares nothing with the script's and cannot do more than report. It is made when a modifier is first
//! asked, and made anew after a fault. Whatever goes wrong in it (a failure, a trap, a budget that is exhausted) fails
//! the request that it was for: what was to be changed does not go out unchanged.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use armada_project::ModifierSettings;
use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::Stopped;
use crate::capabilities::{Capabilities, cut};
use crate::contract::Failure;
use crate::contract::modifiers::{Request, RequestVerdict, Response, ResponseVerdict};
use crate::instance::{Answer, Budget, Fault, Instance, Role, Template};

/// How much of what a modifier says is told, in bytes.
const REASON: usize = 2_000;

/// The modifiers of an agent, in the order in which they are asked.
pub(super) struct Modifiers {
    modifiers: Vec<ModifierSettings>,
    budget: Budget,
    /// How many bytes of a body a modifier gets at most.
    most_bytes: u64,
    /// What the instance is made of, once the agent has it.
    source: OnceLock<Source>,
    instance: Arc<Mutex<Option<Instance>>>,
}

struct Source {
    template: Template,
    /// The instance holds them while it is there; they hold this.
    capabilities: Weak<Capabilities>,
}

/// Why something does not go on, and which modifier says so.
fn blame(modifier: &ModifierSettings, reason: &str) -> String {
    format!("the modifier `{}`: {}", modifier.name, cut(reason, REASON))
}

impl Modifiers {
    /// The modifiers of these settings.
    pub(super) fn new(settings: &[ModifierSettings], seconds: f64, most_bytes: u64) -> Self {
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Self {
            modifiers: settings.to_vec(),
            // Nothing that computes goes on beyond its wall time.
            budget: Budget { cpu: Duration::MAX, wall: time, limit: "seconds_per_modification" },
            most_bytes,
            source: OnceLock::new(),
            instance: Arc::default(),
        }
    }

    /// From now on, instances are made of this. Says why that cannot be, if modifiers are named.
    pub(super) fn use_template(&self, template: &Template, capabilities: &Arc<Capabilities>) -> Result<(), String> {
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
    pub(super) fn are_asked_about(&self, url: &str) -> bool {
        self.modifiers.iter().any(|modifier| modifier.is_asked_about(url))
    }

    /// The names of those that are asked about a URL, for a sentence.
    pub(super) fn names_of_asked(&self, url: &str) -> String {
        let asked = self.modifiers.iter().filter(|modifier| modifier.is_asked_about(url));
        asked.map(|modifier| format!("`{}`", modifier.name)).collect::<Vec<_>>().join(" or ")
    }

    /// How many bytes of the bodies of a URL are held for one of them, if one gets them.
    pub(super) fn most_bytes_of(&self, url: &str) -> Option<u64> {
        self.modifiers.iter().any(|modifier| modifier.gets_body_of(url)).then_some(self.most_bytes)
    }

    /// Asks them about a request to a URL, each about what the one before has made of it.
    pub(super) async fn request(&self, url: &str, mut request: Request) -> Result<RequestVerdict, Stopped> {
        let mut changed = false;
        for modifier in self.modifiers.iter().filter(|modifier| modifier.is_asked_about(url)) {
            let mut asked = request.clone();
            asked.body = asked.body.filter(|_| modifier.gets_body_of(url));
            let (name, budget) = (modifier.name.clone(), self.budget);
            match self.ask(modifier, move |instance| Box::pin(instance.modify_request(name, asked, budget))).await? {
                RequestVerdict::Unchanged => {}
                RequestVerdict::Changed(next) => {
                    changed = true;
                    let body = next.body.or(request.body);
                    request = Request { body, ..next };
                }
                RequestVerdict::Blocked(reason) => return Ok(RequestVerdict::Blocked(blame(modifier, &reason))),
                answered @ RequestVerdict::Answered(_) => return Ok(answered),
            }
        }
        Ok(if changed { RequestVerdict::Changed(request) } else { RequestVerdict::Unchanged })
    }

    /// Asks them about the response of a URL, each about what the one before has made of it.
    pub(super) async fn response(
        &self,
        url: &str,
        request: &Request,
        mut response: Response,
    ) -> Result<ResponseVerdict, Stopped> {
        let mut changed = false;
        for modifier in self.modifiers.iter().filter(|modifier| modifier.is_asked_about(url)) {
            let (mut asked, mut of) = (response.clone(), request.clone());
            if !modifier.gets_body_of(url) {
                (asked.body, of.body) = (None, None);
            }
            let (name, budget) = (modifier.name.clone(), self.budget);
            match self
                .ask(modifier, move |instance| Box::pin(instance.modify_response(name, of, asked, budget)))
                .await?
            {
                ResponseVerdict::Unchanged => {}
                ResponseVerdict::Changed(next) => {
                    changed = true;
                    let body = next.body.or(response.body);
                    response = Response { body, ..next };
                }
                ResponseVerdict::Blocked(reason) => return Ok(ResponseVerdict::Blocked(blame(modifier, &reason))),
            }
        }
        Ok(if changed { ResponseVerdict::Changed(response) } else { ResponseVerdict::Unchanged })
    }

    /// Asks the instance, which is made if there is none, and dropped after a fault. It answers even if the browser stops
    /// waiting: broken off in the middle of something, it could not be asked again, and would lose what its modules keep.
    async fn ask<V: Send + 'static>(
        &self,
        modifier: &ModifierSettings,
        ask: impl for<'i> FnOnce(&'i mut Instance) -> BoxFuture<'i, Option<Answer<V>>> + Send + 'static,
    ) -> Result<V, Stopped> {
        let mut place = self.instance.clone().lock_owned().await;
        let made = match place.take() {
            Some(instance) => Ok(instance),
            None => self.make().await,
        };
        let answer = match made {
            Err(reason) => Err(reason),
            // It is over when the place is free again.
            Ok(mut instance) => tokio::spawn(async move {
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
            })
            .await
            .unwrap_or_else(|error| Err(error.to_string())),
        };
        answer.map_err(|reason| Stopped::Failed(blame(modifier, &reason)))
    }

    async fn make(&self) -> Result<Instance, String> {
        let source = self.source.get().ok_or("the agent is not open")?;
        let capabilities = source.capabilities.upgrade().ok_or("the agent is over")?;
        let made = Instance::new(&source.template, capabilities, Role::Modifier, self.budget).await;
        made.map_err(|Fault(error)| format!("{}: {}", error.cause.describe(), error.message))
    }

    /// Drops the instance; it is made anew when one is asked next.
    pub(super) async fn close(&self) {
        self.instance.lock().await.take();
    }
}
