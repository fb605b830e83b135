//! Runs: `/api/runs`.

use armada_protocol::RunId;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
    OpenApiRouter::new()
        .routes(routes!(list, report))
        .routes(routes!(get, delete))
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(replay))
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
    api.conductor.delete(RunId(run)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a run before its jobs have: those that are being made end now, and the others are not begun. It has ended when
/// its status says so.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/cancel", tag = "runs", operation_id = "cancel_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 202, description = "The run", body = RunView), Failures))]
async fn cancel(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<(StatusCode, Json<RunView>), Problem> {
    let run = conducted(&api, run).await?;
    Ok((StatusCode::ACCEPTED, Json(api.conductor.cancel(run).await?)))
}

/// Has no new attempts begun in a run; those that are being made go on.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/pause", tag = "runs", operation_id = "pause_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 200, description = "The run", body = RunView), Failures))]
async fn pause(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<Json<RunView>, Problem> {
    let run = conducted(&api, run).await?;
    Ok(Json(api.conductor.pause(run).await?))
}

/// Has new attempts begun again in a run that was paused.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/resume", tag = "runs", operation_id = "resume_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 200, description = "The run", body = RunView), Failures))]
async fn resume(State(api): State<Api>, Named(run): Named<Uuid>) -> Result<Json<RunView>, Problem> {
    let run = conducted(&api, run).await?;
    Ok(Json(api.conductor.resume(run).await?))
}

/// What is made again.
#[derive(Debug, Serialize, ToSchema)]
struct Retried {
    /// The run.
    run_uuid: Uuid,
    /// How many jobs get further attempts.
    jobs: u64,
}

/// Gives the failed jobs of a run that has ended further attempts.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/retry", tag = "runs", operation_id = "retry_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 202, description = "What is made again", body = Retried), Failures))]
async fn retry(State(api): State<Api>, Named(run_uuid): Named<Uuid>) -> Result<(StatusCode, Json<Retried>), Problem> {
    let run = conducted(&api, run_uuid).await?;
    let jobs = api.conductor.retry(run).await?;
    Ok((StatusCode::ACCEPTED, Json(Retried { run_uuid, jobs })))
}

/// A run that was launched.
#[derive(Debug, Serialize, ToSchema)]
struct Replayed {
    /// The new run.
    run_uuid: Uuid,
    /// The run whose inputs it has.
    replay_of: Uuid,
}

/// Launches a new run with everything that this one was launched with.
#[utoipa::path(post, path = "/api/runs/{run_uuid}/replay", tag = "runs", operation_id = "replay_run",
    params(("run_uuid" = Uuid, Path)), responses((status = 202, description = "The new run", body = Replayed, headers(
    ("Location" = String, description = "Its path"))), Failures))]
async fn replay(State(api): State<Api>, Named(replay_of): Named<Uuid>) -> Result<Response, Problem> {
    let run = conducted(&api, replay_of).await?;
    let RunId(run_uuid) = api.conductor.replay(run).await?;
    let location = [(header::LOCATION, format!("/api/runs/{run_uuid}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Replayed { run_uuid, replay_of })).into_response())
}

/// A run that is conducted here: nobody else's can be told what to do.
async fn conducted(api: &Api, run: Uuid) -> Result<RunId, Problem> {
    let run = RunId(run);
    api.store.run(run).await?;
    if !api.store.is_conducted(run).await? {
        let detail = "the run is not conducted here: somebody else reports it, and has to be told";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    Ok(run)
}
