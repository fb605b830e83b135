//! `armada check`: everything that can be known without running.

use std::collections::BTreeSet;
use std::io::Write as _;

use armada_project::{AgentSettings, Capability, Component, Configuration, Grant, Limits, Project, counted};
use indicatif::BinaryBytes;
use serde_json::json;

use crate::Ending;
use crate::args::Check;
use crate::commands::compile;
use crate::console::{Style, paint};
use crate::mistakes::tell_notes;

pub(crate) fn check(arguments: &Check) -> anyhow::Result<Ending> {
    let project = Project::open(&arguments.project.project)?;
    let configuration = project.resolve(arguments.layers.mode, &arguments.layers.overrides())?;
    let grant = Grant::new(configuration.sandbox(), &arguments.ceiling.open()?);
    let component = compile(&project, &arguments.cache, false)?;
    let used = used(&configuration, &component)?;
    if arguments.json {
        let report = report(&configuration, &component, &used, &grant);
        writeln!(std::io::stdout().lock(), "{report}")?;
    } else {
        tell_notes(configuration.notes());
        print(&project, &configuration, &component, &used, &grant)?;
    }
    let is_granted = |capability: &Capability| grant.check_capability(capability.name()).is_ok();
    let will_do = component.unknown_imports().next().is_none() && used.iter().all(is_granted);
    Ok(if will_do { Ending::Done } else { Ending::Mistake })
}

/// The capabilities that the script and the agents' messages use.
fn used(configuration: &Configuration, component: &Component) -> anyhow::Result<BTreeSet<Capability>> {
    let mut used: BTreeSet<Capability> = component.capabilities().collect();
    if uses_proxy(configuration)? {
        used.insert(Capability::Proxy);
    }
    Ok(used)
}

/// Whether the message of any agent asks for what needs the capability `proxy`.
fn uses_proxy(configuration: &Configuration) -> anyhow::Result<bool> {
    for message in configuration.agents() {
        // What is wrong with it has been told before.
        if let Ok((settings, _)) = AgentSettings::from_message(&message?)
            && settings.uses_of_proxy().next().is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What becomes of a capability, in a word and a sentence.
fn verdict(capability: Capability, used: &BTreeSet<Capability>, grant: &Grant) -> (&'static str, String) {
    match (used.contains(&capability), grant.check_capability(capability.name())) {
        (true, Ok(())) => ("granted", capability.meaning().to_owned()),
        (true, Err(denied)) => ("refused", denied.to_string()),
        (false, Ok(())) => ("unused", "granted, but the script does not use it".to_owned()),
        (false, Err(_)) => ("absent", "neither used nor granted".to_owned()),
    }
}

fn report(
    configuration: &Configuration,
    component: &Component,
    used: &BTreeSet<Capability>,
    grant: &Grant,
) -> serde_json::Value {
    let capabilities: serde_json::Map<_, _> = Capability::ALL
        .iter()
        .map(|capability| {
            let (word, sentence) = verdict(*capability, used, grant);
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
    used: &BTreeSet<Capability>,
    grant: &Grant,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let strong = |text: &str| paint(text, Style::Strong);
    let agents = counted(configuration.number_of_agents().into(), "agent");
    let jobs = counted(configuration.number_of_jobs(), "job");
    writeln!(out, "{}: {jobs}, {agents}", strong(project.name()))?;
    let reference = component.reference();
    writeln!(out, "  component      {} ({})", reference.digest, BinaryBytes(reference.size))?;
    writeln!(out, "  SDK            {}", component.sdk().unwrap_or("unknown"))?;
    writeln!(out, "\n{}", strong("Capabilities"))?;
    for capability in Capability::ALL {
        let (word, sentence) = verdict(*capability, used, grant);
        let style = match word {
            "granted" => Style::Good,
            "refused" => Style::Bad,
            _ => Style::Quiet,
        };
        writeln!(out, "  {:<14} {:<9} {sentence}", capability.name(), paint(&format!("{word:<9}"), style))?;
    }
    for import in component.unknown_imports() {
        let unknown = paint("unknown  ", Style::Bad);
        writeln!(
            out,
            "  {import}  {unknown} this version of Armada has no such interface, so the component will not run"
        )?;
    }
    writeln!(out, "\n{}", strong("Hosts that pages may request, at ports 80 and 443 unless one is given"))?;
    match grant.allowed_hosts() {
        [] => writeln!(out, "  none: add them to run_message.sandbox.allowed_hosts")?,
        hosts => hosts.iter().try_for_each(|host| writeln!(out, "  {host}"))?,
    }
    writeln!(out, "\n{}", strong("Limits"))?;
    let limits = serde_json::to_value(grant.limits()).unwrap_or_default();
    for setting in Limits::TABLE {
        let value = limits.get(setting.name).map(ToString::to_string).unwrap_or_default();
        let (value, unit) = readable(value.trim_end_matches(".0"), setting.unit);
        writeln!(out, "{}", format!("  {:<24} {value:>12} {unit}", setting.name).trim_end())?;
    }
    Ok(())
}

/// Bytes in the largest unit of which they are a whole number, anything else as it is.
fn readable<'a>(value: &str, unit: &'a str) -> (String, &'a str) {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let bytes = value.parse::<u64>().ok().filter(|bytes| unit == "bytes" && *bytes > 0);
    let whole = |bytes: u64| units.into_iter().find(|(size, _)| bytes.is_multiple_of(*size)).map(|one| (bytes, one));
    match bytes.and_then(whole) {
        Some((bytes, (size, unit))) => ((bytes / size).to_string(), unit),
        None => (value.to_owned(), unit),
    }
}

#[cfg(test)]
mod tests {
    use armada_project::{Configuration, Mode, Overrides};

    use super::{readable, uses_proxy};

    #[test]
    fn what_the_message_of_any_agent_needs_is_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let uses = |rows: &str, agents: u32| {
            std::fs::write(folder.path().join("config/data_agent.csv"), rows).unwrap();
            let overrides = Overrides { agents: Some(agents), ..Overrides::default() };
            let configuration = Configuration::resolve(folder.path(), Mode::Local, &overrides).unwrap();
            uses_proxy(&configuration).unwrap()
        };
        let rows = "config_proxy\n{}\n\"{\"\"record_har\"\": 1}\"\n";
        assert!(uses(rows, 2));
        assert!(!uses(rows, 1), "nobody has the second row");
        assert!(!uses("config_proxy\n{}\n", 2));
    }

    #[test]
    fn bytes_have_the_largest_unit_that_loses_nothing() {
        for (value, unit, expected) in [
            ("33554432", "bytes", ("32", "MiB")),
            ("1073741824", "bytes", ("1", "GiB")),
            ("1536", "bytes", ("1536", "bytes")),
            ("3072", "bytes", ("3", "KiB")),
            ("0", "bytes", ("0", "bytes")),
            ("256", "MiB", ("256", "MiB")),
        ] {
            let (readable, unit) = readable(value, unit);
            assert_eq!((readable.as_str(), unit), expected);
        }
    }
}
