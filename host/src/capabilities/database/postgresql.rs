//! PostgreSQL.
//!
//! Values of rows are read from what the server sends, in its binary form: it has moments, numbers and days that no
//! Rust type has, and none of them may be changed or be the end of the host.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{Span, Timestamp, civil};
use sqlx::error::{BoxDynError, DatabaseError};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgQueryResult, PgRow, PgTypeInfo, PgTypeKind, PgValueFormat};
use sqlx::{
    Arguments as _, ConnectOptions as _, Connection as _, Encode, PgConnection, Postgres, Row as _, Type,
    TypeInfo as _, ValueRef as _,
};

use super::session::{Connected, Dialect, Failed, Sort, connect, end, failed};
use super::values::Parameter;
use crate::contract::database as wit;

/// The type of a parameter that the server finds out: `unknown`.
const UNKNOWN: Oid = Oid(705);
/// The types of JSON.
const JSONB: Oid = Oid(3802);
/// How far beyond the host's own time a statement may take, if the host could not end it.
const GRACE: Duration = Duration::from_secs(5);

/// Where a PostgreSQL is.
pub(super) struct PostgresServer {
    options: PgConnectOptions,
    time: Duration,
}

impl PostgresServer {
    pub(super) fn new(url: &str, time: Duration) -> Result<Self, String> {
        let options = url.parse::<PgConnectOptions>().map_err(|_| "its url makes no sense".to_owned())?;
        Ok(Self { options: options.application_name("armada").disable_statement_logging(), time })
    }

    pub(super) async fn connect(&self) -> Result<Connected<Postgres>, Failed> {
        let mut connection = connect::<Postgres, _>(&self.options).await?;
        // A statement that the host could not end, such as one of a host that is gone, ends by itself.
        let milliseconds = i32::try_from(self.time.saturating_add(GRACE).as_millis()).unwrap_or(i32::MAX);
        let process: (i32, String) =
            sqlx::query_as("SELECT pg_backend_pid(), set_config('statement_timeout', $1, false)")
                .bind(milliseconds.to_string())
                .fetch_one(&mut connection)
                .await
                .map_err(failed::<Postgres>)?;
        let options = self.options.clone();
        let ending = move |connection| -> BoxFuture<'static, ()> {
            drop(connection);
            Box::pin(async move { end(end_process(&options, process.0)).await })
        };
        Ok(Connected { connection, ending: Box::new(ending) })
    }
}

/// Ends a server process of the same account, and what it is doing.
async fn end_process(options: &PgConnectOptions, process: i32) -> Result<(), sqlx::Error> {
    let mut other = PgConnection::connect_with(options).await?;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(process).execute(&mut other).await?;
    other.close().await
}

impl Dialect for Postgres {
    const BEGIN: &'static str = "BEGIN";
    const BEGIN_READING: &'static str = "BEGIN READ ONLY";

    fn add(arguments: &mut PgArguments, parameter: Parameter) -> Result<(), BoxDynError> {
        match parameter {
            Parameter::Null => arguments.add(Raw { is: PgTypeInfo::with_oid(UNKNOWN), bytes: None }),
            Parameter::Boolean(value) => arguments.add(value),
            Parameter::Integer(value) => arguments.add(value),
            Parameter::Float(value) => arguments.add(value),
            Parameter::Decimal(value, _) => arguments.add(value),
            Parameter::Text(text) if text.contains('\0') => {
                Err("a text of PostgreSQL cannot have a character of the code 0".into())
            }
            Parameter::Text(text) => arguments.add(text),
            Parameter::Bytes(bytes) => arguments.add(bytes),
            Parameter::Date(date) => arguments.add(date),
            Parameter::Time(time) => arguments.add(time),
            Parameter::Timestamp(timestamp) => arguments.add(timestamp),
            Parameter::TimestampWithZone(timestamp) => arguments.add(timestamp),
            // The version of the binary form, and the text.
            Parameter::Json(text) => {
                arguments.add(Raw { is: PgTypeInfo::with_oid(JSONB), bytes: Some([&[1], text.as_bytes()].concat()) })
            }
            Parameter::Uuid(uuid) => arguments.add(uuid),
        }
    }

