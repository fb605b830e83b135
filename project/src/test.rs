//! The tests that a component has: what `armada test` runs.
//!
//! A component that was built with its project's tests lists them in a section of its own, so what there is to run is
//! known without running anything. The list is the author's: it says what to ask the component for, and nothing depends
//! on it.

use serde::Deserialize;

/// A test, or a file of tests that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Test {
    /// Names it: `tests/test_script.py::TestPrices::test_sorted[3]`, or the file alone.
    pub id: String,
    /// The line where it begins, from 1, where known.
    #[serde(default)]
    pub line: Option<u32>,
    /// What it is marked with.
    #[serde(default)]
    pub marks: Vec<String>,
    /// Why all of the file is left out, if it is.
    #[serde(default)]
    pub skipped: Option<String>,
    /// Why there are no tests of this file, if it could not be imported.
    #[serde(default)]
    pub error: Option<TestReport>,
}

/// What became of a test, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TestReport {
    /// The part: its setup, its call or its teardown; or `collect`.
    pub when: String,
    /// `passed`, `failed`, `skipped`, `xfailed` or `xpassed`.
    pub outcome: String,
    /// Why, in words; the first line stands in summaries.
    #[serde(default)]
    pub message: String,
    /// Why and where, as it is shown.
    #[serde(default)]
    pub text: String,
}

impl Test {
    /// Reads a list, one JSON object per line. What is none was written by no SDK, and is no test.
    pub(crate) fn read_all(section: &[u8]) -> impl Iterator<Item = Self> {
        section.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }

    /// The file that it is in.
    pub fn file(&self) -> &str {
        self.id.split("::").next().unwrap_or_default()
    }
}

impl TestReport {
    /// A report of the call of a test.
    pub fn call(outcome: &str, message: String, text: String) -> Self {
        Self { when: "call".to_owned(), outcome: outcome.to_owned(), message, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_line_by_line_and_what_is_no_test_is_left_out() {
        let section = b"{\"id\":\"tests/test_a.py::test_b[1]\",\"line\":3,\"marks\":[\"slow\"]}\n?\n{\"id\":\"tests/mod.rs::c\"}\n";
        let tests: Vec<Test> = Test::read_all(section).collect();
        assert_eq!(tests.iter().map(Test::file).collect::<Vec<_>>(), ["tests/test_a.py", "tests/mod.rs"]);
        assert_eq!((tests[0].line, tests[0].marks.as_slice()), (Some(3), &["slow".to_owned()][..]));
    }
}
