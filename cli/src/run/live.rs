//! A run on a terminal: a bar for the run, a line for each agent, and what went wrong above them.
//!
//! Whatever is shown below is cut to the width of the terminal: a line that wraps would be drawn once more each time.

use std::io;

use armada_protocol::{AgentState, Attempt, Change, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plain::{conclusion, heading, line};
use super::summary::{Summary, seconds};
use super::{About, Show};
use crate::console::{Style, paint, printable_line};

/// How many agents have a line of their own.
const LINES: u32 = 16;
/// What an agent's line says while it has no job.
const WAITING: &str = "waiting for a job";

/// A bar for the run and a line for each agent.
pub(super) struct Live {
    progress: MultiProgress,
    /// Says what stays, above the progress.
    say: Box<dyn Fn(&str)>,
    verbose: bool,
    bar: Option<ProgressBar>,
    agents: Vec<ProgressBar>,
}

impl Live {
    /// What moves goes to `progress`, and what stays to `say`.
    pub(super) fn new(progress: MultiProgress, say: impl Fn(&str) + 'static) -> Self {
        Self { progress, say: Box::new(say), verbose: false, bar: None, agents: Vec::new() }
    }

    fn say(&self, text: &str) {
        self.progress.suspend(|| (self.say)(text));
    }

    fn add(&self, bar: ProgressBar, template: &str) -> ProgressBar {
        let bar = self.progress.add(bar);
        bar.set_style(style(template));
        bar
    }

    fn show_agent(&self, index: u32, text: String) {
        // The line after those of single agents is for all others.
        let line = usize::try_from(index).ok().filter(|_| index < LINES).and_then(|index| self.agents.get(index));
        if let Some(line) = line {
            line.set_message(text);
        }
    }

    fn show_job(&self, attempt: &Attempt, text: &str) {
        let again = if attempt.number > 1 { format!(" (attempt {})", attempt.number) } else { String::new() };
        self.show_agent(attempt.agent, format!("job {}{again}  {text}", attempt.index));
    }

    fn show_counts(&self, summary: &Summary) {
        let Some(bar) = &self.bar else { return };
        let (ended, failed) = (summary.ended(), summary.failed());
        let elapsed = summary.started().elapsed();
        let mut text = String::new();
        if failed > 0 {
            text.push_str(&paint(&format!("  {failed} failed"), Style::Bad));
        }
        if ended > 0 && ended < summary.jobs {
            let left = elapsed.div_f64(ended as f64).mul_f64((summary.jobs - ended) as f64);
            text.push_str(&format!(
                "  {:.1}/s  {} left",
                ended as f64 / elapsed.as_secs_f64().max(0.001),
                seconds(left)
            ));
        }
        bar.set_style(style(match failed {
            0 => "{bar:20.green} {pos}/{len}{wide_msg}",
            _ if failed == ended => "{bar:20.red} {pos}/{len}{wide_msg}",
            _ => "{bar:20.yellow} {pos}/{len}{wide_msg}",
        }));
        bar.set_position(ended);
        bar.set_message(text);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

impl Show for Live {
    fn begin(&mut self, about: &About) -> io::Result<()> {
        self.verbose = about.verbose;
        self.say(&heading(about));
        self.bar = Some(self.add(ProgressBar::new(about.jobs), "{bar:20.green} {pos}/{len}{wide_msg}"));
        for index in 0..about.agents.min(LINES) {
            let line = self.add(ProgressBar::no_length(), "  {prefix:<9.dim} {wide_msg}");
            line.set_prefix(format!("agent {index}"));
            line.set_message("not started yet");
            self.agents.push(line);
        }
        if about.agents > LINES {
            let line = self.add(ProgressBar::no_length(), "  {wide_msg:.dim}");
            line.set_message(format!("and {} more agents", about.agents - LINES));
            self.agents.push(line);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change, summary: &Summary) -> io::Result<()> {
        match change {
            Change::Agent { index, state } => {
                let text = match state {
                    AgentState::Opening => "opening".to_owned(),
                    AgentState::Open => WAITING.to_owned(),
                    AgentState::Closed => paint("closed", Style::Quiet),
                    AgentState::Failed { .. } | AgentState::Died { .. } => paint("failed", Style::Bad),
                };
                self.show_agent(*index, text);
            }
            Change::Started(attempt) => self.show_job(attempt, ""),
            Change::Progress(attempt, said) => {
                let total = said.total.map(|total| format!("/{total}")).unwrap_or_default();
                self.show_job(attempt, &format!("{}{total} {}", said.done, printable_line(&said.message)));
            }
            Change::Event(attempt, event) => self.show_job(attempt, &printable_line(&event.content)),
            Change::Retried(attempt, _) => self.show_agent(attempt.agent, WAITING.to_owned()),
            Change::Ended(record) => {
                if let Some(agent) = record.agent {
                    self.show_agent(agent, WAITING.to_owned());
                }
                self.show_counts(summary);
            }
            _ => {}
        }
        // Jobs that went well are counted; what went wrong is said.
        let is_news = !matches!(change, Change::Ended(record) if record.status == Status::Success);
        if let Some(line) = line(change, self.verbose).filter(|_| is_news || self.verbose) {
            self.say(&line);
        }
        Ok(())
    }

    fn tick(&mut self, summary: &Summary) {
        self.show_counts(summary);
    }

    fn ending(&mut self, reason: &str) -> io::Result<()> {
        self.say(reason);
        Ok(())
    }

    fn end(&mut self, summary: &Summary, about: &About) -> io::Result<()> {
        for line in self.agents.iter().chain(&self.bar) {
            line.finish_and_clear();
        }
        self.say(&format!("\n{}", conclusion(summary, about)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use armada_protocol::{Cause, Outcome, RunId};
    use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike as _};

    use super::super::summary::tests::record;
    use super::*;

    const RUN: RunId = RunId(uuid::Uuid::from_u128(1));

    /// A run of ten jobs on a terminal of this width, with this many agents.
    fn begun(width: u16, agents: u32) -> (InMemoryTerm, Live, Summary) {
        let terminal = InMemoryTerm::new(40, width);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let lasting = terminal.clone();
        let say = move |text: &str| text.lines().for_each(|line| lasting.write_line(line).unwrap());
        let mut live = Live::new(MultiProgress::with_draw_target(target), say);
        let project = "prices".to_owned();
        let about = About { run: RUN, project, agents, jobs: 10, results: "results.jsonl".to_owned(), verbose: false };
        live.begin(&about).unwrap();
        (terminal, live, Summary::new(10))
    }

    fn happen(live: &mut Live, summary: &mut Summary, change: &Change) {
        summary.count(change);
        live.change(change, summary).unwrap();
        // Drawn now, whatever the rate.
        live.agents.iter().chain(&live.bar).for_each(ProgressBar::force_draw);
    }

    fn attempt(agent: u32) -> Attempt {
        Attempt { run: RUN, job: RUN.job(3), index: 3, number: 2, agent }
    }

    #[test]
    fn an_agents_line_says_what_it_does_and_no_more_when_its_job_has_ended() {
        let (terminal, mut live, mut summary) = begun(80, 1);
        happen(&mut live, &mut summary, &Change::Started(attempt(0)));
        assert!(terminal.contents().contains("agent 0   job 3 (attempt 2)"), "{}", terminal.contents());
        happen(&mut live, &mut summary, &record(3, 5, Outcome::failed(Cause::Failed, "no \u{1b}[2Jprice")));
        let shown = terminal.contents();
        assert!(shown.contains("agent 0   waiting for a job"), "{shown}");
        assert!(shown.contains(r"failed job 3 in 0.0 s: no \u{1b}[2Jprice"), "{shown}");
        assert!(shown.contains(" 1/10") && shown.contains("1 failed") && shown.contains(" left"), "{shown}");
    }

    #[test]
    fn no_line_of_the_progress_wraps_on_a_narrow_terminal() {
        let (terminal, mut live, mut summary) = begun(60, 20);
        happen(&mut live, &mut summary, &record(3, 5, Outcome::failed(Cause::Failed, "no")));
        let said = armada_protocol::report::Progress { done: 1, total: Some(2), message: "x".repeat(200) };
        happen(&mut live, &mut summary, &Change::Progress(attempt(15), said));
        let shown = terminal.contents();
        // The bar, sixteen agents, and the others, one line each.
        let bar = shown.lines().position(|line| line.contains("1/10")).unwrap();
        assert_eq!(shown.lines().count() - bar, 18, "{shown}");
        assert!(shown.lines().last().unwrap().contains("and 4 more agents"), "{shown}");
    }

    #[test]
    fn what_is_left_in_the_end_is_what_the_run_came_to() {
        let (terminal, mut live, mut summary) = begun(80, 2);
        happen(&mut live, &mut summary, &Change::Started(attempt(1)));
        let about =
            About { run: RUN, project: String::new(), agents: 2, jobs: 10, results: "here".to_owned(), verbose: false };
        live.end(&summary, &about).unwrap();
        let shown = terminal.contents();
        assert!(!shown.contains("agent 1") && !shown.contains("0/10"), "{shown}");
        assert!(shown.ends_with("results: here"), "{shown}");
    }
}
