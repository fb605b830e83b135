//! The configuration reference says what the code does: its tables are the code's, its example is a tested one.

#![cfg(test)]

use std::path::Path;

use armada_project::{
    BrowserOptions, Capability, FingerprintSettings, IdentitySettings, Limits, ProxySettings, ScreenSettings,
    markdown_table,
};

/// Puts `content` between the marks of this name.
fn fill(text: &str, name: &str, content: &str) -> String {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no mark {start}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark {end}"));
    format!("{before}{start}{content}{end}{after}")
}

fn block(language: &str, content: &str) -> String {
    format!("```{language}\n{}\n```\n", content.trim_end())
}

#[test]
fn the_readme_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden =
        |case: &str, file: &str| std::fs::read_to_string(folder.join("tests/golden").join(case).join(file)).unwrap();
    let example =
        |file: &str| format!("`config/{file}`\n{}", block("", &golden("worked_example", &format!("config/{file}"))));
    let files = ["config_template.json", "config_local.json", "data_agent.csv", "data_job.csv"].map(example).concat();
    let messages = block("json", &golden("worked_example", "expected.jsonl"));
    let capabilities: String = Capability::ALL
        .iter()
        .map(|capability| format!("- `{}`: {}\n", capability.name(), capability.meaning()))
        .collect();

    let path = folder.join("README.md");
    let current = std::fs::read_to_string(&path).unwrap();
    let filled = [
        ("example", format!("{files}\nThe agents' messages, then the jobs':\n\n{messages}")),
        ("capabilities", capabilities),
        ("limits", markdown_table(Limits::TABLE)),
        ("screen", markdown_table(ScreenSettings::TABLE)),
        ("browser", markdown_table(BrowserOptions::TABLE)),
        ("proxy", markdown_table(ProxySettings::TABLE)),
        ("fingerprint", markdown_table(FingerprintSettings::TABLE)),
        ("identity", markdown_table(IdentitySettings::TABLE)),
        ("mistakes", block("", &golden("sandbox_from_tune", "expected.err"))),
    ]
    .into_iter()
    .fold(current.clone(), |text, (name, content)| fill(&text, name, &content));
    if std::env::var_os("ARMADA_BLESS").is_some() {
        std::fs::write(&path, &filled).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), filled, "run with ARMADA_BLESS=1");
}
