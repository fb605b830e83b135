//! Launching Chromium, and ending it on every path.
//!
//! The process belongs to one task, which ends with it: on request (politely first), when the process dies, or when the
//! browser's owner is dropped. The profile folder goes last. Should this whole process be killed, the DevTools pipe
//! closes and Chromium ends by itself.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::capabilities::fingerprint::Device;
use crate::capabilities::proxy::{Proxy, ProxyError};
use crate::capabilities::screen::Display;

/// Names that Chromium goes by, in the order of preference.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];
/// Where it may be when it is not on the path.
const PLACES: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
/// The environment that Chromium gets; everything else may hold secrets and stays here.
const ENVIRONMENT: [&str; 8] =
    ["PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"];
/// How much of what Chromium prints is kept, for when it does not start.
const PRINTED_BYTES: usize = 4 * 1024;
/// How long Chromium may take to end when asked to.
const ENDING: Duration = Duration::from_secs(5);
/// How long Chromium may take to tell its version.
const ASKING: Duration = Duration::from_secs(20);

/// Switches that always hold.
const SWITCHES: [&str; 27] = [
    "--remote-debugging-pipe",
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    // Quiet: nothing is fetched that no script asked for.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-quic",
    "--disable-domain-reliability",
    // These two ask whatever is switched off; there is nobody to answer, and the proxy knows it.
    "--gaia-url=http://nowhere.invalid/",
    "--component-updater=url-source=http://nowhere.invalid/",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    // WebRTC stays on proxied paths: no packets past the checks.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    // Pages behave the same whether somebody looks at them or not.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    "--disable-popup-blocking",
    "--disable-prompt-on-repost",
    // A page that failed is the script's to load again.
    "--disable-auto-reload",
    "--mute-audio",
    // /dev/shm is 64 MB in containers.
    "--disable-dev-shm-usage",
    // Every frame of a page is in the page's own process, so that one session reaches them all. What keeps sites apart
    // here is the run: a browser has one, and everything in it belongs to that run's script.
    "--disable-site-isolation-trials",
];

/// Features that are switched off: site isolation (as above), pages kept for going back (their events differ from
/// loading), and services in the background.
const FEATURES_OFF: &str = "--disable-features=IsolateOrigins,site-per-process,IsolateSandboxedIframes,\
     OriginKeyedProcessesByDefault,BackForwardCache,Translate,OptimizationHints,MediaRouter,\
     DialMediaRouteProvider,AutofillServerCommunication,CertificateTransparencyComponentUpdater,\
     InterestFeedContentSuggestions,PrivacySandboxSettings4,NetworkTimeServiceQuerying,LocalNetworkAccessChecks,HttpsUpgrades";

/// What is launched, as the operator and the grant have it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Which Chromium; looked for when not given.
    pub(crate) executable: Option<PathBuf>,
    /// Whether it has a window.
    pub(crate) headed: bool,
    /// Where its folders go.
    pub(crate) temp: PathBuf,
    /// The window's size, in pixels.
    pub(crate) window: (u32, u32),
    /// The language, user agent and time zone that even workers see.
    pub(crate) locale: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) timezone: Option<String>,
    /// Device pixels for each CSS pixel.
    pub(crate) scale: Option<f64>,
    /// Where its windows are, if that is not the machine's own display.
    pub(crate) display: Option<Display>,
    /// The languages of requests, in order; those of the language if none.
    pub(crate) accept_language: Option<String>,
}

/// There is no Chromium to launch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChromiumNotFound {
    /// None is installed.
    #[error(
        "no Chromium was found: install it (on Debian: apt-get install chromium), or set ARMADA_CHROMIUM to its path"
    )]
    Nowhere,
    /// What was named is none.
    #[error("{0} is no program: give --chromium or ARMADA_CHROMIUM the path of Chromium's executable file")]
    NoProgram(String),
}

