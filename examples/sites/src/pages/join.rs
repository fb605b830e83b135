//! The form that makes somebody a member: on invitation, with all that sites ask for.

use std::sync::PoisonError;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;
use serde::Deserialize;

use super::form_page;
use crate::{INVITATION, Site};

/// Somebody who has joined, as the form was filled in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Registration {
    /// The given name.
    pub given_name: String,
    /// The family name.
    pub family_name: String,
    /// The date of birth, as `2001-12-31`.
    pub birth_date: String,
    /// Street and number.
    pub street: String,
    /// The postal code.
    pub postal_code: String,
    /// The city.
    pub city: String,
    /// The code of the country, such as `DE`.
    pub country: String,
    /// The phone number.
    pub phone: String,
    /// The email address.
    pub email: String,
    /// The name of the account.
    pub user_name: String,
    /// The password.
    pub password: String,
    /// How often the letter is to come.
    pub letter: String,
}

impl Registration {
    fn is_complete(&self) -> bool {
        let Self {
            given_name,
            family_name,
            birth_date,
            street,
            postal_code,
            city,
            country,
            phone,
            email,
            user_name,
            password,
            letter,
        } = self;
        let texts = [given_name, family_name, birth_date, street, postal_code, city, country, phone, user_name, letter];
        texts.iter().all(|text| !text.trim().is_empty()) && email.contains('@') && password.chars().count() >= 8
    }
}

pub(crate) async fn join_form(State(site): State<Site>, headers: HeaderMap) -> Response {
    form_page(&site, &headers, "join.html", None)
}

#[derive(Deserialize)]
pub(crate) struct JoinForm {
    token: String,
    invitation: String,
    #[serde(flatten)]
    registration: Registration,
}

pub(crate) async fn join(State(site): State<Site>, headers: HeaderMap, Form(form): Form<JoinForm>) -> Response {
    if !site.is_ours(&headers, &form.token) {
        return site.forged(&headers);
    }
    let mut members = site.registrations.lock().unwrap_or_else(PoisonError::into_inner);
    let problem = if form.invitation != INVITATION {
        Some("This is not the code of an invitation.")
    } else if !form.registration.is_complete() {
        Some("Every field is needed, and a password has eight characters.")
    } else if members.iter().any(|member| member.user_name == form.registration.user_name) {
        Some("This user name is taken.")
    } else {
        None
    };
    if problem.is_some() {
        drop(members);
        return (StatusCode::BAD_REQUEST, form_page(&site, &headers, "join.html", problem)).into_response();
    }
    members.push(form.registration);
    Redirect::to(&format!("/joined/{}", members.len())).into_response()
}

pub(crate) async fn joined(State(site): State<Site>, Path(number): Path<usize>, headers: HeaderMap) -> Response {
    let member = number.checked_sub(1).and_then(|place| site.registrations().into_iter().nth(place));
    let Some(Registration { given_name, family_name, user_name, letter, .. }) = member else {
        return site.nothing_here(&headers);
    };
    site.show("joined.html", &headers, context! { number, given_name, family_name, user_name, letter })
}
