//! Downloads: files that pages start, kept in the browser's own folder until a script reads them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chromiumoxide_cdp::cdp::browser_protocol::browser::CancelDownloadParams;
use serde::Deserialize;
use tokio::sync::watch;

use super::cdp::Session;
use super::context::Settings;
use super::page::{Page, WAITING};
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;
use crate::keep::Kept;

/// A download that a page has started. Dropping it gives it up and deletes what has come.
pub(crate) struct Download {
    guid: String,
    url: String,
    name: String,
    path: PathBuf,
    most_bytes: u64,
    /// What has come counts as kept.
    received: Mutex<Kept<()>>,
    browser: Session,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    Running,
    Complete,
    TooLarge,
    NoRoom,
    Broken,
}

/// The browser's news of a download's beginning.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WillBegin {
    pub(super) frame_id: String,
    pub(super) guid: String,
    url: String,
    suggested_filename: String,
}

/// The browser's news of how a download goes on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DownloadProgress {
    pub(super) guid: String,
    received_bytes: f64,
    state: String,
}

impl Download {
    pub(super) fn new(begin: WillBegin, folder: &Path, settings: &Settings, browser: Session) -> Self {
        Self {
            // Nothing has come yet, and there is room for nothing.
            received: Mutex::new(settings.keep.keep(()).unwrap_or_default()),
            path: folder.join(&begin.guid),
            guid: begin.guid,
            url: begin.url,
            name: begin.suggested_filename,
            most_bytes: settings.bytes_per_call,
            browser,
            progress: watch::Sender::new(Progress::Running),
        }
    }

    /// The URL it comes from.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name that the server suggests.
    pub(crate) fn suggested_name(&self) -> &str {
        &self.name
    }

    /// The browser's name for it.
    pub(super) fn guid(&self) -> &str {
        &self.guid
    }

    /// How it goes on.
    pub(super) fn progressed(&self, news: &DownloadProgress) {
        #[allow(clippy::cast_precision_loss, reason = "a limit of more than 2^53 bytes is no limit")]
        let too_large = news.received_bytes > self.most_bytes as f64;
        let progress = match news.state.as_str() {
            _ if too_large => Progress::TooLarge,
            _ if !self.has_room_for(news.received_bytes) => Progress::NoRoom,
            "completed" => Progress::Complete,
            "canceled" => Progress::Broken,
            _ => return,
        };
        let first = self.progress.send_if_modified(|known| {
            let first = *known == Progress::Running;
            if first {
                *known = progress;
            }
            first
        });
        if first && matches!(progress, Progress::TooLarge | Progress::NoRoom) {
            self.cancel();
        }
    }

    /// Counts what has come as kept, as far as there is room.
    fn has_room_for(&self, bytes: f64) -> bool {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, and not above a limit")]
        let bytes = bytes as u64;
        self.received.lock().unwrap_or_else(PoisonError::into_inner).grow_to(bytes).is_ok()
    }

    fn cancel(&self) {
        self.browser.tell(&CancelDownloadParams::new(self.guid.clone()));
    }

    /// Its content, once it is complete.
    pub(crate) async fn bytes(&self, deadline: Deadline) -> Result<Vec<u8>, Error> {
        let content = async {
            let mut progress = self.progress.subscribe();
            let ended = progress.wait_for(|progress| *progress != Progress::Running).await.map(|ended| *ended);
            match ended.unwrap_or(Progress::Broken) {
                Progress::Complete => tokio::fs::read(&self.path)
                    .await
                    .map_err(|error| Error::Other(format!("the download cannot be read: {error}"))),
                Progress::TooLarge => Err(Error::Limit(format!(
                    "the download is larger than {} bytes: raise run_message.sandbox.limits.bytes_per_call",
                    self.most_bytes
                ))),
                Progress::NoRoom => Err(Error::Limit(
                    "there is no room to keep the download: drop others, or raise run_message.sandbox.limits.bytes_kept"
                        .to_owned(),
                )),
                Progress::Running | Progress::Broken => {
                    Err(Error::Unavailable(format!("the download of {} was broken off", self.url)))
                }
            }
        };
        deadline.bound(|| format!("the download of {}", self.url), content).await
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if *self.progress.borrow() == Progress::Running {
            self.cancel();
        }
        // What is left goes with the browser's folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Page {
    /// Waits for a download that this page starts.
    pub(crate) async fn wait_for_download(&self, options: wit::WaitOptions) -> Result<Arc<Download>, Error> {
        let next = self.until(|state| state.downloads.pop_front());
        self.action_deadline(options.timeout_ms).bound(|| "the page to start a download".to_owned(), next).await
    }

    /// The page has started a download; it is given up when too many wait already.
    pub(super) fn download_started(&self, download: Arc<Download>) {
        self.change(|state| {
            if state.downloads.len() < WAITING {
                state.downloads.push_back(download);
            }
        });
    }
}
