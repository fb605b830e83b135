//! The packages of `requirements.txt`: installed from wheels, checked for what cannot run in Wasm, and kept.
//!
//! A source distribution would run its own code on this machine to become a package, so none is ever built. Native code
//! is for another machine than the sandbox; of packages that work without theirs, the rest is taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::tool::{Tool, run_told};
use super::{at, touch};
use crate::build::{BuildError, Progress};
use crate::digest::Digest;
use crate::mistake::Mistakes;
use crate::text::{SourceFile, Span};

const FILE: &str = "requirements.txt";
/// The version of Python in the sandbox.
const PYTHON: &str = "3.14";
/// How much a requirements file may hold, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Packages that have native code and work without it, as tried.
const WORK_WITHOUT: [&str; 3] = ["charset_normalizer", "markupsafe", "pyyaml"];

/// Packages that authors ask for and that cannot work, with what to do.
const INSTEAD: [(&str, &str); 14] = [
    ("aiohttp", "the page's own requests, or `page.evaluate(\"fetch(…)\")`"),
    ("cryptography", "hashlib, hmac and secrets of the standard library"),
    ("html5lib-modern", "beautifulsoup4"),
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
        let path = root.join(FILE);
        let bytes = match fs::metadata(&path) {
            Err(_) => return Ok(Self { source: None, requirements: Vec::new() }),
            Ok(about) if about.len() > MOST_BYTES => {
                return Err(Mistakes::from(crate::mistake::Mistake::new(FILE, "larger than 1 MiB")).into());
            }
            Ok(_) => fs::read(&path).map_err(at(&path))?,
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
        let key = Digest::of(format!("{PYTHON}\n{lines}").as_bytes()).to_hex();
        let folder = cache.join("packages").join(&key);
        let complete = cache.join("packages").join(format!("{key}.complete"));
        if complete.exists() {
            touch(&complete);
            return Ok(Some(folder));
        }
        let mut pip = tool.pip(progress)?;
        let _lock = tool.lock()?;
        if !complete.exists() {
            progress(Progress::Step("installing requirements.txt"));
            fs::create_dir_all(cache.join("packages")).map_err(at(cache))?;
            let wanted = cache.join("packages").join(format!("{key}.txt"));
            fs::write(&wanted, &lines).map_err(at(&wanted))?;
            self.fetch(&mut pip, &wanted, &folder, progress)?;
            self.refuse_native(&folder)?;
            fs::write(&complete, "").map_err(at(&complete))?;
        }
        Ok(Some(folder))
    }

    /// Has pip put wheels into a folder: those that are Python alone, and only where there is none, those of Linux, to see
    /// what of them is left without native code.
    fn fetch(
        &self,
        pip: &mut std::process::Command,
        wanted: &Path,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), BuildError> {
        let program = pip.get_program().to_owned();
        let arguments: Vec<_> = pip.get_args().map(ToOwned::to_owned).collect();
        let mut said = String::new();
        for platforms in
            [&["any"][..], &["any", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]]
        {
            let _ = fs::remove_dir_all(folder);
            let mut pip = std::process::Command::new(&program);
            pip.args(&arguments).args([
                "install",
                "--only-binary",
                ":all:",
                "--no-compile",
                "--python-version",
                PYTHON,
            ]);
            pip.args(["--implementation", "cp", "--abi", "none", "--target"]).arg(folder);
            for platform in platforms {
                pip.args(["--platform", platform]);
            }
            if platforms.len() > 1 {
                pip.args(["--abi", "cp314", "--abi", "abi3"]);
            }
            pip.arg("--requirement").arg(wanted);
            let (succeeded, told) = run_told(&mut pip, progress)?;
            if succeeded {
                return Ok(());
            }
            said = told;
            if !said.contains("No matching distribution") && !said.contains("ResolutionImpossible") {
                break;
            }
        }
        Err(self.not_installed(&said))
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
            None => crate::mistake::Mistake::new(
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

    /// Refuses packages that need their native code, by name; of the others, removes it.
    fn refuse_native(&self, folder: &Path) -> Result<(), BuildError> {
        let owners = owners(folder)?;
        let mut native: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in files(folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if !(name.ends_with(".so") || name.contains(".so.") || name.ends_with(".pyd") || name.ends_with(".dylib")) {
                continue;
            }
            let relative = file.strip_prefix(folder).unwrap_or(&file).to_owned();
            let owner = owners.get(&relative).cloned().unwrap_or_else(|| {
                package_name(
                    &relative.components().next().map(|top| top.as_os_str().to_string_lossy()).unwrap_or_default(),
                )
            });
            if WORK_WITHOUT.contains(&owner.as_str()) {
                fs::remove_file(&file).map_err(at(&file))?;
            } else {
                native.entry(owner).or_insert(relative);
            }
        }
        let mut mistakes = Mistakes::default();
        for (owner, file) in native {
            let message = format!("`{owner}` has native code ({}), which cannot run in the sandbox", file.display());
            let help = match instead(&owner) {
                Some(instead) => format!("use {instead}"),
                None => "use a package that is Python alone (its wheel's name ends with `-none-any.whl`)".to_owned(),
            };
            let place = self.place_of(&owner).zip(self.source.as_ref());
            mistakes.push(match place {
                Some((span, source)) => source.mistake(span, message).help(help),
                None => crate::mistake::Mistake::new(FILE, format!("{message}; a requirement needs it")).help(help),
            });
        }
        mistakes.unless_any(|| ()).map_err(|mistakes| {
            // What is refused is asked for again only when it may have changed.
            let _ = fs::remove_dir_all(folder);
            mistakes.into()
        })
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

/// Whether a line names a package and its versions, and nothing that would have pip do something else.
fn check(line: &str) -> Result<(), (&'static str, &'static str)> {
    if line.is_empty() {
        return Ok(());
    }
    if line.starts_with('-') {
        return Err((
            "options are not allowed here",
            "write the names and versions of packages only; settings of pip are for pip.conf or its environment variables",
        ));
    }
    if line.ends_with('\\') {
        return Err(("a line that goes on in the next one", "write each requirement on one line"));
    }
    let specifier = line.split(';').next().unwrap_or(line);
    let leads_elsewhere = specifier.contains("://") || specifier.contains('@') || specifier.contains('/');
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_.[], <>=!~*+()".contains(one);
    let begins = specifier.starts_with(|one: char| one.is_ascii_alphanumeric());
    if leads_elsewhere || !begins || !specifier.chars().all(is_plain) || specifier.trim_end().ends_with(".whl") {
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

/// Which package each installed file belongs to, as the packages record it (PEP 376).
fn owners(folder: &Path) -> Result<BTreeMap<PathBuf, String>, BuildError> {
    let mut owners = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(at(folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(package) = name.strip_suffix(".dist-info").and_then(|name| name.split('-').next()) else { continue };
        let record = fs::read_to_string(entry.path().join("RECORD")).unwrap_or_default();
        for line in record.lines() {
            let file = line.split(',').next().unwrap_or_default();
            owners.insert(PathBuf::from(file), package_name(package));
        }
    }
    Ok(owners)
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
    fn native_code_is_refused_by_the_name_of_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, content: &str| {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("lxml/etree.cpython-314-x86_64-linux-gnu.so", "");
        write("lxml-6.0.dist-info/RECORD", "lxml/etree.cpython-314-x86_64-linux-gnu.so,sha256=x,1\n");
        write("markupsafe/_speedups.so", "");
        write("MarkupSafe-3.0.dist-info/RECORD", "markupsafe/_speedups.so,,\n");
        let source = SourceFile::new(FILE, "bs4\nlxml\n".to_owned());
        let requirements = vec![(Span::new(0, 3), "bs4".to_owned()), (Span::new(4, 8), "lxml".to_owned())];
        let packages = Packages { source: Some(source), requirements };
        let Err(BuildError::Mistakes(mistakes)) = packages.refuse_native(folder.path()) else { panic!() };
        let lines: Vec<_> = mistakes.lines().collect();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("requirements.txt:2:1: `lxml` has native code (lxml/etree."), "{lines:?}");
        assert!(lines[0].contains("beautifulsoup4"), "{lines:?}");
    }
}
