"""Attacks, by the name that the job's message gives. Each is a function that gives what came of it, if it comes back."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

ATTACKS: dict[str, Callable[..., Any]] = {}


def attack(function: Callable[..., Any]) -> Callable[..., Any]:
    ATTACKS[function.__name__] = function
    return function


async def ctx_script(job_ctx: Any, agent_ctx: Any) -> Any:
    name = job_ctx.job_message.get("attack")
    if name is None:
        return "honest"
    result = ATTACKS[name](job_ctx, agent_ctx)
    return await result if asyncio.iscoroutine(result) else result


@attack
def endless_loop(job_ctx: Any, agent_ctx: Any) -> None:
    while True:
        pass


@attack
async def endless_loop_beside_a_call(job_ctx: Any, agent_ctx: Any) -> None:
    sleeping = asyncio.create_task(asyncio.sleep(600))
    await asyncio.sleep(0)
    while not sleeping.done():
        pass


@attack
def endless_regular_expression(job_ctx: Any, agent_ctx: Any) -> Any:
    return re.match(r"(a+)+$", "a" * 64 + "b")


@attack
def endless_arithmetic(job_ctx: Any, agent_ctx: Any) -> int:
    return 9 ** (9**9) % 10


@attack
async def endless_tasks(job_ctx: Any, agent_ctx: Any) -> None:
    async def breed() -> None:
        asyncio.create_task(breed())
        await asyncio.sleep(0)

    await breed()
    await asyncio.sleep(600)


@attack
async def sleeps_for_ever(job_ctx: Any, agent_ctx: Any) -> None:
    await asyncio.sleep(10**9)


@attack
def sleeps_outside_the_loop(job_ctx: Any, agent_ctx: Any) -> None:
    time.sleep(10**6)


@attack
async def waits_for_itself(job_ctx: Any, agent_ctx: Any) -> None:
    await asyncio.Event().wait()


@attack
def list_growth(job_ctx: Any, agent_ctx: Any) -> None:
    taken = []
    while True:
        taken.append(bytearray(1 << 20))


@attack
def list_growth_that_is_caught(job_ctx: Any, agent_ctx: Any) -> None:
    taken = []
    while True:
        try:
            taken.append("x" * (1 << 24))
        except MemoryError:
            pass


@attack
def one_huge_string(job_ctx: Any, agent_ctx: Any) -> int:
    return len("x" * (1 << 30))


@attack
def recursion(job_ctx: Any, agent_ctx: Any) -> int:
    return recursion(job_ctx, agent_ctx) + 1


@attack
def recursion_without_a_limit(job_ctx: Any, agent_ctx: Any) -> int:
    sys.setrecursionlimit(2**31 - 1)

    class Deep:
        def __eq__(self, other: object) -> bool:
            return self == other

    return int(Deep() == Deep())


@attack
def recursion_in_native_code(job_ctx: Any, agent_ctx: Any) -> str:
    nested: list[Any] = []
    for _ in range(1_000_000):
        nested = [nested]
    return repr(nested)


@attack
def exits(job_ctx: Any, agent_ctx: Any) -> None:
    os._exit(0)


@attack
def exits_in_order(job_ctx: Any, agent_ctx: Any) -> None:
    sys.exit("enough")


@attack
async def exits_in_a_task(job_ctx: Any, agent_ctx: Any) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    asyncio.create_task(leave())
    await asyncio.sleep(600)


@attack
def reads_the_machine(job_ctx: Any, agent_ctx: Any) -> dict[str, str]:
    """Everything that a program may try on a machine; what is said of each."""
    import multiprocessing
    import shutil
    import signal
    import socket
    import subprocess
    import tempfile
    import threading
    import urllib.request

    tried: dict[str, Callable[[], Any]] = {
        "open": lambda: open("/etc/passwd"),
        "open_what_was_open": lambda: open("/python/os.py"),
        "list_what_was_open": lambda: os.listdir("/2"),
        "stat_what_was_open": lambda: os.stat("/0/../world/wit_world/__init__.py"),
        "import_from_what_was_open": lambda: __import__("email.not_there"),
        "open_relative": lambda: open("config/config_template.json"),
        "open_for_writing": lambda: open("/tmp/armada-was-here", "w"),
        "listdir": lambda: os.listdir("/"),
        "temporary_file": tempfile.TemporaryFile,
        "copy": lambda: shutil.copy("/etc/passwd", "/tmp/armada-was-here"),
        "socket": lambda: socket.create_connection(("127.0.0.1", 22), 1),
        "listener": lambda: socket.create_server(("127.0.0.1", 0)),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53)),
        "name": lambda: socket.gethostbyname("localhost"),
        "request": lambda: urllib.request.urlopen("http://127.0.0.1/"),
        "subprocess": lambda: subprocess.run(["ls"], check=True),
        "system": lambda: 1 // (os.system("ls") == 0),
        "fork": lambda: os.fork(),
        "thread": lambda: threading.Thread(target=print).start(),
        "process": lambda: multiprocessing.Process(target=print).start(),
        "ctypes": lambda: __import__("ctypes"),
        "mmap": lambda: __import__("mmap"),
        "kill": lambda: os.kill(1, signal.SIGTERM),
        "ssl": lambda: __import__("ssl"),
    }
    said = {}
    for name, attempt in tried.items():
        try:
            attempt()
            said[name] = "ok"
        except BaseException as error:
            said[name] = type(error).__name__
    return {"environment": str(len(os.environ)), "arguments": str(sys.argv), "path": str(sys.path), **said}


@attack
def a_result_that_is_not_json(job_ctx: Any, agent_ctx: Any) -> Any:
    return {"number": float("nan"), "what": object()}


@attack
def a_result_that_holds_itself(job_ctx: Any, agent_ctx: Any) -> Any:
    result: list[Any] = []
    result.append(result)
    return result


@attack
def a_large_result(job_ctx: Any, agent_ctx: Any) -> str:
    return "x" * (48 << 20)


@attack
def a_million_lines(job_ctx: Any, agent_ctx: Any) -> None:
    for number in range(1_000_000):
        print("line", number)


@attack
async def a_task_that_refuses_to_end(job_ctx: Any, agent_ctx: Any) -> str:
    async def refuse() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass

    asyncio.create_task(refuse())
    await asyncio.sleep(0.01)
    return "over"


@attack
async def a_task_that_spins_when_cancelled(job_ctx: Any, agent_ctx: Any) -> str:
    async def spin() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            while True:
                pass

    asyncio.create_task(spin())
    await asyncio.sleep(0.01)
    return "over"


@attack
async def breaks_the_sdk(job_ctx: Any, agent_ctx: Any) -> None:
    import componentize_py_async_support as support

    support._future_state.set(None)
    await asyncio.sleep(0.01)


@attack
def breaks_the_interpreter(job_ctx: Any, agent_ctx: Any) -> None:
    import builtins

    builtins.__dict__.clear()
    print("who am I?")


@attack
def calls_the_host_with_nonsense(job_ctx: Any, agent_ctx: Any) -> None:
    import componentize_py_runtime as runtime

    for number in range(100):
        runtime.call_import(number, [object(), "x", -1])


class Bomb:
    def __init__(self, job_message: Any) -> None:
        pass

    def __del__(self) -> None:
        raise ValueError("while it was collected")


@attack
def raises_while_it_is_collected(job_ctx: Any, agent_ctx: Any) -> str:
    Bomb(None)
    return "collected"
