//! What agents show when they connect from elsewhere: a credential that is good for their run, and for nothing else.
//!
//! It is a keyed hash of the run's id, so nothing has to be stored for it but the key, which is made once per data folder and
//! readable by its owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use armada_protocol::RunId;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

const KEY_BYTES: usize = 32;

/// Makes and checks the credentials of runs.
#[derive(Clone)]
pub struct Credentials {
    key: [u8; KEY_BYTES],
}

impl Credentials {
    /// Those of the server with this data folder.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join("credentials.key");
        match fs::read(&path) {
            Ok(bytes) => {
                let invalid = |_| io::Error::other(format!("{} is not a key of {KEY_BYTES} bytes", path.display()));
                Ok(Self { key: bytes.try_into().map_err(invalid)? })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(&key)?;
                file.sync_all()?;
                Ok(Self { key })
            }
            Err(error) => Err(error),
        }
    }

    /// The credential of a run's agents.
    pub fn of(&self, run: RunId) -> String {
        let tag = self.mac(run).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        tag.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is the credential of that run; found out in the same time whatever is wrong with it.
    pub fn knows(&self, run: RunId, given: &str) -> bool {
        let digits = given.as_bytes().chunks(2).map(|pair| {
            str::from_utf8(pair).ok().filter(|pair| pair.len() == 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        let Some(tag) = digits.collect::<Option<Vec<u8>>>() else { return false };
        self.mac(run).is_some_and(|mac| mac.verify_slice(&tag).is_ok())
    }

    fn mac(&self, run: RunId) -> Option<Hmac<Sha256>> {
        // A key of any length is one; the error cannot happen.
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.key).ok()?;
        mac.update(b"armada agents of a run 1\n");
        mac.update(run.0.as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_good_for_its_run_and_its_server() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let credentials = Credentials::open(folder.path()).unwrap();
        let (a, b) = (RunId::new(), RunId::new());
        let given = credentials.of(a);
        assert!(credentials.knows(a, &given));
        assert!(Credentials::open(folder.path()).unwrap().knows(a, &given), "the key lasts");
        assert!(!credentials.knows(b, &given));
        assert!(!Credentials::open(other.path()).unwrap().knows(a, &given));
        let shorter: String = given.chars().skip(2).collect();
        for wrong in ["", "0", "zz", &shorter, &format!("{given}00"), "\u{e9}\u{e9}"] {
            assert!(!credentials.knows(a, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_that_was_damaged_is_not_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("credentials.key"), "short").unwrap();
        assert!(Credentials::open(folder.path()).is_err());
    }
}
