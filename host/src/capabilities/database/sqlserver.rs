//! Microsoft SQL Server.
//!
//! It has no transactions for reading only, and a text for it may be many statements without a mark between them. So
//! the host cannot hold a script to reading: the operator has to lend it with an account that may do what scripts may,
//! and says so with `writable`. For the same reason a connection is used for one statement or one transaction, and then
//! closed.

use std::borrow::Cow;

use async_trait::async_trait;
use bigdecimal::BigDecimal;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, QueryItem, Row, ToSql};
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};
use url::Url;

use super::session::{Failed, Room, Session, Sort};
use super::values::Parameter;
use crate::contract::Error;
use crate::contract::database as wit;
use crate::egress::reach;

/// The port where nothing else is said.
const PORT: u16 = 1433;
/// The most digits of a number, and so the most of them after the point.
const DIGITS: u64 = 38;

/// Where a SQL Server is.
pub(super) struct SqlServer {
    host: String,
    port: u16,
    config: Config,
}

impl SqlServer {
    pub(super) fn new(url: &str, writable: bool) -> Result<Self, String> {
        if !writable {
            return Err(
                "SQL Server has no read-only transactions: lend it with an account that may do no more than scripts \
                        may, and `writable = true`"
                    .to_owned(),
            );
        }
        let url = Url::parse(url).map_err(|_| "its url makes no sense".to_owned())?;
        let mut config = Config::new();
        let host = url.host_str().ok_or("its url has no host")?;
        let port = url.port().unwrap_or(PORT);
        config.host(host);
        config.port(port);
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() {
            config.database(decoded(database));
        }
        let password = url.password().unwrap_or_default();
        config.authentication(AuthMethod::sql_server(decoded(url.username()), decoded(password)));
        config.application_name("armada");
        config.encryption(EncryptionLevel::Required);
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("encrypt", "no") => config.encryption(EncryptionLevel::NotSupported),
                ("ca", path) => config.trust_cert_ca(path),
                _ => return Err("its url may have the options encrypt=no and ca=FILE, and no other".to_owned()),
            }
        }
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port, config })
    }

    pub(super) async fn connect(&self) -> Result<SqlServerSession, Failed> {
        let stream = reach(&self.host, self.port).await.map_err(|error| Failed::Lost(error.to_string()))?;
        let client = Client::connect(self.config.clone(), stream.compat_write()).await;
        Ok(SqlServerSession { client: client.map_err(|error| Failed::Lost(error.to_string()))? })
    }
}

/// A part of a URL, as it is meant.
fn decoded(part: &str) -> Cow<'_, str> {
    percent_decode_str(part).decode_utf8_lossy()
}

/// A connection to SQL Server.
pub(super) struct SqlServerSession {
    client: Client<Compat<TcpStream>>,
}

#[async_trait]
impl Session for SqlServerSession {
    async fn query(&mut self, sql: &str, parameters: Vec<wit::Value>, mut room: Room) -> Result<wit::Rows, Failed> {
        let parameters = arguments(parameters)?;
        let parameters: Vec<&dyn ToSql> = parameters.iter().map(|one| &**one as &dyn ToSql).collect();
        let mut stream = self.client.query(sql, &parameters).await.map_err(failed)?;
        let mut rows = wit::Rows { columns: Vec::new(), rows: Vec::new() };
        while let Some(item) = stream.next().await {
            // The first result is the statement's; what others give is not asked for.
            let QueryItem::Row(row) = item.map_err(failed)? else { continue };
            if row.result_index() > 0 {
                continue;
            }
            if rows.rows.is_empty() {
                let columns = row.columns().iter();
                let columns = columns.map(|column| wit::Column {
                    name: column.name().to_owned(),
                    type_name: format!("{:?}", column.column_type()),
                });
                rows.columns = columns.collect();
            }
            let values = (0..row.len()).map(|index| value(&row, index).map_err(failed));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            room.take(&values).map_err(Failed::Stopped)?;
            rows.rows.push(values);
        }
        Ok(rows)
    }

    async fn execute(&mut self, sql: &str, parameters: Vec<wit::Value>) -> Result<u64, Failed> {
        let parameters = arguments(parameters)?;
        let parameters: Vec<&dyn ToSql> = parameters.iter().map(|one| &**one as &dyn ToSql).collect();
        Ok(self.client.execute(sql, &parameters).await.map_err(failed)?.total())
    }

    async fn begin(&mut self, _reading: bool) -> Result<(), Failed> {
        self.client.begin_transaction().await.map_err(failed)
    }

    async fn commit(&mut self) -> Result<(), Failed> {
        self.client.commit_transaction().await.map_err(failed)
    }

    async fn rollback(&mut self) -> Result<(), Failed> {
        self.client.rollback_transaction().await.map_err(failed)
    }

    async fn ping(&mut self) -> Result<(), Failed> {
        self.execute("SELECT 1", Vec::new()).await.map(|_| ())
    }

    fn is_reusable(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {
        let _ = self.client.close().await;
    }

    fn abort(self: Box<Self>) -> Option<BoxFuture<'static, ()>> {
        // The server ends what a connection was doing when the connection ends.
        None
    }
}

fn failed(error: tiberius::error::Error) -> Failed {
    match error {
        tiberius::error::Error::Server(error) => Failed::Statement {
            // https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
            sort: match error.code() {
                229 | 230 | 262 | 297 | 300 | 3906 => Sort::Denied,
                1205 | 1222 | 3960 | 6005 => Sort::Unavailable,
                _ => Sort::Invalid,
            },
            code: error.code().to_string(),
            message: error.message().to_owned(),
        },
        tiberius::error::Error::Conversion(why) => Failed::Stopped(Error::Invalid(why.into_owned())),
        other => Failed::Lost(other.to_string()),
    }
}

