//! Signatures of compiled components: who has the key knows that one was made by another who has it.
//!
//! What is compiled is native code, and the engine runs it unchecked. So nothing is loaded but what carries a keyed
//! signature over the component's digest, the engine's configuration and the code: in a cache, under the cache's own key;
//! between machines, under a key of the run that follows from its credential, which the stores in between do not have.

use std::fmt;
use std::io::{self, Read as _};

use armada_project::Digest;
use armada_protocol::CompiledRef;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::Sandbox;

const KEY_BYTES: usize = 32;

/// Signs compiled components, and checks their signatures.
#[derive(Clone)]
pub struct SigningKey([u8; KEY_BYTES]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl SigningKey {
    /// The key of the run with this credential. Of none there is no key: anybody could make that.
    pub fn of_run(credential: &str) -> Option<Self> {
        if credential.is_empty() {
            return None;
        }
        let mut mac = keyed(credential.as_bytes())?;
        mac.update(b"armada compiled component of a run 1\n");
        Some(Self(mac.finalize().into_bytes().into()))
    }

    /// A key that nobody else has.
    pub(super) fn random() -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// The key with these bytes, if they are one.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Names and signs what this engine has compiled a component to.
    pub fn sign(&self, sandbox: &Sandbox, digest: Digest, code: &[u8]) -> CompiledRef {
        let signature = self.signature(sandbox.configuration(), digest, code);
        let signature = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        CompiledRef { engine: sandbox.id(), signature }
    }

    /// Whether somebody who has this key has signed the code, for this component and this engine.
    pub(super) fn has_signed(&self, sandbox: &Sandbox, digest: Digest, code: &[u8], compiled: &CompiledRef) -> bool {
        let Some(signature) = from_hex(&compiled.signature) else { return false };
        compiled.engine == sandbox.id() && self.knows(sandbox.configuration(), digest, code, &signature)
    }

    pub(super) fn signature(&self, configuration: u64, digest: Digest, code: &[u8]) -> Vec<u8> {
        self.mac(configuration, digest, code).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    /// Whether this is the signature; found out in the same time whatever is wrong with it.
    pub(super) fn knows(&self, configuration: u64, digest: Digest, code: &[u8], signature: &[u8]) -> bool {
        self.mac(configuration, digest, code).is_some_and(|mac| mac.verify_slice(signature).is_ok())
    }

    fn mac(&self, configuration: u64, digest: Digest, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = keyed(&self.0)?;
        mac.update(b"armada compiled component 1\n");
        mac.update(digest.to_string().as_bytes());
        mac.update(&configuration.to_be_bytes());
        mac.update(code);
        Some(mac)
    }
}

/// A key of any length is one; that there is none cannot happen.
fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_key_its_component_its_engine_and_its_code() {
        let (sandbox, key) = (Sandbox::new().unwrap(), SigningKey::of_run("credential").unwrap());
        let (digest, code) = (Digest::of(b"component"), b"code".as_slice());
        let signed = key.sign(&sandbox, digest, code);
        assert!(key.has_signed(&sandbox, digest, code, &signed));
        assert!(SigningKey::of_run("credential").unwrap().has_signed(&sandbox, digest, code, &signed));
        assert!(!SigningKey::of_run("another").unwrap().has_signed(&sandbox, digest, code, &signed), "another key");
        assert!(!key.has_signed(&sandbox, Digest::of(b"other"), code, &signed), "another component");
        assert!(!key.has_signed(&sandbox, digest, b"codf", &signed), "a flipped bit");
        assert!(!key.has_signed(&sandbox, digest, b"cod", &signed), "code cut short");
        assert!(!key.has_signed(&sandbox, digest, b"", &signed), "no code");
        let other = CompiledRef { engine: "0123456789abcdef".to_owned(), ..signed.clone() };
        assert!(!key.has_signed(&sandbox, digest, code, &other), "another engine");
        assert!(!key.knows(1, digest, code, &key.signature(2, digest, code)), "signed for another engine");
        let shorter = signed.signature.get(2..).unwrap();
        for wrong in ["", "0", "zz", "+f", "\u{e9}\u{e9}", shorter, &format!("{}00", signed.signature)] {
            let wrong = CompiledRef { signature: wrong.to_owned(), ..signed.clone() };
            assert!(!key.has_signed(&sandbox, digest, code, &wrong), "{wrong:?}");
        }
    }

    #[test]
    fn the_key_of_a_run_is_not_its_credential_and_is_not_shown() {
        let credential = "a".repeat(KEY_BYTES);
        let key = SigningKey::of_run(&credential).unwrap();
        assert_ne!(key.as_bytes(), credential.as_bytes());
        assert_eq!(format!("{key:?}"), "(secret)");
        assert!(SigningKey::of_run("").is_none(), "anybody has that one");
    }
}
