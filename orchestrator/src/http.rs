//! The API over HTTP: what happened and happens, what runs are told to do, and who may ask.
//!
//! Routes and the OpenAPI document come from the same lines, so neither knows one that the other does not. The paths
//! are those of the system that Armada succeeds, with or without a slash at the end, and under `/tracking` too.

mod agents;
mod artifacts;
mod changes;
mod components;
mod events;
mod extract;
mod guard;
pub mod health;
mod jobs;
mod launch;
mod link;
pub(crate) mod metrics;
mod problem;
mod results;
mod runs;
mod trace;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

pub use self::components::ComponentView;
use self::extract::Failures;
use self::guard::Guard;
use self::health::Check;
pub use self::launch::{LaunchView, Links};
use self::link::AgentLinks;
pub use self::problem::{MistakeView, Problem};
use crate::conductor::Conductor;
use crate::credentials::Credentials;
use crate::settings::Settings;
use crate::store::Store;

/// How long an answer may take that is not a stream.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(30);
/// How many bytes a body of JSON may have.
const BODY: usize = 1024 * 1024;

/// What routes answer from.
#[derive(Clone)]
pub struct Api {
    pub(crate) store: Store,
    pub(crate) conductor: Conductor,
    pub(crate) settings: Arc<Settings>,
    credentials: Credentials,
    /// What else the server needs.
    checks: Arc<[Check]>,
    watchers: Streams,
    links: AgentLinks,
}

/// What goes on beyond a request, as much as there may be of one kind.
#[derive(Clone)]
struct Streams {
    most: usize,
    going: TaskTracker,
    closing: CancellationToken,
}

impl Streams {
    fn new(most: usize) -> Self {
        Self { most, going: TaskTracker::new(), closing: CancellationToken::new() }
    }

    /// Counts one more for as long as this is held, if there may be one more.
    fn admit(&self) -> Option<TaskTrackerToken> {
        (self.going.len() < self.most).then(|| self.going.token())
    }

    /// Tells all to end, and waits until they have.
    async fn close(&self) {
        self.closing.cancel();
        self.going.close();
        self.going.wait().await;
    }
}

impl Api {
    /// Answers from a store, and has runs conducted. Without what the checks ask for, the server is not ready.
    pub fn new(
        store: Store,
        conductor: Conductor,
        settings: Arc<Settings>,
        credentials: Credentials,
        checks: Vec<Check>,
    ) -> Self {
        let (watchers, links) = (Streams::new(changes::WATCHERS), AgentLinks::new(link::LINKS));
        links.streams.going.spawn(metrics::keep(links.streams.closing.clone()));
        Self { store, conductor, settings, credentials, checks: checks.into(), watchers, links }
    }

    /// Ends the links of agents, so that those come to the next server.
    pub async fn close_links(&self) {
        self.links.streams.close().await;
    }

    /// Ends those who watch, once they have heard what happened last. To be called when nothing happens any more,
    /// before the store is closed.
    pub async fn close_watchers(&self) {
        self.watchers.close().await;
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Armada",
        description = "Runs, their agents and jobs, and what those report. Every path is also there with a \
        slash at its end, and under `/tracking`."
    ),
    components(schemas(Problem, changes::ChangeMessage)),
    modifiers(&Token, &Failures)
)]
struct Document;

/// Says in the document how the token is sent, where there is one.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
        let nobodys: [String; 0] = [];
        document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("token", nobodys)]);
    }
}

/// Everything under the server's address.
pub fn router(api: Api) -> Router {
    let (routes, document) = routes().split_for_parts();
    let guard = Arc::new(Guard::new(&api.settings));
    let answers = routes
        .route("/api/openapi.json", axum::routing::get(move || std::future::ready(Json(document.clone()))))
        .merge(changes::unlisted())
        .merge(link::unlisted())
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods: see the Allow header")
        })
        .layer(DefaultBodyLimit::max(BODY))
        // What comes last is asked first.
        .layer(middleware::from_fn_with_state(guard.clone(), guard::token))
        .layer(guard::cors(&api.settings))
        .layer(middleware::from_fn_with_state(guard, guard::pages))
        .layer(middleware::from_fn(guard::harden))
        .layer(CatchPanicLayer::custom(trace::panicked))
        .layer(middleware::from_fn(trace::request))
        .with_state(api);
    // A path is what it is before its route is looked for.
    Router::new().fallback_service(answers).layer(middleware::map_request(plain_path))
}

/// The routes that the document describes.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(runs::routes())
        .merge(agents::routes())
        .merge(link::routes())
        .merge(results::routes())
        .merge(jobs::routes())
        .merge(artifacts::routes())
        .merge(events::routes())
        .merge(changes::routes())
        .merge(health::routes())
        .layer(middleware::from_fn(in_time))
        // An upload takes its time, which it bounds itself.
        .merge(components::routes())
        .merge(launch::routes())
}

/// The body of an answer may take as long as its reader likes; that it begins may not.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(format!("no answer within {ANSWER:?}")).into_response(),
    }
}

/// Takes `/tracking` off the beginning of a path, and a slash off its end.
async fn plain_path(mut request: Request) -> Request {
    let path = request.uri().path();
    let plain = path.strip_prefix("/tracking").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let plain = plain.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(plain);
    if plain.len() == path.len() {
        return request;
    }
    let with_query = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain.to_owned(),
    };
    // What was a path before is one without its ends.
    if let Ok(uri) = Uri::try_from(with_query) {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests;
