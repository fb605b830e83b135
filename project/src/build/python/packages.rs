//! The packages of `requirements.txt`: installed from wheels, checked for what cannot run in Wasm, and kept.
//!
//! A source distribution would run its own code on this machine to become a package, so none is ever built. Native code
//! is for another machine than the sandbox; of packages that work without theirs, the rest is taken.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::tool::{Tool, run_told};
use super::workshop::{Workshop, lock};
use super::{MOST_SPACE, at, rules, touch, trim};
use crate::build::{BuildError, Progress};
use crate::digest::Digest;
use crate::mistake::{Mistake, Mistakes};
use crate::text::{self, SourceFile, Span};

const FILE: &str = "requirements.txt";
/// How many sets of packages are kept; of those, the ones that were used last.
const KEPT: usize = 20;
/// The version of Python in the sandbox.
const PYTHON: &str = "3.14";
/// How much a requirements file may hold, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Packages that have native code and work without it, as tried.
const WORK_WITHOUT: [&str; 3] = ["charset_normalizer", "markupsafe", "pyyaml"];

/// Packages that authors ask for and that cannot work, with what to do.
const INSTEAD: [(&str, &str); 12] = [
    ("cryptography", "hashlib, hmac and secrets of the standard library"),
    ("lxml", "beautifulsoup4 with \"html.parser\", or xml.etree.ElementTree"),
    ("msgspec", "dataclasses and json"),
    ("numpy", "statistics and math of the standard library, or do it where results are read"),
    ("orjson", "json of the standard library"),
    ("pandas", "csv of the standard library, or do it where results are read"),
    ("pillow", "`page.screenshot`, or do it where artifacts are read"),
    ("playwright", "`agent_ctx.browser`, whose pages have the same methods"),
    ("pydantic", "dataclasses"),
    ("pydantic_core", "dataclasses in place of pydantic"),
    ("regex", "re of the standard library"),
    ("rpds_py", "a check of your own in place of jsonschema"),
];

/// The requirements of a project.
pub(super) struct Packages {
    source: Option<SourceFile>,
    /// Each with its place in the file.
    requirements: Vec<(Span, String)>,
}

impl Packages {
    /// Reads and checks a project's requirements file, if it has one.
    pub(super) fn read(root: &Path) -> Result<Self, BuildError> {
        let Some(bytes) = text::read_in(root, FILE, MOST_BYTES).map_err(Mistakes::from)? else {
            return Ok(Self { source: None, requirements: Vec::new() });
        };
        let source = SourceFile::from_bytes(FILE, bytes).map_err(Mistakes::from)?;
        let mut mistakes = Mistakes::default();
        let mut requirements = Vec::new();
        let mut start = 0;
        for line in source.text().split_inclusive('\n') {
            let text = without_comment(line).trim();
            let at = start + line.find(text).unwrap_or(0);
            let span = Span::new(at, at + text.len());
            start += line.len();
            match check(text) {
                Ok(()) if text.is_empty() => {}
                Ok(()) => requirements.push((span, text.to_owned())),
                Err((message, help)) => mistakes.push(source.mistake(span, message).help(help)),
            }
        }
        mistakes.unless_any(|| ()).map(|()| Self { source: Some(source), requirements }).map_err(Into::into)
    }

    /// Adds a requirement, in place of one that the project has for the same package.
    pub(super) fn put(&mut self, requirement: &str) {
        let name = package_name(requirement);
        self.requirements.retain(|(_, other)| package_name(other) != name);
        self.requirements.push((Span::new(0, 0), requirement.to_owned()));
    }

