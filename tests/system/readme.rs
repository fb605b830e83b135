//! What the README shows works: its project that logs in and reads a table, exactly as it stands there, against the
//! example's site.

use armada_tests::command::{Running, armada, finish};
use armada_tests::site::Site;
use armada_tests::{repository, target_folder};
use serde_json::json;

/// The blocks of code in this language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opened = format!("```{language}\n");
    text.split(opened.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_project_that_logs_in_and_reads_a_table_works_as_the_readme_shows_it() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("### Logging in, and reading a table").nth(1).unwrap().split("\n## ").next().unwrap();
    let server = Site::serve(armada_sites::Site::default().router());

    let folder = target_folder().join("readme");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (code, _, told) = finish(armada().args(["new", "shop"]).current_dir(&folder));
    assert_eq!(code, 0, "{told}");
    let project = folder.join("shop");
    let files = ["ctx_agent_context.rs", "ctx_script.rs", "lib.rs"];
    let rust = blocks(section, "rust");
    assert_eq!(rust.len(), files.len());
    for (file, content) in files.into_iter().zip(rust) {
        assert!(section.contains(&format!("`{file}`")));
        std::fs::write(project.join(file), content).unwrap();
    }
    let defaults = blocks(section, "json")[0].replace("https://shop.example", &server.url());
    let sandbox = json!({"capabilities": ["browser", "monitoring"], "allowed_hosts": [server.host()]});
    let template = format!("{{\"run_message\": {{\"sandbox\": {sandbox}}},\n{defaults}}}");
    std::fs::write(project.join("config/config_template.json"), template).unwrap();
    std::fs::write(project.join("config/data_job.csv"), "month\nJanuary\nJune\n").unwrap();

    let password = format!("PASSWORD={}", armada_sites::PASSWORD);
    let ended = Running::start_at(&project, &["--set", &password]).finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told.last());
    for (result, month) in ended.results.iter().zip(["January", "June"]) {
        let orders = armada_sites::library::orders(month);
        let rows: Vec<_> = orders
            .iter()
            .map(|order| json!([order.number, order.card, order.copies.to_string(), order.total]))
            .collect();
        assert_eq!(result["result"], json!(rows));
    }
}
