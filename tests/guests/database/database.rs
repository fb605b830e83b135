//! Cases for databases, the same for each kind: `orders` may be changed, `reading` is the same database lent for reading.

use std::time::Duration;

use armada::database::{Database, Kind, Parameters, Rows, Value};
use armada::{Result, json};
use guests::{Case, cases, fails, same};

cases![
    every_type_goes_there_and_comes_back,
    nothing_is_a_value_too,
    parameters_are_no_sql,
    mistakes_are_told,
    rows_are_limited,
    bytes_are_limited,
    what_is_lent_for_reading_is_not_changed,
    statements_that_are_not_for_scripts_are_refused,
    transactions_are_all_or_nothing,
    a_transaction_is_left_open,
    a_transaction_is_open_when_the_script_traps,
    what_was_left_open_was_rolled_back,
    a_connection_is_left_in_another_state,
    the_next_job_has_another_connection,
    no_more_connections_than_lent,
    statements_that_are_given_up_end_on_the_server,
    a_statement_that_takes_too_long_is_ended,
    what_is_not_granted_is_denied,
    the_server_goes,
];

/// The database that may be changed, and its kind.
fn orders(case: &Case<'_>) -> Result<(Database, Kind)> {
    let database = case.agent.database.named("orders");
    let info = database.all()?.into_iter().find(|info| info.name == "orders");
    let Some(info) = info else { armada::bail!("there is no database") };
    Ok((database, info.kind))
}

/// A placeholder of this kind of database.
fn place(kind: Kind, number: usize) -> String {
    match kind {
        Kind::Postgresql => format!("${number}"),
        Kind::Mysql => "?".to_owned(),
        Kind::Sqlite => format!("?{number}"),
        Kind::SqlServer => format!("@P{number}"),
    }
}

/// Makes a table anew.
async fn table(database: &Database, name: &str, columns: &str) -> Result {
    database.execute(format!("DROP TABLE IF EXISTS {name}"), ()).await?;
    database.execute(format!("CREATE TABLE {name} ({columns})"), ()).await?;
    Ok(())
}

async fn count(database: &Database, table: &str) -> Result<i64> {
    let rows = database.query(format!("SELECT COUNT(*) AS number FROM {table}"), ()).await?;
    let Some(row) = rows.first() else { armada::bail!("there is no row") };
    Ok(row.get("number")?)
}

/// Columns, and for each the value that goes there and the one that comes back.
fn types(kind: Kind) -> Vec<(&'static str, &'static str, Value, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    let decimal = || Value::Decimal("-12345678901234567890.50".to_owned());
    let date = || Value::Date("2026-11-22".to_owned());
    let time = || Value::Time("13:04:05.123456".to_owned());
    let timestamp = || Value::Timestamp("2026-11-22T13:04:05.5".to_owned());
    let moment = || Value::TimestampWithZone("2026-11-22T13:04:05.5+01:00".to_owned());
    let moment_back = || Value::TimestampWithZone("2026-11-22T12:04:05.5Z".to_owned());
    let json = || Value::Json("{\"a\": [1, null]}".to_owned());
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let bytes = || Value::Bytes((0..=255).collect());
    let same = |column, is, value: Value| (column, is, value.clone(), value);
    let largest = || Value::Integer(i64::MAX);
    let words = || text("a 'quoted' \"text\" \\ with ü, 🦀 and\nlines");
    match kind {
        Kind::Postgresql => vec![
            same("a", "boolean", Value::Boolean(true)),
            same("b", "bigint", largest()),
            same("c", "smallint", Value::Integer(-7)),
            same("d", "double precision", Value::Float(0.1)),
            same("e", "real", Value::Float(0.5)),
            same("f", "numeric(40, 2)", decimal()),
            same("g", "text", words()),
            same("h", "char(3)", text("abc")),
            same("i", "bytea", bytes()),
            same("j", "date", date()),
            same("k", "time", time()),
            same("l", "timestamp", timestamp()),
            ("m", "timestamptz", moment(), moment_back()),
            same("n", "jsonb", json()),
            same("o", "uuid", Value::Uuid(uuid.to_owned())),
        ],
        Kind::Mysql => vec![
            same("a", "boolean", Value::Boolean(true)),
            same("b", "bigint", largest()),
            same("c", "smallint", Value::Integer(-7)),
            (
                "c2",
                "bigint unsigned",
                Value::Decimal("18446744073709551615".to_owned()),
                Value::Decimal("18446744073709551615".to_owned()),
            ),
            same("d", "double", Value::Float(0.1)),
            same("e", "float", Value::Float(0.5)),
            same("f", "decimal(40, 2)", decimal()),
            same("g", "text character set utf8mb4", words()),
            same("h", "char(3)", text("abc")),
            same("i", "blob", bytes()),
            same("j", "date", date()),
            same("k", "time(6)", time()),
            same("l", "datetime(6)", timestamp()),
            ("m", "timestamp(6) null", moment(), moment_back()),
            ("n", "json", json(), text("{\"a\": [1, null]}")),
            ("o", "char(36)", Value::Uuid(uuid.to_owned()), text(uuid)),
        ],
        Kind::Sqlite | Kind::SqlServer => vec![
            same("a", "boolean", Value::Boolean(true)),
            same("b", "integer", largest()),
            same("d", "real", Value::Float(0.1)),
            ("f", "text", decimal(), text("-12345678901234567890.50")),
            same("g", "text", words()),
            same("i", "blob", bytes()),
            same("j", "date", date()),
            same("k", "time", time()),
            same("l", "datetime", timestamp()),
            ("m", "datetime", moment(), moment_back()),
            ("n", "text", json(), text("{\"a\": [1, null]}")),
            ("o", "text", Value::Uuid(uuid.to_owned()), text(uuid)),
        ],
    }
}

