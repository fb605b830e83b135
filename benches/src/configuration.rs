//! Measures how fast job messages are made, against `csv` and `serde_json` doing the same work without this crate.
//!
//! `cargo run --release -p armada-project --example merge_rate [ROWS]`. The bare program reads the rows, reads the
//! cells that look like JSON, and writes one line for each row: once the row alone, once over a copy of the default.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use armada_project::{Configuration, Mode, Overrides};
use serde_json::{Map, Value};

const TEMPLATE: &str = r#"{ "default_job_message": {
    "url": "", "text": "", "retries": 3, "wait": true,
    "config_proxy": { "upstream_proxy_enabled": 2, "proxy_location": "", "verify_ip": 0 },
    "tags": ["a", "b"]
} }"#;

/// A number of rows, in a shape: how many of the cells are JSON makes the difference.
type Shape = (&'static str, &'static str, fn(usize) -> String);

const SHAPES: [Shape; 3] = [
    ("texts only", "url,text,city", |i| format!("https://quotes.example/page/{i},some text number {i},Paris")),
    ("one object", "url,text,config_proxy", |i| {
        format!(r#"https://quotes.example/page/{i},text {i},"{{""proxy_location"": ""US"", ""verify_ip"": {i}}}""#)
    }),
    ("mostly JSON", "url,tags,config_proxy,more", |i| {
        format!(
            r#"u{i},"[""x"", {i}, null]","{{""verify_ip"": {i}}}","{{""a"": {{""b"": [1.5, {i}, {{""c"": ""d""}}]}}}}""#
        )
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(300_000), |rows| rows.parse())?;
    println!("{rows} rows; best of 5; ratio of rates, more than 1 is faster than bare");
    for (name, header, row) in SHAPES {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("config"))?;
        std::fs::write(folder.path().join("config/config_template.json"), TEMPLATE)?;
        let file = folder.path().join("config/data_job.csv");
        let mut csv = std::io::BufWriter::new(std::fs::File::create(&file)?);
        writeln!(csv, "{header}")?;
        (0..rows).try_for_each(|i| writeln!(csv, "{}", row(i)))?;
        csv.into_inner()?.sync_all()?;

        let started = Instant::now();
        let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default())?;
        let resolve = started.elapsed();
        let default: Value = serde_json::from_str(TEMPLATE)?;
        let default = default.get("default_job_message").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut best = [Duration::MAX; 4];
        for _ in 0..5 {
            let runs: [Duration; 4] = [
                timed(|| bare(&file, None))?,
                timed(|| bare(&file, Some(&default)))?,
                timed(|| fast(&configuration))?,
                timed(|| maps(&configuration))?,
            ];
            best = std::array::from_fn(|i| best.get(i).copied().min(runs.get(i).copied()).unwrap_or_default());
        }
        let [row_alone, merged, fast, maps] = best.map(|time| rows as f64 / time.as_secs_f64());
        println!(
            "{name:12} bare row {:>9.0}/s, bare merge {:>9.0}/s | write_line {:>9.0}/s = {:.2} of row, {:.2} of merge | \
             iterator + to_vec {:.2} of merge | resolve {:.2} s",
            row_alone,
            merged,
            fast,
            fast / row_alone,
            fast / merged,
            maps / merged,
            resolve.as_secs_f64(),
        );
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let started = Instant::now();
    std::hint::black_box(work()?);
    Ok(started.elapsed())
}

fn fast(configuration: &Configuration) -> Result<usize, Box<dyn Error>> {
    let (mut jobs, mut line, mut bytes) = (configuration.jobs(), Vec::new(), 0);
    while let Some(written) = jobs.write_line(&mut line) {
        written?;
        bytes += std::hint::black_box(&line).len();
        line.clear();
    }
    Ok(bytes)
}

fn maps(configuration: &Configuration) -> Result<usize, Box<dyn Error>> {
    configuration.jobs().try_fold(0, |bytes, message| Ok(bytes + serde_json::to_vec(&message?)?.len()))
}

fn bare(file: &Path, default: Option<&Map<String, Value>>) -> Result<usize, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(file)?;
    let header = reader.headers()?.clone();
    let (mut record, mut line, mut bytes, mut index) = (csv::StringRecord::new(), Vec::new(), 0, 0);
    while reader.read_record(&mut record)? {
        let mut message = default.cloned().unwrap_or_default();
        for (key, cell) in header.iter().zip(&record) {
            let value = match cell.as_bytes() {
                [b'{', .., b'}'] | [b'[', .., b']'] => serde_json::from_str(cell)?,
                _ => Value::from(cell),
            };
            match (message.get_mut(key), value) {
                (Some(Value::Object(base)), Value::Object(over)) => base.extend(over),
                (_, value) => drop(message.insert(key.to_owned(), value)),
            }
        }
        message.insert("targetted_job".to_owned(), index.into());
        serde_json::to_writer(&mut line, &message)?;
        bytes += std::hint::black_box(&line).len();
        line.clear();
        index += 1;
    }
    Ok(bytes)
}
