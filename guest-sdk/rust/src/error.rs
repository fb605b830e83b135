//! Errors and failures.
//!
//! A host call that does not succeed gives an [`Error`]: it has a [kind](ErrorKind) to match on, a message that says
//! what to do, and the place in your code where the call was made. A script that does not succeed returns a
//! [`Failure`]: it decides what becomes of the job. The operator `?` turns any error into a failure and notes where.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::__bindings::armada::types::types as wit;

/// What a script, a context or an add-on returns: `Ok` or the [`Failure`] that ends the job.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// What kind of error a host call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The run was not granted this. The message names the line of configuration that grants it.
    Denied,
    /// An argument is not valid, or a selector matched more than one element.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The time allowed passed.
    Timeout,
    /// A limit of the run was reached.
    Limit,
    /// The page, context or browser is gone, or the call was cancelled.
    Closed,
    /// The host could not do it now; a later attempt may succeed.
    Unavailable,
    /// Anything else, such as an exception in a page.
    Other,
}

impl ErrorKind {
    /// The kind's name, such as `timeout`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::Closed => "closed",
            Self::Unavailable => "unavailable",
            Self::Other => "error",
        }
    }
}

/// Why a host call did not do what it was asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    at: &'static Location<'static>,
}

impl Error {
    /// An error of your own, made here.
    #[track_caller]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::at(Location::caller(), kind, message)
    }

    pub(crate) fn at(at: &'static Location<'static>, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), at }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened and what to do about it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in your code the call was made.
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    pub(crate) fn from_wit(error: wit::Error, at: &'static Location<'static>) -> Self {
        use wit::Error as E;
        let (kind, message) = match error {
            E::Denied(message) => (ErrorKind::Denied, message),
            E::Invalid(message) => (ErrorKind::Invalid, message),
            E::NotFound(message) => (ErrorKind::NotFound, message),
            E::Timeout(message) => (ErrorKind::Timeout, message),
            E::Limit(message) => (ErrorKind::Limit, message),
            E::Closed(message) => (ErrorKind::Closed, message),
            E::Unavailable(message) => (ErrorKind::Unavailable, message),
            E::Other(message) => (ErrorKind::Other, message),
        };
        Self { kind, message, at }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (at {})", self.at)
    }
}

impl StdError for Error {}

/// What becomes of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The job failed.
    Failed,
    /// The job gets another attempt, up to the run's limit.
    Retry,
    /// This agent cannot go on: another takes its place, and the job gets another attempt.
    Fatal,
}

/// Why a job failed, and what becomes of it.
///
/// Any error becomes a failure of kind [`Failed`](FailureKind::Failed) with `?`. Use [`FailureExt`] for the other kinds
/// and to say what you were doing.
pub struct Failure {
    kind: FailureKind,
    message: String,
    trace: Vec<&'static Location<'static>>,
}

impl Failure {
    /// A failure of the job, made here.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Failed, message: message.into(), trace: vec![Location::caller()] }
    }

    /// The same failure, with another attempt for the job.
    pub fn retry(mut self) -> Self {
        self.kind = FailureKind::Retry;
        self
    }

    /// The same failure, with another agent for the job.
    pub fn fatal(mut self) -> Self {
        self.kind = FailureKind::Fatal;
        self
    }

    /// The same failure, with what was being done put before its message.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// What becomes of the job.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it happened, innermost place first.
    pub fn trace(&self) -> &[&'static Location<'static>] {
        &self.trace
    }

    pub(crate) fn into_wit(self) -> wit::Failure {
        let kind = match self.kind {
            FailureKind::Failed => wit::FailureKind::Failed,
            FailureKind::Retry => wit::FailureKind::Retry,
            FailureKind::Fatal => wit::FailureKind::Fatal,
        };
        let traceback = self.trace.iter().map(|at| at.to_string()).collect::<Vec<_>>().join("\n");
        wit::Failure { kind, message: self.message, traceback }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.trace.iter().try_for_each(|at| write!(f, "\n  at {at}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: StdError + 'static> From<E> for Failure {
    /// Notes the place of the `?`, after the place that the error itself knows.
    #[track_caller]
    fn from(error: E) -> Self {
        let here = Location::caller();
        let mut trace = Vec::new();
        if let Some(error) = (&error as &dyn std::any::Any).downcast_ref::<Error>() {
            trace.push(error.at);
        }
        if trace.last().is_none_or(|last| (last.file(), last.line()) != (here.file(), here.line())) {
            trace.push(here);
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self { kind: FailureKind::Failed, message, trace }
    }
}

/// Says more about an error on its way out: `page.goto(url).await.or_retry()?`.
pub trait FailureExt<T> {
    /// Gives the job another attempt if this fails.
    fn or_retry(self) -> Result<T>;

    /// Gives the job another agent if this fails.
    fn or_fatal(self) -> Result<T>;

    /// Puts what was being done before the message.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Failure>> FailureExt<T> for std::result::Result<T, E> {
    #[track_caller]
    fn or_retry(self) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().retry()),
        }
    }

    #[track_caller]
    fn or_fatal(self) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().fatal()),
        }
    }

    #[track_caller]
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().context(doing)),
        }
    }
}

/// Ends the function with a [`Failure`]; takes a message as [`format!`] does.
#[macro_export]
macro_rules! bail {
    ($($message:tt)*) => {
        return ::core::result::Result::Err($crate::Failure::new(::std::format!($($message)*)))
    };
}

/// Ends the function with a [`Failure`] unless the condition holds; takes a message as [`format!`] does.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::bail!("this does not hold: {}", ::core::stringify!($condition))
        }
    };
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            $crate::bail!($($message)*)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32> {
        Ok(text.parse()?)
    }

    fn host_call() -> Result<(), Error> {
        Err(Error::new(ErrorKind::Timeout, "no match for `#late`"))
    }

    #[test]
    fn the_question_mark_notes_where_it_stands() {
        let line = line!() - 10;
        let failure = number("seven").unwrap_err();
        assert_eq!(failure.message(), "invalid digit found in string");
        assert_eq!(failure.trace().len(), 1);
        assert!(failure.trace()[0].file().ends_with("error.rs"));
        assert!(failure.trace()[0].line().abs_diff(line) < 4, "{:?}", failure.trace());
    }

    #[test]
    fn a_host_error_keeps_its_own_place_first() {
        fn script() -> Result<()> {
            host_call()?;
            Ok(())
        }
        let failure = script().unwrap_err();
        assert_eq!(failure.message(), "timeout: no match for `#late`");
        assert_eq!(failure.trace().len(), 2);
        assert!(failure.trace()[0].line() < failure.trace()[1].line());
    }

    #[test]
    fn the_kind_decides_what_becomes_of_the_job() {
        assert_eq!(number("x").unwrap_err().kind(), FailureKind::Failed);
        assert_eq!(host_call().or_retry().unwrap_err().kind(), FailureKind::Retry);
        assert_eq!(host_call().or_fatal().unwrap_err().kind(), FailureKind::Fatal);
    }

    #[test]
    fn context_stands_before_the_message() {
        let failure = number("x").context("while reading the price").unwrap_err();
        assert_eq!(failure.message(), "while reading the price: invalid digit found in string");
    }

    #[test]
    fn ensure_says_what_did_not_hold() {
        fn check(n: u32) -> Result<()> {
            ensure!(n < 3);
            ensure!(n < 2, "{n} is too large");
            Ok(())
        }
        assert!(check(1).is_ok());
        assert_eq!(check(2).unwrap_err().message(), "2 is too large");
        assert_eq!(check(3).unwrap_err().message(), "this does not hold: n < 3");
    }
}
