"""The fixtures that every test may name: those of Armada, and of pytest's own those that make sense in the sandbox."""

# pyright: reportPrivateUsage=false

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from _pytest.capture import CaptureFixture, SysCapture
from _pytest.logging import LogCaptureFixture, LogCaptureHandler, caplog_handler_key, caplog_records_key, catching_logs

from .. import _lifecycle
from .._project import Project
from ..browser import Browser, BrowserContext, Page
from ..contexts import Message


@pytest.fixture
def browser() -> Browser:
    """The agent's browser."""
    return Browser()


@pytest.fixture
async def context(browser: Browser) -> BrowserContext:
    """The test's own context of the browser: no cookies, nothing stored, closed after the test."""
    return await browser.current_context()


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """A fresh page in the test's own context."""
    return await context.new_page()


@pytest.fixture
async def agent_ctx(armada_project: Project, agent_message: Message) -> AsyncIterator[Any]:
    """The project's agent context, opened for this test with the message of the first agent."""
    opened = await _lifecycle.open_agent(armada_project, agent_message)
    yield opened.context
    await opened.close(None, None, None)


@pytest.fixture
async def job_ctx(armada_project: Project, job_message: Message) -> AsyncIterator[Any]:
    """The project's job context, opened for this test with the message of the first job."""
    opened = await _lifecycle.open_job(armada_project, job_message)
    yield opened.context
    await opened.close(None, None, None)


@pytest.fixture
def monkeypatch() -> Iterator[pytest.MonkeyPatch]:
    """Changes attributes, items and variables, and changes them back after the test."""
    patch = pytest.MonkeyPatch()
    yield patch
    patch.undo()


@pytest.fixture
def capsys(request: Any) -> Iterator[CaptureFixture[str]]:
    """What the test prints, for the test to read instead of its log."""
    capture = CaptureFixture(SysCapture, request, _ispytest=True)
    capture._start()
    yield capture
    capture.close()


@pytest.fixture
def caplog(request: Any) -> Iterator[LogCaptureFixture]:
    """What the test logs, for the test to read as well."""
    root = logging.getLogger()
    # What nobody handles goes to the log by way of this one, and still does.
    last = logging.lastResort if not root.handlers else None
    with catching_logs(LogCaptureHandler()) as handler:
        request.node.stash[caplog_handler_key] = handler
        request.node.stash[caplog_records_key] = {"call": handler.records}
        if last is not None:
            root.addHandler(last)
        captured = LogCaptureFixture(request.node, _ispytest=True)
        try:
            yield captured
        finally:
            captured._finalize()
            if last is not None:
                root.removeHandler(last)
