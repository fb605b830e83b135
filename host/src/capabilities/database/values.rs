//! Values between the contract, where they are text where text is exact, and the databases.

use bigdecimal::BigDecimal;
use jiff::civil;
use sqlx::error::BoxDynError;
use sqlx::{Arguments as _, Database, Encode, Type};
use time::{Month, OffsetDateTime, PrimitiveDateTime};
use uuid::Uuid;

use crate::call::Weigh;
use crate::contract::database as wit;

/// How many characters a decimal may have; PostgreSQL has the most, with 147,455 digits.
const DECIMAL: usize = 200_000;

/// A parameter, known to be what it says.
#[derive(Debug)]
pub(super) enum Parameter {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Also as it was written.
    Decimal(BigDecimal, String),
    Text(String),
    Bytes(Vec<u8>),
    Date(time::Date),
    Time(time::Time),
    Timestamp(PrimitiveDateTime),
    TimestampWithZone(OffsetDateTime),
    Json(String),
    Uuid(Uuid),
}

impl Parameter {
    /// Reads a value of a script.
    pub(super) fn new(value: wit::Value) -> Result<Self, String> {
        Ok(match value {
            wit::Value::Null => Self::Null,
            wit::Value::Boolean(value) => Self::Boolean(value),
            wit::Value::Integer(value) => Self::Integer(value),
            wit::Value::Float(value) => Self::Float(value),
            wit::Value::Decimal(text) => Self::Decimal(decimal(&text)?, text),
            wit::Value::Text(text) => Self::Text(text),
            wit::Value::Bytes(bytes) => Self::Bytes(bytes),
            wit::Value::Date(text) => {
                let read = text.parse::<civil::Date>().map_err(|error| not_a("date", &text, "2026-11-22", &error))?;
                Self::Date(date(read)?)
            }
            wit::Value::Time(text) => {
                let read = text.parse::<civil::Time>().map_err(|error| not_a("time", &text, "13:04:05", &error))?;
                Self::Time(time_of_day(read)?)
            }
            wit::Value::Timestamp(text) => {
                let read = text.parse::<civil::DateTime>();
                let read = read.map_err(|error| not_a("timestamp", &text, "2026-11-22T13:04:05", &error))?;
                Self::Timestamp(PrimitiveDateTime::new(date(read.date())?, time_of_day(read.time())?))
            }
            wit::Value::TimestampWithZone(text) => {
                let read = text.parse::<jiff::Timestamp>();
                let read = read.map_err(|error| not_a("timestamp with zone", &text, "2026-11-22T13:04:05Z", &error))?;
                let moment = OffsetDateTime::from_unix_timestamp_nanos(read.as_nanosecond());
                Self::TimestampWithZone(moment.map_err(|error| error.to_string())?)
            }
            wit::Value::Json(text) => {
                serde_json::from_str::<serde::de::IgnoredAny>(&text)
                    .map_err(|error| format!("it is no JSON: {error}"))?;
                Self::Json(text)
            }
            wit::Value::Uuid(text) => {
                let example = "67e55044-10b1-426f-9247-bb680e5fe0c8";
                Self::Uuid(Uuid::try_parse(&text).map_err(|error| not_a("UUID", &text, example, &error))?)
            }
        })
    }

    /// Hands it to a database that has no more types than SQLite: the rest as text.
    pub(super) fn add_plainly<'t, D: Database>(self, arguments: &mut D::Arguments) -> Result<(), BoxDynError>
    where
        bool: Encode<'t, D> + Type<D>,
        i64: Encode<'t, D> + Type<D>,
        f64: Encode<'t, D> + Type<D>,
        Vec<u8>: Encode<'t, D> + Type<D>,
        Option<String>: Encode<'t, D> + Type<D>,
    {
        match self {
            Self::Null => arguments.add(None::<String>),
            Self::Boolean(value) => arguments.add(value),
            Self::Integer(value) => arguments.add(value),
            Self::Float(value) => arguments.add(value),
            Self::Bytes(bytes) => arguments.add(bytes),
            other => arguments.add(Some(other.to_text().ok_or("it has no form in this database")?)),
        }
    }

    /// As text, for what has no better form in a database: exact, and in an order that is that of what it means.
    pub(super) fn to_text(&self) -> Option<String> {
        let moment = |moment: &OffsetDateTime| jiff::Timestamp::from_nanosecond(moment.unix_timestamp_nanos()).ok();
        match self {
            Self::Decimal(_, text) | Self::Json(text) | Self::Text(text) => Some(text.clone()),
            Self::Date(date) => Some(civil_date(*date)?.to_string()),
            Self::Time(time) => Some(civil_time(*time)?.to_string()),
            Self::Timestamp(timestamp) => {
                Some(civil_date(timestamp.date())?.to_datetime(civil_time(timestamp.time())?).to_string())
            }
            // All digits of the second: a `Z` in the place of some would come after each of them.
            Self::TimestampWithZone(timestamp) => Some(format!("{:.9}", moment(timestamp)?)),
            Self::Uuid(uuid) => Some(uuid.hyphenated().to_string()),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) | Self::Bytes(_) => None,
        }
    }
}

