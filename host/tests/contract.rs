//! The contract does not change by accident: every compiled project depends on it.
//!
//! A released version of a WIT package is frozen. Adding a function makes a new minor version, changing or removing one
//! a new major one; each has a line of its own in `tests/golden/contract.txt`, and old lines stay as long as components
//! of that version are to run.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// What a file means: its text without comments and blank space, so that better words are no new version.
fn meaning(text: &str) -> String {
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _comment)| code));
    code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_version_of_the_contract_stays_as_it_is() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let entries = [wit.clone(), wit.join("deps")].map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "wit")).collect();
    files.sort();
    let mut lines = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let package = text.lines().find_map(|line| line.strip_prefix("package ")).unwrap().trim_end_matches(';');
        let digest = Sha256::digest(meaning(&text));
        let digest = digest.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        writeln!(lines, "{package} {digest}").unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/contract.txt");
    if std::env::var_os("ARMADA_BLESS").is_some() {
        std::fs::write(&golden, &lines).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(
        lines, expected,
        "the contract has changed: give the package a new version, then write the file with ARMADA_BLESS=1"
    );
}
