//! What a resolved configuration does over time, and what bounds it.

#![cfg(test)]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use armada_project::{
    ComponentRef, Configuration, Digest, Injection, Messages, Mistakes, Mode, Note, Overrides, Project,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join("config").join(name), content).unwrap();
    }
    folder
}

fn resolve(root: &Path) -> Result<Configuration, Mistakes> {
    Configuration::resolve(root, Mode::Local, &Overrides::default())
}

fn only(mistakes: &Mistakes) -> String {
    let lines: Vec<String> = mistakes.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.concat()
}

#[test]
fn configurations_and_messages_can_go_to_other_threads() {
    fn send<T: Send>() {}
    fn share<T: Send + Sync>() {}
    share::<Configuration>();
    share::<Mistakes>();
    send::<Messages>();
}

#[test]
fn a_project_is_opened_and_resolved() {
    let folder = folder(&[("config_template.json", r#"{"run_message": {"image": "x", "number_of_agents": 2}}"#)]);
    std::fs::write(folder.path().join("ctx_script.rs"), "").unwrap();
    let project = Project::open(folder.path()).unwrap();
    let configuration = project.resolve(Mode::Distant, &Overrides { jobs: Some(7), ..Overrides::default() }).unwrap();
    assert_eq!((configuration.number_of_agents(), configuration.number_of_jobs()), (2, 7));
    let run = Value::from(configuration.run_message());
    assert_eq!(run, json!({"image": "x", "number_of_agents": 2, "number_of_jobs": 7}));
    assert_eq!(configuration.jobs().size_hint().1, Some(7));
}

#[test]
fn injection_is_for_one_run_and_leaves_the_configuration_alone() {
    let folder = folder(&[("data_job.csv", "a\n1\n")]);
    let configuration = resolve(folder.path()).unwrap();
    let run_id = uuid::Uuid::from_u128(7);
    let injected = configuration.inject(Injection { run_id, component: ComponentRef::of(b"x") });
    let text = run_id.to_string();
    assert_eq!(injected.run_message().get("run_id"), Some(&Value::from(text.as_str())));
    assert_eq!(
        Value::from(injected.agent_message(0).unwrap()),
        json!({"run_id": text, "component": {"digest": Digest::of(b"x").to_string(), "size": 1}})
    );
    assert_eq!(Value::from(injected.job_message(0).unwrap()), json!({"run_id": text, "a": "1", "targetted_job": 0}));
    assert_eq!(Value::from(configuration.job_message(0).unwrap()), json!({"a": "1", "targetted_job": 0}));
}

#[test]
fn messages_can_be_skipped_and_asked_for_one_by_one() {
    let folder = folder(&[
        ("data_job.csv", "a\nx\ny\nz\n"),
        ("config_template.json", r#"{"run_message": {"number_of_jobs": 5}}"#),
    ]);
    let configuration = resolve(folder.path()).unwrap();
    let mut jobs = configuration.jobs();
    jobs.skip_to(2).unwrap();
    assert_eq!(Value::from(jobs.next().unwrap().unwrap()), json!({"a": "z", "targetted_job": 2}));
    assert_eq!(Value::from(jobs.next().unwrap().unwrap()), json!({}));
    jobs.skip_to(99).unwrap();
    assert!(jobs.next().is_none());
    assert_eq!(Value::from(configuration.job_message(1).unwrap()), json!({"a": "y", "targetted_job": 1}));
    assert_eq!(Value::from(configuration.job_message(4).unwrap()), json!({}));
    let mistake = configuration.job_message(5).unwrap_err();
    assert_eq!(mistake.to_string(), "config/data_job.csv: there is no job 5: the run has 5 jobs");
    assert!(configuration.explain_agent(1).is_err());
}

#[test]
fn a_file_that_changes_after_the_check_is_noticed() {
    let changed = "config/data_job.csv: the file was changed after it was checked";
    let folder = folder(&[("data_job.csv", "a\nx\ny\n")]);
    let path = folder.path().join("config/data_job.csv");
    let configuration = resolve(folder.path()).unwrap();

    // While it is read: the last row is not given out.
    let mut jobs = configuration.jobs();
    jobs.next().unwrap().unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"z\n").unwrap();
    assert_eq!(jobs.next().unwrap().unwrap_err().to_string(), changed);
    assert!(jobs.next().is_none());

    // Before it is read.
    assert_eq!(configuration.jobs().next().unwrap().unwrap_err().to_string(), changed);

    // With the same size.
    std::fs::write(&path, "a\nx\ny\n").unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(configuration.job_message(0).unwrap_err().to_string(), changed);

    std::fs::remove_file(&path).unwrap();
    assert_eq!(configuration.jobs().next().unwrap().unwrap_err().to_string(), changed);
}

#[test]
fn what_has_no_effect_is_noted() {
    let template = r#"{
        "default_agent_message": {
            "component": "mine",
            "config_fantomas": {"config_browser": {"fantomas_browser_options": ["--no-sandbox"]}}
        },
        "default_job_message": {"run_id": "mine", "a": "$env_A"}
    }"#;
    let rows = "config_fantomas\n\
        \"{\"\"config_browser\"\": {\"\"fantomas_browser_options\"\": [\"\"--incognito\"\"]}}\"\n\
        \"{\"\"config_browser\"\": {\"\"fantomas_browser_options\"\": [\"\"--incognito\"\"]}}\"\n";
    let folder = folder(&[("config_template.json", template), ("data_agent.csv", rows)]);
    let set = ["A=1", "B=2"].map(|set| Overrides::parse_set(set).unwrap()).to_vec();
    let overrides = Overrides { set, ..Overrides::default() };
    let configuration = Configuration::resolve(folder.path(), Mode::Local, &overrides).unwrap();
    let notes: Vec<String> = configuration.notes().iter().map(Note::to_string).collect();
    let flags = "config_fantomas.config_browser.fantomas_browser_options[0]";
    assert_eq!(
        notes,
        [
            "--set B: no placeholder `$env_B` is in config/config_template.json".to_owned(),
            format!("{flags}: `--no-sandbox`: Chromium's own sandbox is the host's decision"),
            "default_agent_message.component: Armada sets this when a run starts, whatever is written here".to_owned(),
            "default_job_message.run_id: Armada sets this when a run starts, whatever is written here".to_owned(),
            format!("{flags}: `--incognito`: flags that are not on the list of harmless ones are ignored"),
        ]
    );
}

#[test]
fn keys_that_look_like_misspelt_settings_are_noted_and_reach_the_script() {
    let template = r#"{
        "run_message": {"number_of_job": 3, "number_of_pages": 1, "sandbx": {}},
        "default_agent_message": {
            "config_fantoms": {},
            "config_fantomas": {"config_brwser": {}, "config_screen": {"screen_heigth": 1, "depth": 2},
                "config_browser": {"localle": "de", "fantomas_browser_option": []}}
        }
    }"#;
    let folder = folder(&[("config_template.json", template)]);
    let configuration = resolve(folder.path()).unwrap();
    let notes: Vec<String> = configuration.notes().iter().map(Note::to_string).collect();
    let note =
        |(key, near)| format!("{key}: Armada has no such setting and leaves it to your script; did you mean `{near}`?");
    let expected = [
        ("run_message.number_of_job", "number_of_jobs"),
        ("run_message.sandbx", "sandbox"),
        ("config_fantoms", "config_fantomas"),
        ("config_fantomas.config_brwser", "config_browser"),
        ("config_fantomas.config_screen.screen_heigth", "screen_height"),
        ("config_fantomas.config_browser.localle", "locale"),
        ("config_fantomas.config_browser.fantomas_browser_option", "fantomas_browser_options"),
    ];
    assert_eq!(notes, expected.map(note));
    assert_eq!(configuration.run_message()["number_of_job"], 3);
}

#[test]
fn what_traffic_needs_is_told_before_anything_runs() {
    let template = |modifiers: &str, capabilities: &str| {
        let proxy = format!(r#"{{"config_proxy": {{"modifiers": {modifiers}}}}}"#);
        let run = format!(r#"{{"sandbox": {{"capabilities": {capabilities}}}}}"#);
        let template = format!("{{\"run_message\": {run},\n\"default_agent_message\": {proxy}}}");
        let folder = folder(&[("config_template.json", &template)]);
        std::fs::create_dir_all(folder.path().join("addon/both")).unwrap();
        for file in ["ctx_script.py", "addon/prices.py", "addon/both/__init__.py"] {
            std::fs::write(folder.path().join(file), "from other import modify_request\n").unwrap();
        }
        folder
    };
    let right = r#"["addon.prices", {"name": "addon.both"}]"#;
    assert!(resolve(template(right, r#"["proxy"]"#).path()).unwrap().notes().is_empty());
    let without = resolve(template(right, "[]").path()).unwrap();
    let notes: Vec<String> = without.notes().iter().map(Note::to_string).collect();
    assert!(
        matches!(notes.as_slice(), [note] if note.starts_with("default_agent_message.config_proxy.modifiers")
            && note.contains("\"proxy\" in run_message.sandbox.capabilities")),
        "{notes:?}"
    );
    let misspelt = template(right, r#"["proxy"]"#);
    std::fs::write(misspelt.path().join("addon/both/__init__.py"), "def modify_respons(response): ...\n").unwrap();
    let notes: Vec<String> = resolve(misspelt.path()).unwrap().notes().iter().map(Note::to_string).collect();
    let note = "addon/both/__init__.py: defines neither `modify_request` nor `modify_response`";
    assert!(matches!(notes.as_slice(), [told] if told.starts_with(note)), "{notes:?}");
    for missing in ["addon.nothere", "addon", "../addon/prices", "addon..prices", ""] {
        let wrong = format!(r#"["addon.prices", {{"name": "{missing}"}}]"#);
        let told = only(&resolve(template(&wrong, r#"["proxy"]"#).path()).unwrap_err());
        let says = told.contains("has no module") || told.contains("needs a `name`");
        assert!(says && told.starts_with("config/config_template.json:2:"), "{missing}: {told}");
    }
}

#[test]
fn what_the_traffic_of_a_row_needs_is_told_once() {
    let row = |modifiers: &str| format!("\"{{\"\"modifiers\"\": [\"\"{modifiers}\"\"]}}\"\n");
    let resolved = |rows: &[String], capabilities: &str| {
        let template = format!(r#"{{"run_message": {{"sandbox": {{"capabilities": {capabilities}}}}}}}"#);
        let rows = format!("config_proxy\n{{}}\n{}", rows.concat());
        let folder = folder(&[("config_template.json", &template), ("data_agent.csv", &rows)]);
        std::fs::create_dir(folder.path().join("addon")).unwrap();
        for file in ["ctx_script.py", "addon/prices.py"] {
            std::fs::write(folder.path().join(file), "def modify_request(request): ...\n").unwrap();
        }
        resolve(folder.path())
    };
    let right = [row("addon.prices"), row("addon.prices")];
    let notes: Vec<String> = resolved(&right, "[]").unwrap().notes().iter().map(Note::to_string).collect();
    let note = "row 1 of config/data_agent.csv, config_proxy.modifiers: needs \"proxy\" in \
                run_message.sandbox.capabilities: without it, agents do not open";
    assert_eq!(notes, [note]);
    assert!(resolved(&right, r#"["proxy"]"#).unwrap().notes().is_empty());

    let missing = [row("addon.prices"), row("addon.nothere"), row("addon.nothere")];
    let told = only(&resolved(&missing, r#"["proxy"]"#).unwrap_err());
    assert!(
        told.starts_with(
            "config/data_agent.csv:4:1: row 2, column `config_proxy`: config_proxy.modifiers[0]: the \
                          project has no module `addon.nothere`"
        ),
        "{told}"
    );
}

#[test]
fn urls_that_pages_may_not_request_are_noted_once_for_each_host() {
    let template = |capabilities: &str| {
        format!(
            r#"{{"run_message": {{"sandbox": {{"capabilities": [{capabilities}], "allowed_hosts": ["127.0.0.1", "*.example"]}}}},
            "default_job_message": {{"urls": ["http://127.0.0.1/", "http://127.0.0.1:8080/a", "http://127.0.0.1:8080/b"]}}}}"#
        )
    };
    let rows = "url\nhttps://a.example/\nhttps://a.example:444/\nmailto:a@b.example\n";
    let notes = |capabilities: &str| {
        let folder = folder(&[("config_template.json", &template(capabilities)), ("data_job.csv", rows)]);
        let configuration = resolve(folder.path()).unwrap();
        configuration.notes().iter().map(Note::to_string).collect::<Vec<_>>()
    };
    let advice =
        |host| format!("pages cannot request this: add \"{host}\" to run_message.sandbox.allowed_hosts if they should");
    assert_eq!(
        notes("\"browser\""),
        [
            format!("default_job_message.urls[1]: {}", advice("127.0.0.1:8080")),
            format!("row 1 of config/data_job.csv, column `url`: {}", advice("a.example:444")),
        ]
    );
    assert_eq!(notes(""), [""; 0], "without a browser there are no pages");
}

#[test]
fn the_time_that_url_patterns_of_rows_take_is_bounded() {
    let row = |rule: Value| {
        let rules = json!({"rules": [rule]}).to_string();
        format!("\"{}\"\n", rules.replace('"', "\"\""))
    };
    let mistakes = |patterns: usize, last: Value| {
        let good: Vec<String> = (0..patterns).map(|number| format!("**/{number}.png")).collect();
        let rows = row(json!({"urls": good, "block": true})).repeat(20) + &row(last);
        resolve(folder(&[("data_agent.csv", &format!("config_proxy\n{rows}"))]).path()).err()
    };
    let wrong = json!({"urls": ["re=("], "block": true});
    let told = only(&mistakes(199, wrong.clone()).expect("the patterns that many rows have are read once"));
    assert!(
        told.contains("row 20") && told.contains("config_proxy.rules[0].urls[0]: the URL pattern is no good"),
        "{told}"
    );
    assert!(mistakes(200, wrong).is_none(), "what comes then is told by the agent");
    assert!(mistakes(200, json!({"urls": ["**"], "blok": true})).is_some(), "the rest is still checked");
}

#[test]
fn a_row_has_a_largest_size() {
    let folder = folder(&[]);
    let mut file = std::fs::File::create(folder.path().join("config/data_job.csv")).unwrap();
    file.write_all(b"a\nfine\n\"never closed ").unwrap();
    let block = vec![b'x'; 1 << 20];
    (0..20).for_each(|_| file.write_all(&block).unwrap());
    let mistakes = resolve(folder.path()).unwrap_err();
    assert_eq!(
        only(&mistakes),
        "config/data_job.csv:3:1: row 1: this row is larger than 16 MiB (is there a double quote that is never closed?)"
    );
}

#[test]
fn a_template_has_a_largest_size() {
    let folder = folder(&[("config_template.json", &" ".repeat((4 << 20) + 1))]);
    assert!(only(&resolve(folder.path()).unwrap_err()).starts_with("config/config_template.json: larger than 4 MiB"));
}

#[test]
fn what_placeholders_add_is_bounded() {
    let placeholders = ["\"$env_BIG\""; 100].join(",");
    let template = format!("{{\"default_job_message\": {{\"list\": [{placeholders}]}}}}");
    let tune = json!({"BIG": "x".repeat(1 << 20)}).to_string();
    let folder = folder(&[("config_template.json", &template), ("config_local.json", &tune)]);
    let mistakes = resolve(folder.path()).unwrap_err();
    assert!(mistakes.iter().next().unwrap().message().contains("larger than 16 MiB"));

    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let template = format!("{{\"default_job_message\": {{\"deep\": {}}}}}", deep(60).replace("[]", "[\"$env_DEEP\"]"));
    for (levels, fits) in [(58, true), (59, false)] {
        let tune = format!("{{\"DEEP\": {}}}", deep(levels));
        let folder = self::folder(&[("config_template.json", &template), ("config_local.json", &tune)]);
        assert_eq!(resolve(folder.path()).is_ok(), fits, "{levels}");
    }
}

#[test]
fn a_message_that_is_made_can_be_read_again() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let folder = folder(&[
        ("config_template.json", &format!("{{\"default_job_message\": {{\"a\": {}}}}}", nested(118))),
        ("data_job.csv", &format!("b\n{}\n", nested(118))),
    ]);
    let configuration = resolve(folder.path()).unwrap();
    let mut line = b"[[".to_vec();
    configuration.jobs().write_line(&mut line).unwrap().unwrap();
    line.extend(b"], {}, {}]");
    assert!(serde_json::from_slice::<Value>(&line).is_ok());
    std::fs::write(folder.path().join("config/data_job.csv"), format!("b\n{}\n", nested(119))).unwrap();
    assert!(resolve(folder.path()).is_err());
}

#[test]
fn more_rows_than_agents_can_be_are_a_mistake() {
    let folder = folder(&[("data_agent.csv", &format!("a\n{}", "x\n".repeat(10_001)))]);
    assert_eq!(
        only(&resolve(folder.path()).unwrap_err()),
        "config/data_agent.csv: 10,001 rows, but a run has at most 10,000 agents"
    );
}
