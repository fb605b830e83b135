//! A virtual display: an X server that draws into a file, and ending it on every path.
//!
//! Nobody gets to it but the agent's browser: it does not listen on the network, and who connects has to know a cookie
//! from a file that only this user can read. Beside it, in its process group, waits a shell that ends the group should
//! this whole process be killed: an X server does not notice by itself.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// How long it may take to be ready.
const STARTING: Duration = Duration::from_secs(20);
/// How long it may take to end when asked to.
const ENDING: Duration = Duration::from_secs(5);
/// How much of what it prints is told when it does not start.
const PRINTED_BYTES: u64 = 2 * 1024;
/// The number of the file on which it says which display it is.
const TELLS: i32 = 3;
/// Waits until its input ends, as it does with whoever holds the other end; then ends its group, itself included.
const GUARD: &str = "read -r _; trap '' TERM; kill -TERM 0; sleep 5; kill -KILL 0";
/// How connections prove that they may be made.
const COOKIE_NAME: &[u8] = b"MIT-MAGIC-COOKIE-1";
const COOKIE_BYTES: usize = 16;

/// Where windows go.
#[derive(Clone, Debug)]
pub(crate) struct Display {
    /// Its name, such as `:7`.
    pub(crate) name: String,
    /// The file with the cookie.
    pub(crate) authority: PathBuf,
    /// The file with what is on the screen.
    pub(super) picture: PathBuf,
}

/// Why there is no virtual display.
#[derive(Debug, thiserror::Error)]
pub(super) enum XvfbError {
    /// It is not installed.
    #[error(
        "a visible browser needs a virtual display, and there is no {0}: install it (on Debian: apt-get install xvfb), or \
         set \"screen_visible\": 0 in config_fantomas.config_screen"
    )]
    NotFound(String),
    /// It could not be started.
    #[error("the virtual display could not be started: {0}")]
    Start(#[from] io::Error),
    /// It ended, or said nothing, instead of being ready.
    #[error("the virtual display did not become ready{0}")]
    NotReady(String),
}

/// A virtual display that runs.
pub(super) struct Xvfb {
    display: Display,
    server: Child,
    guard: Child,
    group: Pid,
    /// Gone with this.
    folder: TempDir,
}

impl Xvfb {
    /// Starts this program, and waits until windows can be shown.
    pub(super) async fn start(program: &str, (width, height): (u32, u32), temp: &Path) -> Result<Self, XvfbError> {
        let folder = tempfile::Builder::new()
            .prefix("armada-screen-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(temp)?;
        let authority = folder.path().join("authority");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&authority)?;
        file.write_all(&record(&cookie()?))?;
        let (ours, theirs) = io::pipe()?;
        let mut command = std::process::Command::new(program);
        command.args(["-displayfd", &TELLS.to_string(), "-screen", "0", &format!("{width}x{height}x24")]);
        command.args(["-nolisten", "tcp", "-noreset", "-auth"]).arg(&authority);
        command.arg("-fbdir").arg(folder.path());
        command.env_clear();
        command
            .envs(["PATH", "LANG", "LD_LIBRARY_PATH"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in the terminal is for us, who then end it in order.
        command.process_group(0);
        command
            .fd_mappings(vec![FdMapping { parent_fd: theirs.into(), child_fd: TELLS }])
            .map_err(|error| XvfbError::Start(io::Error::other(error)))?;
        let mut command = Command::from(command);
        let mut server = command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => XvfbError::NotFound(program.to_owned()),
            _ => XvfbError::Start(error),
        })?;
        // Our copy of its end of the pipe goes with the command.
        drop(command);
        let group = server.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("it ended at once"))?;
        let mut guard = std::process::Command::new("/bin/sh");
        guard.args(["-c", GUARD]).env_clear().process_group(group.as_raw_nonzero().get());
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = Command::from(guard).kill_on_drop(true).spawn()?;
        let printed = server.stderr.take();
        let display = Display { name: String::new(), authority, picture: folder.path().join("Xvfb_screen0") };
        let mut xvfb = Self { display, server, guard, group, folder };
        match tokio::time::timeout(STARTING, told(ours)).await {
            Ok(Ok(number)) => {
                xvfb.display.name = format!(":{number}");
                // It has little to say from now on, and what it says then has nobody to hear it.
                drop(printed);
                Ok(xvfb)
            }
            Ok(Err(_)) | Err(_) => {
                xvfb.end().await;
                let mut said = String::new();
                if let Some(printed) = printed {
                    let _ = printed.take(PRINTED_BYTES).read_to_string(&mut said).await;
                }
                let said = said.trim();
                Err(XvfbError::NotReady(if said.is_empty() { String::new() } else { format!("; it printed:\n{said}") }))
            }
        }
    }

    /// Where windows go.
    pub(super) fn display(&self) -> &Display {
        &self.display
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }

    /// Ends it: asks, waits, kills, and removes its folder.
    pub(super) async fn end(mut self) {
        if self.is_alive() {
            // Asked to, it removes what it has put elsewhere: the socket and the lock of its display.
            let _ = kill_process(self.group, Signal::TERM);
        }
        let ended = tokio::time::timeout(ENDING, self.server.wait()).await;
        let _ = kill_process_group(self.group, Signal::KILL);
        if ended.is_err() {
            let _ = self.server.wait().await;
        }
        let _ = self.guard.wait().await;
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, "the folder of a virtual display could not be removed");
        }
    }
}

