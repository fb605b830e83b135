//! What agents print on standard error: log lines, which are passed on at their level, and a last word when one dies.
//!
//! An agent has the log filter of this process, so what it prints has been asked for. What every agent of a run warns
//! of is told once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStderr;
use tracing::Level;

/// How many different warnings of a run are told.
const WARNINGS: usize = 1_000;
/// How much of a line is read, in bytes: what a script has a part in may be as long as it likes.
const LINE: u64 = 8 * 1024;

/// What the agents of a run have printed.
#[derive(Default)]
pub(super) struct Printed {
    warnings: Mutex<HashSet<String>>,
}

impl Printed {
    /// Passes on what an agent prints, until it ends. Gives what it last complained of.
    pub(super) async fn pass_on(&self, agent: u32, printed: Option<ChildStderr>) -> Option<String> {
        let mut lines = BufReader::new(printed?);
        let mut complaint = Complaint::default();
        let (mut line, mut is_begun) = (Vec::new(), false);
        while (&mut lines).take(LINE).read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            // What comes after the beginning of a long line is no line of its own, whatever it looks like.
            let is_rest = std::mem::replace(&mut is_begun, line.last() != Some(&b'\n'));
            if !is_rest {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                complaint.hear(text);
                self.tell(agent, text);
            }
            line.clear();
        }
        complaint.last
    }

    fn tell(&self, agent: u32, line: &str) {
        match level(line) {
            Some((Level::ERROR, text)) if self.is_news(text) => {
                tracing::error!(target: "armada::agent", agent, "{text}")
            }
            Some((Level::WARN, text)) if self.is_news(text) => tracing::warn!(target: "armada::agent", agent, "{text}"),
            Some((Level::ERROR | Level::WARN, _)) => {}
            Some((Level::INFO, text)) => tracing::info!(target: "armada::agent", agent, "{text}"),
            Some((Level::DEBUG, text)) => tracing::debug!(target: "armada::agent", agent, "{text}"),
            Some((_, text)) => tracing::trace!(target: "armada::agent", agent, "{text}"),
            None => tracing::debug!(agent, "{line}"),
        }
    }

    fn is_news(&self, warning: &str) -> bool {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = warnings.len() < WARNINGS && warnings.insert(warning.to_owned());
        if is_news && warnings.len() == WARNINGS {
            tracing::warn!(
                "the agents of a run have warned of {WARNINGS} things: of what they warn from here on is not shown"
            );
        }
        is_news
    }
}

/// The level that a log line begins with, and the rest of it; nothing of what is no log line.
fn level(line: &str) -> Option<(Level, &str)> {
    let (word, text) = line.trim_start().split_once(' ')?;
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    Some((levels.into_iter().find(|level| level.as_str() == word)?, text))
}

/// The last thing that an agent complained of before it died: an error, or a panic with the line after it.
#[derive(Default)]
struct Complaint {
    last: Option<String>,
    goes_on: bool,
}

impl Complaint {
    fn hear(&mut self, line: &str) {
        let is_panic = line.starts_with("thread '") && line.contains(" panicked at ");
        let is_error =
            ["error: ", "fatal runtime error: ", "memory allocation of "].iter().any(|it| line.starts_with(it));
        match (level(line), &mut self.last) {
            (Some((Level::ERROR, text)), _) => self.last = Some(text.to_owned()),
            (None, Some(last)) if self.goes_on => {
                last.push(' ');
                last.push_str(line);
            }
            (None, _) if is_panic || is_error => self.last = Some(line.to_owned()),
            _ => {}
        }
        self.goes_on = is_panic;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(lines: &[&str]) -> Option<String> {
        let mut complaint = Complaint::default();
        lines.iter().for_each(|line| complaint.hear(line));
        complaint.last
    }

    #[test]
    fn a_log_line_has_the_level_that_it_begins_with() {
        assert_eq!(level(" WARN running as root"), Some((Level::WARN, "running as root")));
        assert_eq!(
            level("DEBUG host_call{name=\"page.goto\"}: done"),
            Some((Level::DEBUG, "host_call{name=\"page.goto\"}: done"))
        );
        assert_eq!(level("warn of something"), None);
        assert_eq!(level("WARNING"), None);
    }

    #[test]
    fn what_every_agent_warns_of_is_news_once() {
        let printed = Printed::default();
        assert!(printed.is_news("running as root") && printed.is_news("the disk is full"));
        assert!(!printed.is_news("running as root"));
        for number in 0..2 * WARNINGS {
            printed.is_news(&number.to_string());
        }
        assert_eq!(printed.warnings.lock().unwrap().len(), WARNINGS);
        assert!(!printed.is_news("one more"));
    }

    #[tokio::test]
    async fn a_long_line_is_one_line_however_it_goes_on() {
        let padding = "x".repeat(LINE as usize - "ERROR ".len());
        let script = format!("printf '%s\\n' 'ERROR {padding}ERROR forged' ' WARN short' >&2");
        let mut command = tokio::process::Command::new("sh");
        let mut agent = command.args(["-c", &script]).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let printed = Printed::default();
        let last = printed.pass_on(0, agent.stderr.take()).await.unwrap();
        agent.wait().await.unwrap();
        assert_eq!(last, padding);
        assert_eq!(*printed.warnings.lock().unwrap(), HashSet::from([padding, "short".to_owned()]));
    }

    #[test]
    fn the_last_word_of_a_dead_agent_is_an_error_or_a_panic_and_nothing_else() {
        assert_eq!(complaint(&[" WARN running as root", "something else"]), None);
        let panic =
            ["thread 'main' (7) panicked at host/src/agent.rs:1:2:", "no price", "note: run with `RUST_BACKTRACE=1`"];
        assert_eq!(complaint(&panic).unwrap(), "thread 'main' (7) panicked at host/src/agent.rs:1:2: no price");
        assert_eq!(complaint(&["ERROR the link broke", " WARN and more"]).unwrap(), "the link broke");
    }
}
