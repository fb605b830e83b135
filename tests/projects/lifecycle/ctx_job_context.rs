//! A job context that says when it opens and closes, and fails at it if asked.

use armada::monitoring::{LogLevel, MonitoringClient};
use armada::{Job, Message, Result, ensure};

pub struct JobContext {
    pub job: Job,
    pub monitoring_client: MonitoringClient,
}

impl armada::JobContext for JobContext {
    async fn open(job_message: Message) -> Result<Self> {
        ensure!(job_message["open_job"] != "fail", "the job context does not open");
        let job = Job::open(job_message).await?;
        let monitoring_client = job.monitoring_client.clone();
        monitoring_client.log(LogLevel::Info, "job context opened");
        Ok(Self { job, monitoring_client })
    }

    async fn close(self) -> Result<()> {
        self.monitoring_client.log(LogLevel::Info, "job context closed");
        ensure!(self.job.job_message["close_job"] != "fail", "the job context does not close");
        Ok(())
    }
}
