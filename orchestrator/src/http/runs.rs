//! Runs: `/api/runs`.

use armada_protocol::RunId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, ListOf, ListParams, Named, Received};
use super::problem::Problem;
use crate::store::queries::RunFilter;
use crate::store::views::{RunStatus, RunView};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, report)).routes(routes!(get, delete))
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RunParams {
    /// Only runs that are there in their lives.
    status: Option<RunStatus>,
    /// Only runs with this in the name of the project or the reason of their end; the case of ASCII letters is ignored.
    text: Option<String>,
    /// Only runs that were accepted then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Only runs that were accepted earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/api/runs", tag = "runs", operation_id = "list_runs", params(RunParams, super::extract::PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<RunView>), Failures))]
async fn list(
    State(api): State<Api>,
    ListParams(params, page): ListParams<RunParams>,
) -> Result<Json<ListOf<RunView>>, Problem> {
    let filter = RunFilter {
        status: params.status,
        text: params.text,
        from: params.from.map(Timestamp::as_millisecond),
        to: params.to.map(Timestamp::as_millisecond),
    };
    page.list(|paging| api.store.list_runs(filter, paging)).await
}

/// A run that somebody else conducts.
#[derive(Debug, Deserialize, ToSchema)]
struct ReportedRun {
    /// Names the run.
    run_uuid: Uuid,
    /// When it began; now, if that is not said.
    #[schema(value_type = Option<String>, format = DateTime)]
    run_datetime: Option<Timestamp>,
}

/// Reports a run that somebody else conducts. Reported twice, it is the same run.
#[utoipa::path(post, path = "/api/runs", tag = "runs", operation_id = "report_run", request_body = ReportedRun, responses(
    (status = 201, description = "The run", body = RunView), (status = 200, description = "It was known", body = RunView),
    Failures))]
async fn report(
    State(api): State<Api>,
    Received(run): Received<ReportedRun>,
) -> Result<(StatusCode, Json<RunView>), Problem> {
    let (view, is_new) = api.store.report_run(RunId(run.run_uuid), run.run_datetime).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(view)))
}

/// A run.
#[utoipa::path(get, path = "/api/runs/{run_uuid}", tag = "runs", operation_id = "get_run", params(("run_uuid" = Uuid, Path)),
    responses((status = 200, description = "The run", body = RunView), Failures))]
async fn get(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<Json<RunView>, Problem> {
    Ok(Json(api.store.run(RunId(run)).await?))
}

/// Removes a run that has ended, with its jobs and all that they reported and kept.
#[utoipa::path(delete, path = "/api/runs/{run_uuid}", tag = "runs", operation_id = "delete_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 204, description = "It is gone"), Failures))]
async fn delete(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<StatusCode, Problem> {
    api.store.delete_run(RunId(run)).await?;
    Ok(StatusCode::NO_CONTENT)
}
