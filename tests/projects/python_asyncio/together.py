"""Several things at once: tasks, groups, and what they share."""

import asyncio
import contextvars

import armada
from cases import case, raises


async def after(turns, value):
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(error):
    await asyncio.sleep(0)
    raise error


@case
async def gather_gives_results_in_order(browser):
    assert await asyncio.gather(after(3, "a"), after(1, "b"), after(0, "c")) == ["a", "b", "c"]


@case
async def gather_raises_the_first_exception_or_gives_all(browser):
    with raises(ValueError, "first"):
        await asyncio.gather(fail(ValueError("first")), after(5, 1))
    value, error = await asyncio.gather(after(1, 1), fail(KeyError("x")), return_exceptions=True)
    assert value == 1 and isinstance(error, KeyError)


@case
async def calls_of_the_host_go_on_together(browser):
    page = await browser.new_page()

    async def release():
        await page.wait_for_function("window.release !== undefined")
        await page.evaluate("release(7); null")

    value, _ = await asyncio.gather(page.evaluate("new Promise(done => { window.release = done })"), release())
    assert value == 7


@case
async def sixty_calls_go_on_together(browser):
    page = await browser.new_page()
    values = await asyncio.gather(*(page.evaluate("n => Promise.resolve(n)", n) for n in range(60)))
    assert values == list(range(60))


@case
async def calls_beyond_the_limit_are_refused_and_time_goes_on(browser):
    page = await browser.new_page()
    short = "new Promise(done => setTimeout(done, 100, 'done'))"
    calls = [asyncio.create_task(page.evaluate(short)) for _ in range(100)]
    await asyncio.sleep(0.01)
    await asyncio.wait(calls, timeout=3600)
    ended = [call.exception() or call.result() for call in calls]
    assert ended.count("done") == 64 and sum(isinstance(one, armada.LimitError) for one in ended) == 36


@case
async def passing_the_turn_keeps_nobody_out(browser):
    page = await browser.new_page()
    call = asyncio.create_task(page.wait_for_function("new Promise(done => setTimeout(done, 50, 'called'))"))
    sleep = asyncio.create_task(asyncio.sleep(0.05, "slept"))
    while not (call.done() and sleep.done()):
        await asyncio.sleep(0)
    assert (call.result(), sleep.result()) == ("called", "slept")


@case
async def first_come_first_served(browser):
    done, pending = await asyncio.wait(
        [asyncio.create_task(after(1, "quick")), asyncio.create_task(asyncio.sleep(3600))],
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert [task.result() for task in done] == ["quick"]
    for task in pending:
        task.cancel()
    came = [await one for one in asyncio.as_completed([after(5, "second"), after(1, "first")])]
    assert came == ["first", "second"]


@case
async def a_group_waits_for_all(browser):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(after(n, n)) for n in range(5)]
    assert [task.result() for task in tasks] == [0, 1, 2, 3, 4]


@case
async def a_group_cancels_the_others_when_one_fails(browser):
    page = await browser.new_page()
    with raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(asyncio.sleep(3600))
            calling = group.create_task(page.wait_for_function("false"))
            await asyncio.sleep(0.05)
            group.create_task(fail(ValueError("one")))
    assert sleeping.cancelled() and calling.cancelled() and caught.kind is ExceptionGroup
    assert await page.title() == ""


@case
async def a_queue_hands_over(browser):
    queue = asyncio.Queue(maxsize=2)
    taken = []

    async def take():
        while True:
            taken.append(await queue.get())
            queue.task_done()

    takers = [asyncio.create_task(take()) for _ in range(3)]
    for n in range(20):
        await queue.put(n)
    await queue.join()
    for taker in takers:
        taker.cancel()
    assert sorted(taken) == list(range(20))
    with raises(asyncio.QueueEmpty):
        queue.get_nowait()


@case
async def queues_have_orders(browser):
    queue = asyncio.PriorityQueue()
    for n in (3, 1, 2):
        queue.put_nowait(n)
    assert [await queue.get() for _ in range(3)] == [1, 2, 3]
    stack = asyncio.LifoQueue()
    for n in (1, 2):
        await stack.put(n)
    assert [stack.get_nowait(), stack.get_nowait()] == [2, 1]


