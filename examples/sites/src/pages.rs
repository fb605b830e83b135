//! The pages: what each shows, and what a form does.

pub(crate) mod join;

use std::sync::PoisonError;

use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::{Environment, Value, context};
use serde::Deserialize;

use crate::library::{self, MONTHS, Quote};
use crate::members::{Member, Visit};
use crate::{Note, QUOTES_PER_PAGE, Site};

/// What a note's mood may be.
const MOODS: [&str; 4] = ["Glad", "Thoughtful", "Amused", "Doubtful"];

/// The templates of `pages/`.
pub(crate) struct Pages(Environment<'static>);

macro_rules! templates {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("../pages/", $name)))),*] };
}

impl Default for Pages {
    fn default() -> Self {
        let mut pages = Environment::new();
        let templates = templates![
            "base.html",
            "list.html",
            "quote.html",
            "author.html",
            "login.html",
            "join.html",
            "joined.html",
            "account.html",
            "orders.html",
            "note_form.html",
            "note.html",
            "problem.html"
        ];
        for (name, template) in templates {
            // One that is not right is not there: its pages answer 500, and say so.
            let _ = pages.add_template(name, template);
        }
        Self(pages)
    }
}

impl Site {
    /// The visit that a request is part of.
    fn visit(&self, headers: &HeaderMap) -> Option<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).of(headers).cloned()
    }

    fn member(&self, headers: &HeaderMap) -> Option<&'static Member> {
        self.visit(headers)?.member
    }

    /// A page, for whoever looks at it.
    fn show(&self, name: &str, headers: &HeaderMap, more: Value) -> Response {
        let member = self.member(headers).map(|member| member.name);
        let rendered = self.pages.0.get_template(name).and_then(|page| page.render(context! { member, ..more }));
        match rendered {
            Ok(html) => Html(html).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        }
    }

    fn problem(&self, status: StatusCode, headers: &HeaderMap, title: &str, problem: &str) -> Response {
        (status, self.show("problem.html", headers, context! { title, problem })).into_response()
    }

    fn nothing_here(&self, headers: &HeaderMap) -> Response {
        self.problem(StatusCode::NOT_FOUND, headers, "Nothing here", "There is no such page, or not any more.")
    }

    /// A form was sent by a page of this site, for this very visit.
    fn is_ours(&self, headers: &HeaderMap, token: &str) -> bool {
        self.visit(headers).is_some_and(|visit| visit.token == token)
    }

    fn forged(&self, headers: &HeaderMap) -> Response {
        let problem = "The form is too old. Go back, load the page again, and send it once more.";
        self.problem(StatusCode::FORBIDDEN, headers, "Try again", problem)
    }
}

fn log_in_first() -> Response {
    Redirect::to("/login").into_response()
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    page: Option<usize>,
}

pub(crate) async fn list(State(site): State<Site>, Query(query): Query<ListQuery>, headers: HeaderMap) -> Response {
    let found = library::search(&query.q);
    let pages = found.len().div_ceil(QUOTES_PER_PAGE).max(1);
    let page = query.page.unwrap_or(1).clamp(1, pages);
    let quotes: Vec<&Quote> = found.iter().copied().skip((page - 1) * QUOTES_PER_PAGE).take(QUOTES_PER_PAGE).collect();
    let word = query.q.trim();
    site.show("list.html", &headers, context! { word, found => found.len(), quotes, page, pages })
}

fn find(id: usize) -> Option<&'static Quote> {
    library::quotes().iter().find(|quote| quote.id == id)
}

pub(crate) async fn quote(State(site): State<Site>, Path(id): Path<usize>, headers: HeaderMap) -> Response {
    match find(id) {
        Some(quote) => site.show("quote.html", &headers, context! { quote }),
        None => site.nothing_here(&headers),
    }
}

pub(crate) async fn hearts(Path(id): Path<usize>) -> Response {
    match find(id) {
        Some(quote) => quote.hearts().to_string().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(crate) async fn author(State(site): State<Site>, Path(slug): Path<String>, headers: HeaderMap) -> Response {
    let Some(author) = library::authors().iter().find(|author| author.slug == slug) else {
        return site.nothing_here(&headers);
    };
    let quotes: Vec<&Quote> = library::quotes().iter().filter(|quote| quote.author.slug == slug).collect();
    site.show("author.html", &headers, context! { author, quotes })
}

pub(crate) async fn login_form(State(site): State<Site>, headers: HeaderMap) -> Response {
    login_page(&site, &headers, None)
}

fn login_page(site: &Site, headers: &HeaderMap, problem: Option<&str>) -> Response {
    form_page(site, headers, "login.html", problem)
}

/// A page with a form, with a visit of its own where there is none.
fn form_page(site: &Site, headers: &HeaderMap, name: &str, problem: Option<&str>) -> Response {
    let (visit, cookie) = match site.visit(headers) {
        Some(visit) => (visit, None),
        None => {
            let (visit, cookie) = site.visits.lock().unwrap_or_else(PoisonError::into_inner).begin(None);
            (visit, Some(cookie))
        }
    };
    let page = site.show(name, headers, context! { token => visit.token, problem });
    match cookie {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], page).into_response(),
        None => page,
    }
}

