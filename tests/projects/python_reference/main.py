import asyncio

from celery.signals import worker_process_init, worker_process_shutdown

from ctx_agent_context import AgentContext
from ctx_job_context import JobContext
from ctx_script import ctx_script

event_loop = None
agent_ctx = None


@worker_process_init.connect
def init_worker(sender, **kwargs):
    global event_loop, agent_ctx
    event_loop = asyncio.new_event_loop()
    agent_ctx = event_loop.run_until_complete(AgentContext(agent_message).__aenter__())


@worker_process_shutdown.connect
def shutdown_worker(sender, **kwargs):
    event_loop.run_until_complete(agent_ctx.__aexit__(None, None, None))


async def process_message(job_message, agent_ctx):
    async with JobContext(job_message) as job_ctx:
        await ctx_script(job_ctx, agent_ctx)


@app.task(name="tasks.consume_message", queue=agent_message["run_id"])
def run_job(job_message):
    event_loop.run_until_complete(process_message(job_message, agent_ctx))
