//! One connection, whatever the database is.
//!
//! Three of the databases are spoken to by sqlx, each with its own driver, for the values' sake; what they share is
//! [`Connected`], and what is theirs alone is their [`Dialect`].

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Connection, Either, Executor, IntoArguments, Row, SqlSafeStr as _,
    Statement as _, TypeInfo as _,
};

use super::ENDING;
use super::mysql::MySqlServer;
use super::postgresql::PostgresServer;
use super::sqlite::SqliteFile;
use super::sqlserver::SqlServer;
use super::values::Parameter;
use crate::call::Weigh as _;
use crate::contract::Error;
use crate::contract::database as wit;

/// How long a connection that is closed may take to say so.
const CLOSING: Duration = Duration::from_secs(2);

/// Why something did not happen, before it is said to a script.
pub(super) enum Failed {
    /// The database did not take the statement, in its own words.
    Statement {
        sort: Sort,
        /// The SQLSTATE, or the server's own number.
        code: String,
        message: String,
    },
    /// It was not sent; said already in words for scripts.
    Refused(Error),
    /// It was given up on the way; said already in words for scripts.
    Stopped(Error),
    /// The connection is lost, or was never made; why, in words that only the operator may see.
    Lost(String),
}

/// What it means that a database did not take a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// The statement is wrong, or what it asks for is.
    Invalid,
    /// It would have changed what is lent for reading, or the account may not do it.
    Denied,
    /// It took too long.
    Timeout,
    /// Others were in the way, or the server ends: it may succeed later.
    Unavailable,
}

/// How much one query may give.
#[derive(Clone, Copy)]
pub(super) struct Room {
    most_rows: u64,
    most_bytes: u64,
    rows: u64,
    bytes: u64,
}

impl Room {
    /// Room for this much.
    pub(super) fn new(most_rows: u64, most_bytes: u64) -> Self {
        Self { most_rows, most_bytes, rows: 0, bytes: 0 }
    }

    /// Takes a row, if there is room for it.
    pub(super) fn take(&mut self, row: &[wit::Value]) -> Result<(), Error> {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(row.iter().map(|value| value.weight() as u64).sum());
        if self.rows > self.most_rows {
            return Err(Error::Limit(format!(
                "the query has more than {} rows: ask for fewer, or raise run_message.sandbox.limits.rows_per_query",
                self.most_rows
            )));
        }
        if self.bytes > self.most_bytes {
            return Err(Error::Limit(format!(
                "the rows have more than {} bytes: ask for fewer, or raise run_message.sandbox.limits.bytes_per_call",
                self.most_bytes
            )));
        }
        Ok(())
    }
}

/// A connection.
#[async_trait]
pub(super) trait Session: Send {
    /// Runs one statement and gives its rows.
    async fn query(&mut self, sql: &str, parameters: Vec<wit::Value>, room: Room) -> Result<wit::Rows, Failed>;

    /// Runs one statement and gives how many rows it has changed.
    async fn execute(&mut self, sql: &str, parameters: Vec<wit::Value>) -> Result<u64, Failed>;

    /// Begins a transaction, for reading or for more.
    async fn begin(&mut self, reading: bool) -> Result<(), Failed>;

    /// Commits it.
    async fn commit(&mut self) -> Result<(), Failed>;

    /// Rolls it back.
    async fn rollback(&mut self) -> Result<(), Failed>;

    /// Asks whether it is still there.
    async fn ping(&mut self) -> Result<(), Failed>;

    /// Whether another may use it once it is given back.
    fn is_reusable(&self) -> bool {
        true
    }

    /// Closes it, with a word to the server.
    async fn close(self: Box<Self>);

    /// Closes it in the middle of a statement; gives what ends the statement on the server, too.
    fn abort(self: Box<Self>) -> Option<BoxFuture<'static, ()>>;
}

/// Where a database is.
pub(super) enum Server {
    Postgres(PostgresServer),
    MySql(MySqlServer),
    Sqlite(SqliteFile),
    SqlServer(SqlServer),
}

