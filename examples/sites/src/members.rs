//! Who visits: sessions by a cookie, the token that a form must carry, and who may log in.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use uuid::Uuid;

/// The password of every member.
pub const PASSWORD: &str = "correct horse";

/// How many visits are kept.
const VISITS: usize = 10_000;
/// The name of the cookie.
const COOKIE: &str = "visit";

/// Somebody who may log in.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// With what.
    pub email: &'static str,
    /// The name.
    pub name: &'static str,
}

impl Member {
    /// All members.
    pub const ALL: [Self; 3] = [
        Self { email: "ada@example.com", name: "Ada" },
        Self { email: "ben@example.com", name: "Ben" },
        Self { email: "cleo@example.com", name: "Cleo" },
    ];

    /// Whose email and password these are.
    pub(crate) fn find(email: &str, password: &str) -> Option<&'static Self> {
        const MEMBERS: &[Member] = &Member::ALL;
        MEMBERS.iter().find(|member| member.email.eq_ignore_ascii_case(email) && password == PASSWORD)
    }
}

/// A visit: from the first form to the log-out.
#[derive(Clone)]
pub(crate) struct Visit {
    /// What its forms must carry, so that no other site can send them.
    pub(crate) token: String,
    /// Who it is, once logged in.
    pub(crate) member: Option<&'static Member>,
}

/// The visits, by their cookies.
#[derive(Default)]
pub(crate) struct Visits(HashMap<String, Visit>);

impl Visits {
    /// The visit that a request is part of.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<&Visit> {
        self.0.get(cookie(headers)?)
    }

    /// Begins a visit; gives it, and the header that sets its cookie.
    pub(crate) fn begin(&mut self, member: Option<&'static Member>) -> (Visit, String) {
        if self.0.len() >= VISITS {
            self.0.clear();
        }
        let id = Uuid::new_v4().to_string();
        let visit = Visit { token: Uuid::new_v4().to_string(), member };
        self.0.insert(id.clone(), visit.clone());
        (visit, format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax"))
    }

    /// Ends the visit that a request is part of.
    pub(crate) fn end(&mut self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers) {
            self.0.remove(id);
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='))
}
