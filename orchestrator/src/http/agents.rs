//! The agents of a run.

use armada_protocol::RunId;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, ListOf, Named, PageParams, Params};
use super::problem::Problem;
use crate::store::views::AgentView;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The agents of a run, by their numbers, which are their cursors.
#[utoipa::path(get, path = "/api/runs/{run_uuid}/agents", tag = "runs", operation_id = "list_agents",
    params(("run_uuid" = Uuid, Path), PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<AgentView>), Failures))]
async fn list(
    State(api): State<Api>,
    Named(run): Named<Uuid>,
    Params(page): Params<PageParams>,
) -> Result<Json<ListOf<AgentView>>, Problem> {
    api.store.run(RunId(run)).await?;
    page.list(|paging| api.store.list_agents(run, paging)).await
}
