"""Every function of the database, against a real one: the job is one case after the other."""

import asyncio
import datetime
import decimal
import uuid
from typing import Any

import armada
from src.database_connector import DatabaseConnector


async def ctx_script(job_ctx: armada.Job, agent_ctx: armada.Agent) -> Any:
    database = agent_ctx.database
    await percent_s(database)
    await percent_s(DatabaseConnector("whatever", port=1))
    await values(database)
    await transactions(database)
    await mistakes(database)
    return [info.kind for info in database.all()]


async def percent_s(database: Any) -> None:
    """The reference's own two calls."""
    await database.post_to_db("DROP TABLE IF EXISTS people")
    await database.post_to_db("CREATE TABLE people (name varchar(50), age integer)")
    for name, age in [("Ada", 36), ("Grace", 85), ("100%s", 1)]:
        assert await database.post_to_db("INSERT INTO people VALUES (%s, %s)", name, age) == 1
    assert await database.select_from_db("SELECT name, age FROM people WHERE age > %s ORDER BY age", 30) == [
        ("Ada", 36),
        ("Grace", 85),
    ]
    # A percent sign is one when it is doubled, and in a text it always is.
    assert await database.select_from_db("SELECT 7 %% 4, '%s', '%%' -- %s\n", *[]) == [(3, "%s", "%%")]
    assert await database.select_from_db("SELECT age FROM people WHERE name LIKE '100%' AND name = %s", "100%s") == [(1,)]


def place(database: Any) -> str:
    """A placeholder of this kind of database."""
    return "$1" if database.all()[0].kind == "postgresql" else "?"


async def values(database: Any) -> None:
    """Python's own values there and back."""
    is_sqlite = database.all()[0].kind == "sqlite"
    utc = datetime.timezone.utc
    moment = "timestamptz" if database.all()[0].kind == "postgresql" else "datetime" if is_sqlite else "timestamp(6) null"
    for kind, value in [
        ("boolean", True),
        ("bigint", -(2**63)),
        ("double precision", 0.1),
        ("varchar(50)", "ü 'x' 🦀"),
        ("date", datetime.date(2026, 11, 22)),
        (moment, datetime.datetime(2026, 11, 22, 13, 4, 5, 120000, tzinfo=utc)),
        ("bytea" if place(database) == "$1" else "blob", bytes(range(256))),
        *([] if is_sqlite else [("numeric(30, 3)", decimal.Decimal("-12345678901234567890.500"))]),
        *([("jsonb", {"a": [1, None]}), ("uuid", uuid.uuid4())] if place(database) == "$1" else []),
    ]:
        await database.execute("DROP TABLE IF EXISTS held")
        await database.execute(f"CREATE TABLE held (held {kind})")
        for one in (value, None):
            await database.execute(f"INSERT INTO held VALUES ({place(database)})", one)
        rows = await database.query("SELECT held FROM held")
        assert sorted(rows, key=str) == sorted([(value,), (None,)], key=str), (kind, rows)
        assert {type(held) for (held,) in rows} == {type(value), type(None)}, rows
        assert rows.columns[0].name == "held" and rows.dicts()[0].keys() == {"held"}, rows.columns


async def transactions(database: Any) -> None:
    """All or nothing."""
    await database.execute("DROP TABLE IF EXISTS bookings")
    await database.execute("CREATE TABLE bookings (number integer)")
    insert = f"INSERT INTO bookings VALUES ({place(database)})"
    async with database.transaction() as transaction:
        assert await transaction.execute(insert, 1) == 1
        assert await transaction.query("SELECT number FROM bookings") == [(1,)]
    try:
        async with database.transaction() as transaction:
            await transaction.execute(insert, 2)
            raise LookupError("as it should")
    except LookupError:
        pass
    async with database.transaction() as transaction:
        await transaction.execute(insert, 3)
        await transaction.rollback()
    assert await database.query("SELECT number FROM bookings") == [(1,)]
    # One that is left while another task still asks it ends that task's call, and nothing else.
    try:
        async with database.transaction() as transaction:
            asking = asyncio.create_task(transaction.query("SELECT number FROM bookings"))
            await asyncio.sleep(0)
            raise asyncio.CancelledError
    except asyncio.CancelledError:
        pass
    (answer,) = await asyncio.gather(asking, return_exceptions=True)
    assert answer == [(1,)] or isinstance(answer, armada.ClosedError), answer
    assert await database.query("SELECT number FROM bookings") == [(1,)]


async def mistakes(database: Any) -> None:
    """What is wrong is told, and ends nothing."""
    for call, kind, says in [
        (lambda: database.query("SELECT one FROM nowhere"), armada.InvalidError, "nowhere"),
        (lambda: database.query("COMMIT"), armada.DeniedError, "no statement for scripts"),
        (lambda: database.named("people").query("SELECT 1"), armada.DeniedError, 'add "people" to run_message.sandbox'),
        (lambda: database.select_from_db("SELECT %s"), armada.InvalidError, "1 times `%s` for 0 parameters"),
        (lambda: database.select_from_db("SELECT %s", ["tea"]), TypeError, "write `, *params`"),
        (lambda: database.post_to_db("DELETE FROM people WHERE name = %s", ("tea",)), TypeError, "write `, *params`"),
        (lambda: database.query("SELECT 1", object()), TypeError, "the parameter 1 is of type object"),
        (lambda: database.query(7), TypeError, "`sql` must be of type str"),
        (lambda: database.query("SELECT 1", "\ud800"), armada.InvalidError, "no text"),
        (lambda: database.query("SELECT 1", decimal.Decimal("1e999999")), armada.InvalidError, "is no decimal"),
    ]:
        try:
            given = await call()
        except kind as error:
            assert says in str(error), error
        else:
            raise AssertionError(f"{says} should have been told, and {given!r} was given")
