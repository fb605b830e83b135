//! Components on disk: one file per digest, there as a whole or not at all.
//!
//! A component stays for as long as there is a run that was launched with it; and for a while after somebody was told
//! that it is here, since they may launch a run with it. A file's time says when that was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use armada_project::{Component, ComponentRef, Digest};
use axum::body::Body;

use super::receive::{Spool, inspecting};
use super::{InputsError, at, components_in_use, make_folder, new_upload};
use crate::http::{MistakeView, Problem};

/// What a component that is being received is called.
const FILE: &str = "component.wasm";
/// What mistakes of a component name.
const PART: &str = "component";

/// Where a component is kept.
pub(super) fn path(data: &Path, digest: Digest) -> PathBuf {
    data.join("components").join(format!("{}.wasm", digest.to_hex()))
}

/// How long a component stays that somebody was told of: much longer than it takes to launch a run with it.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// Held while the time of a component is set, or it is removed because of it.
static TIMES: Mutex<()> = Mutex::new(());

fn times() -> MutexGuard<'static, ()> {
    TIMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many bytes a component has, if it is here. Then it stays for a while.
pub fn find_component(data: &Path, digest: Digest) -> Result<Option<u64>, InputsError> {
    let place = path(data, digest);
    let _times = times();
    let found = fs::File::open(&place).and_then(|file| {
        file.set_modified(SystemTime::now())?;
        Ok(file.metadata()?.len())
    });
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(at(&place)),
    }
}

/// Removes the components that no run was launched with, and that nobody was told of lately. Says how many.
pub fn remove_unused_components(data: &Path) -> Result<u64, InputsError> {
    let folder = data.join("components");
    let files = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        files => files.map_err(at(&folder))?,
    };
    let mut old = Vec::new();
    for file in files {
        let place = file.map_err(at(&folder))?.path();
        let digits = place.file_name().and_then(|name| name.to_str()?.strip_suffix(".wasm"));
        let digest = digits.and_then(|digits| format!("sha256:{digits}").parse::<Digest>().ok());
        old.extend(digest.filter(|_| is_old(&place)));
    }
    if old.is_empty() {
        return Ok(0);
    }
    let used = components_in_use(data)?;
    let mut removed = 0;
    for digest in old {
        if used.contains(&digest) {
            // So that runs are not looked through for it again before long.
            find_component(data, digest)?;
            continue;
        }
        let place = path(data, digest);
        let _times = times();
        // Somebody may have been told of it meanwhile.
        if is_old(&place) {
            fs::remove_file(&place).map_err(at(&place))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether nobody was told of a component for so long that it may go.
fn is_old(place: &Path) -> bool {
    let time = place.metadata().and_then(|metadata| metadata.modified());
    time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= GRACE))
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
    let renamed = {
        let _times = times();
        fs::rename(file, &place)
    };
    renamed.map_err(at(&place))?;
    fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(at(&folder))?;
    Ok(is_new)
}