impl Server {
    /// Reads an operator's URL. What is wrong with it is said without showing it. A statement may take this time.
    pub(super) fn new(url: &str, writable: bool, time: Duration) -> Result<Self, String> {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
        Ok(match scheme {
            "postgres" | "postgresql" => Self::Postgres(PostgresServer::new(url, time)?),
            "mysql" | "mariadb" => Self::MySql(MySqlServer::new(url, time)?),
            "sqlite" => Self::Sqlite(SqliteFile::new(url, writable)?),
            "sqlserver" | "mssql" => Self::SqlServer(SqlServer::new(url, writable)?),
            _ => {
                return Err("its url is none of postgres://, mysql://, mariadb://, sqlite: and sqlserver://".to_owned());
            }
        })
    }

    /// What kind of database it is.
    pub(super) fn kind(&self) -> wit::Kind {
        match self {
            Self::Postgres(_) => wit::Kind::Postgresql,
            Self::MySql(_) => wit::Kind::Mysql,
            Self::Sqlite(_) => wit::Kind::Sqlite,
            Self::SqlServer(_) => wit::Kind::SqlServer,
        }
    }

    /// Connects to it.
    pub(super) async fn connect(&self) -> Result<Box<dyn Session>, Failed> {
        Ok(match self {
            Self::Postgres(server) => Box::new(server.connect().await?),
            Self::MySql(server) => Box::new(server.connect().await?),
            Self::Sqlite(file) => Box::new(file.connect().await?),
            Self::SqlServer(server) => Box::new(server.connect().await?),
        })
    }
}

/// What the databases that sqlx speaks to do differently.
pub(super) trait Dialect: sqlx::Database + HasStatementCache {
    /// Begins a transaction.
    const BEGIN: &'static str;
    /// Begins a transaction in which nothing can be changed.
    const BEGIN_READING: &'static str;
    /// Whether the database refuses a statement that lacks parameters. Otherwise they are counted here, and too many are
    /// refused, too.
    const COUNTS_PARAMETERS: bool = true;

    /// Takes a parameter.
    fn add(arguments: &mut Self::Arguments, parameter: Parameter) -> Result<(), sqlx::error::BoxDynError>;

    /// A value of a row; or why it cannot be given.
    fn value(row: &Self::Row, index: usize) -> Result<wit::Value, sqlx::error::BoxDynError>;

    /// How many rows a statement has changed.
    fn changed(done: &Self::QueryResult) -> u64;

    /// What it means that the database did not take a statement.
    fn sort(error: &dyn DatabaseError) -> Sort;
}

/// Closes a connection in the middle of a statement, and ends the statement.
pub(super) type Ending<D> = Box<dyn FnOnce(<D as sqlx::Database>::Connection) -> BoxFuture<'static, ()> + Send>;

/// Has a statement ended by another connection to its server, which may be gone.
pub(super) async fn end(ending: impl Future<Output = Result<(), sqlx::Error>>) {
    match tokio::time::timeout(ENDING, ending).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a statement could not be ended: {error}"),
        Err(_) => tracing::warn!("a statement that was given up could not be ended in time"),
    }
}

/// A connection of sqlx.
pub(super) struct Connected<D: Dialect> {
    pub(super) connection: D::Connection,
    pub(super) ending: Ending<D>,
}

impl<D: Dialect> Connected<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
{
    fn arguments(parameters: Vec<wit::Value>) -> Result<D::Arguments, Failed> {
        let mut arguments = D::Arguments::default();
        for (place, parameter) in parameters.into_iter().enumerate() {
            let refused = |why: String| Failed::Refused(Error::Invalid(format!("the parameter {}: {why}", place + 1)));
            let parameter = Parameter::new(parameter).map_err(refused)?;
            D::add(&mut arguments, parameter).map_err(|error| refused(error.to_string()))?;
        }
        Ok(arguments)
    }

    /// Refuses more or fewer parameters than a statement takes, where the database would not.
    async fn check_count(&mut self, sql: &str, given: usize) -> Result<(), Failed> {
        if D::COUNTS_PARAMETERS {
            return Ok(());
        }
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        let statement = self.connection.prepare(sql).await.map_err(failed::<D>)?;
        let taken = match statement.parameters() {
            Some(Either::Left(types)) => types.len(),
            Some(Either::Right(count)) => count,
            None => given,
        };
        if taken == given {
            return Ok(());
        }
        let message = format!("the number of parameters that the statement takes is {taken}, and {given} were given");
        Err(Failed::Refused(Error::Invalid(message)))
    }

