//! The test's web server: the pages of `tests/pages`, and answers that no file can give.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::answers::answers;
use crate::repository;

/// A web server on a free port of this machine, in a thread of its own. It ends with this.
pub struct Site {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Site {
    /// Serves the pages of `tests/pages`, and [`answers`].
    pub fn start() -> Self {
        Self::serve(answers())
    }

    /// Serves these routes, and the pages of `tests/pages` for every other path.
    pub fn serve(routes: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = routes.route("/{*path}", get(page));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { address, runtime: Some(runtime) }
    }

    /// Where it is, such as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its host and port, as `allowed_hosts` has them.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A file of `tests/pages`.
async fn page(Path(path): Path<String>) -> Response {
    let file = pages().join(&path);
    if path.split('/').any(|part| part == "..") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let media_type = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(&file).await {
        Ok(content) => ([(header::CONTENT_TYPE, media_type)], content).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn pages() -> PathBuf {
    repository().join("tests/pages")
}
