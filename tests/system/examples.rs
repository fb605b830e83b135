//! The example projects against the site that they are made for: what a newcomer sees first is right.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use armada_sites::library::{self, Quote};
use armada_sites::upstream::{self, Carried};
use armada_sites::{Note, QUOTES_PER_PAGE, Registration};
use armada_tests::command::{Running, read_rows};
use armada_tests::processes::assert_gone;
use armada_tests::repository;
use armada_tests::site::Site;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

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

/// The size of a picture, in pixels.
fn size_of_picture(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    png::Decoder::new(file).read_info().unwrap().info().size()
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

/// The proxy of the example of forms: where it is, and what it tells. It ends with the runtime.
fn upstream_proxy() -> (tokio::runtime::Runtime, SocketAddr, Arc<Mutex<Vec<Carried>>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let (address, log) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let heard = log.clone();
    runtime.spawn(upstream::serve(listener, move |carried| heard.lock().unwrap().push(carried)));
    (runtime, address, log)
}

/// What the form of the site is to have been filled in with for a person, as a job has told it.
fn registration(person: &Value, letter: &str) -> Registration {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let home = &person["address"];
    let letters = [("Never", "never"), ("Once a month", "monthly"), ("Once a week", "weekly")];
    Registration {
        given_name: text(&person["given_name"]),
        family_name: text(&person["family_name"]),
        birth_date: text(&person["birth_date"]),
        street: format!("{} {}", text(&home["street"]), text(&home["number"])),
        postal_code: text(&home["postal_code"]),
        city: text(&home["city"]),
        country: text(&home["country"]),
        phone: text(&person["phone"]),
        email: text(&person["email"]),
        user_name: text(&person["user_name"]),
        password: text(&person["password"]),
        letter: letters.iter().find(|(shown, _)| *shown == letter).unwrap().1.to_owned(),
    }
}

#[test]
fn the_example_of_forms_registers_made_up_people_through_the_proxy_and_not_without_it() {
    let site = armada_sites::Site::default();
    let server = Site::serve(site.router());
    let (_runtime, proxy, log) = upstream_proxy();
    let example = repository().join("examples/forms");
    let folder = tempfile::tempdir().unwrap();
    let inventory = std::fs::read_to_string(example.join("inventory.toml")).unwrap();
    let inventory = inventory.replace("127.0.0.1:8080", &server.host()).replace("127.0.0.1:8081", &proxy.to_string());
    let run = |inventory: &str| {
        let file = folder.path().join("inventory.toml");
        std::fs::write(&file, inventory).unwrap();
        let url = format!("SITE_URL={}", server.url());
        Running::start_at(&example, &["--set", &url, "--inventory", file.to_str().unwrap()])
    };

    let mut running = run(&inventory);
    running.until(|told| told["type"] == "ended");
    let processes = running.processes();
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{:#?}", ended.results);
    let letters = read_rows(&example.join("config/data_job.csv"));
    assert_eq!(ended.results.len(), letters.len());
    let registered = site.registrations();
    assert_eq!(registered.len(), letters.len());
    let mut user_names = BTreeSet::new();
    for (index, (result, letter)) in ended.results.iter().zip(&letters).enumerate() {
        let (person, number) = (&result["result"]["person"], result["result"]["number"].as_u64().unwrap());
        assert_eq!(registered[number as usize - 1], registration(person, &letter[0]), "job {index}");
        assert_eq!((&person["locale"], &person["address"]["country"]), (&json!("de-DE"), &json!("DE")));
        assert!(person["email"].as_str().unwrap().ends_with("@mail.example"), "{person}");
        user_names.insert(person["user_name"].to_string());
        assert_eq!(result["result"]["left_through"], "corner");
        assert!(is_png(&ended.artifacts().join(format!("job-{index}/welcome.png"))), "the picture of job {index}");
    }
    assert_eq!(user_names.len(), letters.len(), "every job has somebody else");
    let told = format!("{:?}{:?}", ended.told, ended.results);
    assert!(!told.contains(armada_sites::INVITATION) && !told.contains(upstream::PASSWORD));
    let carried = log.lock().unwrap().clone();
    assert!(!carried.is_empty() && carried.iter().all(|one| *one == Carried::To(server.host())), "{carried:?}");
    assert_eq!(ended.temporary_files, 0);
    assert_gone(&processes);

    // Where the operator has no proxy in that place, nobody is registered by another way.
    let ended = run(&inventory.replace("location = \"DE\"", "location = \"FR\"")).finish();
    assert_eq!(ended.code, Some(1), "{:#?}", ended.results);
    assert_eq!((site.registrations().len(), log.lock().unwrap().len()), (letters.len(), carried.len()));
    assert_eq!(ended.temporary_files, 0);
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

/// The rows of two numbers that a statement gives in a SQLite file.
fn ask(file: &Path, sql: &'static str) -> Vec<(i64, i64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
        let rows = sqlx::query_as(sql).fetch_all(&mut database).await.unwrap();
        database.close().await.unwrap();
        rows
    })
}

#[test]
fn the_example_of_hearts_counts_them_and_knows_the_last_time() {
    let site = armada_sites::Site::default();
    let server = Site::serve(site.router());
    let example = repository().join("examples/hearts");
    let folder = tempfile::tempdir().unwrap();
    let (database, lent) = (folder.path().join("hearts.db"), folder.path().join("inventory.toml"));
    std::fs::write(&database, "").unwrap();
    let inventory = std::fs::read_to_string(example.join("inventory.toml")).unwrap();
    std::fs::write(&lent, inventory.replace("target/hearts.db", database.to_str().unwrap())).unwrap();
    let quotes = read_rows(&example.join("config/data_job.csv"));
    let quotes: Vec<usize> = quotes.iter().map(|row| row[0].parse().unwrap()).collect();
    let hearts = |quote: usize| library::quotes().iter().find(|known| known.id == quote).unwrap().hearts();
    let rows = |hearts: &dyn Fn(usize) -> usize| -> Vec<(i64, i64)> {
        quotes.iter().map(|quote| (*quote as i64, hearts(*quote) as i64)).collect()
    };

    let run = || {
        let url = format!("SITE_URL={}", server.url());
        let mut running = Running::start_at(&example, &["--set", &url, "--inventory", lent.to_str().unwrap()]);
        running.until(|told| told["type"] == "ended");
        let processes = running.processes();
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{:#?}", ended.results);
        assert_eq!(ended.results.len(), quotes.len());
        for (index, (result, quote)) in ended.results.iter().zip(&quotes).enumerate() {
            let result = &result["result"];
            assert_eq!((&result["quote"], &result["hearts"]), (&json!(quote), &json!(hearts(*quote))), "job {index}");
            assert_eq!((&result["device"], &result["fits"]), (&json!("Pixel 8"), &json!(true)), "job {index}");
            let picture = ended.artifacts().join(format!("job-{index}/screen.png"));
            assert_eq!(size_of_picture(&picture), (500, 915), "the picture of job {index}");
        }
        assert_eq!(ended.temporary_files, 0);
        assert_gone(&processes);
        ended
    };

    for result in run().results {
        assert_eq!((&result["result"]["change"], &result["result"]["since"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(ask(&database, "SELECT quote, hearts FROM hearts ORDER BY rowid"), rows(&hearts));

    // The site counts the same every day: what it had the last time is changed, by another number for each quote.
    ask(&database, "UPDATE hearts SET hearts = hearts - quote RETURNING quote, hearts");
    for (result, quote) in run().results.iter().zip(&quotes) {
        assert_eq!(result["result"]["change"], json!(quote));
        assert!(result["result"]["since"].is_string(), "{result}");
    }
    let both = [rows(&|quote| hearts(quote) - quote), rows(&hearts)].concat();
    assert_eq!(ask(&database, "SELECT quote, hearts FROM hearts ORDER BY rowid"), both);
}
