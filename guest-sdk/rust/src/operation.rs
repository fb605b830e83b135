//! Host calls that have not been made yet.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::__bindings::armada::types::types as wit;
use crate::error::Error;

/// What a host call gives, before its error is told where it was made.
type Answer<T> = Pin<Box<dyn Future<Output = Result<T, wit::Error>>>>;

/// Makes the call with the options as they are then.
type Start<O, T> = Box<dyn FnOnce(O) -> Answer<T>>;

/// A host call with options `O` that gives a `T`: set what options you like, then `.await` it.
///
/// Nothing happens before it is awaited. Several may be in flight at once ([`join!`](crate::join),
/// [`try_join!`](crate::try_join)); dropping one that is in flight cancels it in the host.
#[must_use = "a host call does nothing until it is awaited"]
pub struct Operation<O, T> {
    options: Option<O>,
    start: Option<Start<O, T>>,
    answer: Option<Answer<T>>,
    at: &'static Location<'static>,
}

impl<O: 'static, T: 'static> Operation<O, T> {
    #[track_caller]
    pub(crate) fn new<F>(options: O, start: impl FnOnce(O) -> F + 'static) -> Self
    where
        F: Future<Output = Result<T, wit::Error>> + 'static,
    {
        Self {
            options: Some(options),
            start: Some(Box::new(move |options| Box::pin(start(options)))),
            answer: None,
            at: Location::caller(),
        }
    }

    /// The same call, its answer turned into something else.
    pub(crate) fn map<U: 'static>(self, turn: impl FnOnce(T) -> Result<U, wit::Error> + 'static) -> Operation<O, U> {
        let start = self.start;
        Operation {
            options: self.options,
            start: start.map(|start| -> Start<O, U> {
                Box::new(move |options| {
                    let answer = start(options);
                    Box::pin(async move { turn(answer.await?) })
                })
            }),
            answer: None,
            at: self.at,
        }
    }

    /// The same call, its options changed; without effect once it has been awaited.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut O)) -> Self {
        if let Some(options) = &mut self.options {
            change(options);
        }
        self
    }
}

impl<O, T> Unpin for Operation<O, T> {}

impl<O, T> Future for Operation<O, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let (Some(start), Some(options)) = (this.start.take(), this.options.take()) {
            this.answer = Some(start(options));
        }
        match &mut this.answer {
            Some(answer) => answer.as_mut().poll(context).map_err(|error| Error::from_wit(error, this.at)),
            None => Poll::Pending,
        }
    }
}
