//! Signatures of compiled components: only the server makes them, and everybody who is told its public key can check
//! them.
//!
//! What is compiled is native code, and an engine runs it unchecked. On its way to agents of other machines it passes
//! stores and agents that must not be able to replace it. So the server signs it (Ed25519), and agents have nothing
//! that they could sign with. A signature is over the component, the engine's configuration and the code, and over no
//! run: what a server has compiled for one run is good for its others, so a cache may keep it for all of them.

use std::fmt;
use std::sync::Arc;

use armada_project::Digest;
use armada_protocol::CompiledRef;
use ring::digest::{self, SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::Sandbox;

const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// Signs compiled components.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// The key that follows from this secret of 32 bytes.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let verifying = VerifyingKey(pair.public_key().as_ref().try_into().ok()?);
        Some(Self { pair: Arc::new(pair), verifying })
    }

    /// Names and signs what this engine has compiled a component to.
    pub fn sign(&self, sandbox: &Sandbox, digest: Digest, code: &[u8]) -> CompiledRef {
        let signature = self.pair.sign(statement(sandbox.configuration(), digest, code).as_ref());
        CompiledRef { engine: sandbox.id(), signature: Hex(signature.as_ref()).to_string() }
    }

    /// The key that its signatures are checked with, which is no secret.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying
    }
}

/// Checks signatures of compiled components. As text, 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; KEY_BYTES]);

impl VerifyingKey {
    /// The key that is written like this, if one is.
    fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// The key that a server tells its agents with the token `CREDENTIAL.KEY` of their run. None is told with the
    /// server's own token.
    pub fn of_token(token: &str) -> Option<Self> {
        Self::from_hex(token.split_once('.')?.1)
    }

    /// Whether the server with this key has signed the code, for this component and this engine.
    pub(super) fn has_signed(&self, sandbox: &Sandbox, digest: Digest, code: &[u8], compiled: &CompiledRef) -> bool {
        let Some(signature) = from_hex::<SIGNATURE_BYTES>(&compiled.signature) else { return false };
        let statement = statement(sandbox.configuration(), digest, code);
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        compiled.engine == sandbox.id() && key.verify(statement.as_ref(), &signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// What signatures and the tags of caches are made of: the hash of a component, of a configuration of engines, and of
/// the code that these compile the component to.
pub(super) fn statement(configuration: u64, digest: Digest, code: &[u8]) -> digest::Digest {
    let mut context = digest::Context::new(&SHA256);
    context.update(b"armada compiled component 2\n");
    context.update(digest.as_bytes());
    context.update(&configuration.to_be_bytes());
    context.update(code);
    context.finish()
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// So many bytes, if these are their digits.
fn from_hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: u8) -> (SigningKey, VerifyingKey) {
        let key = SigningKey::from_seed(&[seed; KEY_BYTES]).unwrap();
        let verifying = key.verifying_key();
        (key, verifying)
    }

    #[test]
    fn a_signature_is_good_for_its_key_its_component_its_engine_and_its_code() {
        let (sandbox, (key, verifying)) = (Sandbox::new().unwrap(), keys(1));
        let (digest, code) = (Digest::of(b"component"), b"code".as_slice());
        let signed = key.sign(&sandbox, digest, code);
        assert!(verifying.has_signed(&sandbox, digest, code, &signed));
        assert!(keys(1).1.has_signed(&sandbox, digest, code, &signed), "the key follows from its seed");
        assert!(!keys(2).1.has_signed(&sandbox, digest, code, &signed), "another key");
        assert!(
            !verifying.has_signed(&sandbox, digest, code, &keys(2).0.sign(&sandbox, digest, code)),
            "another signer"
        );
        assert!(!verifying.has_signed(&sandbox, Digest::of(b"other"), code, &signed), "another component");
        assert!(!verifying.has_signed(&sandbox, digest, b"codf", &signed), "a flipped bit");
        assert!(!verifying.has_signed(&sandbox, digest, b"cod", &signed), "code cut short");
        assert!(!verifying.has_signed(&sandbox, digest, b"", &signed), "no code");
        let renamed = CompiledRef { engine: "0123456789abcdef".to_owned(), ..signed.clone() };
        assert!(!verifying.has_signed(&sandbox, digest, code, &renamed), "another engine");
        let elsewhere = key.pair.sign(statement(sandbox.configuration() ^ 1, digest, code).as_ref());
        let elsewhere = CompiledRef { signature: Hex(elsewhere.as_ref()).to_string(), ..signed };
        assert!(!verifying.has_signed(&sandbox, digest, code, &elsewhere), "signed for another engine");
    }

    #[test]
    fn a_signature_that_was_damaged_or_is_none_is_not_valid() {
        let (sandbox, (key, verifying)) = (Sandbox::new().unwrap(), keys(1));
        let (digest, code) = (Digest::of(b"component"), b"code".as_slice());
        let signed = key.sign(&sandbox, digest, code);
        let rest = signed.signature.get(1..).unwrap();
        let flipped = format!("{}{rest}", if signed.signature.starts_with('0') { '1' } else { '0' });
        let (shorter, longer) = (rest.get(1..).unwrap(), format!("{}00", signed.signature));
        let of_old = "51".repeat(32);
        for wrong in ["", "0", "zz", "+f", "\u{e9}\u{e9}", rest, shorter, &longer, &flipped, &of_old] {
            let wrong = CompiledRef { signature: wrong.to_owned(), ..signed.clone() };
            assert!(!verifying.has_signed(&sandbox, digest, code, &wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_is_told_as_text_and_nothing_else_is_one() {
        let verifying = keys(1).1;
        let text = verifying.to_string();
        assert_eq!(text.len(), 2 * KEY_BYTES);
        assert_eq!(VerifyingKey::from_hex(&text), Some(verifying));
        let (shorter, longer, signed) =
            (text.get(2..).unwrap(), format!("{text}00"), format!("+{}", text.get(1..).unwrap()));
        for wrong in ["", "secret", text.get(1..).unwrap(), shorter, &longer, &signed, &"\u{e9}".repeat(KEY_BYTES)] {
            assert_eq!(VerifyingKey::from_hex(wrong), None, "{wrong:?}");
        }
        assert_eq!(VerifyingKey::of_token(&format!("c0ffee.{text}")), Some(verifying));
        for wrong in [&text, &format!("{text}."), &format!("c0ffee.{text}."), "secret", "open.sesame", ""] {
            assert_eq!(VerifyingKey::of_token(wrong), None, "{wrong:?}");
        }
        for length in [0, KEY_BYTES - 1, KEY_BYTES + 1] {
            assert!(SigningKey::from_seed(&vec![1; length]).is_none(), "a seed of {length} bytes");
        }
    }
}
