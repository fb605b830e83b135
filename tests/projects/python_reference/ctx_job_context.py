import uuid

from src.monitoring_client import MonitoringClient


class JobContext:
    def __init__(self, job_message):
        self.job_message = job_message

    async def __aenter__(self):
        self.job_uuid = str(uuid.uuid4())
        self.monitoring_client = MonitoringClient(
            self.job_message["run_id"], self.job_message.get("agent_index"), self.job_uuid
        )
        self.monitoring_client.create_job()
        return self

    async def __aexit__(self, exc_type, exc, tb):
        if exc is not None:
            self.monitoring_client.record_failed_event(str(exc))
