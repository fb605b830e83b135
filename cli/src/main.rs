//! The `armada` command: one binary for every role.
//!
//! Exit codes: 0 when all went well, 1 when jobs failed, 2 for a mistake in a project or an argument, 130 when it was
//! interrupted (143 when it was told to end).

mod args;
mod commands;
mod console;
mod launch;
mod mistakes;
mod places;
mod run;
mod serve;
mod signals;
mod telemetry;
mod test;

use std::process::ExitCode;

use tokio_rustls::rustls::crypto::ring;

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

impl Ending {
    /// The exit code.
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::JobsFailed => 1,
            Self::Mistake => 2,
            Self::Interrupted(signal) => 128_u8.saturating_add(signal),
        }
    }
}

fn main() -> ExitCode {
    // Libraries bring two providers of cryptography along; this is everybody's. Nobody has chosen one before.
    let _ = ring::default_provider().install_default();
    let arguments = Arguments::of_process();
    let _telemetry = console::set_up(&arguments);
    let json = arguments.command.is_for_machines();
    let ended = signals::listen().map_err(Into::into).and_then(|()| carry_out(arguments.command));
    let ending = ended.unwrap_or_else(|error| {
        mistakes::tell(&error, json);
        Ending::Mistake
    });
    ending.code().into()
}

fn carry_out(command: Command) -> anyhow::Result<Ending> {
    match command {
        Command::New(arguments) => commands::new(&arguments),
        Command::Check(arguments) => commands::check(&arguments),
        Command::Build(arguments) => commands::build(&arguments),
        Command::Config(arguments) => commands::config(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Launch(arguments) => launch::launch(&arguments),
        Command::Test(arguments) => test::test(&arguments),
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::Agent(arguments) => commands::agent(&arguments),
    }
}
