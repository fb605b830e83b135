"""An agent context as the reference's are: what it has, it did not make."""


class AgentContext:
    def __init__(self, agent_message):
        self.agent_message = agent_message

    async def __aenter__(self):
        self.opened_through = self.proxy_manager.status().upstream
        return self

    async def __aexit__(self, exc_type, exc, tb):
        await self.proxy_manager.stop_proxy()
