//! What belongs to one job. Shows how to read its message into a type, once, and how to report its steps.

use armada::monitoring::MonitoringClient;
use armada::{Job, Message, Result};
use serde::Deserialize;

/// A row of `config/data_job.csv`, merged over `default_job_message` of the template.
#[derive(Deserialize)]
pub struct Task {
    /// What to search for.
    pub word: String,
    /// Which of the quotes found to look at more closely, from 0.
    pub open: Vec<usize>,
    /// The month whose orders to add up.
    pub month: String,
    pub note: Note,
}

/// What to write about the first quote.
#[derive(Deserialize)]
pub struct Note {
    pub text: String,
    pub mood: String,
    pub named: bool,
}

pub struct JobContext {
    pub task: Task,
    pub monitoring_client: MonitoringClient,
    steps: u64,
}

impl armada::JobContext for JobContext {
    async fn open(job_message: Message) -> Result<Self> {
        let Job { job_message, monitoring_client, .. } = Job::open(job_message).await?;
        Ok(Self { task: job_message.parse()?, monitoring_client, steps: 0 })
    }

    /// Called after the script, whether it succeeded or not.
    async fn close(self) -> Result<()> {
        println!("{} steps for “{}”", self.steps, self.task.word);
        Ok(())
    }
}

impl JobContext {
    /// Reports a step that is done, and how far the job has come.
    pub fn done(&mut self, step: &str) -> Result<()> {
        self.steps += 1;
        self.monitoring_client.record_success_event(step)?;
        self.monitoring_client.progress(self.steps, Some(3), step);
        Ok(())
    }
}
