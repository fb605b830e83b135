"""What lives as long as an agent, and what lives as long as a job."""

from types import TracebackType
from typing import Any, Self

from . import fingerprint
from .browser import Browser
from .database import Database, DatabaseInfo
from .errors import DeniedError
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

    async def instantiate_default(self) -> None:
        """Opens now what the agent's message asks for and would be opened when it is first used, so that what cannot be
        opened fails the agent and not a job: the device of `config_fingerprint`, connections to the databases that the
        run may use, and with `config_fantomas` the browser.

        The host has opened the rest before: the upstream proxy of `config_proxy` and the screen. It closes everything, the
        last first, when the agent is over, and when one of these cannot be opened.
        """
        if self.agent_message.get("config_fingerprint", {}).get("fingerprint_enabled"):
            await fingerprint.current()
        for info in self._databases():
            await self.database.named(info.name).query("SELECT 1")
        if "config_fantomas" in self.agent_message:
            await self.browser.launch()

    def _databases(self) -> list[DatabaseInfo]:
        try:
            return self.database.all()
        except DeniedError:
            # A run that is not granted databases asks for none.
            return []

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
