//! The contract in Rust: types and traits generated from `wit/`.
//!
//! Everything that the generator makes is behind this module; the rest of the crate says `contract::browser::Page` and
//! never meets a generated path.

use armada_project::UrlPatternError;

#[allow(missing_docs, unsafe_code, unused_variables, clippy::all, clippy::restriction)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "project",
        additional_derives: [PartialEq],
        with: {
            "armada:browser/browser.browser-context": crate::capabilities::browser::ContextHandle,
            "armada:browser/browser.page": crate::capabilities::browser::PageHandle,
            "armada:browser/browser.element": crate::capabilities::browser::ElementHandle,
            "armada:browser/browser.download": crate::capabilities::browser::DownloadHandle,
            "armada:browser/browser.held-request": crate::capabilities::browser::HeldRequestHandle,
            "armada:database/database.transaction": crate::capabilities::database::TransactionHandle,
            "armada:http/http.body": crate::capabilities::http::BodyHandle,
            "armada:proxy/proxy.watch": crate::capabilities::proxy::WatchHandle,
        },
    });
}

/// What a component may export besides its lifecycle.
#[allow(missing_docs, unsafe_code, unused_variables, clippy::all, clippy::restriction)]
mod generated_modifying {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package armada:host; world modifying { export armada:project/modifiers@0.1.0; }",
        additional_derives: [PartialEq],
        with: { "armada:types/types": super::generated::armada::types::types },
    });
}

pub(crate) use generated::armada::types::types::{Error, Failure, FailureKind};
pub(crate) use generated::armada::{
    browser::browser, database::database, fingerprint::fingerprint, http::http, identity::identity,
    monitoring::monitoring, proxy::proxy, screen::screen, secrets::secrets, tasks::tasks, types::types,
};
pub(crate) use generated::{Project, ProjectIndices};
pub(crate) use generated_modifying::exports::armada::project::modifiers;
pub(crate) use generated_modifying::{Modifying, ModifyingIndices};

impl Error {
    /// What happened and what to do about it.
    pub(crate) fn into_message(self) -> String {
        match self {
            Self::Denied(message)
            | Self::Invalid(message)
            | Self::NotFound(message)
            | Self::Timeout(message)
            | Self::Limit(message)
            | Self::Closed(message)
            | Self::Unavailable(message)
            | Self::Other(message) => message,
        }
    }
}

impl From<UrlPatternError> for Error {
    fn from(error: UrlPatternError) -> Self {
        Self::Invalid(error.to_string())
    }
}
