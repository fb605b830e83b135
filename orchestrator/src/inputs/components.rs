//! Components on disk: one file per digest, there as a whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use armada_project::{Component, ComponentRef, Digest};
use axum::body::Body;

use super::receive::{Spool, inspecting};
use super::{InputsError, at, make_folder, new_upload};
use crate::http::{MistakeView, Problem};

/// What a component that is being received is called.
const FILE: &str = "component.wasm";
/// What mistakes of a component name.
const PART: &str = "component";

/// Where a component is kept.
pub(super) fn path(data: &Path, digest: Digest) -> PathBuf {
    data.join("components").join(format!("{}.wasm", digest.to_hex()))
}

/// How many bytes a component has, if it is kept here.
pub async fn component_size(data: &Path, digest: Digest) -> Option<u64> {
    tokio::fs::metadata(path(data, digest)).await.ok().map(|metadata| metadata.len())
}

/// Receives the component of this digest as the body of a request, of at most so many bytes. Says whether it is new.
pub async fn receive_component(
    body: Body,
    digest: Digest,
    data: &Path,
    limit: u64,
) -> Result<(ComponentRef, bool), Problem> {
    let upload = new_upload(data)?;
    let file = upload.path().join(FILE);
    let mut spool = Spool::create(&file, PART, limit).await?;
    let mut body = super::receive::Chunks::of(body);
    while let Some(chunk) = body.next().await? {
        spool.write(&chunk).await?;
    }
    spool.finish().await?;
    let data = data.to_owned();
    inspecting(move || {
        // What is received is removed with it, also when nobody waits any more.
        let _upload = upload;
        let component = inspect(&file)?;
        if component.reference().digest != digest {
            let message = format!("has the digest {}, not {digest}", component.reference().digest);
            return Err(Problem::mistaken(vec![MistakeView::new(PART, message, None)]));
        }
        let is_new = keep(&data, &file, digest)?;
        Ok((component.reference(), is_new))
    })
    .await
}

/// Looks into a component that was received.
pub(super) fn inspect(file: &Path) -> Result<Component, Problem> {
    /// How ELF files begin, which precompiled components are.
    const ELF: &[u8] = b"\x7fELF";
    let bytes = fs::read(file).map_err(at(file))?;
    let mistake = |message: String, help| Problem::mistaken(vec![MistakeView::new(PART, message, Some(help))]);
    let help = "send the component that `armada build` makes";
    if bytes.starts_with(ELF) {
        return Err(mistake(
            "this is native code, such as a precompiled component: it is never taken".to_owned(),
            help,
        ));
    }
    let component = Component::read(bytes).map_err(|flaw| mistake(flaw.to_string(), help))?;
    let unknown: Vec<&str> = component.unknown_imports().take(10).collect();
    if !unknown.is_empty() {
        let message = format!("it imports {}, which this version of Armada does not know", unknown.join(", "));
        return Err(mistake(message, "build it with the SDK of this version"));
    }
    Ok(component)
}

/// Moves a component to where it is kept. Says whether it is new there.
pub(super) fn keep(data: &Path, file: &Path, digest: Digest) -> Result<bool, InputsError> {
    let place = path(data, digest);
    let folder = data.join("components");
    make_folder(&folder)?;
    let is_new = !place.exists();
    fs::File::open(file).and_then(|file| file.sync_all()).map_err(at(file))?;
    // Whatever is there has the same bytes, or was damaged.
    fs::rename(file, &place).map_err(at(&place))?;
    fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(at(&folder))?;
    Ok(is_new)
}