    fn value(row: &PgRow, index: usize) -> Result<wit::Value, BoxDynError> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(wit::Value::Null);
        }
        if value.format() != PgValueFormat::Binary {
            return Err("it came in another form than was asked for".into());
        }
        read(&value.type_info(), value.as_bytes()?)
    }

    fn changed(done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }

    fn sort(error: &dyn DatabaseError) -> Sort {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        let code = error.code().unwrap_or_default();
        match &*code {
            "25006" | "42501" => Sort::Denied,
            "57014" => Sort::Timeout,
            "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" => Sort::Unavailable,
            code if code.starts_with("53") || code.starts_with("58") => Sort::Unavailable,
            _ => Sort::Invalid,
        }
    }
}

/// A parameter in the server's own binary form.
struct Raw {
    is: PgTypeInfo,
    bytes: Option<Vec<u8>>,
}

impl Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UNKNOWN)
    }
}

impl Encode<'_, Postgres> for Raw {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, BoxDynError> {
        let Some(bytes) = &self.bytes else { return Ok(sqlx::encode::IsNull::Yes) };
        buffer.extend(bytes);
        Ok(sqlx::encode::IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.is.clone())
    }
}

/// Reads a value of a type.
fn read(is: &PgTypeInfo, bytes: &[u8]) -> Result<wit::Value, BoxDynError> {
    let text = |bytes: &[u8]| Ok::<_, BoxDynError>(std::str::from_utf8(bytes)?.to_owned());
    let known = match is.kind() {
        PgTypeKind::Domain(of) => return read(of, bytes),
        PgTypeKind::Enum(_) => Some(wit::Value::Text(text(bytes)?)),
        _ => match is.name().to_ascii_uppercase().as_str() {
            "BOOL" => Some(wit::Value::Boolean(bytes != [0])),
            "INT2" => Some(wit::Value::Integer(i16::from_be_bytes(bytes.try_into()?).into())),
            "INT4" => Some(wit::Value::Integer(i32::from_be_bytes(bytes.try_into()?).into())),
            "INT8" => Some(wit::Value::Integer(i64::from_be_bytes(bytes.try_into()?))),
            "OID" => Some(wit::Value::Integer(u32::from_be_bytes(bytes.try_into()?).into())),
            "FLOAT4" => Some(wit::Value::Float(f32::from_be_bytes(bytes.try_into()?).into())),
            "FLOAT8" => Some(wit::Value::Float(f64::from_be_bytes(bytes.try_into()?))),
            "NUMERIC" => numeric(bytes).map(wit::Value::Decimal),
            "TEXT" | "VARCHAR" | "CHAR" | "\"CHAR\"" | "NAME" | "UNKNOWN" | "XML" | "CITEXT" => {
                Some(wit::Value::Text(text(bytes)?))
            }
            "BYTEA" => Some(wit::Value::Bytes(bytes.to_vec())),
            "DATE" => date(i32::from_be_bytes(bytes.try_into()?)),
            "TIME" => time(i64::from_be_bytes(bytes.try_into()?)),
            "TIMESTAMP" => timestamp(i64::from_be_bytes(bytes.try_into()?)),
            "TIMESTAMPTZ" => moment(i64::from_be_bytes(bytes.try_into()?)),
            "JSON" => Some(wit::Value::Json(text(bytes)?)),
            "JSONB" => Some(wit::Value::Json(text(bytes.strip_prefix(&[1]).unwrap_or(bytes))?)),
            "UUID" => Some(wit::Value::Uuid(uuid::Uuid::from_slice(bytes)?.hyphenated().to_string())),
            "VOID" => Some(wit::Value::Null),
            _ => None,
        },
    };
    known.ok_or_else(|| {
        format!("this value of the type {} cannot be given: ask for it as text, as in `column::text`", is.name()).into()
    })
}

