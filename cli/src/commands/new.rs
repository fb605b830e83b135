//! `armada new`: a folder that builds and runs.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use armada_project::{Language, scaffold};
use clap::ValueEnum as _;
use dialoguer::Select;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};

use crate::Ending;
use crate::args::{New, NewLanguage};
use crate::console::{Style, has_colours, paint};
use crate::signals;

pub(crate) fn new(arguments: &New) -> anyhow::Result<Ending> {
    let path = &arguments.path;
    let language: Language = match arguments.lang {
        Some(language) => language.into(),
        None if io::stdin().is_terminal() && io::stderr().is_terminal() => ask()?,
        None => Language::Python,
    };
    for file in scaffold(path, language)? {
        eprintln(&format!("{} {}", paint("created", Style::Good), file.display()));
    }
    let enter = if path == Path::new(".") { String::new() } else { format!("  cd {}\n", quoted(path)) };
    eprintln(&format!(
        "\nNext:\n{enter}  armada check    # is the configuration right, and what may the script do?\n  \
         armada run      # build it and run its jobs\n  \
         armada test     # run its own tests\n\n\
         What a job does is in ctx_script.{}; which hosts it may visit is in config/config_template.json.",
        language.extension(),
    ));
    Ok(Ending::Done)
}

/// Asks for the language.
fn ask() -> anyhow::Result<Language> {
    let languages = NewLanguage::value_variants();
    let theme: &dyn Theme = if has_colours() { &ColorfulTheme::default() } else { &SimpleTheme };
    let question = Select::with_theme(theme).with_prompt("Which language?").default(0).report(true);
    let names = languages.iter().map(|language| Language::from(*language));
    match question.items(names).interact() {
        Ok(chosen) => languages.get(chosen).map(|language| (*language).into()).context("there is no such language"),
        // Ctrl-C is typed, not sent: the prompt passes it on as a signal, which ends this process.
        Err(dialoguer::Error::IO(error)) if error.kind() == io::ErrorKind::Interrupted => signals::wait_for_the_end(),
        Err(error) => Err(error).context("the language could not be asked for: give --lang"),
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |one: char| one.is_alphanumeric() || "/._-".contains(one);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn eprintln(text: &str) {
    eprintln!("{text}");
}
