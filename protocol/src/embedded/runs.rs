//! Components and agent records in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use armada_project::Digest;
use async_trait::async_trait;

use crate::{AgentRecord, ProtocolError, RunId, RunStore};

/// The [`RunStore`] of this process.
#[derive(Debug, Default)]
pub struct EmbeddedRunStore {
    components: Mutex<HashMap<Digest, Vec<u8>>>,
    agents: Mutex<HashMap<(RunId, u32), AgentRecord>>,
}

#[async_trait]
impl RunStore for EmbeddedRunStore {
    async fn put_component(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bytes);
        Ok(())
    }

    async fn component(&self, digest: Digest) -> Result<Vec<u8>, ProtocolError> {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.get(&digest).cloned().ok_or_else(|| ProtocolError::NotFound(format!("the component {digest}")))
    }

    async fn put_agent(&self, run: RunId, index: u32, record: AgentRecord) -> Result<(), ProtocolError> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).insert((run, index), record);
        Ok(())
    }

    async fn agent(&self, run: RunId, index: u32) -> Result<AgentRecord, ProtocolError> {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let record = agents.get(&(run, index)).cloned();
        record.ok_or_else(|| ProtocolError::NotFound(format!("the record of agent {index} of run {run}")))
    }

    async fn delete(&self, run: RunId) -> Result<(), ProtocolError> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != run);
        Ok(())
    }
}
