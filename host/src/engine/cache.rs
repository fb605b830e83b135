//! Compiled components on disk: each is compiled once per content and engine configuration.
//!
//! What is compiled is native code, and the engine runs it unchecked: a flipped bit in a file is executed, not refused.
//! So each file comes with a keyed tag over its content, the component's digest and the engine's configuration; the key
//! is made once per cache and readable by its owner only. A file that is damaged, was written by somebody else, or
//! belongs to another component or configuration has no valid tag, and is compiled again. What another machine has
//! compiled is taken in only if the agent's server has signed it, and has a tag of this cache from then on.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use armada_project::Digest;
use armada_protocol::CompiledRef;
use ring::hmac;
use wasmtime::component::Component;

use super::signed::statement;
use super::{Sandbox, VerifyingKey};

/// How large a component may be, in bytes.
const COMPONENT_BYTES: usize = 256 << 20;
/// How much a cache keeps unless it is told otherwise, in bytes.
const DEFAULT_BYTES: u64 = 4 << 30;
/// How long a cache's key is, in bytes.
const KEY_BYTES: usize = 32;

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// There is no engine.
    #[error("the Wasm engine could not be set up: {0}")]
    Engine(String),
    /// It is not what its name says.
    #[error("the component's bytes have the digest {found}, not {expected}: it was damaged on the way")]
    OtherDigest {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        found: Digest,
    },
    /// It was compiled by somebody who is not the agent's server.
    #[error(
        "the compiled component is not signed by this agent's server: somebody has replaced it, or the agent's token is not the \
         one of its run"
    )]
    OtherSignature,
    /// It is too large.
    #[error("the component has {0} bytes, more than {COMPONENT_BYTES}")]
    TooLarge(usize),
    /// It is no component that can be compiled.
    #[error("this is no Wasm component that can be run: {0}")]
    Invalid(String),
    /// It imports what no host function is there for.
    #[error("the component imports {0}, which this host does not know: build it with the SDK of this version")]
    UnknownImport(String),
    /// It does not export what is called.
    #[error(
        "the component does not export armada:project/lifecycle as this host calls it ({0}): is there an `armada::project!` in its lib.rs?"
    )]
    NoLifecycle(String),
}

/// A folder of compiled components. Several processes may use one at the same time.
#[derive(Clone, Debug)]
pub struct ComponentCache {
    folder: PathBuf,
    most_bytes: u64,
}

