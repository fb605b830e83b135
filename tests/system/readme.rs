//! What the README shows works: both of its projects, exactly as they stand there, against sites of this machine.

use std::path::PathBuf;

use armada_tests::command::{Ended, Running, armada, finish};
use armada_tests::site::Site;
use armada_tests::{repository, target_folder};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};

/// The host of the README's shop, which the tests' own sites stand in for.
const SHOP: &str = "shop.example";

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

/// What `armada new` makes.
fn new_project(name: &str) -> PathBuf {
    let folder = target_folder().join("readme");
    let _ = std::fs::remove_dir_all(folder.join(name));
    std::fs::create_dir_all(&folder).unwrap();
    let (code, _, told) = finish(armada().args(["new", name, "--lang", "rust"]).current_dir(&folder));
    assert_eq!(code, 0, "{told}");
    folder.join(name)
}

/// The results of the jobs, all of which have succeeded.
fn results(ended: &Ended) -> Vec<&Value> {
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told.last());
    ended.results.iter().map(|result| &result["result"]).collect()
}

#[test]
fn the_first_project_works_as_the_readme_shows_it() {
    let section = section("A first project");
    let page = |html: &'static str| get(async move || Html(html));
    let server = Site::serve(
        Router::new()
            .route("/shoes", page("<b class=price>49.00</b> <b class=price>89.50</b>"))
            .route("/hats", page("<p>Sold out</p>")),
    );
    let project = new_project("prices");
    for (file, language) in
        [("ctx_script.rs", "rust"), ("config/data_job.csv", "csv"), ("config/config_template.json", "json")]
    {
        assert!(section.contains(&format!("`{file}`")));
        let [content] = blocks(&section, language)[..] else { panic!("not one block of {language}") };
        let content = content.replace(&format!("https://{SHOP}"), &server.url()).replace(SHOP, &server.host());
        std::fs::write(project.join(file), content).unwrap();
    }
    let ended = Running::start_at(&project, &[]).finish();
    assert_eq!(results(&ended), [&json!(["49.00", "89.50"]), &json!([])]);
}

#[test]
fn the_project_that_logs_in_and_reads_a_table_works_as_the_readme_shows_it() {
    let section = section("Logging in, and reading a table");
    let server = Site::serve(armada_sites::Site::default().router());
    let project = new_project("shop");
    let files = ["ctx_agent_context.rs", "ctx_script.rs", "lib.rs"];
    let rust = blocks(&section, "rust");
    assert_eq!(rust.len(), files.len());
    for (file, content) in files.into_iter().zip(rust) {
        assert!(section.contains(&format!("`{file}`")));
        std::fs::write(project.join(file), content).unwrap();
    }
    let defaults = blocks(&section, "json")[0].replace(&format!("https://{SHOP}"), &server.url());
    let sandbox = json!({"capabilities": ["browser", "monitoring"], "allowed_hosts": [server.host()]});
    let template = format!("{{\"run_message\": {{\"sandbox\": {sandbox}}},\n{defaults}}}");
    std::fs::write(project.join("config/config_template.json"), template).unwrap();
    let months = ["January", "June"];
    std::fs::write(project.join("config/data_job.csv"), format!("month\n{}\n", months.join("\n"))).unwrap();

    let arguments = ["--set-env", "PASSWORD=SHOP_PASSWORD"];
    assert!(blocks(&section, "sh")[0].contains(&arguments.join(" ")));
    let ended = Running::start_with(&project, &arguments, &[("SHOP_PASSWORD", armada_sites::PASSWORD)]).finish();
    let expected = months.map(|month| {
        let rows = armada_sites::library::orders(month).into_iter();
        rows.map(|order| json!([order.number, order.card, order.copies.to_string(), order.total])).collect::<Value>()
    });
    assert_eq!(results(&ended), expected.iter().collect::<Vec<_>>());
}
