//! A run on a terminal: a bar for the run, a line for each agent, and what went wrong above them.

use std::collections::HashMap;
use std::time::Duration;

use armada_protocol::{AgentState, Change, Status};
use indicatif::{ProgressBar, ProgressStyle};

use super::plain::{conclusion, heading, line};
use super::summary::{Summary, seconds};
use super::{About, Show};
use crate::console::{Style, paint, progress};

/// How many agents have a line of their own.
const LINES: u32 = 16;

/// A bar for the run and a line for each agent.
#[derive(Default)]
pub(super) struct Live {
    verbose: bool,
    bar: Option<ProgressBar>,
    agents: Vec<ProgressBar>,
    /// What each agent's job last said of its progress.
    said: HashMap<u32, String>,
}

impl Live {
    fn say(&self, text: &str) {
        // Where the terminal is gone, nobody looks.
        let _ = progress().println(text);
    }

    fn show_agent(&self, index: u32, text: String) {
        if let Some(line) = usize::try_from(index).ok().and_then(|index| self.agents.get(index)) {
            line.set_message(text);
        }
    }

    fn show_counts(&self, summary: &Summary) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(summary.ended());
        let elapsed = summary.started().elapsed();
        let rate = summary.ended() as f64 / elapsed.as_secs_f64().max(0.001);
        let failed = match summary.failed() {
            0 => String::new(),
            failed => paint(&format!("  {failed} failed"), Style::Bad),
        };
        let left = summary.jobs.saturating_sub(summary.ended()) as f64 / rate;
        let left = match Duration::try_from_secs_f64(left) {
            Ok(left) if summary.ended() > 0 && summary.ended() < summary.jobs => format!("  {} left", seconds(left)),
            _ => String::new(),
        };
        bar.set_message(format!("{failed}  {rate:.1}/s{left}"));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

impl Show for Live {
    fn begin(&mut self, about: &About) {
        self.verbose = about.verbose;
        self.say(&heading(about));
        let bar = progress().add(ProgressBar::new(about.jobs));
        bar.set_style(style("{bar:30.green} {pos}/{len}{msg}"));
        // Time goes on even when nothing happens.
        bar.enable_steady_tick(Duration::from_millis(250));
        for index in 0..about.agents.min(LINES) {
            let line = progress().add(ProgressBar::no_length());
            line.set_style(style("  {prefix:<9.dim} {msg}"));
            line.set_prefix(format!("agent {index}"));
            line.set_message("starting");
            line.tick();
            self.agents.push(line);
        }
        if about.agents > LINES {
            let line = progress().add(ProgressBar::no_length());
            line.set_style(style("  {msg:.dim}"));
            line.set_message(format!("and {} more agents", about.agents - LINES));
            self.agents.push(line);
        }
        self.bar = Some(bar);
    }

    fn change(&mut self, change: &Change, summary: &Summary) {
        match change {
            Change::Agent { index, state } => {
                let text = match state {
                    AgentState::Opening => "opening".to_owned(),
                    AgentState::Open => "waiting for a job".to_owned(),
                    AgentState::Closed => paint("closed", Style::Quiet),
                    AgentState::Failed { .. } => paint("failed", Style::Bad),
                };
                self.show_agent(*index, text);
            }
            Change::Started(attempt) => {
                self.said.remove(&attempt.agent);
                let again = if attempt.number > 1 { format!(" (attempt {})", attempt.number) } else { String::new() };
                self.show_agent(attempt.agent, format!("job {}{again}", attempt.index));
            }
            Change::Progress(attempt, said) => {
                let total = said.total.map(|total| format!("/{total}")).unwrap_or_default();
                let text = format!("job {}  {}{total} {}", attempt.index, said.done, printable(&said.message));
                self.show_agent(attempt.agent, text);
            }
            Change::Event(attempt, event) => {
                let text = format!("job {}  {}", attempt.index, printable(&event.content));
                self.show_agent(attempt.agent, text);
            }
            _ => {}
        }
        // Jobs that went well are counted; what went wrong is said.
        let is_news = !matches!(change, Change::Ended(record) if record.status == Status::Success);
        if let Some(line) = line(change, self.verbose).filter(|_| is_news || self.verbose) {
            self.say(&line);
        }
        if matches!(change, Change::Ended(_)) {
            self.show_counts(summary);
        }
    }

    fn ending(&mut self) {
        self.say("ending: the jobs in progress have a moment to end (Ctrl-C again ends them at once)");
    }

    fn end(&mut self, summary: &Summary, about: &About) {
        for line in &self.agents {
            line.finish_and_clear();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.say(&format!("\n{}", conclusion(summary, about)));
    }
}

/// The first line of a script's text, without what would move the cursor.
fn printable(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).take(100).collect()
}
