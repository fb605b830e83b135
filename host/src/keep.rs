//! What the host keeps for an agent's scripts beyond one call, counted in bytes.
//!
//! A guest's memory is bounded, and so is what one call may pass; but what it passes again and again, to be kept as a
//! route or a header, would grow without end. Whatever is kept is wrapped in [`Kept`], which counts as long as it
//! lives.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Weigh;
use crate::contract::Error;

/// How many bytes are kept, and how many may be.
#[derive(Debug)]
pub(crate) struct Keep {
    most: u64,
    bytes: AtomicU64,
}

impl Keep {
    /// Room for so many bytes.
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, bytes: AtomicU64::new(0) })
    }

    /// Keeps something, if there is room for it.
    pub(crate) fn keep<T: Weigh>(self: &Arc<Self>, thing: T) -> Result<Kept<T>, Error> {
        let bytes = self.take(thing.weight() as u64)?;
        Ok(Kept { thing, bytes })
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Result<Bytes, Error> {
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            kept.checked_add(bytes).filter(|kept| *kept <= self.most)
        });
        match taken {
            Ok(_) => Ok(Bytes { of: Some(self.clone()), count: bytes }),
            Err(_) => Err(Error::Limit(format!(
                "there is no room to keep {bytes} bytes more, of {}: see run_message.sandbox.limits.bytes_kept",
                self.most
            ))),
        }
    }
}

/// Something that is kept, and its bytes. By default it is nothing.
#[derive(Debug, Default)]
pub(crate) struct Kept<T> {
    thing: T,
    bytes: Bytes,
}

impl<T> Kept<T> {
    /// Has it count for so many bytes, if there is room for them.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), Error> {
        if let Some(of) = &self.bytes.of {
            let mut more = of.take(bytes.saturating_sub(self.bytes.count))?;
            self.bytes.count += std::mem::take(&mut more.count);
        }
        Ok(())
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.thing
    }
}

/// Bytes that count until this goes.
#[derive(Debug, Default)]
struct Bytes {
    of: Option<Arc<Keep>>,
    count: u64,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            of.bytes.fetch_sub(self.count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_until_it_goes() {
        let keep = Keep::new(10);
        let mut first = keep.keep("1234567".to_owned()).unwrap();
        assert!(matches!(keep.keep("1234".to_owned()), Err(Error::Limit(_))));
        let second = keep.keep("123".to_owned()).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("1234567", "123"));
        assert!(first.grow_to(8).is_err());
        drop(second);
        first.grow_to(10).unwrap();
        assert!(keep.keep("1".to_owned()).is_err());
        drop(first);
        assert_eq!(keep.bytes.load(Ordering::Relaxed), 0);
    }
}