@case
async def a_lock_lets_one_in(browser):
    lock, inside, most = asyncio.Lock(), 0, 0

    async def enter():
        nonlocal inside, most
        async with lock:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(5)))
    assert most == 1 and not lock.locked()


@case
async def a_semaphore_lets_some_in(browser):
    semaphore, inside, most = asyncio.BoundedSemaphore(3), 0, 0

    async def enter():
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(10)))
    assert most == 3
    with raises(ValueError):
        semaphore.release()


@case
async def an_event_wakes_all(browser):
    event = asyncio.Event()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    event.set()
    assert await asyncio.gather(*waiting) == [True, True, True]


@case
async def a_condition_and_a_barrier_bring_together(browser):
    condition, ready = asyncio.Condition(), []

    async def wait():
        async with condition:
            await condition.wait_for(lambda: ready)
            return ready[0]

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    async with condition:
        ready.append("yes")
        condition.notify_all()
    assert await waiting == "yes"
    barrier = asyncio.Barrier(3)
    assert sorted(await asyncio.gather(*(barrier.wait() for _ in range(3)))) == [0, 1, 2]


@case
async def tasks_have_contexts_of_their_own(browser):
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("outer")

    async def change():
        seen = variable.get()
        variable.set("inner")
        await asyncio.sleep(0.01)
        return seen, variable.get()

    assert await asyncio.create_task(change()) == ("outer", "inner")
    assert variable.get() == "outer"
    assert await asyncio.create_task(change(), context=contextvars.Context()) == ("default", "inner")
    assert await asyncio.to_thread(variable.get) == "outer"


@case
async def a_task_with_a_new_context_calls_the_host(browser):
    page = await browser.new_page()
    title = asyncio.create_task(page.title(), context=contextvars.Context())
    assert await title == ""


@case
async def tasks_are_known(browser):
    async with asyncio.timeout(3600):
        await asyncio.sleep(0.01)
    task = asyncio.create_task(after(1, None), name="named")
    assert asyncio.all_tasks() == {asyncio.current_task(), task}
    assert task.get_name() == "named"
    called = []
    task.add_done_callback(called.append)
    await task
    await asyncio.sleep(0)
    assert called == [task]


@case
async def all_tasks_are_cancelled_by_hand(browser):
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(3)]
    await asyncio.sleep(0.01)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert others == set(tasks) and all(task.cancelled() for task in tasks)


@case
async def tasks_can_start_at_once(browser):
    page = await browser.new_page()
    task = asyncio.Task(page.title(), loop=asyncio.get_running_loop(), eager_start=True)
    assert await task == ""


@case
async def functions_run_as_if_in_a_thread(browser):
    assert await asyncio.to_thread(lambda a, b: a + b, 1, b=2) == 3
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, str, 7) == "7"
    with raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 / 0)
    called = loop.create_future()
    loop.call_soon_threadsafe(called.set_result, "called")
    assert await called == "called"


@case
async def an_async_generator_ends_where_its_loop_does(browser):
    ended = []

    async def count():
        try:
            for n in range(10):
                yield n
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0.001)
            ended.append("ended")

    seen = [n async for n in count()]
    assert seen == list(range(10)) and ended == ["ended"]
    numbers = count()
    async for n in numbers:
        if n == 2:
            break
    await numbers.aclose()
    assert ended == ["ended", "ended"]
    async for n in count():
        break
    # Nobody keeps it, so the loop closes it.
    await asyncio.sleep(0.05)
    assert ended == ["ended", "ended", "ended"]


@case
async def loops_in_loops_are_refused(browser):
    work = after(1, None)
    with raises(RuntimeError, "running event loop"):
        asyncio.run(work)
    with raises(RuntimeError):
        asyncio.get_event_loop().run_until_complete(work)
    await work


@case
async def what_there_is_no_machine_for_is_refused(browser):
    import threading

    with raises(RuntimeError, "thread"):
        threading.Thread(target=print).start()
    with raises((OSError, NotImplementedError)):
        await asyncio.open_connection("127.0.0.1", 1)
    with raises((OSError, NotImplementedError)):
        await asyncio.create_subprocess_exec("ls")
