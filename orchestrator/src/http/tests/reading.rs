//! What is read: lists in pages, single things, files.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Server;

/// A run of so many jobs, each of which failed if its place is divisible by three.
async fn stored(server: &Server, jobs: i64) -> String {
    let run = server.run().await;
    let first = server.store.last_seq() as i64 + 1;
    for place in 0..jobs {
        let (status, error) = match place % 3 {
            0 => ("Failed", Some(format!(r#"{{"cause":"failed","message":"odd_{place}% broke"}}"#))),
            _ => ("Success", None),
        };
        let insert = "INSERT INTO jobs (id, run_id, place, seq, status, message, attempts, attempts_allowed, agent, result, \
                      error, created_at) VALUES ($1, $2, $3, $4, $5, '{\"site\":\"Example\"}', 1, 1, $6, $7, $8, $9)";
        sqlx::query(insert)
            .bind(uuid::Uuid::new_v4().to_string())
            .bind(run.clone())
            .bind(place)
            .bind(first + place)
            .bind(status)
            .bind(place % 2)
            .bind(error.is_none().then(|| format!(r#"{{"n":{place}}}"#)))
            .bind(error)
            .bind(1_000 * place)
            .execute(server.store.pool())
            .await
            .unwrap();
    }
    run
}

fn places(items: &[Value]) -> Vec<u64> {
    items.iter().map(|job| job["index"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn moments_have_one_length_and_sort_as_text() {
    let server = Server::start().await;
    let run = stored(&server, 11).await;
    let items = server.get(&format!("/api/jobs?run_uuid={run}&page_size=11")).await.items();
    let moments: Vec<&str> = items.iter().map(|job| job["job_datetime"].as_str().unwrap()).collect();
    assert_eq!((moments[0], moments[10]), ("1970-01-01T00:00:10.000Z", "1970-01-01T00:00:00.000Z"));
    assert!(moments.is_sorted_by(|a, b| a > b));
}

#[tokio::test]
async fn pages_and_cursors_show_every_row_once_and_the_newest_first() {
    let server = Server::start().await;
    let run = stored(&server, 25).await;
    let newest_first: Vec<u64> = (0..25).rev().collect();

    let mut by_page = Vec::new();
    for page in 1..=3 {
        let answer = server.get(&format!("/api/jobs/?run_uuid={run}&page={page}&page_size=10")).await;
        let list = answer.json();
        assert_eq!((&list["total"], &list["page"], &list["page_size"]), (&json!(25), &json!(page), &json!(10)));
        by_page.extend(places(&answer.items()));
    }
    assert_eq!(by_page, newest_first);

    let mut by_cursor = Vec::new();
    let mut before = String::new();
    loop {
        let answer = server.get(&format!("/api/jobs?run_uuid={run}&limit=7{before}")).await;
        by_cursor.extend(places(&answer.items()));
        match answer.json()["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(by_cursor, newest_first);

    let mut followed = Vec::new();
    let mut after = 0;
    loop {
        let answer = server.get(&format!("/api/jobs?run_uuid={run}&limit=7&after={after}")).await;
        followed.extend(places(&answer.items()));
        match answer.json()["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    followed.reverse();
    assert_eq!(followed, newest_first);
    server.stop().await;
}

#[tokio::test]
async fn filters_leave_what_they_name() {
    let server = Server::start().await;
    let run = stored(&server, 12).await;
    for (filter, expected) in [
        ("status=Failed", vec![9, 6, 3, 0]),
        ("status=Failed&agent=1", vec![9, 3]),
        ("agent=0", vec![10, 8, 6, 4, 2, 0]),
        ("text=ODD_3%25", vec![3]),
        ("text=odd_%25", vec![]),
        ("text=example&limit=2", vec![11, 10]),
        ("from=1970-01-01T00:00:10Z", vec![11, 10]),
        ("from=1970-01-01T00:00:04Z&to=1970-01-01T00:00:06Z", vec![5, 4]),
        ("status=Cancelled", vec![]),
    ] {
        let answer = server.get(&format!("/api/jobs/?run_uuid={run}&{filter}")).await;
        assert_eq!(places(&answer.items()), expected, "{filter}: {}", answer.text());
    }
    let counted = server.get(&format!("/api/jobs/?run_uuid={run}&text=example&limit=2")).await.json();
    assert_eq!((&counted["total"], &counted["total_is_exact"]), (&json!(12), &json!(true)));
    assert_eq!(server.get("/api/jobs/?status=Failed&agent=1").await.items().len(), 2);
    assert_eq!(server.get("/api/runs/?status=Running").await.items().len(), 1);
    assert_eq!(server.get("/api/runs/?status=Failed").await.items().len(), 0);
    server.stop().await;
}

#[tokio::test]
async fn events_are_found_by_job_run_level_and_text() {
    let server = Server::start().await;
    let run = server.run().await;
    let (one, other) = (server.job(&run).await, server.job(&run).await);
    server.event(&one, "first").await;
    server.event(&other, "second").await;
    server.event(&one, "100% done").await;
    for (filter, expected) in [
        (format!("job_uuid={one}"), vec!["100% done", "first"]),
        (format!("run_uuid={run}"), vec!["100% done", "second", "first"]),
        (format!("run_uuid={run}&text=%25"), vec!["100% done"]),
        (format!("run_uuid={run}&status=failure"), vec![]),
        (format!("run_uuid={run}&status=success&text=SECOND"), vec!["second"]),
    ] {
        let answer = server.get(&format!("/api/events/?{filter}")).await;
        let contents: Vec<_> = answer.items().iter().map(|event| event["event_content"].clone()).collect();
        assert_eq!(contents, expected, "{filter}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_query_with_a_mistake_is_refused_by_the_name_of_its_parameter() {
    let server = Server::start().await;
    for (query, name) in [
        ("/api/runs/?colour=red", "colour"),
        ("/api/runs/?page=0", "page"),
        ("/api/runs/?page=one", "page"),
        ("/api/runs/?page=2&page=3", "page"),
        ("/api/runs/?page_size=101", "page_size"),
        ("/api/runs/?limit=0", "limit"),
        ("/api/runs/?limit=5&page_size=5", "limit"),
        ("/api/runs/?page=2&after=5", "after"),
        ("/api/runs/?page=100000&page_size=100", "page"),
        ("/api/runs/?after=-1", "after"),
        ("/api/runs/?status=Great", "status"),
        ("/api/runs/?from=today", "from"),
        ("/api/jobs/?run_uuid=1", "run_uuid"),
        ("/api/jobs/?agent=x", "agent"),
        ("/api/events/", "job_uuid"),
        ("/api/changes?after=x", "after"),
    ] {
        let answer = server.get(query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.text());
        assert!(answer.json()["detail"].as_str().unwrap().contains(name), "{query}: {}", answer.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = Server::start().await;
    let id = uuid::Uuid::new_v4();
    for path in [
        format!("/api/runs/{id}"),
        format!("/api/runs/{id}/agents"),
        format!("/api/runs/{id}/results"),
        format!("/api/jobs/{id}"),
        format!("/api/jobs/{id}/log"),
        format!("/api/jobs/{id}/attempts"),
        format!("/api/jobs/{id}/artifacts"),
        format!("/api/jobs/{id}/artifacts/page.png"),
        format!("/api/events/{id}"),
        "/api/nothing".to_owned(),
        "/tracking".to_owned(),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
        assert_eq!(answer.json()["status"], 404);
    }
    for path in ["/api/runs/mine", "/api/jobs/%00", "/api/events/1/", "/api/jobs/1/log", "/api/runs/%ff"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn results_are_every_ended_job_in_the_order_of_places() {
    let server = Server::start().await;
    let run = stored(&server, 450).await;
    let lines = server.get(&format!("/api/runs/{run}/results?format=jsonl")).await.text();
    let jobs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(places(&jobs), (0..450).collect::<Vec<_>>());
    assert_eq!(jobs[1]["result"], json!({ "n": 1 }));

    let table = server.get(&format!("/api/runs/{run}/results?format=csv")).await;
    assert!(table.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let mut rows = csv::Reader::from_reader(table.body.as_slice());
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 450);
    assert_eq!((&rows[7][0], &rows[7][2], &rows[7][7]), ("7", "Success", r#"{"n":7}"#));
    server.stop().await;
}

#[tokio::test]
async fn an_artifact_is_downloaded_and_never_shown() {
    let server = Server::start().await;
    let run = server.run().await;
    let job = server.job(&run).await;
    let folder = server.store.artifacts_of(run.parse().unwrap(), 0);
    std::fs::create_dir_all(&folder).unwrap();
    let content = vec![b'x'; 200_000];
    for name in ["über \"page\".html", "lost.txt"] {
        let insert = "INSERT INTO artifacts (job_id, name, attempt, media_type, size, created_at) VALUES ($1, $2, 1, \
                      'text/html', 200000, 0)";
        sqlx::query(insert).bind(job.clone()).bind(name).execute(server.store.pool()).await.unwrap();
    }
    std::fs::write(folder.join("über \"page\".html"), &content).unwrap();
    std::fs::write(folder.join("unknown.txt"), "x").unwrap();

    let listed = server.get(&format!("/api/jobs/{job}/artifacts")).await.items();
    assert_eq!(listed.len(), 2);
    let path = format!("/api/jobs/{job}/artifacts/%C3%BCber%20%22page%22.html");
    let answer = server.get(&path).await;
    assert_eq!(answer.body, content);
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        header("content-disposition"),
        "attachment; filename=\"_ber _page_.html\"; filename*=UTF-8''%C3%BCber%20%22page%22.html"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").starts_with("sandbox"));

    for name in ["lost.txt", "unknown.txt", "..%2F..%2Fstore.db", "%2e%2e", ".hidden"] {
        let answer = server.get(&format!("/api/jobs/{job}/artifacts/{name}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}: {}", answer.text());
    }
    server.stop().await;
}
