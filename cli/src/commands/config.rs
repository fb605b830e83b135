//! `armada config`: the final messages, and where each of their values comes from.

use std::io::{self, BufWriter, Write};

use armada_project::{Configuration, Explained, Injection, Messages, Project};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Ending;
use crate::args::Config;
use crate::commands::compile;
use crate::console::{Style, paint};
use crate::mistakes::tell_notes;

pub(crate) fn config(arguments: &Config) -> anyhow::Result<Ending> {
    let project = Project::open(&arguments.project.project)?;
    let mut configuration = project.resolve(arguments.layers.mode, &arguments.layers.overrides())?;
    tell_notes(configuration.notes());
    if arguments.injected {
        let component = compile(&project, &arguments.cache, false)?.reference();
        configuration = configuration.inject(Injection { run_id: armada_protocol::RunId::new().0, component });
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match (arguments.agent, arguments.job) {
        (Some(agent), _) if arguments.explain => {
            explain(&mut out, Which::Agent(agent.into()), &configuration.explain_agent(agent)?, arguments.json)
        }
        (_, Some(job)) if arguments.explain => {
            explain(&mut out, Which::Job(job), &configuration.explain_job(job)?, arguments.json)
        }
        (Some(agent), _) => print_one(&mut out, &configuration.agent_message(agent)?),
        (_, Some(job)) => print_one(&mut out, &configuration.job_message(job)?),
        (None, None) if arguments.explain => explain_several(&mut out, &configuration, arguments),
        (None, None) if arguments.all => {
            print_lines(&mut out, configuration.agents()).and_then(|()| print_lines(&mut out, configuration.jobs()))
        }
        (None, None) => print_document(&mut out, &configuration),
    };
    match written.and_then(|()| Ok(out.flush()?)) {
        // Whoever reads has had enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(Ending::Done),
        Err(error) if error.is::<io::Error>() => Err(error.context("standard output")),
        written => written.map(|()| Ending::Done),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print_one(out: &mut impl Write, message: &Map<String, Value>) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, message).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// One message per line; a million of them in no more memory than one.
fn print_lines(out: &mut impl Write, mut messages: Messages) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while let Some(written) = messages.write_line(&mut line) {
        written?;
        out.write_all(&line)?;
        line.clear();
    }
    Ok(())
}

fn print_document(out: &mut impl Write, configuration: &Configuration) -> anyhow::Result<()> {
    write!(out, "{{\"run_message\": {}", Value::from(configuration.run_message()))?;
    for (name, mut messages) in [("agents", configuration.agents()), ("jobs", configuration.jobs())] {
        write!(out, ",\n\"{name}\": [")?;
        let mut line = Vec::new();
        let mut separator = "\n  ";
        while let Some(written) = messages.write_line(&mut line) {
            written?;
            out.write_all(separator.as_bytes())?;
            out.write_all(line.trim_ascii_end())?;
            line.clear();
            separator = ",\n  ";
        }
        write!(out, "\n]")?;
    }
    Ok(writeln!(out, "}}")?)
}

/// Which message a value is of.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Which {
    Agent(u64),
    Job(u64),
    #[serde(untagged)]
    Run {},
}

/// A line of `--explain --json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    explained: &'a Explained,
}

fn explain(out: &mut impl Write, which: Which, values: &[Explained], json: bool) -> anyhow::Result<()> {
    for explained in values {
        if json {
            serde_json::to_writer(&mut *out, &Line { which, explained }).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            let origin = paint(&format!("← {}", explained.origin), Style::Quiet);
            writeln!(out, "{} = {}  {origin}", explained.path, explained.value)?;
        }
    }
    Ok(())
}

/// The run, then agents, then jobs: all of them if asked, else the first of each.
fn explain_several(out: &mut impl Write, configuration: &Configuration, arguments: &Config) -> anyhow::Result<()> {
    let section = |out: &mut dyn Write, text: String| -> io::Result<()> {
        if arguments.json { Ok(()) } else { writeln!(out, "\n{}", paint(&text, Style::Strong)) }
    };
    explain(out, Which::Run {}, &configuration.explain_run(), arguments.json)?;
    let most = if arguments.all { u64::MAX } else { 1 };
    let (mut agents, mut jobs) = (configuration.agents(), configuration.jobs());
    for agent in 0..most {
        let Some(explained) = agents.explain() else { break };
        section(out, format!("agent {agent}"))?;
        explain(out, Which::Agent(agent), &explained?, arguments.json)?;
    }
    for job in 0..most {
        let Some(explained) = jobs.explain() else { break };
        section(out, format!("job {job}"))?;
        explain(out, Which::Job(job), &explained?, arguments.json)?;
    }
    Ok(())
}