#[derive(Deserialize)]
pub(crate) struct LoginForm {
    token: String,
    email: String,
    password: String,
}

pub(crate) async fn login(State(site): State<Site>, headers: HeaderMap, Form(form): Form<LoginForm>) -> Response {
    if !site.is_ours(&headers, &form.token) {
        return site.forged(&headers);
    }
    let Some(member) = Member::find(&form.email, &form.password) else {
        let problem = "This email and this password do not belong together.";
        return (StatusCode::UNAUTHORIZED, login_page(&site, &headers, Some(problem))).into_response();
    };
    // A session that was there before the login is not the member's.
    let mut visits = site.visits.lock().unwrap_or_else(PoisonError::into_inner);
    visits.end(&headers);
    let (_, cookie) = visits.begin(Some(member));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/account")).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Token {
    token: String,
}

pub(crate) async fn logout(State(site): State<Site>, headers: HeaderMap, Form(form): Form<Token>) -> Response {
    if !site.is_ours(&headers, &form.token) {
        return site.forged(&headers);
    }
    site.visits.lock().unwrap_or_else(PoisonError::into_inner).end(&headers);
    Redirect::to("/").into_response()
}

pub(crate) async fn account(State(site): State<Site>, headers: HeaderMap) -> Response {
    match site.visit(&headers) {
        Some(Visit { token, member: Some(_) }) => site.show("account.html", &headers, context! { token }),
        _ => log_in_first(),
    }
}

#[derive(Deserialize)]
pub(crate) struct OrdersQuery {
    month: Option<String>,
}

pub(crate) async fn orders(State(site): State<Site>, Query(query): Query<OrdersQuery>, headers: HeaderMap) -> Response {
    if site.member(&headers).is_none() {
        return log_in_first();
    }
    let [first, ..] = MONTHS;
    let month = query.month.as_deref().unwrap_or(first);
    if !MONTHS.contains(&month) {
        return site.nothing_here(&headers);
    }
    site.show("orders.html", &headers, context! { month, months => MONTHS, orders => library::orders(month) })
}

#[derive(Deserialize)]
pub(crate) struct NoteQuery {
    quote: usize,
}

pub(crate) async fn note_form(
    State(site): State<Site>,
    Query(query): Query<NoteQuery>,
    headers: HeaderMap,
) -> Response {
    match (site.visit(&headers), find(query.quote)) {
        (Some(Visit { token, member: Some(_) }), Some(quote)) => {
            site.show("note_form.html", &headers, context! { token, quote, moods => MOODS })
        }
        (_, None) => site.nothing_here(&headers),
        _ => log_in_first(),
    }
}

#[derive(Deserialize)]
pub(crate) struct NoteForm {
    token: String,
    quote: usize,
    text: String,
    mood: String,
    named: Option<String>,
}

pub(crate) async fn add_note(State(site): State<Site>, headers: HeaderMap, Form(form): Form<NoteForm>) -> Response {
    let Some(member) = site.member(&headers).filter(|_| site.is_ours(&headers, &form.token)) else {
        return site.forged(&headers);
    };
    let mood = MOODS.iter().find(|mood| mood.eq_ignore_ascii_case(&form.mood));
    let (Some(mood), Some(_), false) = (mood, find(form.quote), form.text.trim().is_empty()) else {
        return site.problem(StatusCode::BAD_REQUEST, &headers, "Not added", "A note has a quote, a text and a mood.");
    };
    let writer = form.named.map(|_| member.name);
    let mut notes = site.notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.push(Note { quote: form.quote, text: form.text, mood: (*mood).to_owned(), writer });
    Redirect::to(&format!("/notes/{}", notes.len())).into_response()
}

pub(crate) async fn note(State(site): State<Site>, Path(number): Path<usize>, headers: HeaderMap) -> Response {
    let note = number.checked_sub(1).and_then(|place| site.notes().into_iter().nth(place));
    let Some((note, quote)) = note.and_then(|note| Some((find(note.quote)?, note))).map(|(quote, note)| (note, quote))
    else {
        return site.nothing_here(&headers);
    };
    let writer = note.writer.unwrap_or("somebody");
    let note = context! { number, quote, text => note.text, mood => note.mood, writer };
    site.show("note.html", &headers, context! { note })
}

pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], include_str!("../pages/site.css")).into_response()
}

pub(crate) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("../pages/icon.svg")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_right() {
        let pages = Pages::default();
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pages")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".html") {
                pages.0.get_template(&name).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            }
        }
    }
}
