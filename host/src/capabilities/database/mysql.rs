//! MySQL and MariaDB.
//!
//! Neither ends a statement because the one who asked is gone: a statement that is given up is ended by a second
//! connection.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::civil;
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlDatabaseError, MySqlQueryResult, MySqlRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySql, MySqlConnection,
    Row as _, Type, TypeInfo as _, ValueRef as _,
};

use super::session::{Connected, Dialect, Failed, Sort, connect, end, failed};
use super::values::Parameter;
use crate::contract::database as wit;

/// How far beyond the host's own time a statement may take, if the host could not end it.
const GRACE: Duration = Duration::from_secs(5);

/// Where a MySQL or MariaDB is.
pub(super) struct MySqlServer {
    options: MySqlConnectOptions,
    time: Duration,
}

impl MySqlServer {
    pub(super) fn new(url: &str, time: Duration) -> Result<Self, String> {
        let options = url.parse::<MySqlConnectOptions>().map_err(|_| "its url makes no sense".to_owned())?;
        // What `||` means is the server's own choice.
        Ok(Self { options: options.pipes_as_concat(false).disable_statement_logging(), time })
    }

    pub(super) async fn connect(&self) -> Result<Connected<MySql>, Failed> {
        let mut connection = connect::<MySql, _>(&self.options).await?;
        let (process, version): (u64, String) = sqlx::query_as("SELECT CONNECTION_ID(), VERSION()")
            .fetch_one(&mut connection)
            .await
            .map_err(failed::<MySql>)?;
        // A statement that the host could not end, such as one of a host that is gone, ends by itself.
        let time = self.time.saturating_add(GRACE);
        let set = if version.contains("MariaDB") {
            format!("SET SESSION max_statement_time = {}", time.as_secs().min(31_536_000))
        } else {
            format!("SET SESSION max_execution_time = {}", time.as_millis().min(4_294_967_295))
        };
        connection.execute(AssertSqlSafe(set)).await.map_err(failed::<MySql>)?;
        let options = self.options.clone();
        let ending = move |connection| -> BoxFuture<'static, ()> {
            drop(connection);
            Box::pin(async move { end(end_process(&options, process)).await })
        };
        Ok(Connected { connection, ending: Box::new(ending) })
    }
}

/// Ends a connection of the same account, and what it is doing.
async fn end_process(options: &MySqlConnectOptions, process: u64) -> Result<(), sqlx::Error> {
    let mut other = MySqlConnection::connect_with(options).await?;
    other.execute(AssertSqlSafe(format!("KILL {process}"))).await?;
    other.close().await
}

impl Dialect for MySql {
    const BEGIN: &'static str = "START TRANSACTION";
    const BEGIN_READING: &'static str = "START TRANSACTION READ ONLY";

    fn add(arguments: &mut MySqlArguments, parameter: Parameter) -> Result<(), BoxDynError> {
        match parameter {
            Parameter::Date(date) => arguments.add(date),
            Parameter::Time(time) => arguments.add(time),
            Parameter::Timestamp(timestamp) => arguments.add(timestamp),
            Parameter::TimestampWithZone(timestamp) => arguments.add(timestamp),
            // As text the rest goes into columns of its own types and of others.
            other => other.add_plainly::<MySql>(arguments),
        }
    }

