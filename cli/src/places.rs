//! Where things are kept on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::args::CacheArguments;

/// The folder of what can be made again.
pub(crate) fn cache(arguments: &CacheArguments) -> anyhow::Result<PathBuf> {
    let folder = match &arguments.cache_dir {
        Some(folder) => folder.clone(),
        None => user_cache().context("there is no HOME to keep a cache in: give --cache-dir")?.join("armada"),
    };
    Ok(std::path::absolute(folder)?)
}

/// The folder of compiled components, in a cache.
pub(crate) fn components(cache: &Path) -> PathBuf {
    cache.join("components")
}

/// The user's folder for caches (XDG Base Directory Specification).
fn user_cache() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    given.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}
