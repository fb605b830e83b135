//! Said in Passing: a small web site of quotes, for the example project to visit.
//!
//! It has what scripts meet on real sites: pages of a list, a search, a login with a token against forged requests, a
//! table for members, content that comes later than its page, forms. What it shows is [`library`], the same on every
//! start, so that whoever visits it can be told what must be found. Its pages are in `pages/`.

pub mod library;
mod members;
mod pages;
pub mod upstream;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::members::Visits;
pub use crate::members::{Member, PASSWORD};
use crate::pages::Pages;
pub use crate::pages::join::Registration;

/// How many quotes a page of a list shows.
pub const QUOTES_PER_PAGE: usize = 5;

/// What whoever joins must have been told.
pub const INVITATION: &str = "said in confidence";

/// A note, as a member has added it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The number of the quote that it is about.
    pub quote: usize,
    /// The text.
    pub text: String,
    /// One of the moods of the form.
    pub mood: String,
    /// The member's name, if it may be shown.
    pub writer: Option<&'static str>,
}

/// The site. Clones share what members have added.
#[derive(Clone, Default)]
pub struct Site {
    pages: Arc<Pages>,
    visits: Arc<Mutex<Visits>>,
    notes: Arc<Mutex<Vec<Note>>>,
    registrations: Arc<Mutex<Vec<Registration>>>,
}

impl Site {
    /// The notes that members have added, in order; the first has number 1.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who has joined, in order; the first has number 1.
    pub fn registrations(&self) -> Vec<Registration> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(pages::list))
            .route("/search", get(pages::list))
            .route("/quotes/{id}", get(pages::quote))
            .route("/quotes/{id}/hearts", get(pages::hearts))
            .route("/authors/{slug}", get(pages::author))
            .route("/login", get(pages::login_form).post(pages::login))
            .route("/logout", post(pages::logout))
            .route("/join", get(pages::join::join_form).post(pages::join::join))
            .route("/joined/{number}", get(pages::join::joined))
            .route("/account", get(pages::account))
            .route("/orders", get(pages::orders))
            .route("/notes/new", get(pages::note_form))
            .route("/notes", post(pages::add_note))
            .route("/notes/{number}", get(pages::note))
            .route("/site.css", get(pages::style))
            .route("/icon.svg", get(pages::icon))
            .with_state(self.clone())
    }

    /// Serves it until this future is done.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(&self, listener: TcpListener, until: impl Future<Output = ()>) -> std::io::Result<()> {
        // Browsers keep connections open for as long as they like: it does not wait for them.
        tokio::select! {
            served = async { axum::serve(listener, self.router()).await } => served,
            () = until => Ok(()),
        }
    }
}
