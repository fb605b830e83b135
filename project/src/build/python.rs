//! Projects in Python: componentize-py makes a component of an interpreter and what it has imported.
//!
//! None of the project's code runs on this machine itself: packages are installed from wheels only, which runs none of
//! theirs, and modules are imported by the interpreter in Wasm, which sees copies of the project's files and nothing
//! else. What was built is kept under the digest of all that it was built from.

mod packages;
mod sources;
mod tool;
mod workshop;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use self::packages::Packages;
use self::sources::Sources;
use self::tool::Tool;
use self::workshop::Workshop;
use super::{Bounds, BuildError, BuildOptions, CutShort, Progress, run};
use crate::component::{Component, SDK_SECTION, TESTS_SECTION, USES_SECTION};
use crate::digest::Digest;
use crate::mistake::{Mistake, Mistakes};
use crate::sdk;
use crate::suggest::harmless_text;
use crate::text::{SourceFile, Span};

/// How long importing a project may take: a module that computes for ever would be imported for ever.
const TIME: Duration = Duration::from_secs(300);
/// How much may lie in the folder that a project is built in, in bytes: its modules are imported there, and may write.
const MOST_SPACE: u64 = 1 << 30;
/// How much the interpreter may have to say, in bytes.
const MOST_WORD: u64 = 16 << 20;
/// How many components are kept; of those, the ones that were used last.
const KEPT: usize = 50;
/// What the interpreter runs.
const ENTRY: &str = "armada._component";

/// What tests are written with: the version whose parts the SDK knows from inside.
const PYTEST: &str = "pytest==9.2.0";

/// What the interpreter leaves word of when all is well.
#[derive(Deserialize)]
struct Report {
    /// The capabilities that the project's modules speak of.
    uses: Vec<String>,
    /// The project's tests, where they are part of the component.
    tests: Option<Vec<serde_json::Value>>,
}

/// What it leaves word of when something is wrong.
#[derive(Deserialize)]
struct Wrong {
    message: String,
    help: Option<String>,
    /// `file:line` and more, innermost first.
    places: Vec<String>,
}

