//! How an agent comes by its component: from its cache; or as the orchestrator has compiled it, if that is signed and
//! for this kind of machine; or from its source, which it compiles itself.
//!
//! What the orchestrator has compiled comes through stores that others may write to. Whatever is wrong with it is told,
//! and costs no more than the time to compile.

use armada_project::Digest;
use armada_protocol::{AgentRecord, CompiledRef, ProtocolError, RunStore};
use wasmtime::component::Component;

use super::AgentError;
use crate::engine::{ComponentCache, ComponentError, Sandbox, VerifyingKey};

/// Loads the component of an agent.
pub(super) async fn load(
    sandbox: &Sandbox,
    cache: ComponentCache,
    key: Option<VerifyingKey>,
    record: &AgentRecord,
    runs: &dyn RunStore,
) -> Result<Component, AgentError> {
    let digest = record.component.digest;
    let cached = in_background(sandbox, &cache, move |sandbox, cache| Ok(cache.load(sandbox, digest))).await?;
    if let Some(component) = cached {
        return Ok(component);
    }
    if let (Some(key), Some(compiled)) = (key, &record.compiled) {
        match adopt(sandbox, &cache, key, digest, compiled.clone(), runs).await {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!(%digest, "{error}; this agent compiles the component itself"),
        }
    }
    let bytes = runs.component(digest).await?;
    Ok(in_background(sandbox, &cache, move |sandbox, cache| cache.compile(sandbox, digest, &bytes)).await?)
}

/// Why an agent compiles what has been compiled already.
#[derive(Debug, thiserror::Error)]
enum NotAdopted {
    #[error("the component was compiled for another kind of machine, or by another version of Armada")]
    OtherEngine,
    #[error("the compiled component cannot be had: {0}")]
    Store(#[from] ProtocolError),
    #[error(transparent)]
    Component(#[from] ComponentError),
}

async fn adopt(
    sandbox: &Sandbox,
    cache: &ComponentCache,
    key: VerifyingKey,
    digest: Digest,
    compiled: CompiledRef,
    runs: &dyn RunStore,
) -> Result<Component, NotAdopted> {
    if compiled.engine != sandbox.id() {
        return Err(NotAdopted::OtherEngine);
    }
    let code = runs.compiled(digest, &compiled.engine).await?;
    let adopt = move |sandbox: &Sandbox, cache: &ComponentCache| cache.adopt(sandbox, digest, &code, &compiled, &key);
    Ok(in_background(sandbox, cache, adopt).await?)
}

/// Does on a thread of its own what reads, checks or compiles many megabytes.
async fn in_background<T: Send + 'static>(
    sandbox: &Sandbox,
    cache: &ComponentCache,
    act: impl FnOnce(&Sandbox, &ComponentCache) -> Result<T, ComponentError> + Send + 'static,
) -> Result<T, ComponentError> {
    let (sandbox, cache) = (sandbox.clone(), cache.clone());
    let acting = tokio::task::spawn_blocking(move || act(&sandbox, &cache)).await;
    acting.map_err(|error| ComponentError::Engine(error.to_string()))?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use armada_project::{Ceiling, ComponentRef, Configuration, Grant, Mode, Overrides};
    use armada_protocol::embedded::EmbeddedRunStore;
    use armada_protocol::{Registry as _, RunId};

    use super::*;
    use crate::engine::SigningKey;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    /// An agent on a machine of its own, and a store from which it can get something compiled only: what is there under
    /// the component's digest is another one.
    struct Place {
        _folder: tempfile::TempDir,
        cache: ComponentCache,
        sandbox: Sandbox,
        runs: Arc<EmbeddedRunStore>,
        run: RunId,
        record: AgentRecord,
        key: VerifyingKey,
    }

    async fn place() -> Place {
        let (folder, orchestrator) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default()).unwrap();
        let (sandbox, component) = (Sandbox::new().unwrap(), ComponentRef::of(EMPTY));
        let (runs, run, key) = (Arc::new(EmbeddedRunStore::default()), RunId::new(), key(1));
        let code = ComponentCache::new(orchestrator.path()).code(&sandbox, component.digest, EMPTY).unwrap();
        let compiled = key.sign(&sandbox, component.digest, &code);
        runs.put_component(run, component.digest, b"another".to_vec()).await.unwrap();
        runs.put_compiled(run, component.digest, &compiled.engine, code).await.unwrap();
        let grant = Grant::new(configuration.sandbox(), &Ceiling::none());
        let record = AgentRecord { message: serde_json::Map::new(), component, grant, compiled: Some(compiled) };
        let cache = ComponentCache::new(folder.path().join("components"));
        Place { _folder: folder, cache, sandbox, runs, run, record, key: key.verifying_key() }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    impl Place {
        async fn load(&self, key: Option<VerifyingKey>) -> Result<Component, AgentError> {
            load(&self.sandbox, self.cache.clone(), key, &self.record, &*self.runs).await
        }

        /// What was compiled is not used. What is there to be compiled is not used either, until it is what it should
        /// be.
        async fn compiles_itself(&self, key: Option<VerifyingKey>) {
            let refused = self.load(key).await;
            let is_other = matches!(refused, Err(AgentError::Component(ComponentError::OtherDigest { .. })));
            assert!(is_other, "{:?}", refused.err());
            self.runs.put_component(self.run, Digest::of(EMPTY), EMPTY.to_vec()).await.unwrap();
            self.load(key).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_compiled_and_signed_is_not_compiled_again() {
        let place = place().await;
        place.load(Some(place.key)).await.unwrap();
        place.runs.delete(place.run).await.unwrap();
        place.load(None).await.unwrap();
    }

    #[tokio::test]
    async fn an_agent_without_a_key_or_with_another_compiles_itself() {
        for key in [None, Some(key(2).verifying_key())] {
            place().await.compiles_itself(key).await;
        }
    }

    #[tokio::test]
    async fn what_was_replaced_is_not_run() {
        let place = place().await;
        let compiled = place.record.compiled.as_ref().unwrap();
        let mut code = place.runs.compiled(Digest::of(EMPTY), &compiled.engine).await.unwrap().to_vec();
        code[100] ^= 1;
        place.runs.put_compiled(place.run, Digest::of(EMPTY), &compiled.engine, code).await.unwrap();
        place.compiles_itself(Some(place.key)).await;
    }

    #[tokio::test]
    async fn what_is_for_another_engine_or_not_there_is_compiled() {
        let mut place = place().await;
        let compiled = place.record.compiled.clone().unwrap();
        place.record.compiled = Some(CompiledRef { engine: "0123456789abcdef".to_owned(), ..compiled });
        place.compiles_itself(Some(place.key)).await;
        let place = self::place().await;
        place.runs.delete(place.run).await.unwrap();
        assert!(matches!(place.load(Some(place.key)).await, Err(AgentError::Protocol(ProtocolError::NotFound(_)))));
        place.runs.put_component(place.run, Digest::of(EMPTY), EMPTY.to_vec()).await.unwrap();
        place.load(Some(place.key)).await.unwrap();
    }
}
