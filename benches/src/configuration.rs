//! Making the messages of jobs, against `csv` and `serde_json` doing the same without the checks, the places of
//! mistakes and the exact numbers: it reads the rows, reads the cells that look like JSON, merges them over a copy of
//! the default, and writes one line each.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use armada_project::{Configuration, Mode, Overrides};
use serde_json::{Map, Value};

use crate::measure::Row;

const ROWS: u32 = 200_000;
const ROUNDS: usize = 5;

const TEMPLATE: &str = r#"{ "default_job_message": {
    "url": "", "text": "", "retries": 3, "wait": true,
    "config_proxy": { "upstream_proxy_enabled": 2, "proxy_location": "", "verify_ip": 0 },
    "tags": ["a", "b"]
} }"#;

/// A number of rows, in a shape: how many of the cells are JSON makes the difference.
type Shape = (&'static str, &'static str, fn(u32) -> String);

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

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    SHAPES.into_iter().map(measure_shape).collect()
}

fn measure_shape((name, header, row): Shape) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("config"))?;
    std::fs::write(folder.path().join("config/config_template.json"), TEMPLATE)?;
    let file = folder.path().join("config/data_job.csv");
    let mut csv = std::io::BufWriter::new(std::fs::File::create(&file)?);
    writeln!(csv, "{header}")?;
    (0..ROWS).try_for_each(|i| writeln!(csv, "{}", row(i)))?;
    csv.into_inner()?.sync_all()?;

    let configuration = Configuration::resolve(folder.path(), Mode::Local, &Overrides::default())?;
    let default: Value = serde_json::from_str(TEMPLATE)?;
    let default = default.get("default_job_message").and_then(Value::as_object).cloned().unwrap_or_default();
    let rounds = 0..ROUNDS;
    let times = rounds.map(|_| Ok((timed(|| merged(&configuration))?, timed(|| bare(&file, &default))?)));
    let times = times.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Row::new(format!("merge a job: {name}"), "csv + serde_json, the same merge", times, 2.0))
}

/// The time for each row.
fn timed(work: impl FnOnce() -> anyhow::Result<usize>) -> anyhow::Result<Duration> {
    let started = Instant::now();
    std::hint::black_box(work()?);
    Ok(started.elapsed() / ROWS)
}

fn merged(configuration: &Configuration) -> anyhow::Result<usize> {
    let (mut jobs, mut line, mut bytes) = (configuration.jobs(), Vec::new(), 0);
    while let Some(written) = jobs.write_line(&mut line) {
        written?;
        bytes += std::hint::black_box(&line).len();
        line.clear();
    }
    Ok(bytes)
}

fn bare(file: &Path, default: &Map<String, Value>) -> anyhow::Result<usize> {
    let mut reader = csv::Reader::from_path(file)?;
    let header = reader.headers()?.clone();
    let (mut record, mut line, mut bytes, mut index) = (csv::StringRecord::new(), Vec::new(), 0, 0);
    while reader.read_record(&mut record)? {
        let mut message = default.clone();
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
