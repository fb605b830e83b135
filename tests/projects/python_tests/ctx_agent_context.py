"""An agent context that says when it is opened and closed."""

import armada


class AgentContext(armada.Agent):
    async def __aenter__(self) -> "AgentContext":
        print(f"the agent of {self.agent_message['shop']} is open")
        return self

    async def __aexit__(self, *_: object) -> None:
        print("the agent is closed")
