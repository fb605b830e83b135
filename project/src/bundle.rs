//! A bundle: component, configuration and CSV files in one file.
//!
//! It is a tar archive, so that anybody can look into it: `bundle.json` says what it is, `component.wasm` is the
//! component, and `config/` has the configuration as it is in the project's folder. The same project gives the same
//! bytes. Whoever reads one trusts nothing in it: what is not one of these files, as a plain file, is refused, so no
//! name in an archive ever becomes a path.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::component::Component;
use crate::digest::{ComponentRef, Digest};
use crate::project::Project;
use crate::suggest::{harmless, shown};
use crate::text::MAX_JSON_BYTES;

/// The form of the archive; another one would have another number.
const FORMAT: u32 = 1;
/// What says what a bundle is; the first file of each.
const ABOUT: &str = "bundle.json";
/// The component.
const COMPONENT: &str = "component.wasm";
/// The files of the configuration.
const FILES: [&str; 5] = [
    "config/config_template.json",
    "config/config_local.json",
    "config/config_distant.json",
    "config/data_agent.csv",
    "config/data_job.csv",
];
/// The most that `bundle.json` may hold.
const MAX_ABOUT_BYTES: u64 = 64 << 10;
/// The most characters of a project's name.
const MAX_NAME: usize = 200;
/// How many zeros may follow the last file: tools fill an archive up to a multiple of 10,240 bytes.
const MAX_PADDING: u64 = 20 * 512;
/// How much is copied at once.
const COPIED: usize = 64 << 10;

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    name: String,
    component: ComponentRef,
    sdk: Option<String>,
}

/// How large the files of a bundle may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleLimits {
    /// The component.
    pub component: u64,
    /// Each JSON file of the configuration.
    pub json: u64,
    /// Each CSV file.
    pub csv: u64,
}

impl Default for BundleLimits {
    /// Room for an interpreter with large packages, for as much JSON as is ever read, and for millions of rows.
    fn default() -> Self {
        Self { component: 256 << 20, json: MAX_JSON_BYTES, csv: 1 << 30 }
    }
}

impl BundleLimits {
    fn of(&self, name: &str) -> u64 {
        match name {
            ABOUT => MAX_ABOUT_BYTES,
            COMPONENT => self.component,
            name if name.ends_with(".csv") => self.csv,
            _ => self.json,
        }
    }

    /// How large a whole bundle may be.
    pub fn total(&self) -> u64 {
        let files = FILES.iter().chain(&[ABOUT, COMPONENT]);
        // Each file has a header, and is filled up to whole blocks.
        files.fold(MAX_PADDING, |total, name| total.saturating_add(self.of(name)).saturating_add(1024))
    }
}

