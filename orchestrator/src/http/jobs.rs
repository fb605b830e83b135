//! Jobs: `/api/jobs`, and what belongs to one.

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
use super::extract::{Failures, ListOf, ListParams, Named, PageParams, Params, Received};
use super::problem::Problem;
use crate::store::queries::JobFilter;
use crate::store::views::{AttemptView, JobStatus, JobView};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, report))
        .routes(routes!(set_status))
        .routes(routes!(get))
        .routes(routes!(attempts))
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobParams {
    /// Only jobs of this run.
    run_uuid: Option<Uuid>,
    /// Only jobs that are there in their lives.
    status: Option<JobStatus>,
    /// Only jobs that this agent had last.
    agent: Option<u32>,
    /// Only jobs with this in their message or error; the case of ASCII letters is ignored.
    text: Option<String>,
    /// Only jobs that became known then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Only jobs that became known earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Jobs, the newest first.
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", operation_id = "list_jobs", params(JobParams, PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<JobView>), Failures))]
async fn list(
    State(api): State<Api>,
    ListParams(params, page): ListParams<JobParams>,
) -> Result<Json<ListOf<JobView>>, Problem> {
    let filter = JobFilter {
        run: params.run_uuid,
        status: params.status,
        agent: params.agent,
        text: params.text,
        from: params.from.map(Timestamp::as_millisecond),
        to: params.to.map(Timestamp::as_millisecond),
    };
    page.list(|paging| api.store.list_jobs(filter, paging)).await
}

/// A job of a run that somebody else conducts.
#[derive(Debug, Deserialize, ToSchema)]
struct ReportedJob {
    /// Its run, which is known.
    run_uuid: Uuid,
    /// The number of the agent that has it.
    job_associated_agent: Option<u32>,
    /// Where it is in its life [default: Running].
    job_status: Option<JobStatus>,
}

/// Reports a job of a run that somebody else conducts. The answer has its name.
#[utoipa::path(post, path = "/api/jobs", tag = "jobs", operation_id = "report_job", request_body = ReportedJob,
    responses((status = 201, description = "The job", body = JobView), Failures))]
async fn report(
    State(api): State<Api>,
    Received(job): Received<ReportedJob>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let status = job.job_status.unwrap_or(JobStatus::Running);
    let view = api.store.report_job(RunId(job.run_uuid), job.job_associated_agent, status).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// How a job is now.
#[derive(Debug, Deserialize, ToSchema)]
struct ReportedStatus {
    /// The job.
    job_uuid: Uuid,
    /// Where it is in its life.
    job_status: JobStatus,
}

/// Reports how a job is now, of a run that somebody else conducts.
#[utoipa::path(patch, path = "/api/jobs/status", tag = "jobs", operation_id = "report_job_status",
    request_body = ReportedStatus, responses((status = 200, description = "The job", body = JobView), Failures))]
async fn set_status(
    State(api): State<Api>,
    Received(status): Received<ReportedStatus>,
) -> Result<Json<JobView>, Problem> {
    Ok(Json(api.store.report_job_status(status.job_uuid, status.job_status).await?))
}

/// A job.
#[utoipa::path(get, path = "/api/jobs/{job_uuid}", tag = "jobs", operation_id = "get_job",
    params(("job_uuid" = Uuid, Path)), responses((status = 200, description = "The job", body = JobView), Failures))]
async fn get(State(api): State<Api>, Named(job): Named<Uuid>) -> Result<Json<JobView>, Problem> {
    Ok(Json(api.store.job(job).await?))
}

/// The attempts at a job, in their order.
#[utoipa::path(get, path = "/api/jobs/{job_uuid}/attempts", tag = "jobs", operation_id = "list_attempts",
    params(("job_uuid" = Uuid, Path), PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<AttemptView>), Failures))]
async fn attempts(
    State(api): State<Api>,
    Named(job): Named<Uuid>,
    Params(page): Params<PageParams>,
) -> Result<Json<ListOf<AttemptView>>, Problem> {
    api.store.job(job).await?;
    page.list(|paging| api.store.list_attempts(job, paging)).await
}