    async fn run(&mut self, command: &'static str) -> Result<(), Failed> {
        self.connection.execute(command).await.map_err(failed::<D>)?;
        Ok(())
    }
}

#[async_trait]
impl<D: Dialect> Session for Connected<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
{
    async fn query(&mut self, sql: &str, parameters: Vec<wit::Value>, mut room: Room) -> Result<wit::Rows, Failed> {
        let given = parameters.len();
        let arguments = Self::arguments(parameters)?;
        self.check_count(sql, given).await?;
        let query = sqlx::query_with::<D, _>(AssertSqlSafe(sql.to_owned()), arguments).persistent(false);
        let mut found = self.connection.fetch(query);
        let mut rows = wit::Rows { columns: Vec::new(), rows: Vec::new() };
        while let Some(row) = found.next().await {
            let row = row.map_err(failed::<D>)?;
            if rows.rows.is_empty() {
                rows.columns = row.columns().iter().map(column::<D>).collect();
            }
            let values = (0..row.len()).map(|index| {
                D::value(&row, index).map_err(|why| {
                    let name = rows.columns.get(index).map(|column| column.name.as_str()).unwrap_or_default();
                    Failed::Stopped(Error::Invalid(format!("the column `{name}`: {why}")))
                })
            });
            let values = values.collect::<Result<Vec<_>, _>>()?;
            room.take(&values).map_err(Failed::Stopped)?;
            rows.rows.push(values);
        }
        Ok(rows)
    }

    async fn execute(&mut self, sql: &str, parameters: Vec<wit::Value>) -> Result<u64, Failed> {
        let given = parameters.len();
        let arguments = Self::arguments(parameters)?;
        self.check_count(sql, given).await?;
        let query = sqlx::query_with::<D, _>(AssertSqlSafe(sql.to_owned()), arguments).persistent(false);
        let mut steps = self.connection.fetch_many(query);
        let mut changed = 0_u64;
        while let Some(step) = steps.next().await {
            if let Either::Left(done) = step.map_err(failed::<D>)? {
                changed = changed.saturating_add(D::changed(&done));
            }
        }
        Ok(changed)
    }

    async fn begin(&mut self, reading: bool) -> Result<(), Failed> {
        self.run(if reading { D::BEGIN_READING } else { D::BEGIN }).await
    }

    async fn commit(&mut self) -> Result<(), Failed> {
        self.run("COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), Failed> {
        self.run("ROLLBACK").await
    }

    async fn ping(&mut self) -> Result<(), Failed> {
        self.connection.ping().await.map_err(failed::<D>)
    }

    async fn close(self: Box<Self>) {
        let _ = tokio::time::timeout(CLOSING, self.connection.close()).await;
    }

    fn abort(self: Box<Self>) -> Option<BoxFuture<'static, ()>> {
        Some((self.ending)(self.connection))
    }
}

fn column<D: Dialect>(column: &D::Column) -> wit::Column {
    wit::Column { name: column.name().to_owned(), type_name: column.type_info().name().to_owned() }
}

/// What an error of sqlx means.
pub(super) fn failed<D: Dialect>(error: sqlx::Error) -> Failed {
    match error {
        sqlx::Error::Database(error) => Failed::Statement {
            sort: D::sort(&*error),
            code: error.code().map(|code| code.into_owned()).unwrap_or_default(),
            message: error.message().to_owned(),
        },
        // What the driver itself says of a statement's parameters; the connection is not trusted any more.
        sqlx::Error::Encode(error) => Failed::Stopped(Error::Invalid(error.to_string())),
        sqlx::Error::InvalidArgument(why) => Failed::Stopped(Error::Invalid(why)),
        sqlx::Error::Protocol(why) if why.contains("parameters") => Failed::Stopped(Error::Invalid(why)),
        other => Failed::Lost(other.to_string()),
    }
}

/// Connects by these options.
pub(super) async fn connect<D: Dialect, O>(options: &O) -> Result<D::Connection, Failed>
where
    O: ConnectOptions<Connection = D::Connection>,
{
    options.connect().await.map_err(|error| match failed::<D>(error) {
        // What a server says to who signs in names who that is.
        Failed::Statement { message, .. } => Failed::Lost(message),
        other => other,
    })
}
