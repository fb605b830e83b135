//! Databases of the operator, by name.
//!
//! ```no_run
//! # async fn script(agent_ctx: &armada::Agent) -> armada::Result {
//! let found = agent_ctx.database.query("SELECT name, price FROM products WHERE stock > $1", (10,)).await?;
//! for row in found.iter() {
//!     let (name, price): (String, Option<f64>) = (row.get("name")?, row.get("price")?);
//!     println!("{name}: {price:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The placeholders are those of the database: `$1` for PostgreSQL, `?` for MySQL, MariaDB and SQLite, `@P1` for SQL
//! Server. Parameters are a tuple, an array or a `Vec` of what can be a [`Value`]. A project names the databases that
//! it uses in `run_message.sandbox.databases`; where they are, and how to sign in there, only the operator's inventory
//! says.

use std::panic::Location;

use crate::__bindings::armada::database::database as wit;
pub use crate::__bindings::armada::database::database::{Column, Info, Kind, Value};
use crate::__bindings::armada::types::types as shared;
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;

/// A database that the run may use. The default is the only one.
#[derive(Clone, Debug, Default)]
pub struct Database {
    name: Option<String>,
}

impl Database {
    /// The database of this name, where the run may use several.
    pub fn named(&self, name: impl Into<String>) -> Database {
        Database { name: Some(name.into()) }
    }

    /// The databases that the run may use.
    #[track_caller]
    pub fn all(&self) -> Result<Vec<Info>, Error> {
        let at = Location::caller();
        wit::databases().map_err(|error| Error::from_wit(error, at))
    }

    /// Runs one statement and gives its rows.
    #[track_caller]
    pub fn query(&self, sql: impl Into<String>, parameters: impl Parameters) -> Operation<(), Rows> {
        let (name, sql, parameters) = (self.name.clone(), sql.into(), parameters.into_values());
        Operation::new((), move |()| async move { wit::query(resolved(name)?, sql, parameters).await }).map(Rows::new)
    }

    /// Runs one statement and gives how many rows it has changed.
    #[track_caller]
    pub fn execute(&self, sql: impl Into<String>, parameters: impl Parameters) -> Operation<(), u64> {
        let (name, sql, parameters) = (self.name.clone(), sql.into(), parameters.into_values());
        Operation::new((), move |()| async move { wit::execute(resolved(name)?, sql, parameters).await })
    }

    /// Begins a transaction, which is rolled back when it is dropped before it is committed.
    #[track_caller]
    pub fn begin(&self) -> Operation<(), Transaction> {
        let name = self.name.clone();
        Operation::new((), move |()| async move { wit::begin(resolved(name)?).await })
            .map(|handle| Ok(Transaction { handle: std::rc::Rc::new(handle) }))
    }
}

/// The name of a database, or of the only one that there is.
fn resolved(name: Option<String>) -> Result<String, shared::Error> {
    if let Some(name) = name {
        return Ok(name);
    }
    let mut names: Vec<String> = wit::databases()?.into_iter().map(|info| info.name).collect();
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(shared::Error::NotFound(
            "there is no database that the run may use: name one of the operator's in run_message.sandbox.databases"
                .to_owned(),
        )),
        (Some(last), false) => Err(shared::Error::Invalid(format!(
            "the run may use the databases {} and {last}: say which, as in `agent_ctx.database.named({last:?})`",
            names.join(", ")
        ))),
    }
}

/// Statements that happen together or not at all. Dropping it rolls them back, as the end of the job does.
#[derive(Debug)]
pub struct Transaction {
    handle: std::rc::Rc<wit::Transaction>,
}

impl Transaction {
    /// Runs one statement and gives its rows.
    #[track_caller]
    pub fn query(&self, sql: impl Into<String>, parameters: impl Parameters) -> Operation<(), Rows> {
        let (handle, sql, parameters) = (self.handle.clone(), sql.into(), parameters.into_values());
        Operation::new((), move |()| async move { handle.query(sql, parameters).await }).map(Rows::new)
    }

    /// Runs one statement and gives how many rows it has changed.
    #[track_caller]
    pub fn execute(&self, sql: impl Into<String>, parameters: impl Parameters) -> Operation<(), u64> {
        let (handle, sql, parameters) = (self.handle.clone(), sql.into(), parameters.into_values());
        Operation::new((), move |()| async move { handle.execute(sql, parameters).await })
    }