async fn every_type_goes_there_and_comes_back(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    for (column, is, there, back) in types(kind) {
        table(&database, "types", &format!("{column} {is}")).await?;
        let insert = format!("INSERT INTO types VALUES ({})", place(kind, 1));
        same!(database.execute(insert, [there]).await?, 1);
        let found = database.query(format!("SELECT {column} FROM types"), ()).await?;
        same!(found.columns()[0].name, column);
        same!(found.into_values(), vec![vec![back]]);
    }
    Ok(())
}

async fn nothing_is_a_value_too(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    for (column, is, _, _) in types(kind) {
        table(&database, "voids", &format!("{column} {is}")).await?;
        let insert = format!("INSERT INTO voids VALUES ({})", place(kind, 1));
        same!(database.execute(insert, [Value::Null]).await?, 1);
        let found = database.query(format!("SELECT {column} FROM voids"), ()).await?;
        same!(found.into_values(), vec![vec![Value::Null]]);
    }
    Ok(())
}

async fn parameters_are_no_sql(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    table(&database, "people", "name varchar(100)").await?;
    let insert = format!("INSERT INTO people VALUES ({})", place(kind, 1));
    for name in ["Ada", "'); DELETE FROM people; --", "' OR '1'='1", "\\'; DROP TABLE people; --", "$1 ? %s :a @a"] {
        same!(database.execute(insert.as_str(), (name,)).await?, 1);
    }
    let find = format!("SELECT name FROM people WHERE name = {}", place(kind, 1));
    same!(database.query(find.as_str(), ("' OR '1'='1",)).await?.len(), 1);
    same!(database.query(find.as_str(), ("x' OR 'a'='a",)).await?.len(), 0);
    same!(count(&database, "people").await?, 5);
    Ok(())
}

async fn mistakes_are_told(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    fails!(database.query("SELECT one FROM nowhere", ()).await, Invalid, "nowhere");
    fails!(database.query("SELECT FROM WHERE", ()).await, Invalid, "the database `orders`: ");
    fails!(database.query("SELECT 1", [Value::Date("today".to_owned())]).await, Invalid, "the parameter 1: \"today\"");
    let two = format!("SELECT {}, {}", place(kind, 1), place(kind, 2));
    fails!(database.query(two.as_str(), (1,)).await, Invalid, "parameters");
    table(&database, "stocked", "stock integer").await?;
    database.execute("INSERT INTO stocked VALUES (7)", ()).await?;
    let update = format!("UPDATE stocked SET stock = {}", place(kind, 1));
    fails!(database.execute(update.as_str(), ()).await, Invalid, "");
    same!(
        database.query("SELECT stock FROM stocked", ()).await?.into_values(),
        vec![vec![Value::Integer(7)]]
    );
    if kind == Kind::Sqlite {
        // Servers count those that are missing, and not all of them those that are too many.
        fails!(database.query(two.as_str(), (1, 2, 3)).await, Invalid, "parameters");
        fails!(database.query("SELECT 1", (1,)).await, Invalid, "parameters");
        let transaction = database.begin().await?;
        fails!(transaction.execute(update.as_str(), ()).await, Invalid, "");
        transaction.rollback().await?;
        fails!(database.execute("UPDATE stocked SET stock = ?", ()).await, Invalid, "takes is 1, and 0 were given");
        fails!(database.query("SELECT 1", (1,)).await, Invalid, "takes is 0, and 1 were given");
        fails!(database.query("SELECT ?1, ?", (1, 2)).await, Invalid, "all `?` or `?1`");
        same!(database.query("SELECT ?1, ?1", (1,)).await?.len(), 1);
    }
    table(&database, "once", "number integer primary key").await?;
    database.execute("INSERT INTO once VALUES (1)", ()).await?;
    fails!(database.execute("INSERT INTO once VALUES (1)", ()).await, Invalid, "the database `orders`: ");
    if kind == Kind::Postgresql {
        fails!(database.query("SELECT 'infinity'::date AS day", ()).await, Invalid, "ask for it as text");
        fails!(database.query("SELECT '1 day'::interval AS span", ()).await, Invalid, "the column `span`");
        same!(
            database.query("SELECT 'NaN'::numeric AS n", ()).await?.into_values(),
            vec![vec![Value::Decimal("NaN".to_owned())]]
        );
    }
    // None of that was the end of anything.
    same!(database.query("SELECT 1 AS one", ()).await?.len(), 1);
    Ok(())
}

