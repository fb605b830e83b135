//! The API over HTTP: what happened and happens, what runs are told to do, and who may ask.
//!
//! Routes and the OpenAPI document come from the same lines, so neither knows one that the other does not. The paths are those of
//! the system that Armada succeeds, with or without a slash at the end, and under `/tracking` too.

mod agents;
mod artifacts;
mod changes;
mod components;
mod events;
mod extract;
mod jobs;
mod launch;
mod problem;
mod results;
mod runs;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use self::components::ComponentView;
pub use self::launch::{LaunchView, Links};
pub use self::problem::{MistakeView, Problem};
use crate::conductor::Conductor;
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
    /// Ends what goes on for as long as the server does.
    closing: CancellationToken,
    /// What goes on beyond a request.
    streams: TaskTracker,
}

impl Api {
    /// Answers from a store, and has runs conducted.
    pub fn new(store: Store, conductor: Conductor, settings: Arc<Settings>) -> Self {
        Self { store, conductor, settings, closing: CancellationToken::new(), streams: TaskTracker::new() }
    }

    /// Ends what goes on beyond requests. To be called once no new requests are taken, before the store is closed.
    pub async fn close(&self) {
        self.closing.cancel();
        self.streams.close();
        self.streams.wait().await;
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Armada",
        description = "Runs, their agents and jobs, and what those report. Every path is also there with a \
        slash at its end, and under `/tracking`."
    ),
    components(schemas(Problem, changes::ChangeMessage))
)]
struct Document;

/// Everything under the server's address.
pub fn router(api: Api) -> Router {
    let (routes, document) = routes().split_for_parts();
    let answers = routes
        .route("/api/openapi.json", axum::routing::get(move || std::future::ready(Json(document.clone()))))
        .merge(changes::unlisted())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods: see the Allow header")
        })
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(api);
    // A path is what it is before its route is looked for.
    Router::new().fallback_service(answers).layer(middleware::map_request(plain_path))
}

/// The routes that the document describes.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(runs::routes())
        .merge(agents::routes())
        .merge(results::routes())
        .merge(jobs::routes())
        .merge(artifacts::routes())
        .merge(events::routes())
        .merge(changes::routes())
        .layer(middleware::from_fn(in_time))
        // An upload takes its time, which it bounds itself.
        .merge(components::routes())
        .merge(launch::routes())
}

/// Something that cannot happen: said without panicking.
fn broken() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something is wrong with the server: see its log")
}

/// The body of an answer may take as long as its reader likes; that it begins may not.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long: try again").into_response(),
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
