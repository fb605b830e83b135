//! Components and agent records in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use armada_project::Digest;
use async_trait::async_trait;
use bytes::Bytes;

use crate::traits::check_stored;
use crate::{AgentRecord, ProtocolError, Registry, RunId, RunStore};

/// The [`Registry`] of this process.
#[derive(Debug, Default)]
pub struct EmbeddedRunStore(Mutex<Stored>);

#[derive(Debug, Default)]
struct Stored {
    agents: HashMap<(RunId, u32), AgentRecord>,
    shared: HashMap<Shared, Kept>,
}

/// What runs share.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Shared {
    Component(Digest),
    Compiled(Digest, String),
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    /// The runs that it is kept for.
    runs: HashSet<RunId>,
}

impl EmbeddedRunStore {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, run: RunId, what: Shared, bytes: Vec<u8>) {
        let mut stored = self.stored();
        let kept = stored.shared.entry(what).or_insert_with(|| Kept { bytes: Bytes::new(), runs: HashSet::new() });
        kept.bytes = bytes.into();
        kept.runs.insert(run);
    }

    fn get(&self, what: &Shared) -> Option<Bytes> {
        self.stored().shared.get(what).map(|kept| kept.bytes.clone())
    }
}

#[async_trait]
impl RunStore for EmbeddedRunStore {
    async fn component(&self, digest: Digest) -> Result<Bytes, ProtocolError> {
        let bytes = self.get(&Shared::Component(digest));
        bytes.ok_or_else(|| ProtocolError::NotFound(format!("the component {digest}")))
    }

    async fn compiled(&self, digest: Digest, engine: &str) -> Result<Bytes, ProtocolError> {
        let code = self.get(&Shared::Compiled(digest, engine.to_owned()));
        code.ok_or_else(|| ProtocolError::NotFound(format!("the compiled component {digest}")))
    }

    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
        let record = self.stored().agents.get(&(run, index)).cloned();
        record.ok_or_else(|| ProtocolError::NotFound(format!("the record of agent {index} of run {run}")))
    }
}

#[async_trait]
impl Registry for EmbeddedRunStore {
    async fn put_component(&self, run: RunId, digest: Digest, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        check_stored(format_args!("the component {digest}"), bytes.len())?;
        self.put(run, Shared::Component(digest), bytes);
        Ok(())
    }

    async fn put_compiled(&self, run: RunId, digest: Digest, engine: &str, code: Vec<u8>) -> Result<(), ProtocolError> {
        check_stored(format_args!("the compiled component {digest}"), code.len())?;
        self.put(run, Shared::Compiled(digest, engine.to_owned()), code);
        Ok(())
    }

    async fn put_agent(&self, run: RunId, index: u32, record: AgentRecord) -> Result<(), ProtocolError> {
        self.stored().agents.insert((run, index), record);
        Ok(())
    }

    /// Nothing is forgotten here before its run is.
    async fn keep(&self, _run: RunId) -> Result<(), ProtocolError> {
        Ok(())
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        let mut stored = self.stored();
        stored.agents.retain(|(of, _), _| *of != run);
        stored.shared.retain(|_, kept| {
            kept.runs.remove(&run);
            !kept.runs.is_empty()
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_runs_share_is_there_until_the_last_of_them_is_deleted() {
        let (store, digest) = (EmbeddedRunStore::default(), Digest::of(b"wasm"));
        let (a, b) = (RunId::new(), RunId::new());
        for run in [a, b, a] {
            store.put_component(run, digest, b"wasm".to_vec()).await.unwrap();
        }
        store.put_compiled(a, digest, "x", b"code".to_vec()).await.unwrap();
        assert_eq!(store.compiled(digest, "x").await.unwrap(), b"code".as_slice());
        assert!(matches!(store.compiled(digest, "y").await, Err(ProtocolError::NotFound(_))));
        store.delete(a).await.unwrap();
        assert!(matches!(store.compiled(digest, "x").await, Err(ProtocolError::NotFound(_))));
        assert_eq!(store.component(digest).await.unwrap(), b"wasm".as_slice());
        store.delete(b).await.unwrap();
        assert!(matches!(store.component(digest).await, Err(ProtocolError::NotFound(_))));
        assert!(store.stored().shared.is_empty());
    }
}
