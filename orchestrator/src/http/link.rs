//! Agents that come from elsewhere: a request that becomes a link.
//!
//! After the upgrade the connection carries the frames of [`armada_protocol::link`], as the standard input of an agent
//! of this machine does. An agent whose connection is cut comes back with the same incarnation and goes on; one that is
//! not heard of for too long is taken for dead by whoever looks after its run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use armada_protocol::link::{self, Allowance, Peer};
use armada_protocol::{Incarnation, ProtocolError, RunId};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{Failures, Named};
use super::guard;
use super::problem::Problem;
use super::{Api, Streams};
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
    /// What agents of the run send as bearer token: `ARMADA_TOKEN` of `armada agent`. Two parts in hexadecimal digits
    /// with a dot between them: the credential, and the public key that the server's signatures of compiled components
    /// are checked with.
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

/// The links that there are, at most one for each agent of a run. The newest one counts: an agent whose connection was
/// cut does not wait until that is noticed here.
#[derive(Clone)]
pub(super) struct AgentLinks {
    pub(super) streams: Streams,
    runs: Arc<Mutex<HashMap<RunId, RunLinks>>>,
    /// What the next link is known by.
    next: Arc<AtomicU64>,
}

/// The links of one run.
struct RunLinks {
    /// They share it: what one run takes, others need not do without.
    allowance: Allowance,
    /// What each link is known by, and what ends it.
    agents: HashMap<u32, (u64, CancellationToken)>,
}

impl AgentLinks {
    pub(super) fn new(most: usize) -> Self {
        Self { streams: Streams::new(most), runs: Arc::default(), next: Arc::default() }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, RunLinks>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the links of a run share, if it has any.
    fn allowance(&self, run: RunId) -> Option<Allowance> {
        self.runs().get(&run).map(|links| links.allowance.clone())
    }

    /// Counts a link for as long as this is held, in the place of the one that the agent had; if it had none, only if
    /// there may be one more. The allowance is that of the run's first link.
    fn admit(&self, run: RunId, agent: u32, allowance: Allowance) -> Option<Linked> {
        let mut runs = self.runs();
        let older = runs.get(&run).and_then(|links| links.agents.get(&agent));
        let counted = match older {
            Some((_, over)) => {
                over.cancel();
                self.streams.going.token()
            }
            None => self.streams.admit()?,
        };
        let (number, over) = (self.next.fetch_add(1, Ordering::Relaxed), self.streams.closing.child_token());
        let links = runs.entry(run).or_insert_with(|| RunLinks { allowance, agents: HashMap::new() });
        links.agents.insert(agent, (number, over.clone()));
        let allowance = links.allowance.clone();
        Some(Linked { links: self.clone(), run, agent, number, over, allowance, _counted: counted })
    }
}

/// One link, until this is dropped.
struct Linked {
    links: AgentLinks,
    run: RunId,
    agent: u32,
    number: u64,
    over: CancellationToken,
    allowance: Allowance,
    _counted: TaskTrackerToken,
}

impl Drop for Linked {
    fn drop(&mut self) {
        let mut runs = self.links.runs();
        let Some(links) = runs.get_mut(&self.run) else { return };
        // Another may have taken its place.
        if links.agents.get(&self.agent).is_some_and(|(number, _)| *number == self.number) {
            links.agents.remove(&self.agent);
        }
        if links.agents.is_empty() {
            runs.remove(&self.run);
        }
    }
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
    let connections = api.conductor.connections();
    let allowance = match api.links.allowance(run) {
        Some(allowance) => allowance,
        None => match connections.runs.agent(run, agent).await {
            Ok(record) => Allowance::distant(record.grant.limits().artifact_bytes_per_job),
            // The agents of a run are put there before it goes on, also when this server has begun anew.
            Err(error @ (ProtocolError::NotFound(_) | ProtocolError::Unavailable(_))) => {
                return Err(Problem::unavailable(error));
            }
            Err(error) => return Err(Problem::internal(error)),
        },
    };
    let Some(linked) = api.links.admit(run, agent, allowance) else {
        let detail = format!("{LINKS} agents are connected already, and there may be no more: the server has no room");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    tokio::spawn(async move {
        let serving = async {
            let Ok(stream) = upgrade.await else { return };
            let peer = Peer { run, by: Incarnation { agent, id }, allowance: linked.allowance.clone() };
            if let Err(error) = link::serve(TokioIo::new(stream), peer, connections, |_| ()).await {
                tracing::debug!(%run, agent, %error, "an agent's link ended");
            }
        };
        linked.over.run_until_cancelled(serving).await;
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, link::PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(Uuid::nil());

    #[tokio::test]
    async fn who_watches_takes_no_place_of_an_agent() {
        let (watchers, links) = (Streams::new(1), AgentLinks::new(2));
        let held = watchers.admit().unwrap();
        assert!(watchers.admit().is_none());
        let link = |agent| links.admit(RUN, agent, Allowance::distant(0));
        assert!(link(0).is_some() && link(1).is_some() && link(2).is_some(), "who has gone is not counted");
        drop(held);
        assert!(watchers.admit().is_some());
    }

    #[tokio::test]
    async fn an_agent_takes_the_place_of_its_older_link_also_when_there_is_no_other() {
        let links = AgentLinks::new(1);
        let first = links.admit(RUN, 0, Allowance::distant(0)).unwrap();
        assert!(links.admit(RUN, 1, Allowance::distant(0)).is_none());
        let second = links.admit(RUN, 0, Allowance::distant(0)).unwrap();
        assert!(first.over.is_cancelled() && !second.over.is_cancelled());
        drop(first);
        assert!(links.admit(RUN, 1, Allowance::distant(0)).is_none(), "the newer one is still there");
        drop(second);
        assert!(links.allowance(RUN).is_none(), "nothing is kept of a run without links");
        assert!(links.admit(RUN, 1, Allowance::distant(0)).is_some());
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
