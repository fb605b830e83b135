//! What the README shows works: both of its projects, in both languages, exactly as they stand there, against sites of
//! this machine.

use std::path::{Path, PathBuf};

use armada_tests::command::{Ended, Running, armada, finish};
use armada_tests::site::Site;
use armada_tests::{repository, target_folder};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};

/// The host of the README's shop, which the tests' own sites stand in for.
const SHOP: &str = "shop.example";
/// What the README's projects stand under.
const FIRST: &str = "A first project";
const SECOND: &str = "Logging in, and reading a table";

/// The part of the README under a heading, up to the next heading.
fn section(heading: &str) -> String {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("# {heading}\n")).unwrap();
    rest.split("\n##").next().unwrap().to_owned()
}

/// The blocks of code in this language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opened = format!("```{language}\n");
    text.split(opened.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What `armada new` makes, in a language.
fn new_project(name: &str, language: &str) -> PathBuf {
    let folder = target_folder().join("readme").join(language);
    let _ = std::fs::remove_dir_all(folder.join(name));
    std::fs::create_dir_all(&folder).unwrap();
    let (code, _, told) = finish(armada().args(["new", name, "--lang", language]).current_dir(&folder));
    assert_eq!(code, 0, "{told}");
    folder.join(name)
}

/// The results of the jobs, all of which have succeeded.
fn results(ended: &Ended) -> Vec<&Value> {
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told.last());
    ended.results.iter().map(|result| &result["result"]).collect()
}

/// Writes files of the README, each of which it names.
fn write(project: &Path, shown: &str, files: &[&str], contents: &[&str]) {
    assert_eq!(files.len(), contents.len(), "{contents:#?}");
    for (file, content) in files.iter().zip(contents) {
        assert!(shown.contains(&format!("`{file}`")), "{file} is not named");
        std::fs::write(project.join(file), content).unwrap();
    }
}

/// The first project, with the script that the README has for it in this language.
fn check_first_project(language: &str, script: &str, shown: &str, code: &str) {
    let page = |html: &'static str| get(async move || Html(html));
    let server = Site::serve(
        Router::new()
            .route("/shoes", page("<b class=price>49.00</b> <b class=price>89.50</b>"))
            .route("/hats", page("<p>Sold out</p>")),
    );
    let here = |text: &str| text.replace(&format!("https://{SHOP}"), &server.url()).replace(SHOP, &server.host());
    let project = new_project("prices", language);
    let first = section(FIRST);
    let configuration = ["csv", "json"].map(|language| here(blocks(&first, language)[0]));
    let files = ["config/data_job.csv", "config/config_template.json"];
    write(&project, &first, &files, &configuration.each_ref().map(String::as_str));
    write(&project, shown, &[script], &[code]);
    let ended = Running::start_at(&project, &[]).finish();
    assert_eq!(results(&ended), [&json!(["49.00", "89.50"]), &json!([])]);
}

/// The project that logs in, with the files that the README has for it in this language.
fn check_project_that_logs_in(language: &str, files: &[&str], shown: &str, code: &[&str]) {
    let second = section(SECOND);
    let server = Site::serve(armada_sites::Site::default().router());
    let project = new_project("shop", language);
    write(&project, shown, files, code);
    let defaults = blocks(&second, "json")[0].replace(&format!("https://{SHOP}"), &server.url());
    let sandbox = json!({"capabilities": ["browser", "monitoring"], "allowed_hosts": [server.host()]});
    let template = format!("{{\"run_message\": {{\"sandbox\": {sandbox}}},\n{defaults}}}");
    std::fs::write(project.join("config/config_template.json"), template).unwrap();
    let months = ["January", "June"];
    std::fs::write(project.join("config/data_job.csv"), format!("month\n{}\n", months.join("\n"))).unwrap();

    let arguments = ["--set-env", "PASSWORD=SHOP_PASSWORD"];
    assert!(blocks(&second, "sh")[0].contains(&arguments.join(" ")));
    let ended = Running::start_with(&project, &arguments, &[("SHOP_PASSWORD", armada_sites::PASSWORD)]).finish();
    let expected = months.map(|month| {
        let rows = armada_sites::library::orders(month).into_iter();
        rows.map(|order| json!([order.number, order.card, order.copies.to_string(), order.total])).collect::<Value>()
    });
    assert_eq!(results(&ended), expected.iter().collect::<Vec<_>>());
}

#[test]
fn the_first_project_works_as_the_readme_shows_it() {
    let shown = section(FIRST);
    let [script] = blocks(&shown, "python")[..] else { panic!("not one block of Python") };
    check_first_project("python", "ctx_script.py", &shown, script);
}

#[test]
fn the_project_that_logs_in_and_reads_a_table_works_as_the_readme_shows_it() {
    let shown = section(SECOND);
    let files = ["ctx_agent_context.py", "ctx_script.py"];
    check_project_that_logs_in("python", &files, &shown, &blocks(&shown, "python"));
}

#[test]
fn both_projects_work_in_rust() {
    let shown = section("Projects in Rust");
    let blocks = blocks(&shown, "rust");
    let (first, second) = blocks.split_first().unwrap();
    check_first_project("rust", "ctx_script.rs", &shown, first);
    check_project_that_logs_in("rust", &["ctx_agent_context.rs", "ctx_script.rs", "lib.rs"], &shown, second);
}
