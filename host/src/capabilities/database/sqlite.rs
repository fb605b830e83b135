//! SQLite: a file of the operator, opened in this process.
//!
//! A file that is lent for reading is opened for reading. No statement reaches another file: there is one statement at
//! a time, and none that attaches (see `statement.rs`). A statement that is given up is interrupted from inside of
//! SQLite.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::civil;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteQueryResult, SqliteRow};
use sqlx::{
    Column as _, ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, TypeInfo as _, ValueRef as _,
};

use super::session::{Connected, Dialect, Failed, Sort, connect, failed};
use super::values::Parameter;
use crate::contract::database as wit;

/// How long a statement waits for others that write to the file.
const BUSY: Duration = Duration::from_secs(5);
/// After how many steps of its machine SQLite looks whether anybody waits for it.
const STEPS: i32 = 10_000;

/// Where a SQLite database is.
pub(super) struct SqliteFile {
    options: SqliteConnectOptions,
}

impl SqliteFile {
    pub(super) fn new(url: &str, writable: bool) -> Result<Self, String> {
        let options = SqliteConnectOptions::from_str(url).map_err(|_| "its url makes no sense".to_owned())?;
        let options = options.create_if_missing(false).read_only(!writable).foreign_keys(true).busy_timeout(BUSY);
        // A statement is prepared to count its parameters, and not kept.
        let options = options.statement_cache_capacity(0).disable_statement_logging();
        Ok(Self { options })
    }

    pub(super) async fn connect(&self) -> Result<Connected<Sqlite>, Failed> {
        let mut connection = connect::<Sqlite, _>(&self.options).await?;
        let given_up = Arc::new(AtomicBool::new(false));
        let is_given_up = given_up.clone();
        let mut handle = connection.lock_handle().await.map_err(failed::<Sqlite>)?;
        handle.set_progress_handler(STEPS, move || !is_given_up.load(Ordering::Relaxed));
        drop(handle);
        // A step of SQLite's machine can be a long one: the connection counts until it is gone.
        let ending = move |connection: SqliteConnection| -> BoxFuture<'static, ()> {
            given_up.store(true, Ordering::Relaxed);
            Box::pin(async move {
                let _ = connection.close().await;
            })
        };
        Ok(Connected { connection, ending: Box::new(ending) })
    }
}

impl Dialect for Sqlite {
    const BEGIN: &'static str = "BEGIN";
    const BEGIN_READING: &'static str = "BEGIN";
    // What is not given would be NULL.
    const COUNTS_PARAMETERS: bool = false;

    fn add(arguments: &mut SqliteArguments, parameter: Parameter) -> Result<(), BoxDynError> {
        parameter.add_plainly::<Sqlite>(arguments)
    }

    fn value(row: &SqliteRow, index: usize) -> Result<wit::Value, BoxDynError> {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            return Ok(wit::Value::Null);
        }
        // What a value is, and what its column is said to be, are two things.
        let declared = row.column(index).type_info().name().to_owned();
        let is = raw.type_info().name().to_owned();
        Ok(match is.as_str() {
            "INTEGER" | "BOOLEAN" => match row.try_get_unchecked::<i64, _>(index)? {
                value @ (0 | 1) if declared == "BOOLEAN" => wit::Value::Boolean(value == 1),
                value => wit::Value::Integer(value),
            },
            "REAL" => wit::Value::Float(row.try_get_unchecked(index)?),
            "BLOB" => wit::Value::Bytes(row.try_get_unchecked(index)?),
            _ => text(&declared, row.try_get_unchecked(index)?),
        })
    }

    fn changed(done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }

    fn sort(error: &dyn DatabaseError) -> Sort {
        // https://www.sqlite.org/rescode.html: the last eight bits are the sort of error.
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
        match code & 0xff {
            3 | 8 | 23 => Sort::Denied,
            5 | 6 | 10 | 13 => Sort::Unavailable,
            9 => Sort::Timeout,
            _ => Sort::Invalid,
        }
    }
}

/// A text, which is a day or a time where its column says so and it is one.
fn text(declared: &str, text: String) -> wit::Value {
    match declared {
        "DATE" if text.parse::<civil::Date>().is_ok_and(|date| date.to_string() == text) => wit::Value::Date(text),
        "TIME" if text.parse::<civil::Time>().is_ok() => wit::Value::Time(text),
        "DATETIME" => match (text.parse::<jiff::Timestamp>(), text.parse::<civil::DateTime>()) {
            (Ok(moment), _) => wit::Value::TimestampWithZone(moment.to_string()),
            (_, Ok(timestamp)) => wit::Value::Timestamp(timestamp.to_string()),
            _ => wit::Value::Text(text),
        },
        _ => wit::Value::Text(text),
    }
}
