//! The `armada` command: one binary for every role.
//!
//! Exit codes: 0 when all went well, 1 when jobs failed, 2 for a mistake in a project or an argument, 130 when it was
//! interrupted (143 when it was told to end).

mod args;
mod commands;
mod console;
mod mistakes;
mod places;
mod run;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All went well.
    Done,
    /// It ran, and jobs failed.
    JobsFailed,
    /// A mistake was made, and has been told.
    Mistake,
    /// It was interrupted by a signal of this number.
    Interrupted(u8),
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::SUCCESS,
            Ending::JobsFailed => Self::from(1),
            Ending::Mistake => Self::from(2),
            Ending::Interrupted(signal) => Self::from(128_u8.saturating_add(signal)),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::set_up(&arguments);
    let ended = match arguments.command {
        Command::New(arguments) => commands::new(&arguments),
        Command::Check(arguments) => commands::check(&arguments),
        Command::Build(arguments) => commands::build(&arguments),
        Command::Config(arguments) => commands::config(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Agent(arguments) => commands::agent(&arguments),
    };
    match ended {
        Ok(ending) => ending.into(),
        Err(error) => {
            mistakes::tell(&error);
            Ending::Mistake.into()
        }
    }
}