    /// Keeps what was changed.
    #[track_caller]
    pub fn commit(self) -> Operation<(), ()> {
        Operation::new((), move |()| async move { self.handle.commit().await })
    }

    /// Undoes what was changed.
    #[track_caller]
    pub fn rollback(self) -> Operation<(), ()> {
        Operation::new((), move |()| async move { self.handle.rollback().await })
    }
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    columns: std::rc::Rc<[Column]>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    fn new(rows: wit::Rows) -> Result<Self, shared::Error> {
        Ok(Self { columns: rows.columns.into(), rows: rows.rows })
    }

    /// The columns; none when there are no rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { columns: &self.columns, values })
    }

    /// The first row, if there is one.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// The values, row by row.
    pub fn into_values(self) -> Vec<Vec<Value>> {
        self.rows
    }
}

/// A row of what a query gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    columns: &'a [Column],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    /// Its values, one per column.
    pub fn values(&self) -> &'a [Value] {
        self.values
    }

    /// The value of the column of this name, as what it is wanted as.
    #[track_caller]
    pub fn get<T: TryFrom<Value, Error = NotThat>>(&self, column: &str) -> Result<T, Error> {
        let place = self.columns.iter().position(|known| known.name == column);
        let value = place.and_then(|place| self.values.get(place)).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|known| known.name.as_str()).collect();
            Error::new(ErrorKind::NotFound, format!("there is no column `{column}`: there are {}", names.join(", ")))
        })?;
        T::try_from(value.clone())
            .map_err(|NotThat(what)| Error::new(ErrorKind::Invalid, format!("the column `{column}` has {what}")))
    }
}

/// A value of another type than was wanted; says of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotThat(String);

/// What can be the parameters of a statement: a tuple, an array, a `Vec`; `()` for none.
pub trait Parameters {
    /// The values.
    fn into_values(self) -> Vec<Value>;
}

impl Parameters for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl<T: Into<Value>> Parameters for Vec<T> {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Value>, const N: usize> Parameters for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)*) => {
        tuples!(@ $($name)*);
    };
    (@) => {};
    (@ $first:ident $($rest:ident)*) => {
        impl<$first: Into<Value>, $($rest: Into<Value>),*> Parameters for ($first, $($rest,)*) {
            #[allow(non_snake_case, reason = "one letter names a type and its value")]
            fn into_values(self) -> Vec<Value> {
                let ($first, $($rest,)*) = self;
                vec![$first.into(), $($rest.into()),*]
            }
        }
        tuples!(@ $($rest)*);
    };
}

tuples!(A B C D E F G H I J K L);

macro_rules! values {
    ($($type:ty: $($case:ident)|+, $what:literal;)*) => {
        $(impl TryFrom<Value> for $type {
            type Error = NotThat;

            fn try_from(value: Value) -> Result<Self, NotThat> {
                match value {
                    $(Value::$case(value) => Self::try_from(value).map_err(|_| NotThat(format!("no {}", $what))),)+
                    other => Err(NotThat(format!("{other:?}, which is no {}", $what))),
                }
            }
        }

        impl TryFrom<Value> for Option<$type> {
            type Error = NotThat;

            fn try_from(value: Value) -> Result<Self, NotThat> {
                if value == Value::Null { Ok(None) } else { <$type>::try_from(value).map(Some) }
            }
        })*
    };
}

values! {
    bool: Boolean, "boolean";
    i64: Integer, "integer";
    i32: Integer, "integer of 32 bits";
    u32: Integer, "integer of 32 bits";
    u64: Integer, "integer that is not negative";
    f64: Float, "float";
    String: Text | Decimal | Date | Time | Timestamp | TimestampWithZone | Json | Uuid, "text";
    Vec<u8>: Bytes, "bytes";
}

impl TryFrom<Value> for serde_json::Value {
    type Error = NotThat;

    fn try_from(value: Value) -> Result<Self, NotThat> {
        match value {
            Value::Json(text) => serde_json::from_str(&text).map_err(|error| NotThat(error.to_string())),
            Value::Null => Ok(Self::Null),
            other => Err(NotThat(format!("{other:?}, which is no JSON"))),
        }
    }
}

macro_rules! from {
    ($($type:ty => $case:ident;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$case(value.into())
            }
        })*
    };
}

from! {
    bool => Boolean;
    i32 => Integer;
    u32 => Integer;
    i64 => Integer;
    f64 => Float;
    &str => Text;
    String => Text;
    &String => Text;
    Vec<u8> => Bytes;
    &[u8] => Bytes;
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value.to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
