"""Secrets of the operator, by name.

    await page.locator("#password").fill_secret("shop-password")

A script uses a secret without seeing it: the host types it into pages of the origins that the operator has bound it to. A
project names the secrets that it uses in `run_message.sandbox.secrets`, and those that it sees in
`run_message.sandbox.revealed_secrets`.
"""

from ._host import secrets as _wit

__all__ = ["reveal"]


def reveal(name: str) -> str:
    """The text of a secret that the run may see. Raises `armada.DeniedError` for any other."""
    return _wit.reveal(name)