    fn value(row: &MySqlRow, index: usize) -> Result<wit::Value, BoxDynError> {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            return Ok(wit::Value::Null);
        }
        let is = raw.type_info().into_owned();
        let bytes = row.try_get_unchecked::<&[u8], _>(index)?;
        Ok(match is.name() {
            "BOOLEAN" => match row.try_get_unchecked::<i64, _>(index)? {
                0 => wit::Value::Boolean(false),
                1 => wit::Value::Boolean(true),
                other => wit::Value::Integer(other),
            },
            "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                wit::Value::Integer(row.try_get_unchecked(index)?)
            }
            "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
            | "YEAR" => {
                let value: u64 = row.try_get_unchecked(index)?;
                i64::try_from(value).map_or_else(|_| wit::Value::Decimal(value.to_string()), wit::Value::Integer)
            }
            "FLOAT" => wit::Value::Float(row.try_get_unchecked::<f32, _>(index)?.into()),
            "DOUBLE" => wit::Value::Float(row.try_get_unchecked(index)?),
            "DECIMAL" => wit::Value::Decimal(std::str::from_utf8(bytes)?.to_owned()),
            "DATE" => wit::Value::Date(date(bytes).ok_or("it is no day of the calendar")?.to_string()),
            "DATETIME" => wit::Value::Timestamp(date_time(bytes).ok_or("it is no day of the calendar")?.to_string()),
            // The session's time zone is UTC.
            "TIMESTAMP" => {
                let timestamp = date_time(bytes).ok_or("it is no day of the calendar")?;
                wit::Value::TimestampWithZone(format!("{timestamp}Z"))
            }
            "TIME" => time(bytes).ok_or("it is no time: ask for it as text, as in `CAST(… AS CHAR)`")?,
            "JSON" => wit::Value::Json(std::str::from_utf8(bytes)?.to_owned()),
            // Texts of binary order are called by the names of bytes, but have a character set.
            "ENUM" | "SET" => wit::Value::Text(std::str::from_utf8(bytes)?.to_owned()),
            _ if <str as Type<MySql>>::compatible(&is) => wit::Value::Text(std::str::from_utf8(bytes)?.to_owned()),
            _ => wit::Value::Bytes(bytes.to_vec()),
        })
    }

    fn changed(done: &MySqlQueryResult) -> u64 {
        done.rows_affected()
    }

    fn sort(error: &dyn DatabaseError) -> Sort {
        let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else { return Sort::Invalid };
        // https://mariadb.com/kb/en/mariadb-error-codes/
        match error.number() {
            1792 | 1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1290 => Sort::Denied,
            1317 | 1969 | 3024 => Sort::Timeout,
            1040 | 1053 | 1077 | 1205 | 1213 | 1927 => Sort::Unavailable,
            _ => Sort::Invalid,
        }
    }
}

/// A day in the server's binary form, after the number of its bytes.
fn date(bytes: &[u8]) -> Option<civil::Date> {
    let [_, low, high, month, day, ..] = bytes else { return None };
    let year = i16::try_from(u16::from_le_bytes([*low, *high])).ok()?;
    civil::Date::new(year, i8::try_from(*month).ok()?, i8::try_from(*day).ok()?).ok()
}

fn date_time(bytes: &[u8]) -> Option<civil::DateTime> {
    let date = date(bytes)?;
    let time = match bytes.get(5..)? {
        [] => civil::Time::midnight(),
        [hour, minute, second, fraction @ ..] => time_of_day([*hour, *minute, *second], fraction)?,
        _ => return None,
    };
    Some(date.to_datetime(time))
}

/// The microseconds are there unless they are none.
fn time_of_day(hour_minute_second: [u8; 3], fraction: &[u8]) -> Option<civil::Time> {
    let microseconds = match fraction {
        [] => 0,
        fraction => u32::from_le_bytes(fraction.try_into().ok()?),
    };
    let [hour, minute, second] = hour_minute_second.map(|part| i8::try_from(part).ok());
    civil::Time::new(hour?, minute?, second?, i32::try_from(microseconds.checked_mul(1000)?).ok()?).ok()
}

/// A time, which may be of more than a day, or before midnight: then it is none of day.
fn time(bytes: &[u8]) -> Option<wit::Value> {
    let (sign, days, rest) = match bytes {
        [0] => return Some(wit::Value::Time("00:00:00".to_owned())),
        [_, sign, a, b, c, d, rest @ ..] => (*sign, u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    };
    let [hour, minute, second, fraction @ ..] = rest else { return None };
    if sign == 0 && days == 0 && *hour < 24 {
        let time = time_of_day([*hour, *minute, *second], fraction)?;
        return Some(wit::Value::Time(time.to_string()));
    }
    let hours = u64::from(days) * 24 + u64::from(*hour);
    let sign = if sign == 0 { "" } else { "-" };
    Some(wit::Value::Text(format!("{sign}{hours:02}:{minute:02}:{second:02}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_far_as_they_are_of_a_day() {
        assert_eq!(time(&[8, 0, 0, 0, 0, 0, 13, 4, 5]), Some(wit::Value::Time("13:04:05".to_owned())));
        let with_fraction = [12, 0, 0, 0, 0, 0, 13, 4, 5, 0x40, 0xe2, 1, 0];
        assert_eq!(time(&with_fraction), Some(wit::Value::Time("13:04:05.123456".to_owned())));
        assert_eq!(time(&[8, 1, 1, 0, 0, 0, 2, 0, 0]), Some(wit::Value::Text("-26:00:00".to_owned())));
        assert_eq!((time(&[]), time(&[8, 0, 0]), date(&[4, 0, 0, 0, 0])), (None, None, None));
        assert_eq!(date_time(&[4, 0xea, 7, 11, 22]).unwrap().to_string(), "2026-11-22T00:00:00");
    }
}
