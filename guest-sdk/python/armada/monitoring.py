"""What a script reports about its work.

    monitoring = job_ctx.monitoring_client
    monitoring.record_success_event("logged in")
    monitoring.progress(3, 10, "third page")
    await monitoring.save_artifact("page.png", "image/png", await page.screenshot())

What is printed or logged with `logging` goes to the job's log as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._done import Done
from ._host import monitoring as _wit
from ._words import choice, takes

__all__ = ["Artifact", "EventLevel", "JobInfo", "LogLevel", "MonitoringClient"]

EventLevel: TypeAlias = Literal["info", "success", "warning", "failure"]
"""How a step went: neither good nor bad, well, something is off, badly."""

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
"""How important a line of the log is."""


@dataclass(frozen=True)
class Artifact:
    """A file that belongs to a job."""

    name: str
    """The file's name, without a path."""
    media_type: str
    """Its media type, such as `image/png`."""
    content: bytes
    """Its content."""


@dataclass(frozen=True)
class JobInfo:
    """The job that is running."""

    run_id: str
    """The run's id, a UUID."""
    job_uuid: str
    """The job's id, a UUID; the same for every attempt."""
    index: int
    """The job's place in the run, from 0."""
    attempt: int
    """Which attempt this is, from 1."""
    agent: int
    """The number of the agent that runs it, from 0."""


class MonitoringClient:
    """Reports for the job that is running: `job_ctx.monitoring_client`. The host adds run, agent, job, attempt and
    time.

    Functions that record an event have done so when they return; awaiting them as well does no harm.
    """

    def record_success_event(self, content: str) -> Done:
        """Reports that a step succeeded."""
        return self.record_event("success", content)

    def record_failure_event(self, content: str) -> Done:
        """Reports that a step failed. The job goes on: raise an exception to end it."""
        return self.record_event("failure", content)

    def record_event(self, level: EventLevel, content: str, attachment: Artifact | None = None) -> Done:
        """Reports a step, of any level, in at most 16 KiB of text, together with a file where there is one.

        Raises `armada.LimitError` when the job has reported as many events as the run allows, in all or in a second.
        """
        file = None
        if attachment is not None:
            file = _wit.Artifact(attachment.name, attachment.media_type, attachment.content)
        _wit.record_event(choice(_wit.EventLevel, EventLevel, level), content, file)
        return Done()

    def log(self, level: LogLevel, message: str) -> None:
        """Writes to the job's log."""
        _wit.log(choice(_wit.LogLevel, LogLevel, level), message)

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Says how far the job has come: `done` of `total` units, and what is being worked on. The last call counts."""
        _wit.progress(done, total, message)

    @takes('write `save_artifact(name, media_type, content)`, as in `save_artifact("a.txt", "text/plain", b"hello")`')
    async def save_artifact(self, name: str, media_type: str, content: bytes) -> None:
        """Keeps a file with the job's results. A second one of the same name replaces the first.

        Raises `armada.InvalidError` for a name that is not allowed, `armada.LimitError` when it would exceed what the
        job may keep.
        """
        await _wit.save_artifact(_wit.Artifact(name, media_type, content))

    def current_job(self) -> JobInfo | None:
        """The job that is running, or `None` while the agent context is opened or closed."""
        job = _wit.current_job()
        return None if job is None else JobInfo(job.run_id, job.job_uuid, job.index, job.attempt, job.agent)
