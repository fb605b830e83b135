//! Which tests are run: those that the arguments name, in the order in which they are written.

use anyhow::bail;
use armada_project::{Test, TestReport, nearest};

use super::Expression;
use crate::args::Test as Arguments;
use crate::console::printable_line;

/// What was collected, and what is run of it.
pub(super) struct Selection<'a> {
    /// Those that are run.
    pub(super) tests: Vec<&'a Test>,
    /// How many are not, because an expression leaves them out.
    pub(super) deselected: usize,
    /// Files that are left out as a whole.
    pub(super) skipped: Vec<&'a Test>,
    /// Files that could not be imported.
    pub(super) errors: Vec<(&'a Test, &'a TestReport)>,
}

impl<'a> Selection<'a> {
    /// Selects among all tests. A filter that matches nothing is a mistake.
    pub(super) fn new(all: &'a [Test], filters: &[&str], arguments: &Arguments) -> anyhow::Result<Self> {
        let filters: Vec<&str> = filters.iter().map(|filter| normal(filter)).collect();
        if let Some(unknown) = filters.iter().find(|filter| !all.iter().any(|test| is_within(&test.id, filter))) {
            let near = nearest(unknown, all.iter().map(|test| test.id.as_str()));
            let near = near.map(|near| format!(": did you mean `{}`?", printable_line(near))).unwrap_or_default();
            bail!("no test matches `{unknown}`{near}");
        }
        let mut selection = Self { tests: Vec::new(), deselected: 0, skipped: Vec::new(), errors: Vec::new() };
        let is_asked = |test: &&Test| filters.is_empty() || filters.iter().any(|filter| is_within(&test.id, filter));
        for test in all.iter().filter(is_asked) {
            match &test.error {
                Some(error) => selection.errors.push((test, error)),
                None if test.skipped.is_some() => selection.skipped.push(test),
                None if is_selected(test, arguments.keyword.as_ref(), arguments.mark.as_ref()) => {
                    selection.tests.push(test);
                }
                None => selection.deselected += 1,
            }
        }
        Ok(selection)
    }

    /// How many tests there are, whether or not they are run.
    pub(super) fn collected(&self) -> usize {
        self.tests.len() + self.deselected
    }
}

/// A filter without what means nothing in it.
fn normal(filter: &str) -> &str {
    filter.strip_prefix("./").unwrap_or(filter).trim_end_matches('/')
}

/// Whether a test is what a filter names, or is in it: in a folder, a file, a class, or one of a test's parameters.
fn is_within(id: &str, filter: &str) -> bool {
    id.strip_prefix(filter)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']) || rest.starts_with("::"))
}

/// Whether a test's names match, a part of one being enough, and its marks, which must be the same.
fn is_selected(test: &Test, keyword: Option<&Expression>, mark: Option<&Expression>) -> bool {
    let id = test.id.to_lowercase();
    let names = |name: &str| {
        let name = name.to_lowercase();
        id.split("::").any(|part| part.contains(&name))
            || test.marks.iter().any(|mark| mark.to_lowercase().contains(&name))
    };
    let marks = |name: &str| test.marks.iter().any(|mark| mark == name);
    keyword.is_none_or(|expression| expression.holds(&names)) && mark.is_none_or(|expression| expression.holds(&marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(id: &str) -> Test {
        serde_json::from_value(serde_json::json!({"id": id, "marks": ["slow"]})).unwrap()
    }

    #[test]
    fn a_filter_names_a_folder_a_file_a_class_a_test_or_one_of_its_parameters() {
        let id = "tests/shop/test_a.py::TestPrices::test_sorted[3]";
        for filter in ["tests", "tests/shop", "tests/shop/test_a.py", "tests/shop/test_a.py::TestPrices"] {
            assert!(is_within(id, filter), "{filter}");
        }
        assert!(is_within(id, "tests/shop/test_a.py::TestPrices::test_sorted") && is_within(id, id));
        for filter in ["tests/sh", "tests/shop/test_a.py::TestPrices::test_sort", "test_a.py"] {
            assert!(!is_within(id, filter), "{filter}");
        }
        assert_eq!(normal("./tests/shop/"), "tests/shop");
    }

    #[test]
    fn a_part_of_a_name_is_enough_in_any_case_but_marks_are_whole() {
        let one = test("tests/test_a.py::TestPrices::test_sorted");
        let is = |text| is_selected(&one, Some(&Expression::parse(text).unwrap()), None);
        assert!(is("prices") && is("test_a and SORT") && is("slo") && !is("shop") && !is("not sorted"));
        let is_marked = |text| is_selected(&one, None, Some(&Expression::parse(text).unwrap()));
        assert!(is_marked("slow") && !is_marked("slo"));
    }
}
