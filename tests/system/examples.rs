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
