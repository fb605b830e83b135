//! Whether the server is well: alive, and ready for work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, metrics};

/// How long something may take to say that it is there.
const CHECK: Duration = Duration::from_secs(2);

/// Something that the server needs, and how to ask it whether it is there.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    ask: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Check {
    /// Something by its name, and what asks it. Why it is not there goes to the log.
    pub fn new(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, ask: Arc::new(ask) }
    }
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// How what it needs is: `ok` or `unavailable`.
    checks: BTreeMap<&'static str, &'static str>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics::metrics))
}

/// Whether the server answers.
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "live",
    responses((status = 200, description = "It does", body = Health)))]
async fn live() -> Json<Health> {
    Json(Health { status: "ok", checks: BTreeMap::new() })
}

/// Whether the server can work: its store answers, and its queue and Redis, where it uses them.
#[utoipa::path(get, path = "/health/ready", tag = "health", operation_id = "ready", responses(
    (status = 200, description = "It can", body = Health), (status = 503, description = "It cannot now", body = Health)))]
async fn ready(State(api): State<Api>) -> (StatusCode, Json<Health>) {
    let store = api.store.clone();
    let answers = move || -> BoxFuture<'static, _> {
        let store = store.clone();
        Box::pin(async move { store.answers().await.map_err(|error| error.to_string()) })
    };
    let checks = std::iter::once(Check::new("store", answers)).chain(api.checks.iter().cloned());
    let checks = join_all(checks.map(|check| async move {
        let found = tokio::time::timeout(CHECK, (check.ask)()).await;
        let reason = match found {
            Ok(Ok(())) => return (check.name, "ok"),
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {CHECK:?}"),
        };
        tracing::warn!(name = check.name, reason, "the server is not ready");
        (check.name, "unavailable")
    }));
    let checks: BTreeMap<_, _> = checks.await.into_iter().collect();
    let is_ready = checks.values().all(|state| *state == "ok");
    let (code, status) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    (code, Json(Health { status, checks }))
}
