//! The files that jobs kept. Jobs are not trusted, so a browser is told to keep such a file and never to show it.

use std::path::Path;

use armada_protocol::report::Artifact;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::BytesMut;
use futures::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, ListOf, Named};
use super::problem::Problem;
use crate::store::StoreError;
use crate::store::views::ArtifactView;

/// How many bytes are read at once.
const CHUNK: usize = 64 * 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(download))
}

/// The files that a job kept, by their names.
#[utoipa::path(get, path = "/api/jobs/{job_uuid}/artifacts", tag = "jobs", operation_id = "list_artifacts",
    params(("job_uuid" = Uuid, Path)),
    responses((status = 200, description = "The list", body = ListOf<ArtifactView>), Failures))]
async fn list(State(api): State<Api>, Named(job): Named<Uuid>) -> Result<Json<ListOf<ArtifactView>>, Problem> {
    api.store.job(job).await?;
    Ok(Json(ListOf::whole(api.store.list_artifacts(job).await?)))
}

/// A file that a job kept.
#[utoipa::path(get, path = "/api/jobs/{job_uuid}/artifacts/{name}", tag = "jobs", operation_id = "download_artifact",
    params(("job_uuid" = Uuid, Path), ("name" = String, Path)), responses(
    (status = 200, description = "Its content", content_type = "application/octet-stream", body = Vec<u8>), Failures))]
async fn download(State(api): State<Api>, Named((job, name)): Named<(Uuid, String)>) -> Result<Response, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("an artifact {name:?} of job {job} does not exist"));
    if !Artifact::is_allowed_name(&name) {
        return Err(missing());
    }
    let view = api.store.job(job).await?;
    let artifact = api.store.artifact(job, &name).await?;
    let path = api.store.artifacts_of(view.run_uuid, view.index).join(&name);
    let (file, size) = match open(&path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        opened => opened.map_err(StoreError::from)?,
    };
    let media_type = HeaderValue::from_str(&artifact.media_type);
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"))),
        (header::CONTENT_LENGTH, size.into()),
        (header::CONTENT_DISPOSITION, disposition(&name)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
    ];
    Ok((headers, content(file, size)).into_response())
}

async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let size = file.metadata().await?.len();
    Ok((file, size))
}

fn content(file: File, size: u64) -> Body {
    // A file that grows meanwhile is sent as long as it was.
    let file = file.take(size);
    Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (chunk.freeze(), file)))
    }))
}

/// Has the file kept under its name: in ASCII for whoever knows no more, and as RFC 8187 writes it.
fn disposition(name: &str) -> HeaderValue {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    HeaderValue::from_str(&format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}
