"""What lives as long as an agent, and what lives as long as a job."""

from types import TracebackType
from typing import Any, Self

from .browser import Browser
from .database import Database
from .identity import Identity, of_job
from .monitoring import MonitoringClient
from .proxy import Proxy
from .screen import Screen

__all__ = ["Agent", "Job", "Message"]


class Message(dict[str, Any]):
    """The merged configuration of an agent or a job: a `dict` that says what it has when a key is missing."""

    def __missing__(self, key: str) -> Any:
        keys = ", ".join(f"`{one}`" for one in sorted(self)) or "nothing"
        raise KeyError(f"the message has no `{key}`: it has {keys}")


class Agent:
    """What an agent keeps between jobs. A project without an `AgentContext` of its own has this one; one that has its
    own may build on it:

        class AgentContext(armada.Agent):
            async def __aenter__(self):
                context = await self.browser.new_context()
                ...
                self.session = await context.storage_state()
                return self
    """

    agent_message: Message
    """This agent's merged configuration."""
    screen: Screen
    """What the browser's windows are on, where it is visible."""
    browser: Browser
    """The agent's browser, launched when it is first used."""
    database: Database
    """The database that the run may use."""
    proxy: Proxy
    """The agent's way out."""

    def __init__(self, agent_message: Message) -> None:
        self.agent_message = agent_message
        self.screen = Screen()
        self.browser = Browser()
        self.database = Database()
        self.proxy = Proxy()

    async def __aenter__(self) -> Self:
        """Called before the first job; and again after a fault, or when the browser has been lost or is replaced."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Called after the last job, and before the browser is started anew. Not called after a fault."""
        return None


class Job:
    """What belongs to one job. A project without a `JobContext` of its own has this one; one that has its own may build
    on it."""

    job_message: Message
    """The job's merged configuration."""
    monitoring_client: MonitoringClient
    """Reports for this job."""
    identity: Identity
    """The job's own made-up person, the same in every attempt."""

    def __init__(self, job_message: Message) -> None:
        self.job_message = job_message
        self.monitoring_client = MonitoringClient()
        self.identity = of_job()

    async def __aenter__(self) -> Self:
        """Called before the script."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Called after the script, with its exception if it raised one; gives whether that is taken care of. When this
        raises, too, the script's exception is the job's failure."""
        return None
