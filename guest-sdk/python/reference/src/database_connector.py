"""The reference's database connector, by its own name and calls: importable, and refused when it is used."""

from typing import Any

from armada._reference import denied

__all__ = ["DatabaseConnector"]


class DatabaseConnector:
    """A connection to the run's database."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def select_from_db(self, sql: str, *params: object) -> Any:
        """The rows of a query. Raises `armada.DeniedError`: there is no database to ask."""
        raise denied("database")

    def post_to_db(self, sql: str, *params: object) -> Any:
        """Runs a statement that changes rows. Raises `armada.DeniedError`: there is no database to change."""
        raise denied("database")
