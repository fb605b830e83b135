"""The way out: the upstream proxy that pages and requests leave through.

    now = await agent_ctx.proxy.change_upstream(job_ctx.job_message["country"], tags=["residential"])
    job_ctx.monitoring_client.record_success_event(f"leaves from {now.location}")

Whether there is one is said by `config_proxy` in the agent's configuration; the operator, who lends it, alone knows its
address and credentials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._host import proxy as _wit
from ._words import takes

__all__ = ["Proxy", "ProxyStatus"]


@dataclass(frozen=True)
class ProxyStatus:
    """Where traffic leaves."""

    enabled: bool
    """Whether it leaves through an upstream proxy."""
    upstream: str | None
    """The name of the proxy that the agent has."""
    location: str | None
    """Where its traffic comes out, as the operator names places; empty where the operator does not say."""
    exit_address: str | None
    """The address that its traffic comes out at, once that has been looked up and found right."""


def _status(status: _wit.ProxyStatus) -> ProxyStatus:
    return ProxyStatus(status.enabled, status.upstream, status.location, status.exit_address)


class Proxy:
    """The agent's way out: `agent_ctx.proxy`."""

    def status(self) -> ProxyStatus:
        """Where traffic leaves now."""
        return _status(_wit.status())

    @takes('write `change_upstream("DE", tags=["residential"], sticky="session 7")`')
    async def change_upstream(
        self, location: str | None = None, *, tags: Iterable[str] = (), sticky: str | None = None
    ) -> ProxyStatus:
        """Leases another upstream proxy: in a job for this job, in the agent context for all jobs to come. Connections
        through the one before are cut.

        `location` is that of `config_proxy` unless given, and anywhere where it is empty; the same text for `sticky` gets
        the same proxy, in other runs, too, as long as there is one.

        Raises `armada.NotFoundError` when the operator has none like it, `armada.UnavailableError` when all of them are
        taken, `armada.InvalidError` where `config_proxy.upstream_proxy_enabled` is off.
        """
        return _status(await _wit.change_upstream(location, list(tags), sticky))

    async def verify_ip(self) -> str:
        """Looks up the address that traffic comes out at, and gives it.

        Raises `armada.UnavailableError` when it is not the proxy's, or could not be looked up.
        """
        return await _wit.verify_ip()
