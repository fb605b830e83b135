//! What attempts report: events and lines of their logs, how far they have come, and the files that they keep.

use std::time::Duration;

use armada_protocol::outcome::StoredArtifact;
use armada_protocol::report::{Artifact, EventLevel, LogLevel};
use armada_protocol::{Attempt, ProtocolError, Report, RunId};
use sqlx::Row as _;
use uuid::Uuid;

use super::attempts::{FOUND, Found, find};
use super::runs::{clean, tell_job, whole};
use super::views::{ReportView, count, moment};
use super::writer::{Book, ROWS, insert};
use super::{Store, StoreError};

/// The metric of how long reports take from being made to being stored.
pub(crate) const EVENT_LAG: &str = "armada_event_lag_seconds";

impl Store {
    /// The place of a job of which this attempt is the one that is open.
    pub(super) async fn open_place(&self, attempt: Attempt) -> Result<Option<u64>, StoreError> {
        let select = sqlx::query(FOUND).bind(attempt.job.to_string()).bind(attempt.run.to_string());
        let found = select.fetch_optional(self.pool()).await?.as_ref().map(Found::of).transpose()?;
        Ok(found.filter(|found| found.is_open(attempt)).map(|found| found.place))
    }

    /// Writes an artifact to its file, which replaces an earlier one of the same name.
    pub(super) async fn keep(
        &self,
        run: RunId,
        place: u64,
        artifact: Artifact,
    ) -> Result<StoredArtifact, ProtocolError> {
        if !Artifact::is_allowed_name(&artifact.name) {
            return Err(ProtocolError::Invalid(format!("an artifact cannot be named {:?}", artifact.name)));
        }
        let folder = self.artifacts_of(run.0, place);
        let path = folder.join(&artifact.name);
        let size = artifact.bytes.len() as u64;
        let written = async {
            tokio::fs::create_dir_all(&folder).await?;
            // Its name belongs to a whole file only: a full disk leaves the one before.
            let part = folder.join(format!(".{}", Uuid::new_v4()));
            let written = async {
                tokio::fs::write(&part, &artifact.bytes).await?;
                tokio::fs::rename(&part, &path).await
            };
            let written = written.await;
            if written.is_err() {
                // It may not even be there.
                let _ = tokio::fs::remove_file(&part).await;
            }
            written
        };
        let unavailable = |error| ProtocolError::Unavailable(format!("an artifact could not be kept: {error}"));
        written.await.map_err(unavailable)?;
        Ok(StoredArtifact {
            name: artifact.name,
            media_type: artifact.media_type,
            size,
            path: path.display().to_string(),
        })
    }
}

/// Adds to what is known of an attempt, if it is still the one that is open.
pub(super) async fn store_reports(
    book: &mut Book,
    attempt: Attempt,
    after: u64,
    reports: Vec<(u64, Report)>,
    artifacts: Vec<StoredArtifact>,
) -> Result<(), StoreError> {
    let found = find(book, attempt.run, attempt.job).await?;
    if !found.is_some_and(|found| found.is_open(attempt)) {
        return Ok(());
    }
    let (run, job) = (attempt.run.0, attempt.job.to_string());
    let select = sqlx::query("SELECT reports FROM attempts WHERE job_id = $1 AND attempt = $2");
    let row = select.bind(&job).bind(i64::from(attempt.number)).fetch_one(book.sql()).await?;
    let before = count(row.try_get("reports")?);
    let update = sqlx::query("UPDATE attempts SET reports = $3 WHERE job_id = $1 AND attempt = $2");
    let update = update.bind(&job).bind(i64::from(attempt.number)).bind(whole(before.max(after)));
    update.execute(book.sql()).await?;
    for artifact in artifacts {
        let insert = "INSERT INTO artifacts (job_id, name, attempt, media_type, size, created_at) VALUES ($1, $2, $3, $4, \
                      $5, $6) ON CONFLICT (job_id, name) DO UPDATE SET attempt = excluded.attempt, media_type = \
                      excluded.media_type, size = excluded.size, created_at = excluded.created_at";
        sqlx::query(insert)
            .bind(&job)
            .bind(&artifact.name)
            .bind(i64::from(attempt.number))
            .bind(clean(&artifact.media_type))
            .bind(whole(artifact.size))
            .bind(book.now)
            .execute(book.sql())
            .await?;
        let told = serde_json::json!({
            "run_uuid": run, "job_uuid": attempt.job, "name": artifact.name, "media_type": artifact.media_type,
            "size": artifact.size,
        });
        book.tell(run, "artifact", &told)?;
    }
    let mut rows = Vec::new();
    for (_, report) in reports.into_iter().filter(|(number, _)| *number >= before) {
        let (time, kind, level, content, attachment) = match report {
            Report::Event(event) => (event.time, "event", event_level(event.level), event.content, event.attachment),
            Report::Log(line) => (line.time, "log", log_level(line.level), line.text, None),
            Report::Progress(progress) => {
                let update = sqlx::query("UPDATE jobs SET progress = $2 WHERE id = $1").bind(&job);
                update.bind(clean(&serde_json::to_string(&progress)?)).execute(book.sql()).await?;
                tell_job(book, &job).await?;
                continue;
            }
            Report::Artifact(_) => continue,
        };
        let view = ReportView {
            event_uuid: Uuid::new_v4(),
            run_uuid: run,
            job_uuid: attempt.job,
            attempt: attempt.number.into(),
            kind: kind.to_owned(),
            event_status: level.to_owned(),
            event_content: clean(&content),
            attachment: attachment.map(|name| clean(&name)),
            event_datetime: time,
            cursor: 0,
        };
        rows.push(view);
    }
    insert_reports(book, rows).await.map(drop)
}

/// Stores events and lines of logs, and tells them.
pub(super) async fn insert_reports(book: &mut Book, mut rows: Vec<ReportView>) -> Result<Vec<ReportView>, StoreError> {
    for row in &mut rows {
        row.cursor = count(book.next_seq());
        // Who is told of it now and who reads it later see the same.
        row.event_datetime = moment(row.event_datetime.as_millisecond());
        book.tell_as(whole(row.cursor), row.run_uuid, "report", row)?;
    }
    let oldest = rows.iter().map(|row| row.event_datetime.as_millisecond()).min();
    if let Ok(lag) = u64::try_from(book.now - oldest.unwrap_or(book.now)) {
        let lag = Duration::from_millis(lag).as_secs_f64();
        book.afterwards(move || metrics::histogram!(EVENT_LAG).record(lag));
    }
    for rows in rows.chunks(ROWS) {
        let into = "reports (seq, id, run_id, job_id, attempt, kind, level, content, attachment, reported_at)";
        let mut statement = sqlx::query(insert(into, 10, rows.len(), ""));
        for row in rows {
            statement = statement
                .bind(whole(row.cursor))
                .bind(row.event_uuid.to_string())
                .bind(row.run_uuid.to_string())
                .bind(row.job_uuid.to_string())
                .bind(whole(row.attempt))
                .bind(row.kind.clone())
                .bind(row.event_status.clone())
                .bind(row.event_content.clone())
                .bind(row.attachment.clone())
                .bind(row.event_datetime.as_millisecond());
        }
        statement.execute(book.sql()).await?;
    }
    Ok(rows)
}

fn event_level(level: EventLevel) -> &'static str {
    match level {
        EventLevel::Info => "info",
        EventLevel::Success => "success",
        EventLevel::Warning => "warning",
        EventLevel::Failure => "failure",
    }
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}
