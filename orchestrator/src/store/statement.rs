//! A statement that is put together from parts.
//!
//! Its placeholders are `$1`, `$2`, …, which SQLite and PostgreSQL both read; sqlx' own builder writes `?` for a
//! database that it learns of at run time, which PostgreSQL does not. What comes from outside is only ever bound.

use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, FromRow, Type};

/// A statement with what is bound to it.
pub(super) struct Statement {
    sql: String,
    arguments: AnyArguments,
    /// What could not be bound.
    refused: Option<sqlx::Error>,
}

impl Statement {
    /// Begins with this text.
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), arguments: AnyArguments::default(), refused: None }
    }

    /// Goes on with this text.
    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Goes on with a value.
    pub(super) fn bind<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.refused = Some(sqlx::Error::Encode(error));
        }
        self.sql.push_str(&format!("${}", self.arguments.len()));
        self
    }

    /// Puts text around it.
    pub(super) fn wrap(&mut self, before: &str, after: &str) {
        self.sql.insert_str(0, before);
        self.sql.push_str(after);
    }

    /// Its text.
    #[cfg(test)]
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// To be executed, or for its rows.
    pub(super) fn query(self) -> sqlx::Result<Query<'static, Any, AnyArguments>> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)),
        }
    }

    /// For its rows as something.
    pub(super) fn query_as<T>(self) -> sqlx::Result<QueryAs<'static, Any, T, AnyArguments>>
    where
        T: for<'r> FromRow<'r, AnyRow>,
    {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(sqlx::query_as_with(AssertSqlSafe(self.sql), self.arguments)),
        }
    }
}
