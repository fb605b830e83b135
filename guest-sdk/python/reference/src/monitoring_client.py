"""The reference's monitoring client, by its own name and calls.

It registered runs and jobs with a server; here the host knows which job runs, so that is done already. What reports,
reports for the job that is running. Every call may be awaited or not.
"""

from typing import Any

from armada import monitoring
from armada._done import Done

__all__ = ["MonitoringClient"]


class MonitoringClient(monitoring.MonitoringClient):
    """Reports for the job that is running, whatever run, agent and job it is made with."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    @property
    def run_id(self) -> str | None:
        """The run's id; `None` while no job runs."""
        job = self.current_job()
        return None if job is None else job.run_id

    @property
    def job_uuid(self) -> str | None:
        """The job's id; `None` while no job runs."""
        job = self.current_job()
        return None if job is None else job.job_uuid

    def create_run(self, *_: Any, **__: Any) -> Done:
        """The run exists already."""
        return Done()

    def create_job(self, *_: Any, **__: Any) -> Done:
        """The job exists already."""
        return Done()

    def record_failed_event(self, content: str) -> Done:
        """Reports that a step failed."""
        return self.record_failure_event(content)

    def finish_job(self, *_: Any, **__: Any) -> Done:
        """The job is finished when its script is: it failed if that raised an exception."""
        return Done()

    record_finish_event = finish_job
    record_finished_event = finish_job
    update_job_status = finish_job
    record_job_success = finish_job
