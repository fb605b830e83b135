//! The SDK's own source, carried along in this program.
//!
//! A project's Cargo.toml names the SDK by a path in its own folder, `.armada/guest-sdk/rust`, and this puts it there: the SDK
//! that this very program's host knows, on any machine, with nothing to look up anywhere. The folder is not for version
//! control; a project that names another path (as the examples here do) gets none.

use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use crate::schema::template_schema;

static RUST: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/rust");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");

/// Where Armada keeps what is its own in a project folder.
pub(crate) const FOLDER: &str = ".armada";
/// Where the schema of the template is put, within that folder.
pub(crate) const SCHEMA: &str = "config_template.schema.json";
/// Where the SDK is put, within that folder.
const SDK: &str = "guest-sdk/rust";

/// Puts the SDK and the schema into a project folder, if the project wants them from there. Files that are as they
/// should be are left alone, so that nothing is compiled again for nothing.
pub(crate) fn provide(root: &Path) -> Result<(), (PathBuf, io::Error)> {
    let folder = root.join(FOLDER);
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    if manifest.contains(&format!("{FOLDER}/{SDK}")) {
        write_all(&RUST, &folder.join(SDK))?;
        write_all(&WIT, &folder.join("wit"))?;
    }
    if folder.is_dir() {
        let schema = serde_json::to_string_pretty(&template_schema()).unwrap_or_default();
        write(&folder.join(SCHEMA), format!("{schema}\n").as_bytes())?;
    }
    Ok(())
}

fn write_all(from: &Dir<'_>, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    for file in from.files() {
        write(&to.join(file.path().file_name().unwrap_or_default()), file.contents())?;
    }
    for folder in from.dirs() {
        write_all(folder, &to.join(folder.path().file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), (PathBuf, io::Error)> {
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, content))
        .map_err(|error| (path.to_owned(), error))
}
