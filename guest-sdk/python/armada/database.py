"""Databases of the operator, by name.

    found = await agent_ctx.database.query("SELECT name, price FROM products WHERE stock > $1", 10)
    for name, price in found:
        print(name, price)

    async with agent_ctx.database.transaction() as transaction:
        await transaction.execute("UPDATE products SET stock = stock - 1 WHERE name = $1", "tea")

The placeholders are those of the database: `$1` for PostgreSQL, `?` for MySQL, MariaDB and SQLite, `@P1` for SQL Server.
`select_from_db` and `post_to_db` take `%s` for all of them. Values are Python's own: `decimal.Decimal`, `datetime`, `bytes`,
`uuid.UUID`; a `dict` or `list` is JSON. A project names the databases that it uses in `run_message.sandbox.databases`; where
they are, and how to sign in there, only the operator's inventory says.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, cast

from ._done import Done
from ._handles import Handle
from ._host import database as _wit
from ._words import word_of
from .errors import Error, InvalidError, NotFoundError

__all__ = ["Column", "Database", "DatabaseInfo", "DatabaseKind", "Rows", "Transaction"]

DatabaseKind: TypeAlias = Literal["postgresql", "mysql", "sqlite", "sql-server"]
"""What a database is; `mysql` is MariaDB, too."""

_INTEGERS = range(-(2**63), 2**63)


@dataclass(frozen=True)
class DatabaseInfo:
    """A database that the run may use."""

    name: str
    """The name to ask for."""
    kind: DatabaseKind
    """What it is, and so which SQL and which placeholders it takes."""
    writable: bool
    """Whether what is in it may be changed."""


@dataclass(frozen=True)
class Column:
    """A column of what a query gave."""

    name: str
    """Its name."""
    type_name: str
    """Its type in the database's own words."""


class Rows(list[tuple[Any, ...]]):
    """What a query gave: a list of tuples, which also knows their columns."""

    columns: list[Column]
    """The columns; none when there are no rows."""

    def __init__(self, rows: Iterable[tuple[Any, ...]], columns: list[Column]) -> None:
        super().__init__(rows)
        self.columns = columns

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by the names of their columns."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self]


class Database:
    """A database that the run may use: `agent_ctx.database` is the only one; where there are several, say which:
    `agent_ctx.database.named("orders")`."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def named(self, name: str) -> Database:
        """The database of this name."""
        return Database(name)

    def all(self) -> list[DatabaseInfo]:
        """The databases that the run may use."""
        found = _wit.databases()
        return [DatabaseInfo(info.name, word_of(DatabaseKind, info.kind), info.writable) for info in found]

    async def query(self, sql: str, *parameters: object) -> Rows:
        """Runs one statement and gives its rows."""
        return _rows(await _wit.query(self._info().name, sql, _values(parameters)))

    async def execute(self, sql: str, *parameters: object) -> int:
        """Runs one statement and gives how many rows it has changed."""
        return await _wit.execute(self._info().name, sql, _values(parameters))

    def transaction(self) -> Transaction:
        """Statements that happen together or not at all: `async with database.transaction() as transaction:` commits at its
        end, and rolls back when it is left by an exception."""
        return Transaction(self._info().name)

    async def select_from_db(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """The rows of a query, as tuples. `%s` stands for a parameter, and `%%` for a percent sign."""
        info = self._info()
        return await self.named(info.name).query(_native(sql, info.kind, params), *params)

    async def post_to_db(self, sql: str, *params: object) -> int:
        """Runs an INSERT, UPDATE or DELETE, and gives how many rows it has changed. `%s` stands for a parameter, and `%%`
        for a percent sign."""
        info = self._info()
        return await self.named(info.name).execute(_native(sql, info.kind, params), *params)

    def close(self) -> Done:
        """The host closes connections when the agent ends; there is nothing to do."""
        return Done()

    def _info(self) -> DatabaseInfo:
        known = self.all()
        if self._name is not None:
            # What is not granted is told by the host, for the name that was asked for.
            found = (info for info in known if info.name == self._name)
            return next(found, DatabaseInfo(self._name, "sqlite", False))
        if not known:
            raise NotFoundError(
                "there is no database that the run may use: name one of the operator's in run_message.sandbox.databases"
            )
        if len(known) > 1:
            names = ", ".join(info.name for info in known)
            raise InvalidError(
                f"the run may use the databases {names}: say which, as in `agent_ctx.database.named({known[0].name!r})`"
            )
        return known[0]


class Transaction:
    """Statements that happen together or not at all. It is over at the end of its `async with`, at the end of the job, and
    when one of its calls is cancelled or exceeds a limit."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._handle: Handle[Any] | None = None

    async def __aenter__(self) -> Self:
        self._handle = Handle(await _wit.begin(self._database), "the transaction is over")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # Closing the handle rolls back what was not committed, also when there is no time to wait any more.
        with contextlib.closing(handle):
            if error is None:
                await handle.call(lambda transaction: transaction.commit())
            elif isinstance(error, Exception):
                with contextlib.suppress(Error):
                    await handle.call(lambda transaction: transaction.rollback())

    async def query(self, sql: str, *parameters: object) -> Rows:
        """Runs one statement and gives its rows."""
        values = _values(parameters)
        return _rows(await self._begun().call(lambda transaction: transaction.query(sql, values)))

    async def execute(self, sql: str, *parameters: object) -> int:
        """Runs one statement and gives how many rows it has changed."""
        values = _values(parameters)
        changed: int = await self._begun().call(lambda transaction: transaction.execute(sql, values))
        return changed

    async def rollback(self) -> None:
        """Undoes what was changed. The transaction is over then."""
        handle, self._handle = self._begun(), None
        with contextlib.closing(handle):
            await handle.call(lambda transaction: transaction.rollback())

    def _begun(self) -> Handle[Any]:
        if self._handle is None:
            raise InvalidError("the transaction is not open: use it inside `async with database.transaction() as ...:`")
        return self._handle


