//! What the jobs of a run returned, as one file: a line of JSON per job, or a table for a spreadsheet.
//!
//! It is read in small parts as fast as it is taken, so its size does not matter, and a slow reader holds nothing.

use armada_protocol::RunId;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::extract::{Failures, Named, Params};
use super::problem::Problem;
use crate::store::views::JobView;
use crate::store::{Store, StoreError};

/// About how many bytes of results are in memory.
const AT_ONCE: u64 = 4 * 1024 * 1024;
const COLUMNS: [&str; 9] =
    ["index", "job_uuid", "job_status", "attempts", "agent", "started_at", "finished_at", "result", "error"];

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(download))
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// A line of JSON per job.
    #[default]
    Jsonl,
    /// A table.
    Csv,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ResultParams {
    /// How they are written: `jsonl` has each job as `/api/jobs` shows it, `csv` a row for each [default: jsonl].
    #[param(inline)]
    format: Option<Format>,
}

/// What the jobs of a run that have ended returned, in the order of their places.
#[utoipa::path(get, path = "/api/runs/{run_uuid}/results", tag = "runs", operation_id = "download_results",
    params(("run_uuid" = Uuid, Path), ResultParams), responses((status = 200, description = "The results", content(
    (String = "application/jsonl"), (String = "text/csv"))), Failures))]
async fn download(
    State(api): State<Api>,
    Named(run): Named<Uuid>,
    Params(params): Params<ResultParams>,
) -> Result<Response, Problem> {
    api.store.run(RunId(run)).await?;
    let format = params.format.unwrap_or_default();
    let (media_type, extension) = match format {
        Format::Jsonl => ("application/jsonl", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let disposition = format!("attachment; filename=\"{run}.{extension}\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).map_err(Problem::internal)?),
    ];
    Ok((headers, Body::from_stream(lines(api.store, run, format))).into_response())
}

fn lines(store: Store, run: Uuid, format: Format) -> impl futures::Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold((store, None), move |(store, from)| async move {
        let mut text = Vec::new();
        let Some(from) = from else {
            if matches!(format, Format::Csv) {
                text = table([COLUMNS.map(str::to_owned)])?;
            }
            return Ok(Some((text.into(), (store, Some(0)))));
        };
        let Some((jobs, next)) = store.results(run, from, AT_ONCE).await? else { return Ok(None) };
        match format {
            Format::Jsonl => {
                for job in &jobs {
                    serde_json::to_writer(&mut text, job)?;
                    text.push(b'\n');
                }
            }
            Format::Csv => text = table(jobs.iter().map(row))?,
        }
        Ok::<_, StoreError>(Some((Bytes::from(text), (store, Some(next)))))
    })
}

fn table(rows: impl IntoIterator<Item = [String; 9]>) -> Result<Vec<u8>, StoreError> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(std::io::Error::from)?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

fn row(job: &JobView) -> [String; 9] {
    let moment = |moment: Option<jiff::Timestamp>| moment.map(|moment| moment.to_string()).unwrap_or_default();
    let cell = |value: &Option<Box<RawValue>>| value.as_deref().map(cell).unwrap_or_default();
    [
        job.index.to_string(),
        job.job_uuid.to_string(),
        job.job_status.word().to_owned(),
        job.attempts.to_string(),
        job.job_associated_agent.map(|agent| agent.to_string()).unwrap_or_default(),
        moment(job.started_at),
        moment(job.finished_at),
        cell(&job.result),
        cell(&job.error),
    ]
}

/// A value in a cell: text as it is, everything else as JSON. What a spreadsheet would take for a formula gets an
/// apostrophe before it, which makes it text.
fn cell(value: &RawValue) -> String {
    match serde_json::from_str(value.get()) {
        Ok(Value::Null) => String::new(),
        Ok(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) => format!("'{text}"),
        Ok(Value::String(text)) => text,
        _ => value.get().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_takes_no_result_for_a_formula() {
        for (json, shown) in [
            (r#""=HYPERLINK(\"http://x\")""#, "'=HYPERLINK(\"http://x\")"),
            (r#""+1""#, "'+1"),
            (r#""@SUM(1)""#, "'@SUM(1)"),
            (r#""\t=1""#, "'\t=1"),
            ("-1.50", "-1.50"),
            (r#""plain""#, "plain"),
            (r#"{"a":"=1"}"#, r#"{"a":"=1"}"#),
            ("null", ""),
        ] {
            assert_eq!(cell(&RawValue::from_string(json.to_owned()).unwrap()), shown, "{json}");
        }
    }
}