impl ComponentCache {
    /// The cache in this folder, which is made when it is first written to.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), most_bytes: DEFAULT_BYTES }
    }

    /// The same cache, keeping at most so many bytes.
    pub fn keeping(mut self, most_bytes: u64) -> Self {
        self.most_bytes = most_bytes;
        self
    }

    /// Loads a component that has been compiled before; nothing when it has not, or not by us.
    pub fn load(&self, sandbox: &Sandbox, digest: Digest) -> Option<Component> {
        self.look(digest, |key| Entry::new(&self.folder, sandbox, digest).load(sandbox, key))
    }

    /// Compiles a component unless that has been done before, and loads it.
    pub fn compile(&self, sandbox: &Sandbox, digest: Digest, bytes: &[u8]) -> Result<Component, ComponentError> {
        if let Some(component) = self.load(sandbox, digest) {
            return Ok(component);
        }
        let code = compile(sandbox, digest, bytes)?;
        self.take(sandbox, digest, &code)
    }

    /// Compiles a component unless that has been done before, and gives the code: for agents with other caches.
    pub fn code(&self, sandbox: &Sandbox, digest: Digest, bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
        if let Some(code) = self.look(digest, |key| Entry::new(&self.folder, sandbox, digest).read(key)) {
            return Ok(code);
        }
        let code = compile(sandbox, digest, bytes)?;
        if let Err(error) = self.keep(sandbox, digest, &code) {
            self.warn(&error);
        }
        Ok(code)
    }

    /// Takes in what another engine of this configuration has compiled a component to, and loads it, provided that
    /// the server with this key has signed it.
    pub fn adopt(
        &self,
        sandbox: &Sandbox,
        digest: Digest,
        code: &[u8],
        compiled: &CompiledRef,
        key: &VerifyingKey,
    ) -> Result<Component, ComponentError> {
        if !key.has_signed(sandbox, digest, code, compiled) {
            return Err(ComponentError::OtherSignature);
        }
        self.take(sandbox, digest, code)
    }

    /// Looks for something in the cache.
    fn look<T>(&self, digest: Digest, look: impl FnOnce(&hmac::Key) -> io::Result<T>) -> Option<T> {
        match look(&self.key().ok()?) {
            Ok(found) => Some(found),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, %digest, "a compiled component is not used");
                }
                None
            }
        }
    }

    /// Keeps and loads code that was made here just now, or whose signature was checked.
    fn take(&self, sandbox: &Sandbox, digest: Digest, code: &[u8]) -> Result<Component, ComponentError> {
        let kept = self.keep(sandbox, digest, code).and_then(|(entry, key)| entry.load(sandbox, &key));
        kept.or_else(|error| {
            // Without a disk there is still memory.
            self.warn(&error);
            from_memory(sandbox, code).map_err(invalid)
        })
    }

    fn keep(&self, sandbox: &Sandbox, digest: Digest, code: &[u8]) -> io::Result<(Entry, hmac::Key)> {
        let key = self.key()?;
        let entry = Entry::new(&self.folder, sandbox, digest);
        write_atomically(&entry.code, code)?;
        write_atomically(&entry.tag, hmac::sign(&key, entry.statement(code).as_ref()).as_ref())?;
        self.evict(&entry);
        Ok((entry, key))
    }

    fn warn(&self, error: &io::Error) {
        tracing::warn!(%error, folder = %self.folder.display(), "a compiled component could not be kept");
    }

    /// The key of this cache, made when there is none.
    fn key(&self) -> io::Result<hmac::Key> {
        let path = self.folder.join("key");
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut key = [0; KEY_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&key)?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(hmac::Key::new(hmac::HMAC_SHA256, &key)),
            // Another process was first.
            Err(_) => read_key(&path)?.ok_or_else(|| io::Error::other("the cache's key cannot be read")),
        }
    }

    /// Removes what was used longest ago until the cache is small enough again; never what was just written.
    fn evict(&self, keep: &Entry) {
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = files
            .filter_map(Result::ok)
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "cwasm"))
            .filter_map(|file| {
                let metadata = file.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), file.path()))
            })
            .collect();
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= self.most_bytes {
                return;
            }
            if path != keep.code && fs::remove_file(&path).is_ok() {
                // Another process may have been first; then there is nothing to remove.
                let _ = fs::remove_file(path.with_extension("tag"));
                total -= bytes;
            }
        }
    }
}

/// Checks and compiles a component.
fn compile(sandbox: &Sandbox, digest: Digest, bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let found = Digest::of(bytes);
    if found != digest {
        return Err(ComponentError::OtherDigest { expected: digest, found });
    }
    if bytes.len() > COMPONENT_BYTES {
        return Err(ComponentError::TooLarge(bytes.len()));
    }
    sandbox.engine.precompile_component(bytes).map_err(invalid)
}

fn invalid(error: wasmtime::Error) -> ComponentError {
    ComponentError::Invalid(format!("{error:#}"))
}

fn read_key(path: &Path) -> io::Result<Option<hmac::Key>> {
    match fs::read(path) {
        Ok(key) if key.len() == KEY_BYTES => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, &key))),
        Ok(_) => {
            // Whatever this is, it is no key: what has a tag of it is compiled again.
            fs::remove_file(path)?;
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that others see all of it or nothing.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// One compiled component on disk.
struct Entry {
    digest: Digest,
    configuration: u64,
    code: PathBuf,
    tag: PathBuf,
}

impl Entry {
    fn new(folder: &Path, sandbox: &Sandbox, digest: Digest) -> Self {
        let code = folder.join(format!("{}-{}.cwasm", digest.to_hex(), sandbox.id()));
        Self { digest, configuration: sandbox.configuration(), tag: code.with_extension("tag"), code }
    }

    /// What the code's tag is made of.
    fn statement(&self, code: &[u8]) -> ring::digest::Digest {
        statement(self.configuration, self.digest, code)
    }

    /// Reads the code if its tag says that we have written it.
    fn read(&self, key: &hmac::Key) -> io::Result<Vec<u8>> {
        let code = fs::read(&self.code)?;
        let tag = fs::read(&self.tag)?;
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "its tag is not valid");
        hmac::verify(key, self.statement(&code).as_ref(), &tag).map_err(invalid)?;
        // For `evict`. A cache that cannot be written to is still good to read.
        let _ = fs::File::open(&self.code).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(code)
    }

    fn load(&self, sandbox: &Sandbox, key: &hmac::Key) -> io::Result<Component> {
        self.read(key)?;
        from_file(sandbox, &self.code).map_err(|error| io::Error::other(format!("{error:#}")))
    }
}