fn arguments(parameters: Vec<wit::Value>) -> Result<Vec<Box<dyn ToSql>>, Failed> {
    let arguments = parameters.into_iter().enumerate().map(|(place, parameter)| {
        let argument = Parameter::new(parameter).and_then(argument);
        argument.map_err(|why| Failed::Refused(Error::Invalid(format!("the parameter {}: {why}", place + 1))))
    });
    arguments.collect()
}

fn argument(parameter: Parameter) -> Result<Box<dyn ToSql>, String> {
    let is_of_an_era =
        |date: time::Date| if date.year() >= 1 { Ok(()) } else { Err("SQL Server has no days before the year 1") };
    Ok(match parameter {
        Parameter::Null => Box::new(None::<String>),
        Parameter::Boolean(value) => Box::new(value),
        Parameter::Integer(value) => Box::new(value),
        Parameter::Float(value) => Box::new(value),
        Parameter::Decimal(value, _) => Box::new(numeric(&value)?),
        Parameter::Text(text) | Parameter::Json(text) => Box::new(text),
        Parameter::Bytes(bytes) => Box::new(bytes),
        Parameter::Date(date) => {
            is_of_an_era(date)?;
            Box::new(date)
        }
        Parameter::Time(time) => Box::new(time),
        Parameter::Timestamp(timestamp) => {
            is_of_an_era(timestamp.date())?;
            Box::new(timestamp)
        }
        Parameter::TimestampWithZone(timestamp) => {
            is_of_an_era(timestamp.date())?;
            Box::new(timestamp)
        }
        Parameter::Uuid(uuid) => Box::new(uuid),
    })
}

/// The driver ends the process with a number that is too long.
fn numeric(value: &BigDecimal) -> Result<tiberius::numeric::Numeric, String> {
    let too_long = || format!("SQL Server has numbers of at most {DIGITS} digits");
    let value = if value.fractional_digit_count() < 0 { value.with_scale(0) } else { value.clone() };
    let scale = u8::try_from(value.fractional_digit_count()).map_err(|_| too_long())?;
    if value.digits() > DIGITS || u64::from(scale) > DIGITS {
        return Err(too_long());
    }
    let (digits, _) = value.into_bigint_and_exponent();
    let digits = digits.to_string().parse::<i128>().map_err(|_| too_long())?;
    Ok(tiberius::numeric::Numeric::new_with_scale(digits, scale))
}

/// A value of a row.
fn value(row: &Row, index: usize) -> Result<wit::Value, tiberius::error::Error> {
    let text = |parameter: Parameter| parameter.to_text().unwrap_or_default();
    let null = wit::Value::Null;
    Ok(match row.get_column_data(index)? {
        ColumnData::U8(value) => value.map_or(null, |value| wit::Value::Integer(value.into())),
        ColumnData::I16(value) => value.map_or(null, |value| wit::Value::Integer(value.into())),
        ColumnData::I32(value) => value.map_or(null, |value| wit::Value::Integer(value.into())),
        ColumnData::I64(value) => value.map_or(null, wit::Value::Integer),
        ColumnData::F32(value) => value.map_or(null, |value| wit::Value::Float(value.into())),
        ColumnData::F64(value) => value.map_or(null, wit::Value::Float),
        ColumnData::Bit(value) => value.map_or(null, wit::Value::Boolean),
        ColumnData::String(value) => value.as_ref().map_or(null, |value| wit::Value::Text(value.to_string())),
        ColumnData::Guid(value) => value.map_or(null, |value| wit::Value::Uuid(value.hyphenated().to_string())),
        ColumnData::Binary(value) => value.as_ref().map_or(null, |value| wit::Value::Bytes(value.to_vec())),
        ColumnData::Numeric(value) => value.map_or(null, |value| {
            let number = BigDecimal::new(value.value().into(), value.scale().into());
            wit::Value::Decimal(number.to_plain_string())
        }),
        ColumnData::Xml(value) => value.as_ref().map_or(null, |value| wit::Value::Text(value.to_string())),
        ColumnData::DateTime(_) | ColumnData::SmallDateTime(_) | ColumnData::DateTime2(_) => row
            .try_get::<PrimitiveDateTime, _>(index)?
            .map_or(null, |value| wit::Value::Timestamp(text(Parameter::Timestamp(value)))),
        ColumnData::DateTimeOffset(_) => row
            .try_get::<OffsetDateTime, _>(index)?
            .map_or(null, |value| wit::Value::TimestampWithZone(text(Parameter::TimestampWithZone(value)))),
        ColumnData::Date(_) => {
            row.try_get::<time::Date, _>(index)?.map_or(null, |value| wit::Value::Date(text(Parameter::Date(value))))
        }
        ColumnData::Time(_) => {
            row.try_get::<time::Time, _>(index)?.map_or(null, |value| wit::Value::Time(text(Parameter::Time(value))))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_lent_for_writing_or_not_at_all() {
        let url = "sqlserver://robot:hush@db.internal/shop";
        assert!(SqlServer::new(url, false).err().unwrap().contains("has no read-only transactions"));
        assert_eq!(SqlServer::new(url, true).ok().unwrap().config.get_addr(), "db.internal:1433");
        assert!(SqlServer::new("sqlserver://h/d?trust=yes", true).is_err());
    }

    #[test]
    fn numbers_keep_their_digits_and_have_no_more_than_the_server_takes() {
        let read = |text: &str| numeric(&text.parse().unwrap());
        let number = read("-12.50").unwrap();
        assert_eq!((number.value(), number.scale()), (-1250, 2));
        assert!(read(&"9".repeat(38)).is_ok() && read(&"9".repeat(39)).is_err());
        assert!(read(&format!("0.{}1", "0".repeat(38))).is_err());
    }
}
