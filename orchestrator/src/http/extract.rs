//! What requests carry, checked: a parameter that is not known, twice there or of another type is refused by its name.
//!
//! Parameters are described by the same types that read them, so the OpenAPI document knows exactly those that are
//! taken.

use std::collections::{BTreeMap, HashSet};

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::store::queries::{LOOKED_AT, Page, Paging};

/// How many rows a page has when nobody says.
const PAGE_SIZE: u64 = 10;
/// How many it has at most.
const MAX_PAGE_SIZE: u64 = 100;

/// Parameters of the query.
pub(super) struct Params<T>(pub(super) T);

/// Parameters of a list: which rows, and which part of them.
pub(super) struct ListParams<T>(pub(super) T, pub(super) PageParams);

/// What the path names.
pub(super) struct Named<T>(pub(super) T);

/// A JSON body.
pub(super) struct Received<T>(pub(super) T);

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Which page, from 1. Pages reach to the 100000th row; cursors (`before`, `after`) reach everywhere and are
    /// faster.
    #[param(minimum = 1)]
    pub(super) page: Option<u64>,
    /// How many rows a page has [default: 10].
    #[param(minimum = 1, maximum = 100)]
    pub(super) page_size: Option<u64>,
    /// The same as `page_size`.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u64>,
    /// Only what comes after this cursor, in its order; `next` of the answer goes on.
    #[param(minimum = 0)]
    pub(super) after: Option<u64>,
    /// Only what comes before this cursor; `next` of the answer goes on.
    #[param(minimum = 0)]
    pub(super) before: Option<u64>,
}

impl PageParams {
    /// The part of the list, and its page and page size.
    fn read(&self) -> Result<(Paging, u64), Problem> {
        let invalid = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
        let size = match (self.page_size, self.limit) {
            (Some(_), Some(_)) => return Err(invalid("page_size and limit are the same: give one of them".to_owned())),
            (size, limit) => size.or(limit).unwrap_or(PAGE_SIZE),
        };
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            let name = if self.limit.is_some() { "limit" } else { "page_size" };
            return Err(invalid(format!("{name}: {size} is not between 1 and {MAX_PAGE_SIZE}")));
        }
        let has_cursor = self.after.is_some() || self.before.is_some();
        if has_cursor && self.page.is_some() {
            return Err(invalid("page does not go with after and before: give the one or the others".to_owned()));
        }
        let page = self.page.unwrap_or(1);
        if page == 0 {
            return Err(invalid("page: pages are counted from 1".to_owned()));
        }
        let offset = (page - 1).saturating_mul(size);
        if offset > LOOKED_AT {
            return Err(invalid(format!(
                "page: pages reach to row {LOOKED_AT}; from there, give the answer's `next` as before"
            )));
        }
        Ok((Paging { offset, size, after: self.after, before: self.before }, page))
    }
}

/// A part of a list.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct ListOf<T> {
    /// What is in it, the newest first; after a cursor, in the order of the cursors.
    items: Vec<T>,
    /// How many there are in all, counted to 100000.
    total: u64,
    /// Whether that is all: otherwise there may be more.
    total_is_exact: bool,
    /// Which page it is, from 1.
    page: u64,
    /// How many rows a page has.
    page_size: u64,
    /// Where to go on: to be given as `after` if this was asked for with it, otherwise as `before`; null at the end. A
    /// filter may leave a page with few rows, or none, before the end.
    next: Option<u64>,
}

impl<T> ListOf<T> {
    /// A list of which there is one part only.
    pub(super) fn whole(items: Vec<T>) -> Self {
        let total = items.len() as u64;
        Self { items, total, total_is_exact: true, page: 1, page_size: total.max(1), next: None }
    }
}

impl PageParams {
    /// Reads a part of a list.
    pub(super) async fn list<T, F>(&self, read: impl FnOnce(Paging) -> F) -> Result<Json<ListOf<T>>, Problem>
    where
        F: Future<Output = Result<Page<T>, crate::store::StoreError>>,
    {
        let (paging, number) = self.read()?;
        let page = read(paging).await?;
        Ok(Json(ListOf {
            items: page.items,
            total: page.total,
            total_is_exact: page.is_total_exact,
            page: number,
            page_size: paging.size,
            next: page.next,
        }))
    }
}

/// Reads parameters, of which there are no others than these.
fn params<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let Query(params) = Query::try_from_uri(&parts.uri)
        .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, format!("the query: {}", reason(&rejection))))?;
    Ok(params)
}

fn refuse_unknown(parts: &Parts, known: &[openapi::path::Parameter]) -> Result<(), Problem> {
    let given: Vec<(String, String)> = params(parts)?;
    let mut seen = HashSet::new();
    for (name, _) in given {
        if !known.iter().any(|parameter| parameter.name == name) {
            let known: Vec<_> = known.iter().map(|parameter| parameter.name.as_str()).collect();
            let detail = format!("there is no parameter {name:?} here; there are {}", known.join(", "));
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        if !seen.insert(name.clone()) {
            return Err(Problem::new(StatusCode::BAD_REQUEST, format!("{name} is given twice")));
        }
    }
    Ok(())
}

/// What went wrong, without what is said about all queries.
fn reason(rejection: &axum::extract::rejection::QueryRejection) -> String {
    let text = rejection.body_text();
    text.strip_prefix("Failed to deserialize query string: ").map(str::to_owned).unwrap_or(text)
}

fn in_query() -> Option<openapi::path::ParameterIn> {
    Some(openapi::path::ParameterIn::Query)
}

impl<S: Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        refuse_unknown(parts, &T::into_params(in_query))?;
        params(parts).map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for ListParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut known = T::into_params(in_query);
        known.extend(PageParams::into_params(in_query));
        refuse_unknown(parts, &known)?;
        Ok(Self(params(parts)?, params(parts)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(named) = Path::from_request_parts(parts, state).await.map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the path: {}", rejection.body_text()))
        })?;
        Ok(Self(named))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Received<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(received) = Json::from_request(request, state).await.map_err(|rejection| {
            let status = match rejection.status() {
                // A body that is JSON and of another shape is as wrong as a parameter is.
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                status => status,
            };
            Problem::new(status, format!("the body: {}", rejection.body_text()))
        })?;
        Ok(Self(received))
    }
}

/// What any route may answer when it cannot do what it was asked: by the names under which the document says it once.
pub(super) struct Failures;

/// Each with its status, its name in the document, and what it means.
const FAILURES: [(&str, &str, &str); 9] = [
    ("400", "BadRequest", "Something about the request is wrong: the detail says what"),
    ("401", "Unauthorized", "The token is missing, or another one"),
    ("403", "Forbidden", "The request comes from a page that may not make it"),
    ("404", "NotFound", "It does not exist"),
    ("409", "Conflict", "It does not go with how things are"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "UnsupportedMediaType", "The body is not JSON"),
    ("500", "Broken", "Something is wrong with the server: its log says what"),
    ("503", "Unavailable", "Something that the server needs is away: try again"),
];

impl utoipa::IntoResponses for Failures {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        FAILURES.map(|(status, name, _)| (status.to_owned(), Ref::from_response_name(name).into())).into()
    }
}

impl utoipa::Modify for Failures {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (_, name, description) in FAILURES {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(description).content("application/problem+json", content);
            components.responses.insert(name.to_owned(), response.build().into());
        }
    }
}