    /// Each requirement.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&str)) {
        self.requirements.iter().for_each(|(_, requirement)| visit(requirement));
    }

    /// The folder that they are installed in, or nothing where there are none.
    pub(super) fn install(
        &self,
        tool: &Tool,
        cache: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<PathBuf>, BuildError> {
        if self.requirements.is_empty() {
            return Ok(None);
        }
        let lines: String = self.requirements.iter().map(|(_, requirement)| format!("{requirement}\n")).collect();
        let key = Digest::of(format!("{} {PYTHON}\n{lines}", rules()).as_bytes()).to_hex();
        let kept = cache.join("packages");
        let folder = kept.join(&key);
        if !folder.exists() {
            let workshop = Workshop::open(cache, progress)?;
            {
                let _lock = lock(tool.folder(), progress)?;
                tool.prepare(progress)?;
            }
            progress(Progress::Step("installing requirements.txt, then building"));
            let fresh = workshop.folder().join("packages");
            fs::create_dir(&fresh).map_err(at(&fresh))?;
            // Wheels of Linux, too, to tell what has native code from what is not there at all.
            let mut pip = install_into(tool, &fresh, &["any", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64"]);
            pip.args(["--abi", "cp314", "--abi", "abi3", "--"]);
            pip.args(self.requirements.iter().map(|(_, requirement)| requirement));
            run_told(pip, space(&workshop), progress)?.map_err(|said| self.not_installed(&said))?;
            self.remove_native(tool, &workshop, &fresh, progress)?;
            fs::create_dir_all(&kept).map_err(at(&kept))?;
            // Half of them are never there; another build may have been first.
            if let Err(error) = fs::rename(&fresh, &folder)
                && !folder.exists()
            {
                return Err(at(&folder)(error));
            }
            trim(&kept, KEPT);
        }
        touch(&folder);
        Ok(Some(folder))
    }

    /// What pip could not do, at the requirement that it was about.
    fn not_installed(&self, said: &str) -> BuildError {
        let named = said.split("No matching distribution found for ").nth(1).and_then(|rest| rest.lines().next());
        let (Some(source), Some(named)) = (&self.source, named) else {
            return BuildError::Install { what: FILE.to_owned(), reason: said.to_owned() };
        };
        let name = package_name(named);
        let mistake = match self.place_of(&name) {
            Some(span) => source.mistake(span, format!("there is no wheel of `{named}` for Python {PYTHON}")),
            None => Mistake::new(
                FILE,
                format!("there is no wheel of `{named}`, which a requirement needs, for Python {PYTHON}"),
            ),
        };
        let help = match instead(&name) {
            Some(instead) => format!("use {instead}"),
            None => "source distributions are not built, because that runs their code on this machine: is the name right, and \
                     is there a version with a wheel?"
                .to_owned(),
        };
        Mistakes::from(mistake.help(help)).into()
    }

    /// Takes the native code out of what works without it, and the same version in Python alone in place of what has
    /// one; refuses all others by name.
    fn remove_native(
        &self,
        tool: &Tool,
        workshop: &Workshop,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), BuildError> {
        let mut mistakes = Mistakes::default();
        for package in Package::all(folder)? {
            let Some(native) = package.files.iter().find(|file| is_native(file)) else { continue };
            if WORK_WITHOUT.contains(&package.name.as_str()) {
                package.remove(folder, is_native)?;
                continue;
            }
            let (message, help) = (
                format!("`{}` has native code ({}), which cannot run in the sandbox", package.name, native.display()),
                match instead(&package.name) {
                    Some(instead) => format!("use {instead}"),
                    None => {
                        "use a package that is Python alone (its wheel's name ends with `-none-any.whl`)".to_owned()
                    }
                },
            );
            package.remove(folder, |_| true)?;
            let fresh = workshop.folder().join(&package.name);
            let mut pip = install_into(tool, &fresh, &["any"]);
            pip.arg("--no-deps").arg("--").arg(format!("{}=={}", package.name, package.version));
            // What it says when there is none is not for people: that it is refused is.
            let mut quietly = |told: Progress<'_>| {
                if !matches!(told, Progress::Line(_)) {
                    progress(told);
                }
            };
            if run_told(pip, space(workshop), &mut quietly)?.is_ok() {
                copy(&fresh, folder)?;
                continue;
            }
            let place = self.place_of(&package.name).zip(self.source.as_ref());
            mistakes.push(match place {
                Some((span, source)) => source.mistake(span, message).help(help),
                None => Mistake::new(FILE, format!("{message}; a requirement needs it")).help(help),
            });
        }
        mistakes.unless_any(|| ()).map_err(Into::into)
    }

    fn place_of(&self, name: &str) -> Option<Span> {
        self.requirements.iter().find(|(_, requirement)| package_name(requirement) == name).map(|(span, _)| *span)
    }
}

fn instead(name: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(refused, _)| *refused == name).map(|(_, instead)| *instead)
}

