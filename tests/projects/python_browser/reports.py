"""What a script reports."""

import logging

import armada
from armada.monitoring import Artifact
from cases import Case, case, raises


@case
async def everything_is_reported(case: Case) -> None:
    client = case.job.monitoring_client
    client.record_success_event("a success")
    await client.record_failure_event("a failure")
    client.record_event("info", "with a file", Artifact("note.txt", "text/plain", b"noted"))
    client.record_event("warning", "a warning")
    client.progress(1, 2, "half")
    client.progress(2)
    client.log("debug", "a line")
    await client.save_artifact("page.bin", "application/octet-stream", bytes([0, 255]))
    job = client.current_job()
    assert job is not None and job.attempt == 1 and len(job.job_uuid) == 36 and job.run_id
    print("printed")
    logging.getLogger("own").error("logged")


@case
async def mistakes_of_reports_are_told(case: Case) -> None:
    client = case.job.monitoring_client
    with raises(armada.InvalidError):
        await client.save_artifact("a/b", "text/plain", b"")
    with raises(armada.InvalidError, "'fine' is none of 'info'"):
        client.record_event("fine", "x")  # type: ignore[arg-type]
    with raises(TypeError, "`content` must be of type str, not int"):
        client.record_success_event(7)  # type: ignore[arg-type]
    with raises(armada.LimitError, "events"):
        for _ in range(2000):
            client.record_success_event("again")


@case
async def a_browser_without_a_window_has_no_screen(case: Case) -> None:
    screen = armada.Agent(armada.Message()).screen
    with raises(armada.UnavailableError, "screen_visible"):
        screen.size()
    with raises(armada.UnavailableError, "there is no screen"):
        await screen.screenshot()
    await screen.stop_screen()