/// Maps a compiled component from its file, so that all processes that run it share its pages.
#[allow(unsafe_code, reason = "native code is run as it is; see SAFETY")]
fn from_file(sandbox: &Sandbox, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the content was made by `precompile_component` of an engine of this configuration, here or by the server
    // that has signed it, as its tag has just proved. The file is only ever replaced by renaming, never written to in
    // place, in a folder that only its owner can write to.
    unsafe { Component::deserialize_file(&sandbox.engine, path) }
}

/// Loads a component that has no file.
#[allow(unsafe_code, reason = "native code is run as it is; see SAFETY")]
fn from_memory(sandbox: &Sandbox, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from `precompile_component` of this very engine, or of another one of this configuration
    // by the agent's server, as its signature has proved.
    unsafe { Component::deserialize(&sandbox.engine, compiled) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SigningKey;

    /// The smallest component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn cache() -> (tempfile::TempDir, ComponentCache, Sandbox) {
        let folder = tempfile::tempdir().unwrap();
        let cache = ComponentCache::new(folder.path().join("components"));
        (folder, cache, Sandbox::new().unwrap())
    }

    fn code_file(cache: &ComponentCache, sandbox: &Sandbox) -> PathBuf {
        Entry::new(&cache.folder, sandbox, Digest::of(EMPTY)).code
    }

    #[test]
    fn a_component_is_compiled_once() {
        let (_folder, cache, sandbox) = cache();
        let digest = Digest::of(EMPTY);
        assert!(cache.load(&sandbox, digest).is_none());
        cache.compile(&sandbox, digest, EMPTY).unwrap();
        assert!(cache.load(&sandbox, digest).is_some());
    }

    #[test]
    fn a_damaged_file_is_compiled_again() {
        let (_folder, cache, sandbox) = cache();
        let digest = Digest::of(EMPTY);
        cache.compile(&sandbox, digest, EMPTY).unwrap();
        let path = code_file(&cache, &sandbox);
        for damage in [
            |bytes: &mut Vec<u8>| bytes[100] ^= 1,
            |bytes: &mut Vec<u8>| bytes.truncate(200),
            |bytes: &mut Vec<u8>| bytes.clear(),
        ] {
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            assert!(cache.load(&sandbox, digest).is_none());
            cache.compile(&sandbox, digest, EMPTY).unwrap();
            assert!(cache.load(&sandbox, digest).is_some());
        }
    }

    #[test]
    fn a_file_that_somebody_else_has_compiled_is_not_run() {
        let (_folder, ours, sandbox) = cache();
        let (_other_folder, theirs, _) = cache();
        let digest = Digest::of(EMPTY);
        ours.key().unwrap();
        theirs.compile(&sandbox, digest, EMPTY).unwrap();
        let (from, to) = (code_file(&theirs, &sandbox), code_file(&ours, &sandbox));
        fs::copy(&from, &to).unwrap();
        fs::copy(from.with_extension("tag"), to.with_extension("tag")).unwrap();
        assert!(ours.load(&sandbox, digest).is_none());
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    /// What an agent elsewhere gets of the smallest component, and the key that its signature is checked with.
    fn signed(sandbox: &Sandbox) -> (Vec<u8>, CompiledRef, VerifyingKey) {
        let (_folder, theirs, _) = cache();
        let (digest, key) = (Digest::of(EMPTY), key(1));
        let code = theirs.code(sandbox, digest, EMPTY).unwrap();
        assert_eq!(theirs.code(sandbox, digest, b"is not looked at again").unwrap(), code);
        let compiled = key.sign(sandbox, digest, &code);
        (code, compiled, key.verifying_key())
    }

    #[test]
    fn what_was_compiled_elsewhere_is_adopted_once_and_for_all() {
        let (_folder, ours, sandbox) = cache();
        let (digest, (code, compiled, key)) = (Digest::of(EMPTY), signed(&sandbox));
        ours.adopt(&sandbox, digest, &code, &compiled, &key).unwrap();
        assert!(ours.load(&sandbox, digest).is_some(), "it has a tag of this cache");
        let file = tempfile::NamedTempFile::new().unwrap();
        let nowhere = ComponentCache::new(file.path().join("not-a-folder"));
        nowhere.adopt(&sandbox, digest, &code, &compiled, &key).unwrap();
    }

    #[test]
    fn what_was_compiled_elsewhere_and_is_not_signed_for_this_is_refused_and_not_kept() {
        let (_folder, ours, sandbox) = cache();
        let (digest, (code, compiled, key)) = (Digest::of(EMPTY), signed(&sandbox));
        let (mut flipped, other) = (code.clone(), self::key(2));
        flipped[100] ^= 1;
        let elsewhere = CompiledRef { engine: "0123456789abcdef".to_owned(), ..compiled.clone() };
        for (what, digest, code, compiled, key) in [
            ("another key", digest, &code[..], &compiled, &other.verifying_key()),
            ("signed with another key", digest, &code, &other.sign(&sandbox, digest, &code), &key),
            ("another component", Digest::of(b"other"), &code, &compiled, &key),
            ("another engine", digest, &code, &elsewhere, &key),
            ("a flipped bit", digest, &flipped, &compiled, &key),
            ("cut short", digest, &code[..200], &compiled, &key),
            ("nothing", digest, &[], &compiled, &key),
        ] {
            let refused = ours.adopt(&sandbox, digest, code, compiled, key);
            assert!(matches!(refused, Err(ComponentError::OtherSignature)), "{what}");
            assert!(ours.load(&sandbox, digest).is_none(), "{what}");
        }
        ours.compile(&sandbox, digest, EMPTY).unwrap();
    }

    #[test]
    fn code_that_was_damaged_or_removed_is_compiled_again() {
        let (_folder, cache, sandbox) = cache();
        let digest = Digest::of(EMPTY);
        let code = cache.code(&sandbox, digest, EMPTY).unwrap();
        let path = code_file(&cache, &sandbox);
        fs::write(&path, b"damaged").unwrap();
        assert_eq!(cache.code(&sandbox, digest, EMPTY).unwrap(), code);
        fs::remove_file(&path).unwrap();
        assert_eq!(cache.code(&sandbox, digest, EMPTY).unwrap(), code);
        assert!(cache.load(&sandbox, digest).is_some());
    }

    #[test]
    fn a_component_under_another_digest_is_refused() {
        let (_folder, cache, sandbox) = cache();
        let result = cache.compile(&sandbox, Digest::of(b"other"), EMPTY);
        assert!(matches!(result, Err(ComponentError::OtherDigest { .. })));
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let (_folder, cache, sandbox) = cache();
        for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"hello", &EMPTY[..7]] {
            let result = cache.compile(&sandbox, Digest::of(bytes), bytes);
            assert!(matches!(result, Err(ComponentError::Invalid(_))), "{bytes:?}");
        }
    }

    #[test]
    fn the_cache_keeps_to_its_size_and_forgets_the_oldest() {
        let (_folder, cache, sandbox) = cache();
        cache.compile(&sandbox, Digest::of(EMPTY), EMPTY).unwrap();
        let old = code_file(&cache, &sandbox);
        fs::File::open(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        // An empty custom section makes it another component.
        let newer = [EMPTY, &[0, 2, 1, b'x']].concat();
        cache.clone().keeping(1).compile(&sandbox, Digest::of(&newer), &newer).unwrap();
        assert!(!old.exists());
        assert!(cache.load(&sandbox, Digest::of(&newer)).is_some());
    }

    #[test]
    fn a_cache_that_cannot_be_written_still_compiles() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = ComponentCache::new(file.path().join("not-a-folder"));
        assert!(cache.compile(&Sandbox::new().unwrap(), Digest::of(EMPTY), EMPTY).is_ok());
    }
}
