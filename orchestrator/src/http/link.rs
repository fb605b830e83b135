//! Agents that come from elsewhere: a request that becomes a link.
//!
//! After the upgrade the connection carries the frames of [`armada_protocol::link`], as the standard input of an agent of this
//! machine does. An agent whose connection is cut comes back with the same incarnation and goes on; one that is not heard of for
//! too long is taken for dead by whoever looks after its run.

use armada_protocol::{Incarnation, RunId, link};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, Named};
use super::guard;
use super::problem::Problem;
use crate::store::views::RunStatus;

/// How many agents from elsewhere may be connected at the same time. They do not take the places of those who watch.
pub(super) const LINKS: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(credential))
}

/// What the document does not list: it is no request with an answer.
pub(super) fn unlisted() -> axum::Router<Api> {
    axum::Router::new().route("/api/runs/{run_uuid}/agents/{agent}/link", axum::routing::get(connect))
}

/// Whether a path is that of a link, whose agents show what is theirs.
pub(super) fn is_link(path: &str) -> bool {
    let mut parts = path.trim_end_matches('/').split('/');
    let mut next = || parts.next().unwrap_or_default();
    let is_link = [next(), next(), next()] == ["", "api", "runs"] && {
        let (_run, agents, _agent, link) = (next(), next(), next(), next());
        (agents, link) == ("agents", "link")
    };
    is_link && parts.next().is_none()
}

/// A credential.
#[derive(Debug, Serialize, ToSchema)]
struct CredentialView {
    /// What agents of the run send as bearer token: `ARMADA_TOKEN` of `armada agent`. Two parts in hexadecimal digits with a dot
    /// between them: the credential, and the public key that the server's signatures of compiled components are checked with.
    token: String,
}

/// Gives the credential with which agents of this run, and of no other, connect.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/credential", tag = "runs", operation_id = "make_credential",
    params(("run_uuid" = Uuid, Path)),
    responses((status = 200, description = "The credential", body = CredentialView), Failures))]
async fn credential(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<Json<CredentialView>, Problem> {
    api.store.run(RunId(run)).await?;
    Ok(Json(CredentialView { token: api.credentials.token(RunId(run)) }))
}

async fn connect(
    State(api): State<Api>,
    Path((run, agent)): Path<(Uuid, u32)>,
    mut request: Request,
) -> Result<Response, Problem> {
    let run = RunId(run);
    let given = guard::given(request.headers()).unwrap_or_default();
    let is_known = match &api.settings.token {
        None => true,
        Some(token) => guard::is_same(&token.0, given) || api.credentials.knows(run, given),
    };
    if !is_known {
        let detail = "an agent shows the credential of its run, or the server's token: set ARMADA_TOKEN";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    }
    let view = api.store.run(run).await?;
    if view.status.has_ended() {
        let status = view.status.word();
        return Err(Problem::new(StatusCode::CONFLICT, format!("the run has ended: it is {status}")));
    }
    if view.status == RunStatus::Pending {
        return Err(Problem::unavailable("the run is being prepared"));
    }
    if u64::from(agent) >= view.agents {
        return Err(Problem::not_found(format!("the run has {} agents, counted from 0", view.agents)));
    }
    let incarnation = request.headers().get(link::INCARNATION).and_then(|id| id.to_str().ok()?.parse().ok());
    let is_upgrade =
        request.headers().get(header::UPGRADE).is_some_and(|to| to.as_bytes() == link::PROTOCOL.as_bytes());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(id), true, Some(upgrade)) = (incarnation, is_upgrade, upgrade) else {
        let mut response = Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            format!("agents connect here: send Upgrade: {} and {}", link::PROTOCOL, link::INCARNATION),
        )
        .into_response();
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(link::PROTOCOL));
        return Ok(response);
    };
    let Some(counted) = api.links.admit() else {
        let detail = format!("{LINKS} agents are connected already, and there may be no more: the server has no room");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let (connections, closing) = (api.conductor.connections(), api.links.closing.clone());
    tokio::spawn(async move {
        let _counted = counted;
        let linked = async {
            let Ok(stream) = upgrade.await else { return };
            let by = Incarnation { agent, id };
            let served = link::serve(
                TokioIo::new(stream),
                run,
                by,
                connections.queue,
                connections.runs,
                connections.jobs,
                |_| (),
            );
            if let Err(error) = served.await {
                tracing::debug!(%run, agent, %error, "an agent's link ended");
            }
        };
        closing.run_until_cancelled(linked).await;
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, link::PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_watches_takes_no_place_of_an_agent() {
        let (watchers, links) = (crate::http::Streams::new(1), crate::http::Streams::new(2));
        let held = watchers.admit().unwrap();
        assert!(watchers.admit().is_none());
        assert!(links.admit().is_some() && links.admit().is_some(), "who has gone is not counted");
        drop(held);
        assert!(watchers.admit().is_some());
    }

    #[test]
    fn only_the_path_of_a_link_is_one() {
        assert!(is_link("/api/runs/a/agents/0/link") && is_link("/api/runs/a/agents/0/link/"));
        for path in
            ["/api/runs/a/link", "/api/runs/link", "/api/runs/a/agents/0/link/x", "/x/api/runs/a/agents/0/link", ""]
        {
            assert!(!is_link(path), "{path}");
        }
    }
}
