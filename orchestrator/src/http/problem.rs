//! What goes wrong, as the API says it: `application/problem+json` (RFC 9457).
//!
//! A client's own mistakes are all told at once, each with its place where it has one. Of what goes wrong in here a
//! client learns only that it did: the cause goes to the log, since it may name files, statements or addresses.

use std::fmt::Display;

use armada_project::{Mistake, Mistakes, counted};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::conductor::ConductorError;
use crate::inputs::InputsError;
use crate::store::StoreError;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// `about:blank`: the status says of which kind it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What went wrong this time, and what to do.
    pub detail: String,
    /// What is wrong in what was sent, all of it; of a file with too many mistakes, the first ones and how many more
    /// there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<MistakeView>,
}

/// One thing that is wrong in one place of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MistakeView {
    /// The file, relative to the project, or the part of the request.
    pub file: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The row of a CSV file, from 0: the index of the agent or job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The name of a CSV file's column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv_column: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl MistakeView {
    /// A mistake that concerns a file or part as a whole.
    pub fn new(file: impl Into<String>, message: impl Into<String>, help: Option<&str>) -> Self {
        let help = help.map(str::to_owned);
        Self { file: file.into(), line: None, column: None, row: None, csv_column: None, message: message.into(), help }
    }
}

impl From<&Mistake> for MistakeView {
    fn from(mistake: &Mistake) -> Self {
        Self {
            line: mistake.line(),
            column: mistake.column(),
            row: mistake.row(),
            csv_column: mistake.csv_column().map(str::to_owned),
            ..Self::new(mistake.file(), mistake.message(), mistake.advice())
        }
    }
}

/// As compilers write it: `file:line:column: row, column: message (help)`.
impl Display for MistakeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        for place in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{place}")?;
        }
        f.write_str(": ")?;
        if let Some(row) = self.row {
            write!(f, "row {row}")?;
            if let Some(column) = &self.csv_column {
                write!(f, ", column `{column}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl Problem {
    /// A problem of this status, and what went wrong this time.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Unknown").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            mistakes: Vec::new(),
        }
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Something is too large.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// What was sent was understood, and has mistakes.
    pub fn mistaken(mistakes: Vec<MistakeView>) -> Self {
        let detail = match mistakes.as_slice() {
            [only] => only.to_string(),
            _ => "there are several mistakes in what was sent: see `mistakes`".to_owned(),
        };
        Self { mistakes, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// Something went wrong in here. The cause goes to the log.
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong on the server: its log says what")
    }

    /// Something that is needed is away, or the server is too busy. The cause goes to the log.
    pub fn unavailable(cause: impl Display) -> Self {
        tracing::warn!(%cause, "a request could not be answered now");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server cannot do this now: try again in a moment")
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(format!("{what} does not exist")),
            StoreError::Conflict(message) => Self::new(StatusCode::CONFLICT, message),
            other if other.may_pass() => Self::unavailable(other),
            other => Self::internal(other),
        }
    }
}

impl From<ConductorError> for Problem {
    fn from(error: ConductorError) -> Self {
        match error {
            ConductorError::Store(error) => error.into(),
            ConductorError::Inputs(error) => error.into(),
            ConductorError::Configuration(mistake) => Self::mistaken(vec![MistakeView::from(&mistake)]),
            ConductorError::Protocol(_) | ConductorError::Ending => Self::unavailable(error),
            other => Self::internal(other),
        }
    }
}

impl From<InputsError> for Problem {
    fn from(error: InputsError) -> Self {
        match error {
            InputsError::Configuration(mistakes) => Self::from(&mistakes),
            InputsError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::unavailable(source)
            }
            other => Self::internal(other),
        }
    }
}

impl From<&Mistakes> for Problem {
    fn from(found: &Mistakes) -> Self {
        let more = |(file, count)| MistakeView::new(file, format!("and {}", counted(count, "more mistake")), None);
        Self::mistaken(found.iter().map(MistakeView::from).chain(found.more().map(more)).collect())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_answered_as_the_standard_has_it() {
        let response = Problem::not_found("there is no run 1").into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        let told = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no run 1"}"#;
        assert_eq!(body, told);
    }

    #[test]
    fn what_went_wrong_in_here_is_not_told() {
        let told = serde_json::to_string(&Problem::internal("SELECT * FROM runs: disk full at /var/lib")).unwrap();
        assert!(!told.contains("SELECT") && !told.contains("/var"), "{told}");
        assert_eq!(Problem::unavailable("x").into_response().headers()[RETRY_AFTER], "1");
    }

    #[test]
    fn a_mistake_says_where_it_is_and_one_alone_is_the_detail() {
        let mistake = MistakeView { line: Some(3), ..MistakeView::new("a.json", "wrong", Some("mend it")) };
        let one = Problem::mistaken(vec![mistake.clone()]);
        assert_eq!((one.status, one.detail.as_str()), (422, "a.json:3: wrong (mend it)"));
        assert!(Problem::mistaken(vec![mistake.clone(), mistake]).detail.contains("several"));
        let read: Problem = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(read, one);
    }
}
