"""The reference's database connector, by its own name and calls.

It signed in with what it found in the environment; here the host does, to the database that the run may use. Calls that ask
the database are awaited.
"""

from typing import Any

from armada import database

__all__ = ["DatabaseConnector"]


class DatabaseConnector(database.Database):
    """The database that the run may use, whatever it is made with."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()
