//! Components: `/api/components`. A client asks first, and sends only what the server does not have.

use armada_project::Digest;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{Failures, Named};
use super::problem::Problem;
use crate::inputs::{find_component, receive_component};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, put))
}

/// A component that the server has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComponentView {
    /// Its digest.
    #[schema(value_type = String, example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// A component.
#[utoipa::path(get, path = "/api/components/{digest}", tag = "components", operation_id = "get_component",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits")),
    responses((status = 200, description = "The server has it", body = ComponentView), Failures))]
async fn get(State(api): State<Api>, Named(digest): Named<String>) -> Result<Json<ComponentView>, Problem> {
    let digest = parsed(&digest)?;
    let data = api.settings.data.clone();
    let found = tokio::task::spawn_blocking(move || find_component(&data, digest)).await;
    let size = found
        .map_err(Problem::internal)??
        .ok_or_else(|| Problem::not_found(format!("there is no component {digest}")))?;
    Ok(Json(ComponentView { digest, size }))
}

/// Sends a component, to be launched by its digest.
#[utoipa::path(put, path = "/api/components/{digest}", tag = "components", operation_id = "put_component",
    params(("digest" = String, Path, description = "`sha256:` and 64 digits")),
    request_body(content = Vec<u8>, content_type = "application/wasm"), responses(
    (status = 201, description = "The server has it now", body = ComponentView),
    (status = 200, description = "The server had it", body = ComponentView),
    (status = 408, description = "The upload took too long", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "It is no component that can be run, or not the one of this digest", body = Problem,
        content_type = "application/problem+json"), Failures))]
async fn put(
    State(api): State<Api>,
    Named(digest): Named<String>,
    request: Request,
) -> Result<(StatusCode, Json<ComponentView>), Problem> {
    let digest = parsed(&digest)?;
    let (data, limit) = (&api.settings.data, api.settings.uploads.component);
    let (component, is_new) = receive_component(request.into_body(), digest, data, limit).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(ComponentView { digest: component.digest, size: component.size })))
}

fn parsed(digest: &str) -> Result<Digest, Problem> {
    digest.parse().map_err(|error: armada_project::InvalidDigest| Problem::bad_request(error.to_string()))
}
