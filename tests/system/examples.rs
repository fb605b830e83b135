//! The example project against the site that it is made for: what a newcomer sees first is right.

use std::collections::BTreeSet;
use std::path::Path;

use armada_sites::library::{self, Quote};
use armada_sites::{Note, QUOTES_PER_PAGE};
use armada_tests::command::{Running, read_rows};
use armada_tests::processes::assert_gone;
use armada_tests::repository;
use armada_tests::site::Site;
use serde_json::{Value, json};

/// A row of the example's jobs, as its script has it.
struct Row {
    word: String,
    open: Vec<usize>,
    month: String,
    note: Value,
}

fn rows() -> Vec<Row> {
    let rows = read_rows(&repository().join("examples/quotes/config/data_job.csv"));
    let row = |row: Vec<String>| {
        let [word, open, month, note] = row.try_into().unwrap();
        let mut merged = json!({"text": "Read by a machine.", "mood": "Thoughtful", "named": false});
        for (key, value) in serde_json::from_str::<serde_json::Map<_, _>>(&note).unwrap() {
            merged[key] = value;
        }
        Row { word, open: serde_json::from_str(&open).unwrap(), month, note: merged }
    };
    rows.into_iter().map(row).collect()
}

/// What a job gives, by what the site has, for a member of this name.
fn expected(row: &Row, member: &str) -> Value {
    let found = library::search(&row.word);
    let opened: Vec<&&Quote> = row.open.iter().filter_map(|place| found.get(*place)).collect();
    let writer = if row.note["named"] == true { member } else { "somebody" };
    json!({
        "word": row.word,
        "quotes": found.len(),
        "pages": found.len().div_ceil(QUOTES_PER_PAGE),
        "words": opened.iter().map(|quote| quote.text.split_whitespace().count()).sum::<usize>(),
        "hearts": opened.iter().map(|quote| quote.hearts()).sum::<usize>(),
        "cards": library::orders(&row.month).iter().map(|order| order.copies).sum::<usize>(),
        "note": format!("{}, by {writer}", row.note["mood"].as_str().unwrap()),
    })
}

fn is_png(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
}

#[test]
fn the_example_project_reads_the_whole_site_right() {
    reads_the_whole_site_right("quotes");
}

#[test]
fn the_example_project_in_python_reads_the_whole_site_right() {
    reads_the_whole_site_right("quotes-python");
}

fn reads_the_whole_site_right(example: &str) {
    let members = ["Ada", "Ben", "Cleo"];
    let site = armada_sites::Site::default();
    let server = Site::serve(site.router());
    let mut run = Running::start_at(
        &repository().join("examples").join(example),
        &["--set", &format!("SITE_URL={}", server.url())],
    );
    run.until(|told| told["type"] == "ended");
    let processes = run.processes();
    assert_eq!(processes.iter().filter(|process| process.is_agent()).count(), 3);
    let ended = run.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.told.last());

    let rows = rows();
    assert_eq!((rows.len(), ended.results.len()), (30, 30));
    let mut agents = BTreeSet::new();
    for (index, (row, result)) in rows.iter().zip(&ended.results).enumerate() {
        assert_eq!((&result["index"], &result["attempts"]), (&json!(index), &json!(1)), "{result}");
        let agent = result["agent"].as_u64().unwrap();
        agents.insert(agent);
        assert_eq!(result["result"], expected(row, members[agent as usize]), "job {index}");
        assert_eq!(result["events"].as_array().unwrap().len(), 3);
        assert!(is_png(&ended.artifacts().join(format!("job-{index}/note.png"))), "the picture of job {index}");
    }
    assert_eq!(agents, BTreeSet::from([0, 1, 2]));

    // Every note has arrived once, whatever the order.
    let key = |note: &Note| (note.text.clone(), note.mood.clone(), note.quote);
    let mut arrived: Vec<_> = site.notes().iter().map(key).collect();
    let mut sent: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row.note[key].as_str().unwrap().to_owned();
            (text("text"), text("mood"), library::search(&row.word)[0].id)
        })
        .collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);

    assert_eq!(ended.temporary_files, 0);
    assert_gone(&processes);
}

#[test]
fn the_example_of_interception_shows_what_its_modifier_has_made_of_a_page() {
    let site = armada_sites::Site::default();
    let server = Site::serve(site.router());
    let example = repository().join("examples/intercept");
    let mut running = Running::start_at(&example, &["--set", &format!("SITE_URL={}", server.url())]);
    running.until(|told| told["type"] == "ended");
    let processes = running.processes();
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.results);
    let quotes = read_rows(&example.join("config/data_job.csv"));
    assert_eq!((quotes.len(), ended.results.len()), (3, 3));
    for (index, (result, row)) in ended.results.iter().zip(&quotes).enumerate() {
        let quote: usize = row[0].parse().unwrap();
        let known = library::quotes().iter().find(|known| known.id == quote).unwrap();
        let seen = &result["result"];
        assert_eq!((&seen["hearts"], &seen["author"]), (&json!(known.hearts() + 1_000_000), &json!("Closed")));
        let requests = seen["requests"].as_array().unwrap();
        for wanted in [
            format!("GET /quotes/{quote} 200"),
            format!("GET /quotes/{quote}/hearts 200"),
            "GET /authors/anybody 503".to_owned(),
        ] {
            assert!(requests.contains(&json!(wanted)), "{wanted} is not in {requests:?}");
        }
        let recording = std::fs::read_to_string(ended.artifacts().join(format!("job-{index}/traffic.har"))).unwrap();
        let recording: Value = serde_json::from_str(&recording).unwrap();
        let entries = recording["log"]["entries"].as_array().unwrap();
        let of = |path: &str| entries.iter().find(|entry| entry["request"]["url"].as_str().unwrap().ends_with(path));
        let page = of(&format!("/quotes/{quote}")).unwrap();
        assert!(page["response"]["content"]["text"].as_str().unwrap().contains('★'), "{page}");
        let header = |name: &str, value: &str| json!({"name": name, "value": value});
        assert!(page["request"]["headers"].as_array().unwrap().contains(&header("dnt", "1")), "{page}");
        assert!(page["response"]["headers"].as_array().unwrap().contains(&header("x-fame", "1000000")), "{page}");
    }
    assert_eq!(ended.temporary_files, 0);
    assert_gone(&processes);
}
