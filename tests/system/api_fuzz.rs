//! Requests that nobody would think of, made by Schemathesis from the API's own description: whatever is asked, the
//! server never fails, and answers as it says that it does.

use std::path::Path;
use std::process::Command;

use armada_tests::pypi;
use armada_tests::serve::Serve;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// How long each of the two rounds goes on.
const SECONDS: &str = "30";

/// Asks everything but these operations.
fn fuzz(serve: &Serve, folder: &Path, without: &[&str]) {
    let mut command = Command::new(pypi::python(SCHEMATHESIS).with_file_name("st"));
    command
        .args(["run", &format!("{}/api/openapi.json", serve.url()), "--max-time", SECONDS, "--no-color"])
        .args(["--continue-on-failure", "--phases", "examples,coverage,fuzzing,stateful", "--checks"])
        .arg("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance");
    // It cannot write Wasm.
    for operation in without.iter().chain(&["put_component"]) {
        command.args(["--exclude-operation-id", operation]);
    }
    let output = command.current_dir(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("generated, "), "nothing was asked: {told}");
}

#[test]
fn whatever_is_asked_the_server_never_fails() {
    let mut serve = Serve::start(&[], &[]);
    let folder = tempfile::tempdir().unwrap();
    fuzz(&serve, folder.path(), &[]);

    // With the names of what is there, the same questions are about something.
    let run = serve.launch(&["quick", "fail"], 1);
    serve.until_ended(&run);
    let job = serve.jobs(&run)[0]["job_uuid"].as_str().unwrap().to_owned();
    let named = format!("[parameters]\nrun_uuid = \"{run}\"\njob_uuid = \"{job}\"\n");
    std::fs::write(folder.path().join("schemathesis.toml"), named).unwrap();
    // These begin runs, and end this one.
    fuzz(&serve, folder.path(), &["replay_run", "retry_run", "delete_run"]);
    assert_eq!(serve.run(&run)["status"], "Failed");
    assert_eq!(serve.end(), Some(0));
}
