//! What agents from elsewhere are given: a credential that is good for their run and for nothing else, and the public
//! key that tells what this server has compiled.
//!
//! Both follow from one secret, which is made once per data folder and readable by its owner only, so nothing else has
//! to be stored: the credential is a keyed hash of the run's id, and the server's signing key is made from another one.
//! They are told as one token, `CREDENTIAL.KEY`, both in hexadecimal digits.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use armada_host::SigningKey;
use armada_protocol::RunId;
use ring::hmac;

const KEY_BYTES: usize = 32;

/// Makes and checks the credentials of runs, and has the key that components are signed with.
#[derive(Clone)]
pub struct Credentials {
    secret: hmac::Key,
    signing: SigningKey,
}

impl Credentials {
    /// Those of the server with this data folder.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join("credentials.key");
        let secret = match fs::read(&path) {
            Ok(secret) => secret,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = vec![0; KEY_BYTES];
                fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(&secret)?;
                file.sync_all()?;
                secret
            }
            Err(error) => return Err(error),
        };
        let keys = if secret.len() == KEY_BYTES { Self::from_secret(&secret) } else { None };
        keys.ok_or_else(|| io::Error::other(format!("{} is not a key of {KEY_BYTES} bytes", path.display())))
    }

    fn from_secret(secret: &[u8]) -> Option<Self> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let seed = hmac::sign(&secret, b"armada signing of compiled components 1\n");
        Some(Self { signing: SigningKey::from_seed(seed.as_ref())?, secret })
    }

    /// What compiled components are signed with.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// The token of a run's agents: their credential, and the key that they check signatures with.
    pub fn token(&self, run: RunId) -> String {
        let credential = hmac::sign(&self.secret, &message(run));
        let credential: String = credential.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{credential}.{}", self.signing.verifying_key())
    }

    /// Whether this is the token of that run, of which only the credential counts; found out in the same time whatever
    /// is wrong with it.
    pub fn knows(&self, run: RunId, token: &str) -> bool {
        let (credential, _key) = token.split_once('.').unwrap_or((token, ""));
        let digits = credential.as_bytes().chunks(2).map(|pair| {
            str::from_utf8(pair).ok().filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        let Some(tag) = digits.collect::<Option<Vec<u8>>>() else { return false };
        hmac::verify(&self.secret, &message(run), &tag).is_ok()
    }
}

/// What the credential of a run is a keyed hash of.
fn message(run: RunId) -> Vec<u8> {
    [b"armada agents of a run 1\n", run.0.as_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use armada_host::VerifyingKey;

    use super::*;

    #[test]
    fn a_credential_is_good_for_its_run_and_its_server() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let credentials = Credentials::open(folder.path()).unwrap();
        let (a, b) = (RunId::new(), RunId::new());
        let token = credentials.token(a);
        let (credential, key) = token.split_once('.').unwrap();
        for given in [&token, credential, &format!("{credential}.")] {
            assert!(credentials.knows(a, given));
            assert!(Credentials::open(folder.path()).unwrap().knows(a, given), "the key lasts");
            assert!(!credentials.knows(b, given));
            assert!(!Credentials::open(other.path()).unwrap().knows(a, given));
        }
        let shorter: String = credential.chars().skip(2).collect();
        let swapped = format!("{key}.{credential}");
        for wrong in ["", ".", "0", "zz", &shorter, &format!("{credential}00.{key}"), key, &swapped, "\u{e9}\u{e9}"] {
            assert!(!credentials.knows(a, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_tells_the_key_that_this_server_signs_with() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let credentials = Credentials::open(folder.path()).unwrap();
        let key_of = |token: &str| VerifyingKey::of_token(token);
        let key = credentials.signing_key().verifying_key();
        assert_eq!(key_of(&credentials.token(RunId::new())), Some(key));
        assert_eq!(key_of(&Credentials::open(folder.path()).unwrap().token(RunId::new())), Some(key), "the key lasts");
        assert_ne!(key_of(&Credentials::open(other.path()).unwrap().token(RunId::new())), Some(key));
    }

    #[test]
    fn nothing_that_an_agent_has_signs() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::open(folder.path()).unwrap();
        let token = credentials.token(RunId::new());
        for part in token.split('.') {
            let digits = part.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
            let part: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            let theirs = SigningKey::from_seed(&part).unwrap();
            assert_ne!(theirs.verifying_key(), credentials.signing_key().verifying_key());
        }
    }

    #[test]
    fn a_key_that_was_damaged_is_not_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("credentials.key"), "short").unwrap();
        assert!(Credentials::open(folder.path()).is_err());
    }
}
