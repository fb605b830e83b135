//! `armada test`, end to end: tests of projects come to every end that there is, and are told of as pytest does.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use armada_tests::command::{armada, armada_for, finish, project};
use armada_tests::processes::{assert_gone, descendants, signal, wait_for};
use serde_json::{Value, json};

use crate::scaffold::Scaffold;

/// Runs the tests of a project of `tests/projects`; gives the exit code and what was printed.
fn test(name: &str, arguments: &[&str]) -> (i32, String, String) {
    let folder = project(name);
    let (code, printed, told) = finish(armada_for(&folder).arg("test").arg(&folder).args(arguments));
    (code, without_times(&printed.replace(&folder.display().to_string(), "FOLDER")), told)
}

/// What was printed, without how long it took, and what depends on the length of that.
fn without_times(printed: &str) -> String {
    let lines = printed.lines().map(|line| match line.rsplit_once(" in ") {
        Some((counts, time)) if time.contains('s') && counts.contains(|one: char| one.is_ascii_digit()) => {
            match time.trim_end_matches('=').trim().chars().next().is_some_and(|one| one.is_ascii_digit()) {
                true => counts.trim_start_matches('=').trim(),
                false => line,
            }
        }
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn assert_printed_as_expected(name: &str) {
    let (code, printed, told) = test(name, &[]);
    let expected = std::fs::read_to_string(project(name).join("expected.txt")).unwrap();
    assert_eq!(printed, expected, "{printed}\n{told}");
    assert_eq!(code, 1);
}

fn json_lines(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tests_in_python_come_to_their_ends_and_harm_no_other() {
    assert_printed_as_expected("python_tests");
}

#[test]
fn tests_in_rust_come_to_their_ends_and_harm_no_other() {
    assert_printed_as_expected("rust_tests");
}

#[test]
fn tests_are_selected_by_files_names_parameters_and_marks() {
    let collected = |arguments: &[&str]| {
        let (code, printed, told) = test("python_tests", &[&["--collect-only"], arguments].concat());
        assert_eq!(code, 0, "{told}");
        let ids = printed.lines().take_while(|line| !line.is_empty());
        ids.map(|id| id.trim_start_matches("tests/").to_owned()).collect::<Vec<_>>()
    };
    let order =
        ["test_prices.py::test_order[1-2]", "test_prices.py::test_order[same]", "test_prices.py::test_order[5-4]"];
    assert_eq!(collected(&["tests/test_prices.py::test_order"]), order);
    assert_eq!(collected(&["./tests/test_prices.py::test_order[same]"]), order[1..2]);
    assert_eq!(collected(&["-k", "ORDER and not (same or 5-4)"]), order[..1]);
    assert_eq!(collected(&["-m", "slow"]).len(), 1);
    assert_eq!(collected(&["tests/shop", "-k", "stock"]), ["shop/test_classes.py::TestShop::test_stock"]);

    let (code, printed, told) = test("python_tests", &["tests/test_prices.py::test_ordre"]);
    assert_eq!((code, printed.as_str()), (2, ""));
    assert!(
        told.contains("no test matches") && told.contains("did you mean `tests/test_prices.py::test_order"),
        "{told}"
    );
    let (code, printed, told) = test("python_tests", &["-k", "nothing_like_it"]);
    assert_eq!(code, 2);
    assert!(printed.contains("collected 24 items / 24 deselected / 0 selected"), "{printed}");
    assert!(told.contains("no test was selected"), "{told}");
}

#[test]
fn each_test_has_a_line_where_more_is_asked_for_and_none_where_less_is() {
    let (code, printed, _) = test("python_tests", &["-v", "tests/test_prices.py", "-k", "order or out or currency"]);
    assert_eq!(code, 1);
    for line in [
        "tests/test_prices.py::test_order[1-2] PASSED                             [ 14%]",
        "tests/test_prices.py::test_order[same] FAILED                            [ 28%]",
        "tests/test_prices.py::test_order[5-4] XFAIL (known)                      [ 42%]",
        "tests/test_prices.py::test_every_currency[EUR] PASSED                    [ 57%]",
        "tests/test_prices.py::test_left_out SKIPPED (not now)                    [ 85%]",
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    let (code, printed, _) = test("python_tests", &["-q", "tests/test_prices.py", "-k", "left_out or currency"]);
    let line = format!("..ss{}[100%]", " ".repeat(69));
    assert_eq!((code, printed), (0, format!("{line}\n2 passed, 2 skipped, 8 deselected\n")));
}

#[test]
fn the_first_failure_is_the_last_test_where_that_is_asked_for() {
    let arguments = ["-x", "--agents", "1", "tests/test_prices.py", "-k", "differ or order or currency"];
    let (code, printed, _) = test("python_tests", &arguments);
    assert_eq!(code, 1);
    assert!(printed.contains("stopping after 1 failures"), "{printed}");
    assert!(printed.ends_with("1 failed, 6 deselected\n"), "{printed}");
}

#[test]
fn machines_are_told_of_each_test_in_a_line() {
    let (code, printed, _) =
        test("python_tests", &["--json", "tests/test_prices.py", "-k", "differ or not_now or better"]);
    assert_eq!(code, 1);
    let lines = json_lines(&printed);
    assert_eq!(lines[0]["type"], "collected");
    assert_eq!(lines[0]["tests"][0], json!({"id": "tests/test_prices.py::test_two_lists_differ", "line": 21}));
    let tests: Vec<_> = lines.iter().filter(|line| line["type"] == "test").collect();
    assert_eq!((&tests[0]["outcome"], &tests[1]["outcome"]), (&json!("failed"), &json!("xpassed")));
    let message = tests[0]["reports"][0]["message"].as_str().unwrap();
    assert_eq!(message.lines().next(), Some("assert [1, 2, 3] == [1, 5, 3]"));
    let summary = lines.last().unwrap();
    assert_eq!((&summary["type"], &summary["failed"], &summary["passed"]), (&json!("summary"), &json!(1), &json!(0)));
}

#[test]
fn ctrl_c_ends_the_tests_in_order_and_tells_what_they_came_to() {
    let folder = project("python_tests");
    let mut command = armada_for(&folder);
    command.arg("test").arg(&folder).args(["tests/test_faults.py::test_waits_for_ever", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""type":"started""#)));
    let started = descendants(child.id());
    assert!(!started.is_empty());
    signal(child.id(), "INT");
    let ended = wait_for("the command to end", Duration::from_secs(60), || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(130));
    assert_gone(&started);
    let last: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["failed"]), (&json!("summary"), &json!(0)));
}

#[test]
fn a_new_project_in_rust_has_a_test_that_passes() {
    let scaffold = Scaffold::take();
    let (code, printed, told) = scaffold.run(&["test"]);
    assert_eq!(code, 0, "{printed}\n{told}");
    assert!(printed.contains("tests/mod.rs ."), "{printed}");
    assert!(without_times(&printed).ends_with("\n1 passed\n"), "{printed}");
    // What is said of the author's code is said about the author's code only.
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn a_new_project_in_python_has_a_test_that_passes_and_mistakes_in_tests_are_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(finish(armada().args(["new", "shop", "--lang", "python"]).current_dir(&folder)).0, 0);
    let root = folder.path().join("shop");
    let run = || finish(armada().arg("test").current_dir(&root));
    let (code, printed, told) = run();
    assert_eq!(code, 0, "{printed}\n{told}");
    assert!(
        printed.contains("tests/test_script.py .") && without_times(&printed).ends_with("\n1 passed\n"),
        "{printed}"
    );

    let write = |file: &str, content: &str| std::fs::write(root.join("tests").join(file), content).unwrap();
    write("test_import.py", "import nothing_like_it\n");
    write("test_syntax.py", "def test_it():\n    assert 1 ==\n");
    write("test_arguments.py", "import pytest\n\n@pytest.mark.parametrize('a', [1])\ndef test_it():\n    pass\n");
    let (code, printed, _) = run();
    assert_eq!(code, 2, "{printed}");
    for told in [
        "collected 1 item / 3 errors",
        "_ ERROR collecting tests/test_import.py _",
        "tests/test_import.py:1: ModuleNotFoundError",
        "function uses no argument 'a'",
        "ERROR tests/test_syntax.py - SyntaxError: invalid syntax",
        "Interrupted: 3 errors during collection",
    ] {
        assert!(printed.contains(told), "{told}\n{printed}");
    }
}

#[test]
fn a_project_without_tests_is_told_how_to_write_them() {
    let told = |folder: &Path| {
        let (code, _, told) = finish(armada().arg("test").arg(folder));
        assert_eq!(code, 2);
        told
    };
    let rust = told(&project("lifecycle"));
    assert!(rust.contains("there are no tests") && rust.contains("armada::tests!"), "{rust}");
    let python = told(&project("python_asyncio"));
    assert!(python.contains("there are no tests") && python.contains("tests/test_"), "{python}");
}
