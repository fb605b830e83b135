//! Launching: `POST /bot/start`.
//!
//! A launch is accepted once everything about it is right; what follows is seen in the run. A client that does not know
//! whether its launch came through repeats it with the same `Idempotency-Key`, and gets the same run.

use armada_protocol::RunId;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::AppendHeaders;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::Failures;
use super::problem::Problem;
use crate::inputs::{CapabilityReport, Inputs, LaunchForm};

/// The header that names a launch.
const KEY: &str = "idempotency-key";
/// How long such a name may be.
const KEY_BYTES: usize = 255;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(start))
}

/// A run that was launched.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LaunchView {
    /// Names the run.
    pub run_id: Uuid,
    /// Where to go on.
    pub links: Links,
    /// What becomes of each capability that the component uses.
    pub capabilities: Vec<CapabilityReport>,
    /// What is worth knowing about the configuration, but no mistake.
    pub notes: Vec<String>,
}

/// Where there is more about a run: paths on this server.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// The run.
    #[serde(rename = "self")]
    pub this: String,
    /// Its jobs.
    pub jobs: String,
    /// The events of its jobs.
    pub events: String,
    /// What happens to it, as a WebSocket.
    pub changes: String,
    /// Where to cancel it.
    pub cancel: String,
}

impl Links {
    fn of(run: RunId) -> Self {
        let this = format!("/api/runs/{run}");
        Self {
            jobs: format!("/api/jobs?run_uuid={run}"),
            events: format!("/api/events?run_uuid={run}"),
            changes: format!("/api/changes?run={run}&after=0"),
            cancel: format!("{this}/cancel"),
            this,
        }
    }
}

/// Launches a run.
#[utoipa::path(post, path = "/bot/start", tag = "runs", operation_id = "launch_run",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "Names this launch: another one of the same name gives the same run")),
    request_body(content = LaunchForm, content_type = "multipart/form-data"), responses(
    (status = 202, description = "It is launched", body = LaunchView, headers(("location" = String, description = "The run"))),
    (status = 200, description = "It had been launched before under this name", body = LaunchView,
        headers(("location" = String, description = "The run"))),
    (status = 408, description = "The upload took too long", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "What was sent has mistakes: all of them are listed", body = Problem,
        content_type = "application/problem+json"), Failures))]
async fn start(
    State(api): State<Api>,
    headers: HeaderMap,
    request: Request,
) -> Result<(StatusCode, AppendHeaders<[(axum::http::HeaderName, String); 1]>, Json<LaunchView>), Problem> {
    let key = key(&headers)?;
    let inputs = Inputs::receive(request, &api.settings.data, &api.settings.uploads).await?;
    let capabilities = inputs.capabilities(&inputs.grant(&api.settings.ceiling));
    let notes = inputs.configuration().notes().iter().map(ToString::to_string).collect();
    let launched = api.conductor.launch(inputs, key, None).await?;
    let links = Links::of(launched.run);
    let location = AppendHeaders([(LOCATION, links.this.clone())]);
    let status = if launched.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, location, Json(LaunchView { run_id: launched.run.0, links, capabilities, notes })))
}

/// How the client calls its launch, if it does.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let invalid =
        || Problem::bad_request(format!("Idempotency-Key: give one, of 1 to {KEY_BYTES} visible ASCII characters"));
    let mut given = headers.get_all(KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let key = key.as_bytes();
    let is_key = (1..=KEY_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    if given.next().is_some() || !is_key {
        return Err(invalid());
    }
    String::from_utf8(key.to_vec()).map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_has_one_name_of_visible_characters_or_none() {
        let headers = |keys: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append(KEY, key.to_vec().try_into().unwrap());
            }
            headers
        };
        assert_eq!(key(&headers(&[])).unwrap(), None);
        assert_eq!(key(&headers(&[b"a-1"])).unwrap().as_deref(), Some("a-1"));
        assert!(key(&headers(&[&[b'x'; 255]])).is_ok());
        let refused: [&[&[u8]]; 5] = [&[b""], &[b"a b"], &[&[b'x'; 256]], &[b"\xc3\xa9"], &[b"a", b"a"]];
        for keys in refused {
            assert_eq!(key(&headers(keys)).unwrap_err().status, 400);
        }
    }
}