/// Days from 2000-01-01.
fn date(days: i32) -> Option<wit::Value> {
    let date = civil::date(2000, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(wit::Value::Date(date.to_string()))
}

/// Microseconds from midnight.
fn time(microseconds: i64) -> Option<wit::Value> {
    let span = Span::new().try_microseconds(microseconds).ok()?;
    let time = civil::Time::midnight().checked_add(span).ok()?;
    Some(wit::Value::Time(time.to_string()))
}

/// Microseconds from 2000-01-01 at midnight.
fn timestamp(microseconds: i64) -> Option<wit::Value> {
    let span = Span::new().try_microseconds(microseconds).ok()?;
    let timestamp = civil::date(2000, 1, 1).at(0, 0, 0, 0).checked_add(span).ok()?;
    Some(wit::Value::Timestamp(timestamp.to_string()))
}

/// Microseconds from 2000-01-01 at midnight, in UTC.
fn moment(microseconds: i64) -> Option<wit::Value> {
    const YEAR_2000: i64 = 946_684_800;
    let moment = Timestamp::from_microsecond(microseconds.checked_add(YEAR_2000 * 1_000_000)?).ok()?;
    Some(wit::Value::TimestampWithZone(moment.to_string()))
}

/// A number as the server itself writes it: groups of four digits, the place of the first group, and how many digits
/// there are after the point.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut parts = bytes.chunks_exact(2).map(|pair| pair.try_into().map(u16::from_be_bytes).unwrap_or_default());
    let (count, weight, sign, scale) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let special = match sign {
        0xC000 => Some("NaN"),
        0xD000 => Some("Infinity"),
        0xF000 => Some("-Infinity"),
        _ => None,
    };
    if let Some(special) = special {
        return Some(special.to_owned());
    }
    let groups: Vec<u16> = parts.collect();
    if groups.len() != usize::from(count) {
        return None;
    }
    let weight = i64::from(weight.cast_signed());
    let group =
        |place: i64| usize::try_from(place).ok().and_then(|place| groups.get(place)).copied().unwrap_or_default();
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    } else {
        text.push_str(&group(0).to_string());
        (1..=weight).for_each(|place| text.push_str(&format!("{:04}", group(place))));
    }
    if scale > 0 {
        let places = i64::from(scale.div_ceil(4));
        // Before the first group there are zeros.
        let fraction: String = (1..=places).map(|place| format!("{:04}", group(weight + place))).collect();
        text.push('.');
        text.push_str(fraction.get(..usize::from(scale))?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[u16]) -> Option<String> {
        numeric(&parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_they_have() {
        assert_eq!(of(&[2, 0, 0, 2, 12, 5000]).unwrap(), "12.50");
        assert_eq!(of(&[2, 0, 0x4000, 2, 12, 5000]).unwrap(), "-12.50");
        assert_eq!(of(&[1, 1, 0, 0, 3]).unwrap(), "30000");
        assert_eq!(of(&[1, u16::MAX - 1, 0, 8, 7]).unwrap(), "0.00000007");
        assert_eq!(of(&[0, 0, 0, 0]).unwrap(), "0");
        assert_eq!(of(&[0, 0, 0, 3]).unwrap(), "0.000");
        assert_eq!(of(&[0, 0, 0xC000, 0]).unwrap(), "NaN");
        assert_eq!((of(&[1, 0, 0]), of(&[9, 0, 0, 0, 1])), (None, None));
    }

    #[test]
    fn days_and_moments_that_no_calendar_has_are_not_given() {
        assert_eq!(date(0), Some(wit::Value::Date("2000-01-01".to_owned())));
        assert_eq!(date(-1), Some(wit::Value::Date("1999-12-31".to_owned())));
        assert!([i32::MIN, i32::MAX].iter().all(|days| date(*days).is_none()));
        assert_eq!(moment(1), Some(wit::Value::TimestampWithZone("2000-01-01T00:00:00.000001Z".to_owned())));
        assert!([i64::MIN, i64::MAX].iter().all(|at| moment(*at).is_none() && timestamp(*at).is_none()));
        assert!([-1, 86_400_000_000].iter().all(|at| time(*at).is_none()));
    }
}