def _values(parameters: Iterable[object]) -> list[Any]:
    return [_value(place, parameter) for place, parameter in enumerate(parameters, 1)]


def _value(place: int, value: object) -> Any:
    match value:
        case None:
            return _wit.Value_Null()
        case bool():
            return _wit.Value_Boolean(value)
        case int() if value in _INTEGERS:
            return _wit.Value_Integer(value)
        case int():
            return _wit.Value_Decimal(str(value))
        case float():
            return _wit.Value_Float(value)
        case decimal.Decimal():
            # In digits: with an exponent it could be longer than there is memory.
            digits = value.adjusted() if value.is_finite() else 0
            text = f"{value:f}" if abs(digits) < 100_000 else str(value)
            return _wit.Value_Decimal(text)
        case str():
            return _wit.Value_Text(value)
        case bytes() | bytearray() | memoryview():
            return _wit.Value_Bytes(bytes(cast(Any, value)))
        case datetime.datetime():
            kind = _wit.Value_Timestamp if value.tzinfo is None else _wit.Value_TimestampWithZone
            return kind(value.isoformat())
        case datetime.date():
            return _wit.Value_Date(value.isoformat())
        case datetime.time():
            return _wit.Value_Time(value.isoformat())
        case uuid.UUID():
            return _wit.Value_Uuid(str(value))
        case dict() | list():
            return _wit.Value_Json(json.dumps(value))
        case _:
            raise TypeError(f"the parameter {place} is of type {type(value).__name__}, which no database has: {value!r:.100}")


def _rows(rows: Any) -> Rows:
    columns = [Column(column.name, column.type_name) for column in rows.columns]
    return Rows((tuple(map(_plain, row)) for row in rows.rows), columns)


_PLAIN = {
    "Decimal": decimal.Decimal,
    "Date": datetime.date.fromisoformat,
    "Time": datetime.time.fromisoformat,
    "Timestamp": datetime.datetime.fromisoformat,
    "TimestampWithZone": datetime.datetime.fromisoformat,
    "Json": json.loads,
    "Uuid": uuid.UUID,
}


def _plain(value: Any) -> Any:
    """Python's own value. A day or a time that Python does not have stays text."""
    case = type(value).__name__.removeprefix("Value_")
    if case == "Null":
        return None
    convert: Any = _PLAIN.get(case)
    if convert is None:
        return value.value
    try:
        return convert(value.value)
    except (ValueError, ArithmeticError):
        return value.value


# What is no place for a parameter: texts, names, comments.
_QUOTED = r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | --[^\n]* | /\*.*?\*/"""
_PARTS = re.compile(rf"({_QUOTED}) | %s | %%", re.VERBOSE | re.DOTALL)


def _native(sql: Any, kind: DatabaseKind, params: tuple[object, ...]) -> str:
    """The SQL of a database for one with `%s`."""
    if not isinstance(sql, str):
        raise TypeError(f"`sql` must be of type str, not {type(sql).__name__}")
    if len(params) == 1 and isinstance(params[0], list | tuple):
        raise TypeError(
            "parameters are given one by one: for those of a list, write `, *params`; a list that is JSON itself, give as "
            "`json.dumps(…)`"
        )
    places = 0

    def native(found: re.Match[str]) -> str:
        nonlocal places
        if found[1] is not None:
            return found[1]
        if found[0] == "%%":
            return "%"
        places += 1
        return {"postgresql": f"${places}", "sql-server": f"@P{places}"}.get(kind, "?")

    converted = _PARTS.sub(native, sql)
    if places != len(params):
        raise InvalidError(f"the statement has {places} times `%s` for {len(params)} parameters")
    return converted
