//! A bundle: component, configuration and CSV files in one file.
//!
//! It is a tar archive, so that anybody can look into it: `bundle.json` says what it is, `component.wasm` is the component,
//! and `config/` has the configuration as it is in the project's folder. The same project gives the same bytes.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::component::Component;
use crate::project::Project;

/// The form of the archive; another one would have another number.
const FORMAT: u32 = 1;
/// The files of the configuration.
const FILES: [&str; 5] =
    ["config_template.json", "config_local.json", "config_distant.json", "data_agent.csv", "data_job.csv"];

/// Writes bundles.
pub struct Bundle;

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
        append(&mut archive, "bundle.json", format!("{about:#}\n").as_bytes())?;
        append(&mut archive, "component.wasm", component.bytes())?;
        for file in FILES {
            let path = Path::new("config").join(file);
            match std::fs::read(project.root().join(&path)) {
                Ok(content) => append(&mut archive, &path, &content)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
        archive.into_inner()?.flush()
    }
}

/// Adds a file without anything that differs from machine to machine: owner, time, rights.
fn append(archive: &mut tar::Builder<impl Write>, path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_project_gives_the_same_bundle_and_anybody_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ctx_script.rs"), "").unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/data_job.csv"), "a\n1\n").unwrap();
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