/// A line without what follows a `#`.
fn without_comment(line: &str) -> &str {
    match line.find(" #").or_else(|| line.starts_with('#').then_some(0)) {
        Some(at) => line.get(..at).unwrap_or(line),
        None => line,
    }
}

/// How much installed packages may take.
fn space(workshop: &Workshop) -> Option<(PathBuf, u64)> {
    Some((workshop.folder().to_owned(), MOST_SPACE))
}

/// Whether a line names a package and its versions, and nothing that would have pip do something else. What it may
/// consist of is listed here, because pip has its own ideas of where a line ends, what a variable is and what leads
/// elsewhere.
fn check(line: &str) -> Result<(), (&'static str, &'static str)> {
    if line.is_empty() {
        return Ok(());
    }
    if line.starts_with('-') || line.contains(" -") {
        return Err((
            "options are not allowed here",
            "write the names and versions of packages only; settings of pip are for pip.conf or its environment variables",
        ));
    }
    if line.ends_with('\\') {
        return Err(("a line that goes on in the next one", "write each requirement on one line"));
    }
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_.[], <>=!~*+();'\"".contains(one);
    let begins = line.starts_with(|one: char| one.is_ascii_alphanumeric());
    let name = line.split([';', ' ', '<', '>', '=', '!', '~', '[', '(']).next().unwrap_or(line).to_ascii_lowercase();
    let is_archive = [".whl", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".tar", ".tbz", ".txz", ".tlz", ".lzma"]
        .iter()
        .any(|ending| name.ends_with(ending));
    if !begins || !line.chars().all(is_plain) || is_archive {
        return Err((
            "this does not name a package of the package index",
            "write a name and, if you like, versions, such as `beautifulsoup4>=4.12`; put modules of your own into addon/",
        ));
    }
    Ok(())
}

/// The name of the package that a requirement is about, normalised with `_` (PEP 503).
fn package_name(requirement: &str) -> String {
    let end = requirement.find(|one: char| !(one.is_ascii_alphanumeric() || "-_.".contains(one)));
    let name = requirement.get(..end.unwrap_or(requirement.len())).unwrap_or(requirement);
    let mut normal = String::new();
    for one in name.chars() {
        let one = if "-_.".contains(one) { '_' } else { one.to_ascii_lowercase() };
        if one != '_' || !normal.ends_with('_') {
            normal.push(one);
        }
    }
    normal
}

/// pip, to put wheels for the sandbox's Python and these platforms into a folder.
fn install_into(tool: &Tool, folder: &Path, platforms: &[&str]) -> Command {
    let mut pip = tool.pip_install();
    pip.args(["--no-compile", "--python-version", PYTHON, "--implementation", "cp", "--abi", "none", "--target"]);
    pip.arg(folder);
    for platform in platforms {
        pip.args(["--platform", platform]);
    }
    pip
}

/// Whether a file is code for a machine.
fn is_native(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") || name.contains(".so.") || name.ends_with(".pyd") || name.ends_with(".dylib")
}

/// An installed package, as it records itself (PEP 376).
struct Package {
    name: String,
    version: String,
    files: Vec<PathBuf>,
}