/// A hundred rows.
const HUNDRED: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n";

async fn rows_are_limited(case: Case<'_>) -> Result {
    let (database, _) = orders(&case)?;
    same!(database.query(format!("{HUNDRED} LIMIT 50"), ()).await?.len(), 50);
    fails!(database.query(HUNDRED, ()).await, Limit, "run_message.sandbox.limits.rows_per_query");
    fails!(database.query(format!("{HUNDRED} LIMIT 51"), ()).await, Limit, "50 rows");
    same!(database.query("SELECT 1 AS one", ()).await?.len(), 1);
    Ok(())
}

async fn bytes_are_limited(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    table(&database, "large", "content text").await?;
    let insert = format!("INSERT INTO large VALUES ({})", place(kind, 1));
    for _ in 0..10 {
        database.execute(insert.as_str(), ("x".repeat(10_000),)).await?;
    }
    fails!(database.query("SELECT content FROM large", ()).await, Limit, "run_message.sandbox.limits.bytes_per_call");
    same!(database.query("SELECT content FROM large LIMIT 1", ()).await?.len(), 1);
    Ok(())
}

async fn what_is_lent_for_reading_is_not_changed(case: Case<'_>) -> Result {
    let (orders, kind) = orders(&case)?;
    let reading = orders.named("reading");
    table(&orders, "kept", "number integer").await?;
    orders.execute("INSERT INTO kept VALUES (1)", ()).await?;
    same!(count(&reading, "kept").await?, 1);
    fails!(reading.execute("INSERT INTO kept VALUES (2)", ()).await, Denied, "lent for reading");
    fails!(reading.query("DELETE FROM kept", ()).await, Denied, "`writable = true`");
    fails!(reading.execute("CREATE TABLE other (number integer)", ()).await, Denied, "lent for reading");
    // Changes in the clothes of questions.
    let disguised: &[&str] = match kind {
        Kind::Postgresql => &[
            "WITH gone AS (DELETE FROM kept RETURNING number) SELECT * FROM gone",
            "SELECT 1 INTO other",
            "EXPLAIN ANALYZE DELETE FROM kept",
            "SELECT setval('numbers', 5)",
            "SELECT set_config('transaction_read_only', 'off', false)",
        ],
        Kind::Mysql => &["SELECT NEXT VALUE FOR numbers"],
        Kind::Sqlite | Kind::SqlServer => {
            &["WITH a AS (SELECT 1) DELETE FROM kept", "WITH a AS (SELECT 2) INSERT INTO kept SELECT * FROM a"]
        }
    };
    match kind {
        Kind::Postgresql | Kind::Mysql => {
            orders.execute("DROP SEQUENCE IF EXISTS numbers", ()).await?;
            orders.execute("CREATE SEQUENCE numbers", ()).await?;
        }
        Kind::Sqlite | Kind::SqlServer => {}
    }
    for sql in disguised {
        let transaction = reading.begin().await?;
        for given in [reading.query(*sql, ()).await, transaction.query(*sql, ()).await] {
            match given {
                Ok(rows) => armada::bail!("{sql} gave {rows:?}"),
                Err(error) => armada::ensure!(
                    matches!(error.kind(), armada::ErrorKind::Denied | armada::ErrorKind::Invalid),
                    "{sql}: {error:?}"
                ),
            }
        }
    }
    // Settings of the session change nothing for the next statement.
    if kind == Kind::Postgresql {
        reading.query("SELECT set_config('default_transaction_read_only', 'off', false)", ()).await?;
        fails!(
            reading.query("WITH gone AS (DELETE FROM kept RETURNING 1) SELECT * FROM gone", ()).await,
            Denied,
            "read-only"
        );
    }
    same!(count(&orders, "kept").await?, 1);
    Ok(())
}

