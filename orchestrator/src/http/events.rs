//! What jobs report: their events, `/api/events`, and the lines of their logs.

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
use super::extract::{Failures, ListOf, ListParams, Named, PageParams, Received};
use super::problem::Problem;
use crate::store::foreign_runs::ReportedEvent;
use crate::store::queries::{ReportFilter, ReportsOf};
use crate::store::views::ReportView;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, report)).routes(routes!(get)).routes(routes!(log))
}

/// Which events. A job or a run is named.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventParams {
    /// Events of this job.
    job_uuid: Option<Uuid>,
    /// Events of this run's jobs.
    run_uuid: Option<Uuid>,
    /// Only steps that went so.
    status: Option<EventStatus>,
    /// Only events with this in their content; the case of ASCII letters is ignored.
    text: Option<String>,
    /// Only what was reported then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Only what was reported earlier.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// How a step went.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EventStatus {
    #[serde(alias = "Info", alias = "Running")]
    Info,
    #[serde(alias = "Success")]
    Success,
    #[serde(alias = "Warning")]
    Warning,
    #[serde(alias = "Failure", alias = "Failed", alias = "failed")]
    Failure,
}

impl EventStatus {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// Events of a job or a run, the newest first.
#[utoipa::path(get, path = "/api/events", tag = "events", operation_id = "list_events", params(EventParams, PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<ReportView>), Failures))]
async fn list(
    State(api): State<Api>,
    ListParams(params, page): ListParams<EventParams>,
) -> Result<Json<ListOf<ReportView>>, Problem> {
    let of = match (params.job_uuid, params.run_uuid) {
        (Some(job), None) => ReportsOf::Job(job),
        (None, Some(run)) => ReportsOf::Run(run),
        _ => return Err(Problem::new(StatusCode::BAD_REQUEST, "give job_uuid or run_uuid, and not both")),
    };
    let filter = ReportFilter {
        of,
        kind: "event",
        level: params.status.map(|status| status.word().to_owned()),
        text: params.text,
        from: params.from.map(Timestamp::as_millisecond),
        to: params.to.map(Timestamp::as_millisecond),
    };
    page.list(|paging| api.store.list_reports(filter, paging)).await
}

/// An event of a job that somebody else conducts.
#[derive(Debug, Deserialize, ToSchema)]
struct ReportedStep {
    /// The job, which is known.
    job_uuid: Uuid,
    /// What happened.
    event_content: String,
    /// How the step went [default: info].
    event_status: Option<EventStatus>,
    /// When; now, if that is not said.
    #[schema(value_type = Option<String>, format = DateTime)]
    event_datetime: Option<Timestamp>,
}

/// Reports an event of a job that somebody else conducts.
#[utoipa::path(post, path = "/api/events", tag = "events", operation_id = "report_event", request_body = ReportedStep,
    responses((status = 201, description = "The event", body = ReportView), Failures))]
async fn report(
    State(api): State<Api>,
    Received(step): Received<ReportedStep>,
) -> Result<(StatusCode, Json<ReportView>), Problem> {
    let event = ReportedEvent {
        job: step.job_uuid,
        level: step.event_status.unwrap_or(EventStatus::Info).word(),
        content: step.event_content,
        time: step.event_datetime.unwrap_or_else(Timestamp::now),
    };
    Ok((StatusCode::CREATED, Json(api.store.report_event(event).await?)))
}

/// An event, or a line of a log.
#[utoipa::path(get, path = "/api/events/{event_uuid}", tag = "events", operation_id = "get_event",
    params(("event_uuid" = Uuid, Path)), responses((status = 200, description = "The event", body = ReportView), Failures))]
async fn get(State(api): State<Api>, Named(event): Named<Uuid>) -> Result<Json<ReportView>, Problem> {
    Ok(Json(api.store.event(event).await?))
}

/// Which lines of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogParams {
    /// Only lines that are so important.
    #[param(inline)]
    level: Option<LogLevel>,
    /// Only lines with this; the case of ASCII letters is ignored.
    text: Option<String>,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

impl LogLevel {
    fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// The lines of a job's log, the newest first.
#[utoipa::path(get, path = "/api/jobs/{job_uuid}/log", tag = "jobs", operation_id = "list_log",
    params(("job_uuid" = Uuid, Path), LogParams, PageParams),
    responses((status = 200, description = "A part of the list", body = ListOf<ReportView>), Failures))]
async fn log(
    State(api): State<Api>,
    Named(job): Named<Uuid>,
    ListParams(params, page): ListParams<LogParams>,
) -> Result<Json<ListOf<ReportView>>, Problem> {
    api.store.job(job).await?;
    let filter = ReportFilter {
        of: ReportsOf::Job(job),
        kind: "log",
        level: params.level.map(|level| level.word().to_owned()),
        text: params.text,
        from: None,
        to: None,
    };
    page.list(|paging| api.store.list_reports(filter, paging)).await
}
