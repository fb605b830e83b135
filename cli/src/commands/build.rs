//! `armada build`: from a project to one file.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use armada_project::{BuildError, BuildOptions, Bundle, Component, Progress, Project};
use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

use crate::Ending;
use crate::args::{Build, CacheArguments};
use crate::console::{self, Style, has_colours, paint, progress};
use crate::mistakes::tell_notes;
use crate::{places, signals};

pub(crate) fn build(arguments: &Build) -> anyhow::Result<Ending> {
    let project = Project::open(&arguments.project.project)?;
    let component = compile(&project, &arguments.cache, false)?;
    let path = arguments.output.clone().unwrap_or_else(|| project.root().join(format!("{}.armada", project.name())));
    write_bundle(&project, &component, &path).with_context(|| format!("{}", path.display()))?;
    let reference = component.reference();
    if arguments.json {
        let built = serde_json::json!({
            "bundle": path, "digest": reference.digest, "size": reference.size, "sdk": component.sdk(),
            "imports": component.imports().collect::<Vec<_>>(),
        });
        writeln!(std::io::stdout().lock(), "{built}")?;
    } else {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} {}", console::paint("built", Style::Good), path.display())?;
        writeln!(out, "  component  {} ({})", reference.digest, BinaryBytes(reference.size))?;
    }
    Ok(Ending::Done)
}

fn write_bundle(project: &Project, component: &Component, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written beside it and then put in its place: half a bundle is never there.
    let mut file = tempfile::Builder::new().make_in(folder, |path| File::create_new(path))?;
    Bundle::write(project, component, BufWriter::new(file.as_file_mut()))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Compiles a project, with its own tests or without, showing what the compiler does; what it printed is shown when it
/// fails.
pub(crate) fn compile(project: &Project, cache: &CacheArguments, tests: bool) -> anyhow::Result<Component> {
    /// Nothing to compile takes less than this, and nothing is shown.
    const QUICK: Duration = Duration::from_millis(400);
    tell_notes(project.notes());
    let started = Instant::now();
    let bar = progress().add(ProgressBar::no_length());
    bar.set_style(
        ProgressStyle::with_template("{spinner} building {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.set_message(project.name().to_owned());
    let mut printed = String::new();
    let mut compiled = false;
    let mut compiling = None;
    let options = BuildOptions { colours: has_colours(), cache: &places::cache(cache)?, tests };
    let built = armada_project::build(project, options, |told| {
        let line = match told {
            Progress::Line(line) => line,
            Progress::Step(step) => {
                compiled = true;
                if std::io::stderr().is_terminal() {
                    bar.enable_steady_tick(Duration::from_millis(100));
                    bar.set_message(format!("{}  {step}", project.name()));
                } else {
                    // Nothing moves, and it may take a minute.
                    let _ = writeln!(std::io::stderr(), "{step} {} …", project.name());
                }
                return;
            }
            Progress::Note(note) => return tell_notes(&[note]),
            Progress::Started(group) => {
                compiling = Some(signals::end_with_us(group));
                return;
            }
        };
        printed.push_str(line);
        printed.push('\n');
        if line.contains("Compiling") && !compiled {
            compiled = true;
            if !std::io::stderr().is_terminal() {
                // Nothing moves, and it may take a minute.
                let _ = writeln!(std::io::stderr(), "compiling {} …", project.name());
            }
        }
        if started.elapsed() > QUICK {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let line = line.trim();
        bar.set_message(format!("{}  {line}", project.name()));
    });
    drop(compiling);
    bar.finish_and_clear();
    if built.is_err() && signals::is_ending() {
        // The compiler was ended by the signal that ends this process: there is nothing else to tell.
        signals::wait_for_the_end();
    }
    let mut err = std::io::stderr().lock();
    match built {
        Ok(component) => {
            if compiled {
                let seconds = started.elapsed().as_secs_f64();
                writeln!(err, "{} {} in {seconds:.1} s", paint("compiled", Style::Good), project.name())?;
            }
            // Warnings of the author's own code are worth seeing.
            if printed.contains("warning") {
                write!(err, "{printed}")?;
            }
            Ok(component)
        }
        Err(error @ BuildError::Compile) => {
            write!(err, "{printed}")?;
            Err(error.into())
        }
        Err(BuildError::Mistakes(mistakes)) => Err(mistakes.into()),
        Err(error) => Err(error.into()),
    }
}
