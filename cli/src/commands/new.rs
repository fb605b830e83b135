//! `armada new`: a folder that builds and runs.

use std::path::Path;

use armada_project::scaffold;

use crate::Ending;
use crate::args::New;
use crate::console::{Style, paint};

pub(crate) fn new(arguments: &New) -> anyhow::Result<Ending> {
    let path = &arguments.path;
    for file in scaffold(path, arguments.lang.into())? {
        eprintln(&format!("{} {}", paint("created", Style::Good), file.display()));
    }
    let enter = if path == Path::new(".") { String::new() } else { format!("  cd {}\n", path.display()) };
    eprintln(&format!(
        "\nNext:\n{enter}  armada check    # is the configuration right, and what may the script do?\n  \
         armada run      # build it and run its jobs\n\n\
         What a job does is in ctx_script.rs; which hosts it may visit is in config/config_template.json.",
    ));
    Ok(Ending::Done)
}

#[allow(clippy::print_stderr, reason = "this is the command line")]
fn eprintln(text: &str) {
    eprintln!("{text}");
}