async fn statements_that_are_not_for_scripts_are_refused(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    for sql in [
        "COMMIT",
        "BEGIN",
        "SET TRANSACTION READ WRITE",
        "ATTACH '/etc/passwd' AS other",
        "PRAGMA user_version = 7",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE a",
        "COPY a FROM '/etc/passwd'",
        "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
        "ALTER USER armada IDENTIFIED BY 'mine'",
    ] {
        fails!(database.execute(sql, ()).await, Denied, "is no statement for scripts");
        let transaction = database.begin().await?;
        fails!(transaction.query(sql, ()).await, Denied, "is no statement for scripts");
        transaction.rollback().await?;
    }
    fails!(database.query("SELECT 1; ATTACH '/etc/passwd' AS other", ()).await, Invalid, "");
    if kind == Kind::Sqlite {
        fails!(database.query("SELECT load_extension('x')", ()).await, Invalid, "not authorized");
        fails!(database.query("SELECT readfile('/etc/passwd')", ()).await, Invalid, "no such function");
        fails!(database.query("SELECT file FROM pragma_database_list", ()).await, Denied, "not for scripts");
    }
    Ok(())
}

async fn transactions_are_all_or_nothing(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    table(&database, "bookings", "number integer").await?;
    let insert = format!("INSERT INTO bookings VALUES ({})", place(kind, 1));
    let transaction = database.begin().await?;
    same!(transaction.execute(insert.as_str(), (1,)).await?, 1);
    same!(transaction.query("SELECT number FROM bookings", ()).await?.len(), 1);
    same!(count(&database, "bookings").await?, 0);
    transaction.commit().await?;
    same!(count(&database, "bookings").await?, 1);
    let transaction = database.begin().await?;
    transaction.execute(insert.as_str(), (2,)).await?;
    transaction.rollback().await?;
    let transaction = database.begin().await?;
    transaction.execute(insert.as_str(), (3,)).await?;
    drop(transaction);
    // The server learns of the dropped one by its connection's end.
    eventually(|| async { Ok(database.execute(insert.as_str(), (4,)).await? == 1) }).await?;
    same!(numbers(database.query("SELECT number FROM bookings ORDER BY number", ()).await?)?, [1, 4]);
    Ok(())
}

fn numbers(rows: Rows) -> Result<Vec<i64>> {
    Ok(rows.iter().map(|row| row.get("number")).collect::<Result<Vec<_>, _>>()?)
}

async fn a_transaction_is_left_open(case: Case<'_>) -> Result {
    let (database, _) = orders(&case)?;
    table(&database, "left_open", "number integer").await?;
    let transaction = database.begin().await?;
    transaction.execute("INSERT INTO left_open VALUES (1)", ()).await?;
    std::mem::forget(transaction);
    Ok(())
}

async fn a_transaction_is_open_when_the_script_traps(case: Case<'_>) -> Result {
    let (database, _) = orders(&case)?;
    let transaction = database.begin().await?;
    transaction.execute("INSERT INTO left_open VALUES (2)", ()).await?;
    panic!("as it should");
}

async fn what_was_left_open_was_rolled_back(case: Case<'_>) -> Result {
    let (database, _) = orders(&case)?;
    // A table that is still locked by another could not be changed.
    eventually(|| async { Ok(database.execute("INSERT INTO left_open VALUES (3)", ()).await? == 1) }).await?;
    same!(numbers(database.query("SELECT number FROM left_open", ()).await?)?, [3]);
    Ok(())
}

async fn a_connection_is_left_in_another_state(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    match kind {
        Kind::Postgresql => database.query("SELECT 1 AS one FROM pg_advisory_lock(42)", ()).await?.len(),
        Kind::Mysql => database.query("SELECT GET_LOCK('left', 0)", ()).await?.len(),
        _ => {
            database.execute("CREATE TEMP TABLE left_behind (number integer)", ()).await?;
            database.query("SELECT COUNT(*) FROM left_behind", ()).await?.len()
        }
    };
    Ok(())
}

async fn the_next_job_has_another_connection(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    let left = match kind {
        Kind::Postgresql => "SELECT COUNT(*) AS number FROM pg_locks WHERE locktype = 'advisory'",
        Kind::Mysql => "SELECT IS_USED_LOCK('left') IS NOT NULL AS number",
        _ => "SELECT COUNT(*) AS number FROM temp.sqlite_master",
    };
    // The server learns of a connection's end a little later.
    eventually(|| async { Ok(numbers(database.query(left, ()).await?)? == [0]) }).await
}