/// Finds the Chromium that agents would launch: the one that is named, or the first on the path.
pub fn find_chromium(named: Option<&Path>) -> Result<PathBuf, ChromiumNotFound> {
    let is_program = |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0);
    if let Some(path) = named {
        return if is_program(path) {
            Ok(path.to_owned())
        } else {
            Err(ChromiumNotFound::NoProgram(path.display().to_string()))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let on_path = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let mut places = on_path.chain(PLACES.iter().map(PathBuf::from));
    places.find(|path| is_program(path)).ok_or(ChromiumNotFound::Nowhere)
}

/// Whether there is somewhere to show a window.
pub fn has_display() -> bool {
    cfg!(target_os = "macos") || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some())
}

/// Why Chromium was not launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// There is none.
    #[error(transparent)]
    NotFound(#[from] ChromiumNotFound),
    /// The way out of it could not be opened.
    #[error("the browser's proxy could not be opened: {0}")]
    Proxy(#[from] ProxyError),
    /// It could not be started.
    #[error("{path} could not be started: {source}")]
    Start {
        /// What was started.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended, or said nothing, instead of being ready.
    #[error("{path} did not become ready as a Chromium does{printed}")]
    NotReady {
        /// What was started.
        path: String,
        /// What it printed.
        printed: String,
    },
}

/// A Chromium that runs.
pub(crate) struct Process {
    path: PathBuf,
    child: Child,
    /// The group of all its processes; some may outlive the first.
    group: Option<Pid>,
    /// Gone with this.
    profile: TempDir,
}

/// Chromium's end of the conversation.
pub(crate) struct Pipes {
    pub(crate) read: pipe::Receiver,
    pub(crate) write: pipe::Sender,
    /// What it prints; to be drained.
    pub(crate) printed: tokio::process::ChildStderr,
}

/// Asks the Chromium that would be launched for its version.
pub(crate) async fn version(executable: Option<&Path>) -> Result<String, LaunchError> {
    let path = find_chromium(executable)?;
    let shown = path.display().to_string();
    let failed = |source: io::Error| LaunchError::Start { path: shown.clone(), source };
    let mut command = Command::new(&path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).env_clear();
    command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    let output =
        tokio::time::timeout(ASKING, command.output()).await.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?;
    let printed = String::from_utf8_lossy(&output.map_err(failed)?.stdout).into_owned();
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let version = printed.split_whitespace().find(is_version).map(str::to_owned);
    version.ok_or_else(|| LaunchError::NotReady { path: shown, printed: "; it does not tell its version".to_owned() })
}

impl Launch {
    /// Has the browser show this device from its start, so that what cannot be told later sees it too.
    pub(crate) fn show(&mut self, device: &Device) {
        self.window = device.profile.screen;
        self.locale = Some(device.locale().to_owned());
        self.accept_language = Some(device.accept_language());
        self.user_agent = Some(device.user_agent());
        self.timezone = device.timezone.clone();
        self.scale = None;
    }

    fn arguments(&self, profile: &Path, proxy: &Proxy) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = SWITCHES.iter().map(Into::into).collect();
        let mut add = |argument: String| arguments.push(argument.into());
        add(FEATURES_OFF.to_owned());
        add(format!("--window-size={},{}", self.window.0, self.window.1));
        if !self.headed {
            add("--headless=new".to_owned());
            add("--hide-scrollbars".to_owned());
            add("--disable-gpu".to_owned());
        }
        // Chromium's own sandbox does not work for root; ours does not depend on it, but say so.
        if geteuid().is_root() {
            tracing::warn!("running as root: Chromium's own sandbox is off; run agents as a normal user");
            add("--no-sandbox".to_owned());
        }
        // Everything goes through the proxy, loopback too, and nothing but the proxy has an address.
        let address = proxy.address();
        add(format!("--proxy-server=http://{address}"));
        add("--proxy-bypass-list=<-loopback>".to_owned());
        add(format!("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {}", address.ip()));
        // What the proxy vouches for is trusted, and nothing else that the system does not trust.
        add(format!("--ignore-certificate-errors-spki-list={}", proxy.pin()));
        if let Some(locale) = &self.locale {
            add(format!("--lang={locale}"));
        }
        if let Some(languages) = &self.accept_language {
            add(format!("--accept-lang={languages}"));
        }
        if let Some(user_agent) = &self.user_agent {
            add(format!("--user-agent={user_agent}"));
        }
        if let Some(scale) = self.scale {
            add(format!("--force-device-scale-factor={scale}"));
        }
        if self.display.is_some() {
            add("--ozone-platform=x11".to_owned());
            add("--window-position=0,0".to_owned());
        }
        let mut folder = OsString::from("--user-data-dir=");
        folder.push(profile);
        arguments.push(folder);
        arguments
    }

    /// Starts Chromium, which reaches hosts through this proxy.
    pub(crate) fn start(&self, proxy: &Proxy) -> Result<(Process, Pipes), LaunchError> {
        let path = find_chromium(self.executable.as_deref())?;
        let failed = |source: io::Error| LaunchError::Start { path: path.display().to_string(), source };
        let profile = tempfile::Builder::new()
            .prefix("armada-browser-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.temp)
            .map_err(failed)?;
        let (theirs_read, ours_write) = io::pipe().map_err(failed)?;
        let (ours_read, theirs_write) = io::pipe().map_err(failed)?;
        let mut command = std::process::Command::new(&path);
        command.args(self.arguments(profile.path(), proxy));
        command.env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if let Some(display) = &self.display {
            command.env("DISPLAY", &display.name).env("XAUTHORITY", &display.authority).env_remove("WAYLAND_DISPLAY");
        }
        command.env("HOME", profile.path()).env("TMPDIR", profile.path());
        if let Some(timezone) = &self.timezone {
            command.env("TZ", timezone);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in the terminal is for us, who then end it in order.
        command.process_group(0);
        command
            .fd_mappings(vec![
                FdMapping { parent_fd: theirs_read.into(), child_fd: 3 },
                FdMapping { parent_fd: theirs_write.into(), child_fd: 4 },
            ])
            .map_err(|error| failed(io::Error::other(error)))?;
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        // Our copies of its ends of the pipes go with the command.
        drop(command);
        let read = pipe::Receiver::from_owned_fd(ours_read.into()).map_err(failed)?;
        let write = pipe::Sender::from_owned_fd(ours_write.into()).map_err(failed)?;
        let printed = child.stderr.take().ok_or_else(|| failed(io::Error::other("its output cannot be read")))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok((Process { path, child, group, profile }, Pipes { read, write, printed }))
    }
}

impl Process {
    /// The group of all its processes.
    pub(crate) fn group(&self) -> Option<Pid> {
        self.group
    }

    /// The program that was started.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that is gone with this.
    pub(crate) fn folder(&self) -> &Path {
        self.profile.path()
    }

    /// Waits until the process has died by itself.
    pub(crate) async fn died(&mut self) {
        // An error means that there is no process to wait for.
        let _ = self.child.wait().await;
    }

    /// Ends the process, which has been asked to: waits, kills, and removes its folder.
    pub(crate) async fn end(mut self) {
        let ended = tokio::time::timeout(ENDING, self.child.wait()).await;
        if let Some(group) = self.group {
            // Also after a polite end: what it has started may linger.
            let _ = kill_process_group(group, Signal::KILL);
        }
        if ended.is_err() {
            let _ = self.child.wait().await;
        }
        let removed = tokio::task::spawn_blocking(move || self.profile.close()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the browser's folder could not be removed");
        }
    }
}

/// Reads what Chromium prints to the end; keeps the last of it.
pub(crate) async fn drain(mut printed: tokio::process::ChildStderr, kept: &std::sync::Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = printed.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let over = kept.len().saturating_sub(PRINTED_BYTES);
        kept.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_as_chromium_is_a_program() {
        assert_eq!(find_chromium(Some(Path::new("/bin/sh"))), Ok("/bin/sh".into()));
        for path in ["/nowhere/chromium", "/etc/passwd", "/bin"] {
            let refused = find_chromium(Some(Path::new(path))).unwrap_err().to_string();
            assert!(refused.contains(path) && refused.contains("--chromium"), "{refused}");
        }
    }
}