/// Why something is no bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It does not begin as one.
    #[error("this is not a bundle: make one with `armada build`")]
    NoBundle,
    /// It is of another version.
    #[error("the bundle has the format {0}, and this version of Armada reads the format {FORMAT}: build it again")]
    Format(u64),
    /// Its `bundle.json` is not what it should be.
    #[error("bundle.json of the bundle cannot be used: {0}")]
    About(String),
    /// Something is in it that does not belong there.
    #[error("the bundle has something that does not belong into one: {0}")]
    Foreign(String),
    /// A file is in it twice.
    #[error("the bundle has {0} twice")]
    Repeated(&'static str),
    /// A file is not in it.
    #[error("the bundle has no {0}: build it again")]
    Missing(&'static str),
    /// A file is too large.
    #[error("{name} of the bundle is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        name: &'static str,
        /// How large it may be.
        limit: u64,
    },
    /// The component is not the one that `bundle.json` names.
    #[error("the bundle is damaged: its component is not the one that bundle.json names")]
    OtherComponent,
    /// It ends too early.
    #[error("the bundle is cut short")]
    CutShort,
    /// Something comes after its end.
    #[error("the bundle is damaged: something comes after its end")]
    Trailing,
    /// The archive is damaged, or could not be read.
    #[error("the bundle is damaged, or cannot be read: {0}")]
    Read(io::Error),
    /// A file could not be written. The bundle may be right.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// `bundle.json`; what else it says is for people.
#[derive(Deserialize)]
struct About {
    name: String,
    component: ComponentRef,
    #[serde(default)]
    sdk: Option<String>,
}

impl Bundle {
    /// Writes a project's bundle.
    pub fn write(project: &Project, component: &Component, to: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(to);
        let about = json!({
            "format": FORMAT,
            "name": project.name(),
            "component": component.reference(),
            "sdk": component.sdk(),
        });
        append(&mut archive, ABOUT, format!("{about:#}\n").as_bytes())?;
        append(&mut archive, COMPONENT, component.bytes())?;
        for file in FILES {
            match fs::read(project.root().join(file)) {
                Ok(content) => append(&mut archive, file, &content)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{file}: {error}"))),
            }
        }
        archive.into_inner()?.flush()
    }

    /// Writes the files of a bundle into a folder: `component.wasm` and `config/…`. They must not be there yet. When
    /// the bundle is not right in any way, nothing is left of it.
    pub fn unpack(from: impl Read, folder: &Path, limits: &BundleLimits) -> Result<Bundle, BundleError> {
        let mut archive = tar::Archive::new(from);
        let mut unpacked = Unpacked::default();
        let (mut about, mut found) = (None, None);
        // Raw: whatever would change what the next entry is called or how long it is, is an entry that is refused.
        for entry in archive.entries().map_err(BundleError::Read)?.raw(true) {
            let is_first = about.is_none();
            let mut entry = entry.map_err(|error| if is_first { BundleError::NoBundle } else { unreadable(error) })?;
            let name = name_of(&entry)?;
            if is_first != (name == ABOUT) {
                return Err(if is_first { BundleError::NoBundle } else { BundleError::Repeated(ABOUT) });
            }
            let (size, limit) = (entry.size(), limits.of(name));
            if size > limit {
                return Err(BundleError::TooLarge { name, limit });
            }
            if name == ABOUT {
                let mut text = Vec::new();
                copy(&mut entry, size, &mut |bytes| {
                    text.extend_from_slice(bytes);
                    Ok(())
                })?;
                about = Some(read_about(&text)?);
                continue;
            }
            let path = folder.join(name);
            let failed = |source| BundleError::Write { path: path.clone(), source };
            if unpacked.names.contains(&name) {
                return Err(BundleError::Repeated(name));
            }
            let mut file = unpacked.create(folder, name).map_err(failed)?;
            let mut digest = Sha256::new();
            copy(&mut entry, size, &mut |bytes| {
                digest.update(bytes);
                file.write_all(bytes).map_err(failed)
            })?;
            if name == COMPONENT {
                found = Some(ComponentRef { digest: Digest::from_bytes(digest.finalize().into()), size });
            }
        }
        let about = about.ok_or(BundleError::NoBundle)?;
        check_end(archive.into_inner())?;
        match found {
            None => return Err(BundleError::Missing(COMPONENT)),
            Some(found) if found != about.component => return Err(BundleError::OtherComponent),
            Some(_) => {}
        }
        unpacked.keep();
        let About { name, component, sdk } = about;
        let name = name.chars().take(MAX_NAME).map(harmless).collect();
        Ok(Bundle { name, component, sdk: sdk.map(|sdk| shown(&sdk)) })
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The component's digest and size.
    pub fn component(&self) -> ComponentRef {
        self.component
    }

    /// The SDK that the component was made with, and its version.
    pub fn sdk(&self) -> Option<&str> {
        self.sdk.as_deref()
    }
}

/// Adds a file without anything that differs from machine to machine: owner, time, rights.
fn append(archive: &mut tar::Builder<impl Write>, path: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, content)
}

/// The name of an entry, which is one of those that bundles have, and of a plain file.
fn name_of(entry: &tar::Entry<'_, impl Read>) -> Result<&'static str, BundleError> {
    let path = entry.path_bytes();
    let foreign = || BundleError::Foreign(shown(&String::from_utf8_lossy(&path)));
    let is_file = entry.header().entry_type() == tar::EntryType::Regular;
    let mut names = [ABOUT, COMPONENT].into_iter().chain(FILES);
    names.find(|name| name.as_bytes() == &*path).filter(|_| is_file).ok_or_else(foreign)
}

fn read_about(text: &[u8]) -> Result<About, BundleError> {
    let flaw = |error: serde_json::Error| BundleError::About(error.to_string());
    let about: serde_json::Value = serde_json::from_slice(text).map_err(flaw)?;
    match about.get("format").and_then(serde_json::Value::as_u64) {
        None => Err(BundleError::About("it names no format".to_owned())),
        Some(format) if format != u64::from(FORMAT) => Err(BundleError::Format(format)),
        Some(_) => serde_json::from_value(about).map_err(flaw),
    }
}

/// Reads exactly so many bytes.
fn copy(
    from: &mut impl Read,
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    let mut buffer = vec![0; COPIED];
    let mut left = size;
    while left > 0 {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Err(BundleError::CutShort),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        take(buffer.get(..read).unwrap_or_default())?;
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}

/// Nothing follows an archive's last entry but zeros, at least the two blocks of them that end it. One has been read.
fn check_end(rest: impl Read) -> Result<(), BundleError> {
    let mut padding = Vec::new();
    rest.take(MAX_PADDING + 1).read_to_end(&mut padding).map_err(unreadable)?;
    match padding.len() {
        0..512 => Err(BundleError::CutShort),
        _ if padding.len() as u64 > MAX_PADDING || padding.iter().any(|byte| *byte != 0) => Err(BundleError::Trailing),
        _ => Ok(()),
    }
}

fn unreadable(error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::CutShort,
        _ => BundleError::Read(error),
    }
}

/// The files that were written. They are removed with this, unless they are kept.
#[derive(Default)]
struct Unpacked {
    names: Vec<&'static str>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Unpacked {
    fn create(&mut self, folder: &Path, name: &'static str) -> io::Result<File> {
        let path = folder.join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            fs::create_dir(parent)?;
            self.folders.push(parent.to_owned());
        }
        let file = File::create_new(&path)?;
        self.names.push(name);
        self.files.push(path);
        Ok(file)
    }

    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // Whoever cannot remove them could hardly write them.
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
        self.folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bundle of a project with a template and jobs.
    fn bundle() -> Vec<u8> {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("prices");
        fs::create_dir_all(folder.join("config")).unwrap();
        fs::write(folder.join("ctx_script.rs"), "").unwrap();
        fs::write(folder.join("config/config_template.json"), "{}").unwrap();
        fs::write(folder.join("config/data_job.csv"), "a\n1\n").unwrap();
        let mut bytes = Vec::new();
        let project = Project::open(&folder).unwrap();
        Bundle::write(&project, &Component::fake(b"wasm"), &mut bytes).unwrap();
        bytes
    }

    fn about(component: &[u8]) -> String {
        json!({"format": 1, "name": "prices", "component": ComponentRef::of(component)}).to_string()
    }

    /// An archive of these entries: a name, a type, and what is in it.
    fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_entry_type(*kind);
            // Past the checks of a library that means well.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn files_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let entries: Vec<_> =
            entries.iter().map(|(name, content)| (*name, tar::EntryType::Regular, *content)).collect();
        archive(&entries)
    }

    /// Why this is refused. Nothing is left of it.
    fn refused(bytes: &[u8], limits: &BundleLimits) -> BundleError {
        let folder = tempfile::tempdir().unwrap();
        let refused = Bundle::unpack(bytes, folder.path(), limits).unwrap_err();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{refused}: {left:?}");
        refused
    }

    fn why(bytes: &[u8]) -> String {
        refused(bytes, &BundleLimits::default()).to_string()
    }

    #[test]
    fn what_was_written_is_unpacked_again() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Bundle::unpack(bundle().as_slice(), folder.path(), &BundleLimits::default()).unwrap();
        assert_eq!(bundle.component(), ComponentRef::of(b"wasm"));
        assert_eq!((bundle.name(), bundle.sdk()), ("prices", None));
        assert_eq!(fs::read(folder.path().join("component.wasm")).unwrap(), b"wasm");
        assert_eq!(fs::read(folder.path().join("config/data_job.csv")).unwrap(), b"a\n1\n");
        assert_eq!(fs::read(folder.path().join("config/config_template.json")).unwrap(), b"{}");
        assert!(!folder.path().join("bundle.json").exists());
    }

    #[test]
    fn a_bundle_that_is_cut_short_anywhere_is_refused() {
        let bytes = bundle();
        for end in (0..bytes.len()).step_by(64).chain([bytes.len() - 1, bytes.len() - 512]) {
            refused(&bytes[..end], &BundleLimits::default());
        }
    }

    #[test]
    fn what_follows_the_end_of_a_bundle_is_refused_unless_it_is_the_padding_of_a_tool() {
        let mut bytes = bundle();
        bytes.resize(bytes.len().next_multiple_of(10_240), 0);
        let folder = tempfile::tempdir().unwrap();
        assert!(Bundle::unpack(bytes.as_slice(), folder.path(), &BundleLimits::default()).is_ok());
        assert!(matches!(refused(&[&bytes[..], b"x"].concat(), &BundleLimits::default()), BundleError::Trailing));
        assert!(matches!(refused(&[&bytes[..], &bytes[..]].concat(), &BundleLimits::default()), BundleError::Trailing));
        bytes.resize(bytes.len() + (1 << 20), 0);
        assert!(matches!(refused(&bytes, &BundleLimits::default()), BundleError::Trailing));
    }

    #[test]
    fn only_the_files_of_a_bundle_are_taken_whatever_else_is_in_the_archive() {
        use tar::EntryType;
        let about = about(b"wasm");
        let first = ("bundle.json", EntryType::Regular, about.as_bytes());
        for (name, kind) in [
            ("../escaped", EntryType::Regular),
            ("config/../../escaped", EntryType::Regular),
            ("/etc/escaped", EntryType::Regular),
            ("config/other.json", EntryType::Regular),
            ("./component.wasm", EntryType::Regular),
            ("component.wasm/", EntryType::Regular),
            ("config", EntryType::Directory),
            ("config/data_job.csv", EntryType::Symlink),
            ("component.wasm", EntryType::Link),
            ("component.wasm", EntryType::Fifo),
            ("component.wasm", EntryType::Char),
            ("component.wasm", EntryType::GNUSparse),
            ("component.wasm", EntryType::GNULongName),
            ("component.wasm", EntryType::XHeader),
            ("component.wasm", EntryType::XGlobalHeader),
            ("component.wasm", EntryType::Continuous),
        ] {
            let said = why(&archive(&[first, (name, kind, b"wasm")]));
            assert!(said.contains("does not belong"), "{name} {kind:?}: {said}");
        }
        let long_name = ("././@LongLink", EntryType::GNULongName, b"../escaped\0".as_slice());
        assert!(why(&archive(&[first, long_name, ("component.wasm", EntryType::Regular, b"wasm")])).contains("belong"));
    }

    #[test]
    fn each_file_is_there_once_and_within_its_limit() {
        let about = about(b"wasm");
        let first = ("bundle.json", about.as_bytes());
        let component = ("component.wasm", b"wasm".as_slice());
        assert!(why(&files_of(&[first, component, component])).contains("component.wasm twice"));
        assert!(why(&files_of(&[first, component, first])).contains("bundle.json twice"));
        assert!(why(&files_of(&[first])).contains("no component.wasm"));
        assert!(why(&files_of(&[component, first])).contains("not a bundle"));
        assert!(why(&files_of(&[])).contains("not a bundle"));
        assert!(why(b"PK\x03\x04").contains("not a bundle"));
        let small = BundleLimits { component: 3, json: 1, csv: 1 };
        let said = refused(&files_of(&[first, component]), &small).to_string();
        assert!(said.contains("component.wasm") && said.contains("3 bytes"), "{said}");
        let jobs = files_of(&[first, ("config/data_job.csv", b"a\n")]);
        assert!(matches!(refused(&jobs, &small), BundleError::TooLarge { name: "config/data_job.csv", limit: 1 }));
        let about = files_of(&[("bundle.json", &[b' '; 65 << 10])]);
        assert!(matches!(refused(&about, &small), BundleError::TooLarge { name: "bundle.json", .. }));
    }

    #[test]
    fn a_size_that_lies_is_no_way_to_read_or_write_more() {
        let about = about(b"wasm");
        let mut bytes = files_of(&[("bundle.json", about.as_bytes()), ("component.wasm", b"wasm")]);
        // The second header claims eight gigabytes less one, in octal.
        let header = 1024;
        bytes[header + 124..header + 136].copy_from_slice(b"77777777777\0");
        let mut parsed = tar::Header::from_byte_slice(&bytes[header..header + 512]).clone();
        parsed.set_cksum();
        bytes[header..header + 512].copy_from_slice(parsed.as_bytes());
        let all = BundleLimits { component: u64::MAX, ..BundleLimits::default() };
        assert!(matches!(refused(&bytes, &all), BundleError::CutShort));
        assert!(matches!(refused(&bytes, &BundleLimits::default()), BundleError::TooLarge { .. }));
    }

    #[test]
    fn a_bundle_is_what_it_says_it_is() {
        let component = ("component.wasm", b"wasm".as_slice());
        let said = |about: &str| why(&files_of(&[("bundle.json", about.as_bytes()), component]));
        assert!(said(&about(b"other")).contains("not the one"));
        assert!(said(&about(b"wasm").replace("\"format\":1", "\"format\":2")).contains("format 2"));
        assert!(said("{}").contains("names no format"));
        assert!(said("{\"format\": 1}").contains("name"));
        assert!(said("[").contains("bundle.json"));
    }

    #[test]
    fn what_is_there_already_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config/data_job.csv"), "mine").unwrap();
        let refused = Bundle::unpack(bundle().as_slice(), folder.path(), &BundleLimits::default());
        assert!(matches!(refused, Err(BundleError::Write { .. })));
        assert_eq!(fs::read(folder.path().join("config/data_job.csv")).unwrap(), b"mine");
        assert!(!folder.path().join("component.wasm").exists());
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics_and_leaves_nothing_when_it_is_found(at in 0_usize..4096, bit in 0_u8..8) {
            let mut bytes = bundle();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let folder = tempfile::tempdir().unwrap();
            if Bundle::unpack(bytes.as_slice(), folder.path(), &BundleLimits::default()).is_err() {
                assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
            }
        }
    }

    #[test]
    fn the_same_project_gives_the_same_bundle_and_anybody_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ctx_script.rs"), "").unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config/data_job.csv"), "a\n1\n").unwrap();
        let project = Project::open(folder.path()).unwrap();
        let component = Component::fake(b"wasm");
        let write = || {
            let mut bytes = Vec::new();
            Bundle::write(&project, &component, &mut bytes).unwrap();
            bytes
        };
        let bytes = write();
        assert_eq!(bytes, write());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            files.push((entry.path().unwrap().display().to_string(), content));
        }
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bundle.json", "component.wasm", "config/data_job.csv"]);
        assert_eq!(files[2].1, "a\n1\n");
        assert!(files[0].1.contains(&component.reference().digest.to_string()));
    }
}