/// Makes a component of a project, or takes the one that was made of the same.
pub(super) fn build(
    root: &Path,
    options: BuildOptions<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Component, BuildError> {
    let cache = options.cache.join("python");
    // What is printed by tools and by the project's modules goes to a terminal.
    let progress: &mut dyn FnMut(Progress<'_>) = &mut |told| match told {
        Progress::Line(line) => progress(Progress::Line(&harmless_text(line))),
        told => progress(told),
    };
    let sources = Sources::read(root, options.tests)?;
    let mut packages = Packages::read(root)?;
    if options.tests {
        packages.put(PYTEST);
    }
    let key = key(&sources, &packages);
    let kept = cache.join("components").join(format!("{}.wasm", key.to_hex()));
    if let Ok(bytes) = fs::read(&kept) {
        touch(&kept);
        return Ok(Component::read(bytes)?);
    }
    let tool = Tool::new(&cache);
    let installed = packages.install(&tool, &cache, progress)?;
    let bytes = make(&sources, installed.as_deref(), &tool, progress)?;
    let component = Component::read(bytes)?;
    // A cache that cannot be written costs time and nothing else.
    let _ = keep(&kept, component.bytes());
    Ok(component)
}

/// The digest of everything that a component is made of.
fn key(sources: &Sources, packages: &Packages) -> Digest {
    let mut hash = Sha256::new();
    hash.update(rules());
    sdk::each_python_file(&mut |path, content| part(&mut hash, path, content));
    packages.each(&mut |line| part(&mut hash, Path::new("requirements.txt"), line.as_bytes()));
    sources.each(&mut |path, content| part(&mut hash, path, content));
    Digest::from_bytes(hash.finalize().into())
}

/// What decides beside the inputs themselves: the versions of what makes components, and where packages come from.
fn rules() -> String {
    let index = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE"]
        .map(|name| std::env::var(name).unwrap_or_default());
    format!("{} {} {}", tool::VERSION, env!("CARGO_PKG_VERSION"), index.join(" "))
}

fn part(hash: &mut Sha256, path: &Path, content: &[u8]) {
    let path = path.as_os_str().as_encoded_bytes();
    for bytes in [path, content] {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
}

/// Has the interpreter import copies of everything, and keeps it as it is then.
fn make(
    sources: &Sources,
    packages: Option<&Path>,
    tool: &Tool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<u8>, BuildError> {
    let mut command = tool.componentize(progress)?;
    progress(Progress::Step("compiling"));
    let workshop = Workshop::open(tool.folder(), progress)?;
    let folder = workshop.folder();
    // In the order of the folders that `_component.py` names.
    let folders = ["sdk", "reference", "project", "packages", "word"].map(|name| folder.join(name));
    let [own, reference, project, installed, word] = &folders;
    // The interpreter may write to what it sees, and it would see the packages of the environment that componentize-py
    // is installed in, unless there is another environment: this one, which is empty.
    let environment = folder.join("environment");
    fs::create_dir_all(environment.join("site-packages")).map_err(at(&environment))?;
    command.env("VIRTUAL_ENV", &environment);
    for folder in &folders {
        fs::create_dir(folder).map_err(at(folder))?;
    }
    sdk::write_python(own, reference, &folder.join("wit"))
        .map_err(|(path, source)| BuildError::File { path, source })?;
    sources.write(project)?;
    if let Some(packages) = packages {
        packages::copy(packages, installed)?;
    }
    let output = folder.join("component.wasm");
    command.arg("-q").arg("-d").arg(folder.join("wit")).args(["-w", "modifying-project", "componentize", ENTRY]);
    for folder in &folders {
        command.arg("-p").arg(folder);
    }
    command.arg("-o").arg(&output).current_dir(folder);
    let mut printed = String::new();
    let bounds = Bounds { time: TIME, folder: Some((folder.to_owned(), MOST_SPACE)) };
    let ended = run(command, Some(bounds), &mut |told| match told {
        // What it prints is not for people; what the interpreter has to say is in the folder for it.
        Progress::Line(line) => {
            printed.push_str(line);
            printed.push('\n');
        }
        told => progress(told),
    })
    .map_err(tool::not_started)?;
    match ended.cut_short {
        Some(CutShort::Time) => {
            return Err(BuildError::TooLong { what: "importing the project's modules", seconds: TIME.as_secs() });
        }
        Some(CutShort::Space) => {
            return Err(BuildError::TooMuch { what: "what the project's modules write while they are imported" });
        }
        None => {}
    }
    if !ended.status.success() {
        return match told(&word.join("wrong.json")) {
            Some(wrong) => Err(mistake(wrong, sources).into()),
            None => {
                progress(Progress::Line(&printed));
                Err(BuildError::Compile)
            }
        };
    }
    let report: Report = told(&word.join("report.json")).ok_or(BuildError::NoComponent)?;
    let mut bytes = fs::read(&output).map_err(at(&output))?;
    append_section(&mut bytes, SDK_SECTION, concat!("python ", env!("CARGO_PKG_VERSION")));
    append_section(&mut bytes, USES_SECTION, &report.uses.join(" "));
    if let Some(tests) = report.tests {
        let lines: Vec<String> = tests.iter().map(ToString::to_string).collect();
        append_section(&mut bytes, TESTS_SECTION, &lines.join("\n"));
    }
    Ok(bytes)
}

/// What the interpreter left word of. The project's modules could write there, too: it is read as what anybody sends.
fn told<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|about| about.is_file() && about.len() <= MOST_WORD);
    is_file.then(|| fs::read(path).ok()).flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// What is wrong, at its place in the author's file.
fn mistake(wrong: Wrong, sources: &Sources) -> Mistakes {
    let message = wrong.message;
    // What the project's modules left there may name any file.
    let mut places =
        wrong.places.iter().filter_map(|place| Place::read(place)).filter(|place| sources.text(place.file).is_some());
    let mistake = match places.next() {
        Some(place) => {
            let source = SourceFile::new(place.file, sources.text(place.file).unwrap_or_default());
            source.mistake(place.span(source.text()), message)
        }
        None => Mistake::new("the project", message),
    };
    let others: Vec<String> = places.map(|place| format!("{}:{}", place.file, place.line)).collect();
    let others = (!others.is_empty()).then(|| format!("reached from {}", others.join(", ")));
    let help: Vec<String> = wrong.help.into_iter().chain(others).collect();
    if help.is_empty() { mistake } else { mistake.help(help.join("; ")) }.into()
}

/// A place in an author's file, as the interpreter tells it: `file:line`, perhaps `:column`, and more for people.
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: Option<usize>,
}

impl<'a> Place<'a> {
    fn read(place: &'a str) -> Option<Self> {
        let mut parts = place.split(' ').next()?.split(':');
        let (file, line) = (parts.next()?, parts.next()?.parse().ok()?);
        Some(Self { file, line, column: parts.next().and_then(|column| column.parse().ok()) })
    }

    /// The place in the file's text: the character, or the line without the blanks around it.
    fn span(&self, text: &str) -> Span {
        let before: usize = text.split_inclusive('\n').take(self.line.saturating_sub(1)).map(str::len).sum();
        let content = text.get(before..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        if let Some(column) = self.column
            && let Some((at, character)) = content.char_indices().nth(column.saturating_sub(1))
        {
            return Span::new(before + at, before + at + character.len_utf8());
        }
        let start = before + content.len() - content.trim_start().len();
        Span::new(start, start + content.trim().len())
    }
}

/// Appends a custom section to a component (WebAssembly Core Specification, 5.5.3).
fn append_section(component: &mut Vec<u8>, name: &str, content: &str) {
    let mut body = Vec::new();
    length(&mut body, name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content.as_bytes());
    component.push(0);
    length(component, body.len());
    component.extend_from_slice(&body);
}

/// An unsigned LEB128 number.
fn length(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Keeps a component, and not too many of them.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Written beside it and then put in its place: half a component is never there.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    trim(folder, KEPT);
    Ok(())
}

/// Removes what was used longest ago of a folder, but for so much.
fn trim(folder: &Path, kept: usize) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    entries.sort();
    for (_, path) in entries.iter().take(entries.len().saturating_sub(kept)) {
        // What cannot be removed takes space and does no harm.
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// Notes that something was used.
fn touch(path: &Path) {
    if let Ok(file) = fs::File::open(path) {
        // Without it, the file may be thrown away sooner.
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

/// An error of a file.
fn at(path: &Path) -> impl Fn(io::Error) -> BuildError {
    let path: PathBuf = path.to_owned();
    move |source| BuildError::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_can_be_read_again() {
        let mut component = wat::parse_str(
            r#"(component (import "x:y/z@1.0.0" (instance $i)) (export "armada:project/lifecycle@0.1.0" (instance $i)))"#,
        )
        .unwrap();
        // Long enough for a length of two bytes; what is shown of it is less.
        append_section(&mut component, SDK_SECTION, &format!("python {}", "x".repeat(300)));
        append_section(&mut component, USES_SECTION, "browser");
        assert!(Component::read(component).unwrap().sdk().unwrap().starts_with("python xxx"));
    }

    #[test]
    fn a_mistake_shows_the_authors_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ctx_script.py"), "import a\n  from b import c\n").unwrap();
        fs::create_dir(folder.path().join("addon")).unwrap();
        fs::write(folder.path().join("addon/x.py"), "").unwrap();
        let sources = Sources::read(folder.path(), false).unwrap();
        let wrong = Wrong {
            message: "ModuleNotFoundError: No module named 'b'".to_owned(),
            help: None,
            places: ["ctx_script.py:2", "addon/x.py:7 in f: g()", "/etc/passwd:1"].map(str::to_owned).to_vec(),
        };
        let lines: Vec<_> = mistake(wrong, &sources).lines().collect();
        let expected = "ctx_script.py:2:3: ModuleNotFoundError: No module named 'b' (reached from addon/x.py:7)";
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn a_place_that_is_not_there_is_the_end_of_the_file() {
        let span = |place: &str, text: &str| Place::read(place).unwrap().span(text);
        assert_eq!(span("a.py:9", "a\nb"), Span::new(3, 3));
        assert_eq!(span("a.py:2 in f: b", "a\n  b \n"), Span::new(4, 5));
        assert_eq!(span("a.py:0", ""), Span::new(0, 0));
        assert_eq!(span("a.py:1:2", "aü"), Span::new(1, 3));
        assert_eq!(span("a.py:1:9", "aü"), Span::new(0, 3));
        assert!(Place::read("somewhere").is_none());
    }
}