async fn no_more_connections_than_lent(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    // Two are lent: with both in transactions, a third call waits until one is free.
    let (first, second) = (database.begin().await?, database.begin().await?);
    let mut third = Box::pin(async { database.query("SELECT 1 AS one", ()).await });
    let early = armada::join!(armada::sleep(Duration::from_millis(300)), async {
        std::future::poll_fn(|context| std::task::Poll::Ready(third.as_mut().poll(context).is_ready())).await
    });
    armada::ensure!(!early.1, "a third connection was made");
    first.rollback().await?;
    same!(third.await?.len(), 1);
    second.rollback().await?;
    let _ = kind;
    Ok(())
}

/// A statement that takes for ever.
fn endless(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgresql => "SELECT pg_sleep(3600) /* for ever */",
        Kind::Mysql => "SELECT SLEEP(3600) /* for ever */",
        _ => "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    }
}

async fn statements_that_are_given_up_end_on_the_server(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    let running = match kind {
        Kind::Postgresql => {
            "SELECT COUNT(*) AS number FROM pg_stat_activity WHERE query LIKE '%for ever%' AND query NOT LIKE '%pg_stat%'"
        }
        Kind::Mysql => {
            "SELECT COUNT(*) AS number FROM information_schema.processlist WHERE info LIKE '%for ever%' AND info NOT LIKE '%processlist%'"
        }
        _ => return Ok(()),
    };
    let are_running =
        async |expected: i64| -> Result<bool> { Ok(numbers(database.query(running, ()).await?)? == [expected]) };
    {
        let mut waiting = Box::pin(async { database.query(endless(kind), ()).await });
        let begun = eventually(|| are_running(1));
        let mut begun = std::pin::pin!(begun);
        std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(given) = waiting.as_mut().poll(context) {
                return std::task::Poll::Ready(Err(armada::Failure::new(format!("it ended: {given:?}"))));
            }
            begun.as_mut().poll(context)
        })
        .await?;
    }
    eventually(|| are_running(0)).await
}

async fn a_statement_that_takes_too_long_is_ended(case: Case<'_>) -> Result {
    let (database, kind) = orders(&case)?;
    fails!(database.query(endless(kind), ()).await, Timeout, "run_message.sandbox.limits.seconds_per_call");
    let transaction = database.begin().await?;
    fails!(transaction.query(endless(kind), ()).await, Timeout, "run_message.sandbox.limits.seconds_per_call");
    fails!(transaction.query("SELECT 1 AS one", ()).await, Closed, "the transaction is over");
    // All connections are there again.
    for _ in 0..3 {
        same!(database.query("SELECT 1 AS one", ()).await?.len(), 1);
    }
    Ok(())
}

async fn what_is_not_granted_is_denied(case: Case<'_>) -> Result {
    let database = case.agent.database.named("orders");
    let expected = case.job.job_message["expected"].as_str().unwrap_or_default();
    fails!(database.query("SELECT 1", ()).await, Denied, expected);
    fails!(database.execute("DELETE FROM a", ()).await, Denied, expected);
    fails!(database.begin().await, Denied, expected);
    Ok(())
}

async fn the_server_goes(case: Case<'_>) -> Result {
    let (database, _) = orders(&case)?;
    table(&database, "going", "number integer").await?;
    let error = loop {
        match database.query("SELECT 1 AS one", ()).await {
            Ok(_) => armada::sleep(Duration::from_millis(20)).await?,
            Err(error) => break error,
        }
    };
    armada::ensure!(error.kind() == armada::ErrorKind::Unavailable, "{error:?}");
    fails!(
        database.query("SELECT 1 AS one", ()).await,
        Unavailable,
        "the database `orders` cannot be reached"
    );
    case.job.monitoring_client.record_success_event(error.message())?;
    Ok(())
}

/// Waits until something is so.
async fn eventually<F: Future<Output = Result<bool>>>(is_so: impl Fn() -> F) -> Result {
    while !is_so().await? {
        armada::sleep(Duration::from_millis(20)).await?;
    }
    Ok(())
}

#[allow(dead_code, reason = "what is taken as parameters is a matter of types")]
fn what_can_be_parameters() -> Vec<Vec<Value>> {
    vec![
        ().into_values(),
        (1, 2.5, "a", true, None::<i64>, vec![1_u8]).into_values(),
        vec![Some(1_i64), None].into_values(),
        [json!({"a": 1})].into_values(),
    ]
}