impl Package {
    /// The packages in a folder.
    fn all(folder: &Path) -> Result<Vec<Self>, BuildError> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(folder).map_err(at(folder))?.flatten() {
            let record = entry.file_name().to_string_lossy().into_owned();
            let Some((name, version)) = record.strip_suffix(".dist-info").and_then(|name| name.split_once('-')) else {
                continue;
            };
            let path = entry.path().join("RECORD");
            let lines = fs::read_to_string(&path).map_err(at(&path))?;
            let files = lines.lines().filter_map(|line| line.split(',').next()).map(PathBuf::from);
            // Nothing outside is its own, whatever it says.
            let inside = |file: &PathBuf| file.components().all(|part| matches!(part, Component::Normal(_)));
            packages.push(Self {
                name: package_name(name),
                version: version.to_owned(),
                files: files.filter(inside).collect(),
            });
        }
        Ok(packages)
    }

    /// Removes those of its files that are meant.
    fn remove(&self, folder: &Path, is_meant: impl Fn(&Path) -> bool) -> Result<(), BuildError> {
        for file in self.files.iter().filter(|file| is_meant(file)) {
            let path = folder.join(file);
            if path.exists() {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }
}

/// All files in a folder and below it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))?.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    Ok(found)
}

/// Copies installed packages: what imports them shall not write where they are kept.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), BuildError> {
    for file in files(from)? {
        let target = to.join(file.strip_prefix(from).unwrap_or(&file));
        let parent = target.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(at(parent))?;
        fs::copy(&file, &target).map_err(at(&file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        match Packages::read(folder.path()) {
            Ok(packages) => Ok(packages.requirements.into_iter().map(|(_, text)| text).collect()),
            Err(BuildError::Mistakes(mistakes)) => Err(mistakes.iter().map(|mistake| format!("{mistake:?}")).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn names_and_versions_are_requirements() {
        let text = "# tools\nbeautifulsoup4 >= 4.12  # parses\n\nJinja2[i18n]==3.1.*; python_version > '3.0'\r\n";
        let read = read(text).unwrap();
        assert_eq!(read, ["beautifulsoup4 >= 4.12", "Jinja2[i18n]==3.1.*; python_version > '3.0'"]);
    }

    #[test]
    fn whatever_else_pip_would_do_is_refused_at_its_line() {
        for line in [
            "-e .",
            "--no-binary :all:",
            "-r more.txt",
            "git+https://example.com/x",
            "x @ https://example.com/x.whl",
            "./x",
            "x.whl",
            "x==1 \\",
            "$(reboot)",
            "x; os_name < '${SECRET}'",
            "x; python_version > '3'\u{c}/tmp/x",
            "x\u{2028}y",
            "x --index-url=y",
            "x.tar.gz",
        ] {
            let mistakes = read(&format!("ok\n {line}\n")).unwrap_err();
            assert!(mistakes[0].starts_with("requirements.txt:2:2: "), "{line}: {mistakes:?}");
        }
    }

    #[test]
    fn names_are_compared_as_the_index_does() {
        assert_eq!(package_name("Foo.-Bar[x]>=1"), "foo_bar");
        assert_eq!(package_name("pydantic-core"), "pydantic_core");
    }

    #[test]
    fn a_package_removes_what_it_records_and_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("packages");
        let write = |file: &str, content: &str| {
            let path = inside.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("MarkupSafe-3.0.dist-info/RECORD", "markupsafe/_speedups.so,,\nmarkupsafe/a.py,,\n../outside.so,,\n");
        write("markupsafe/_speedups.so", "");
        write("markupsafe/a.py", "");
        write("../outside.so", "");
        let packages = Package::all(&inside).unwrap();
        assert_eq!((packages[0].name.as_str(), packages[0].version.as_str()), ("markupsafe", "3.0"));
        packages[0].remove(&inside, is_native).unwrap();
        assert!(!inside.join("markupsafe/_speedups.so").exists());
        assert!(inside.join("markupsafe/a.py").exists() && folder.path().join("outside.so").exists());
    }
}
