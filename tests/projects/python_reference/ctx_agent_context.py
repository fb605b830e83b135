class AgentContext:
    def __init__(self, agent_message):
        self.agent_message = agent_message

    async def __aenter__(self):
        await self.instantiate_default()
        return self

    async def __aexit__(self, exc_type, exc, tb):
        self.browser.stop()
        self.screen.stop_screen()