fn not_a(what: &str, text: &str, example: &str, error: &dyn std::fmt::Display) -> String {
    format!("{text:.100?} is no {what}, such as `{example}` ({error})")
}

/// Digits and a point: an exponent could mean more digits than there is memory.
fn decimal(text: &str) -> Result<BigDecimal, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let read = text.parse::<BigDecimal>().ok();
    let is_one = text.len() <= DECIMAL && are_digits(whole) && are_digits(fraction);
    read.filter(|_| is_one).ok_or_else(|| format!("{text:.100?} is no decimal, such as `-12.50`"))
}

fn date(date: civil::Date) -> Result<time::Date, String> {
    let part = |part: i8| u8::try_from(part).unwrap_or_default();
    let month = Month::try_from(part(date.month())).map_err(|error| error.to_string())?;
    time::Date::from_calendar_date(date.year().into(), month, part(date.day())).map_err(|error| error.to_string())
}

fn time_of_day(time: civil::Time) -> Result<time::Time, String> {
    let part = |part: i8| u8::try_from(part).unwrap_or_default();
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    time::Time::from_hms_nano(part(time.hour()), part(time.minute()), part(time.second()), nanoseconds)
        .map_err(|error| error.to_string())
}

fn civil_date(date: time::Date) -> Option<civil::Date> {
    let part = |part: u8| i8::try_from(part).ok();
    civil::Date::new(i16::try_from(date.year()).ok()?, part(date.month().into())?, part(date.day())?).ok()
}

fn civil_time(time: time::Time) -> Option<civil::Time> {
    let part = |part: u8| i8::try_from(part).ok();
    let nanoseconds = i32::try_from(time.nanosecond()).ok()?;
    civil::Time::new(part(time.hour())?, part(time.minute())?, part(time.second())?, nanoseconds).ok()
}

impl Weigh for wit::Value {
    fn weight(&self) -> usize {
        let content = match self {
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Decimal(text)
            | Self::Text(text)
            | Self::Date(text)
            | Self::Time(text)
            | Self::Timestamp(text)
            | Self::TimestampWithZone(text)
            | Self::Json(text)
            | Self::Uuid(text) => text.len(),
        };
        content + size_of::<Self>()
    }
}

impl Weigh for wit::Rows {
    fn weight(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.name.len() + column.type_name.len());
        columns.sum::<usize>() + self.rows.iter().flatten().map(Weigh::weight).sum::<usize>()
    }
}

impl Weigh for Vec<wit::Info> {
    fn weight(&self) -> usize {
        self.iter().map(|info| info.name.len() + size_of::<wit::Info>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_what_they_say_and_written_the_same() {
        for value in [
            wit::Value::Decimal("-12.50".to_owned()),
            wit::Value::Date("0001-02-28".to_owned()),
            wit::Value::Time("13:04:05.123456".to_owned()),
            wit::Value::Timestamp("2026-11-22T13:04:05".to_owned()),
            wit::Value::TimestampWithZone("2026-11-22T13:04:05.123456789Z".to_owned()),
            wit::Value::Json("{\"a\": [1, null]}".to_owned()),
            wit::Value::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()),
        ] {
            let text = Parameter::new(value.clone()).unwrap().to_text().unwrap();
            assert!(format!("{value:?}").contains(&format!("{text:?}")), "{value:?}: {text}");
        }
        let written =
            |moment: &str| Parameter::new(wit::Value::TimestampWithZone(moment.to_owned())).unwrap().to_text().unwrap();
        assert_eq!(written("2026-11-22T13:04:05+01:00"), "2026-11-22T12:04:05.000000000Z");
        assert!(written("2026-11-22T12:04:05Z") < written("2026-11-22T12:04:05.5Z"));
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        for (value, says) in [
            (wit::Value::Decimal("1e1000000000".to_owned()), "is no decimal"),
            (wit::Value::Decimal("1_0".to_owned()), "is no decimal"),
            (wit::Value::Decimal(".".to_owned()), "is no decimal"),
            (wit::Value::Date("2026-02-30".to_owned()), "is no date"),
            (wit::Value::Time("25:00:00".to_owned()), "is no time"),
            (wit::Value::Timestamp("yesterday".to_owned()), "is no timestamp"),
            (wit::Value::TimestampWithZone("2026-11-22T13:04:05".to_owned()), "is no timestamp with zone"),
            (wit::Value::Json("{".to_owned()), "is no JSON"),
            (wit::Value::Uuid("7".to_owned()), "is no UUID"),
        ] {
            let why = Parameter::new(value).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
