//! The contract in Rust: types and traits generated from `wit/`.
//!
//! Everything that the generator makes is behind this module; the rest of the crate says `contract::browser::Page` and
//! never meets a generated path.

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
        },
    });
}

pub(crate) use generated::armada::types::types::{Error, Failure, FailureKind};
pub(crate) use generated::armada::{
    browser::browser, database::database, monitoring::monitoring, secrets::secrets, tasks::tasks, types::types,
};
pub(crate) use generated::{Project, ProjectPre};