/// The number that it says is its display's.
async fn told(from: io::PipeReader) -> io::Result<u32> {
    let mut line = String::new();
    let from = pipe::Receiver::from_owned_fd(from.into())?;
    BufReader::new(from.take(32)).read_line(&mut line).await?;
    line.trim().parse().map_err(io::Error::other)
}

fn cookie() -> io::Result<[u8; COOKIE_BYTES]> {
    let mut cookie = [0; COOKIE_BYTES];
    SystemRandom::new().fill(&mut cookie).map_err(|_| io::Error::other("there are no random numbers"))?;
    Ok(cookie)
}

/// The record of an authority file (`Xau(3)`): a family, and an address, a display number, a name and data, each after
/// its length. The family is that of any display, because its number is not known yet.
fn record(cookie: &[u8; COOKIE_BYTES]) -> Vec<u8> {
    const ANY: [u8; 2] = [0xff, 0xff];
    let mut record = ANY.to_vec();
    for part in [b"".as_slice(), b"", COOKIE_NAME, cookie] {
        record.extend((part.len() as u16).to_be_bytes());
        record.extend(part);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_display_is_there_for_who_knows_the_cookie_until_it_ends() {
        let temp = tempfile::tempdir().unwrap();
        let mut xvfb = Xvfb::start("Xvfb", (320, 200), temp.path()).await.unwrap();
        let Display { name, authority, picture } = xvfb.display().clone();
        assert!(xvfb.is_alive() && name.starts_with(':'));
        let mode = authority.metadata().unwrap().permissions().mode();
        assert_eq!((mode & 0o777, authority.metadata().unwrap().len()), (0o600, 10 + 18 + 16));
        let taken = super::super::picture::take(&picture, 1 << 20).unwrap();
        assert!(taken.starts_with(b"\x89PNG"));
        // A connection without the cookie is refused (X11 protocol, "Connection Setup").
        let socket = format!("/tmp/.X11-unix/X{}", name.trim_start_matches(':'));
        let refused = std::thread::spawn(move || {
            use std::io::Read as _;
            let mut connection = std::os::unix::net::UnixStream::connect(socket).unwrap();
            connection.write_all(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            let mut answer = [1];
            connection.read_exact(&mut answer).unwrap();
            answer
        });
        assert_eq!(refused.join().unwrap(), [0]);
        let processes = [xvfb.server.id().unwrap(), xvfb.guard.id().unwrap()];
        xvfb.end().await;
        for process in processes {
            assert!(!Path::new(&format!("/proc/{process}")).exists());
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_said() {
        let temp = tempfile::tempdir().unwrap();
        let start = async |program| Xvfb::start(program, (320, 200), temp.path()).await.err().unwrap().to_string();
        let missing = start("Xvfb-that-is-nowhere").await;
        assert!(missing.contains("apt-get install xvfb") && missing.contains("screen_visible"), "{missing}");
        assert!(start("/bin/ls").await.contains("did not become ready; it printed:\n"));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn it_ends_with_who_started_it() {
        let temp = tempfile::tempdir().unwrap();
        let mut xvfb = Xvfb::start("Xvfb", (320, 200), temp.path()).await.unwrap();
        // As if this process was killed: its end of the pipe is closed, and nothing else happens.
        drop(xvfb.guard.stdin.take());
        tokio::time::timeout(Duration::from_secs(20), xvfb.server.wait()).await.unwrap().unwrap();
        xvfb.end().await;
    }
}
