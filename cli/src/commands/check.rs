//! `armada check`: everything that can be known without running.

use std::io::Write as _;

use armada_project::{Capability, Ceiling, Component, Configuration, Grant, Limits, Project, counted};
use serde_json::json;

use crate::Ending;
use crate::args::{CeilingArguments, Check};
use crate::commands::compile;
use crate::console::{Style, paint};
use crate::mistakes::{in_form, tell_notes};

/// The operator's ceiling, if there is one.
pub(crate) fn ceiling(arguments: &CeilingArguments, json: bool) -> anyhow::Result<Ceiling> {
    match &arguments.ceiling {
        Some(path) => in_form(Ceiling::open(path), json),
        None => Ok(Ceiling::none()),
    }
}

pub(crate) fn check(arguments: &Check) -> anyhow::Result<Ending> {
    let project = in_form(Project::open(&arguments.project.project), arguments.json)?;
    let configuration = in_form(project.resolve(arguments.layers.mode, &arguments.layers.overrides()), arguments.json)?;
    let grant = Grant::new(configuration.sandbox(), &ceiling(&arguments.ceiling, arguments.json)?);
    let component = compile(&project)?;
    let unknown: Vec<&str> = component.unknown_imports().collect();
    if arguments.json {
        let report = report(&configuration, &component, &grant);
        writeln!(std::io::stdout().lock(), "{report}")?;
    } else {
        tell_notes(configuration.notes());
        print(&project, &configuration, &component, &grant)?;
    }
    Ok(if unknown.is_empty() { Ending::Done } else { Ending::Mistake })
}

/// What becomes of a capability, in a word and a sentence.
fn verdict(capability: Capability, component: &Component, grant: &Grant) -> (&'static str, String) {
    let used = component.capabilities().any(|used| used == capability);
    match (used, grant.check_capability(capability.name())) {
        (true, Ok(())) => ("granted", capability.meaning().to_owned()),
        (true, Err(denied)) => ("refused", denied.to_string()),
        (false, Ok(())) => ("unused", "granted, and the component does not use it".to_owned()),
        (false, Err(_)) => ("absent", "neither used nor granted".to_owned()),
    }
}

fn report(configuration: &Configuration, component: &Component, grant: &Grant) -> serde_json::Value {
    let capabilities: serde_json::Map<_, _> = Capability::ALL
        .iter()
        .map(|capability| {
            let (word, sentence) = verdict(*capability, component, grant);
            (capability.name().to_owned(), json!({"verdict": word, "message": sentence}))
        })
        .collect();
    json!({
        "agents": configuration.number_of_agents(),
        "jobs": configuration.number_of_jobs(),
        "notes": configuration.notes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "component": component.reference(),
        "sdk": component.sdk(),
        "imports": component.imports().collect::<Vec<_>>(),
        "unknown_imports": component.unknown_imports().collect::<Vec<_>>(),
        "capabilities": capabilities,
        "allowed_hosts": grant.allowed_hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "limits": grant.limits(),
    })
}

fn print(
    project: &Project,
    configuration: &Configuration,
    component: &Component,
    grant: &Grant,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let strong = |text: &str| paint(text, Style::Strong);
    let agents = counted(configuration.number_of_agents().into(), "agent");
    let jobs = counted(configuration.number_of_jobs(), "job");
    writeln!(out, "{}: {jobs}, {agents}", strong(project.name()))?;
    let reference = component.reference();
    writeln!(out, "  component      {} ({} bytes)", reference.digest, reference.size)?;
    writeln!(out, "  SDK            {}", component.sdk().unwrap_or("unknown"))?;
    writeln!(out, "\n{}", strong("Capabilities"))?;
    for capability in Capability::ALL {
        let (word, sentence) = verdict(*capability, component, grant);
        let style = match word {
            "granted" => Style::Good,
            "refused" => Style::Bad,
            _ => Style::Quiet,
        };
        writeln!(out, "  {:<14} {:<9} {sentence}", capability.name(), paint(&format!("{word:<9}"), style))?;
    }
    for import in component.unknown_imports() {
        let unknown = paint("unknown  ", Style::Bad);
        writeln!(out, "  {import}  {unknown} this version of Armada has no such interface: it will not run")?;
    }
    writeln!(out, "\n{}", strong("Hosts that pages may request"))?;
    match grant.allowed_hosts() {
        [] => writeln!(out, "  none: add them to run_message.sandbox.allowed_hosts")?,
        hosts => hosts.iter().try_for_each(|host| writeln!(out, "  {host}"))?,
    }
    writeln!(out, "\n{}", strong("Limits"))?;
    let limits = serde_json::to_value(grant.limits()).unwrap_or_default();
    for setting in Limits::TABLE {
        let value = limits.get(setting.name).map(ToString::to_string).unwrap_or_default();
        writeln!(out, "  {:<24} {value:>12} {}", setting.name, setting.unit)?;
    }
    Ok(())
}
