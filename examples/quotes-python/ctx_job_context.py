"""What belongs to one job. Shows how to report its steps, and what happens when it is over."""

from types import TracebackType

import armada


class JobContext(armada.Job):
    def __init__(self, job_message: armada.Message) -> None:
        super().__init__(job_message)
        self.steps = 0

    def done(self, step: str) -> None:
        """Reports a step that is done, and how far the job has come."""
        self.steps += 1
        self.monitoring_client.record_success_event(step)
        self.monitoring_client.progress(self.steps, 3, step)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Called after the script, whether it succeeded or not."""
        print(f"{self.steps} steps for “{self.job_message['word']}”")
