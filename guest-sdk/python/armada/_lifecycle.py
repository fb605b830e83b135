"""What the component exports: the life of an agent and of its jobs."""

import logging
import sys
from collections.abc import Awaitable
from typing import TypeVar

from componentize_py_types import Err

from . import _failure, _output, _results, _warnings
from ._loop import LOOP
from ._project import Opened, Project, call, enter
from ._reference import given_to_agents, given_to_jobs
from .contexts import Message
from .identity import of_job
from .monitoring import MonitoringClient

_T = TypeVar("_T")
_log = logging.getLogger("armada")


class Life:
    """An agent: it is opened, runs jobs one after the other, and is closed."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._agent: Opened | None = None

    async def open_agent(self, message: str) -> None:
        """Makes the agent context."""
        await entered(self._open(Message(_results.read(message))))

    async def run_job(self, message: str) -> str:
        """Makes a job context, runs the script, and ends the job context whatever happened."""
        return await entered(self._run(Message(_results.read(message))))

    async def close_agent(self) -> None:
        """Ends the agent context."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await entered(agent.close(None, None, None))

    async def _open(self, message: Message) -> None:
        self._agent = await open_agent(self._project, message)

    async def _run(self, message: Message) -> str:
        assert self._agent is not None, "the host opens an agent before it runs a job"
        job = await open_job(self._project, message)
        result = None
        try:
            result = await call(self._project.script, job.context, self._agent.context)
        except BaseException as error:
            try:
                handled = await job.close(type(error), error, error.__traceback__)
            except Exception:
                # The script's exception is the job's failure; this one is worth a word.
                _log.exception("the job context could not be closed")
                handled = False
            if not handled:
                raise
        else:
            await job.close(None, None, None)
        return _results.write(result, "the result of ctx_script")


async def open_agent(project: Project, message: Message) -> Opened:
    """Opens the project's agent context."""
    return await enter(project.agent_context, message, given_to_agents(message))


async def open_job(project: Project, message: Message) -> Opened:
    """Opens the project's job context."""
    own = {"job_message": message, "monitoring_client": MonitoringClient(), "identity": of_job()}
    given = given_to_jobs() | own
    return await enter(project.job_context, message, given)


async def entered(work: Awaitable[_T]) -> _T:
    """Does the work of an export, ends what it leaves behind, and tells what became of it."""
    LOOP.enter()
    failure = None
    try:
        return await work
    except BaseException as error:
        failure = _failure.failure_of(LOOP.interruption or error, error)
    finally:
        left = await LOOP.leave()
        if left:
            _log.warning("still running when the script was over, and cancelled: %s", ", ".join(left))
        _output.flush()
    raise Err(failure)


def install() -> None:
    """Makes the interpreter one of a component."""
    LOOP.install()
    _failure.install()
    _output.install()
    _warnings.install()
    sys.unraisablehook = _failure.report_unraisable
