//! Compiled components on disk: each is compiled once per content and engine configuration.
//!
//! What is compiled is native code, and the engine runs it unchecked: a flipped bit in a file is executed, not refused.
//! So each file comes with a keyed tag over its content, the component's digest and the engine's configuration; the key
//! is made once per cache and readable by its owner only. A file that is damaged, was written by somebody else, or
//! belongs to another component or configuration has no valid tag, and is compiled again.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use armada_project::Digest;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wasmtime::component::Component;

use super::Sandbox;

/// How large a component may be, in bytes.
const COMPONENT_BYTES: usize = 256 << 20;
/// How much a cache keeps unless it is told otherwise, in bytes.
const DEFAULT_BYTES: u64 = 4 << 30;
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
        let entry = Entry::new(&self.folder, sandbox, digest);
        match entry.load(sandbox, &self.key().ok()?) {
            Ok(component) => Some(component),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, %digest, "a compiled component is not used");
                }
                None
            }
        }
    }

    /// Compiles a component unless that has been done before, and loads it.
    pub fn compile(&self, sandbox: &Sandbox, digest: Digest, bytes: &[u8]) -> Result<Component, ComponentError> {
        let found = Digest::of(bytes);
        if found != digest {
            return Err(ComponentError::OtherDigest { expected: digest, found });
        }
        if let Some(component) = self.load(sandbox, digest) {
            return Ok(component);
        }
        if bytes.len() > COMPONENT_BYTES {
            return Err(ComponentError::TooLarge(bytes.len()));
        }
        let invalid = |error: wasmtime::Error| ComponentError::Invalid(format!("{error:#}"));
        let compiled = sandbox.engine.precompile_component(bytes).map_err(invalid)?;
        match self.keep(sandbox, digest, &compiled) {
            Ok(component) => Ok(component),
            Err(error) => {
                // Without a disk there is still memory.
                tracing::warn!(%error, folder = %self.folder.display(), "a compiled component could not be kept");
                from_memory(sandbox, &compiled).map_err(invalid)
            }
        }
    }

    fn keep(&self, sandbox: &Sandbox, digest: Digest, compiled: &[u8]) -> io::Result<Component> {
        let key = self.key()?;
        let entry = Entry::new(&self.folder, sandbox, digest);
        write_atomically(&entry.code, compiled)?;
        write_atomically(&entry.tag, &entry.tag_of(&key, compiled))?;
        self.evict(&entry);
        entry.load(sandbox, &key)
    }

    /// The key of this cache, made when there is none.
    fn key(&self) -> io::Result<[u8; KEY_BYTES]> {
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
            Ok(_) => Ok(key),
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

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    match fs::read(path) {
        Ok(bytes) => match <[u8; KEY_BYTES]>::try_from(bytes) {
            Ok(key) => Ok(Some(key)),
            Err(_) => {
                // Whatever this is, it is no key: what was signed with it is compiled again.
                fs::remove_file(path)?;
                Ok(None)
            }
        },
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
        let mut hasher = DefaultHasher::new();
        sandbox.engine.precompile_compatibility_hash().hash(&mut hasher);
        let configuration = hasher.finish();
        let digest_text = digest.to_string();
        let name = digest_text.rsplit(':').next().unwrap_or_default();
        let code = folder.join(format!("{name}-{configuration:016x}.cwasm"));
        Self { digest, configuration, tag: code.with_extension("tag"), code }
    }

    fn tag_of(&self, key: &[u8; KEY_BYTES], compiled: &[u8]) -> Vec<u8> {
        self.mac(key, compiled).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    fn mac(&self, key: &[u8; KEY_BYTES], compiled: &[u8]) -> Option<Hmac<Sha256>> {
        // A key of any length is one; the error cannot happen.
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).ok()?;
        mac.update(b"armada compiled component 1\n");
        mac.update(self.digest.to_string().as_bytes());
        mac.update(&self.configuration.to_be_bytes());
        mac.update(compiled);
        Some(mac)
    }

    /// Loads the component if its tag says that we have written it.
    fn load(&self, sandbox: &Sandbox, key: &[u8; KEY_BYTES]) -> io::Result<Component> {
        let compiled = fs::read(&self.code)?;
        let tag = fs::read(&self.tag)?;
        let valid = self.mac(key, &compiled).is_some_and(|mac| mac.verify_slice(&tag).is_ok());
        if !valid {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its tag is not valid"));
        }
        // For `evict`. A cache that cannot be written to is still good to read.
        let _ = fs::File::open(&self.code).and_then(|file| file.set_modified(SystemTime::now()));
        from_file(sandbox, &self.code).map_err(|error| io::Error::other(format!("{error:#}")))
    }
}

/// Maps a compiled component from its file, so that all processes that run it share its pages.
#[allow(unsafe_code, reason = "native code is run as it is; see SAFETY")]
fn from_file(sandbox: &Sandbox, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the content was made by `precompile_component` of an engine of this configuration, as its tag has just
    // proved. The file is only ever replaced by renaming, never written to in place, in a folder that only its owner
    // can write to.
    unsafe { Component::deserialize_file(&sandbox.engine, path) }
}

/// Loads a component that was compiled just now.
#[allow(unsafe_code, reason = "native code is run as it is; see SAFETY")]
fn from_memory(sandbox: &Sandbox, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from `precompile_component` of this very engine.
    unsafe { Component::deserialize(&sandbox.engine, compiled) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
