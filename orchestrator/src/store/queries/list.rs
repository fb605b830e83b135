//! Lists: which rows of a table, found by which index, in which order; and the statements that read a part of one.

use uuid::Uuid;

use super::{JobFilter, LOOKED_AT, Paging, ReportFilter, ReportsOf, RunFilter};
use crate::store::runs::{clean, whole};
use crate::store::statement::Statement;
use crate::store::views::{AGENT_COLUMNS, ATTEMPT_COLUMNS, JOB_COLUMNS, REPORT_COLUMNS, RUN_COLUMNS};

/// A value that is compared.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

/// What an index does not find.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    Equal(&'static str, Value),
    AtLeast(&'static str, i64),
    Below(&'static str, i64),
    /// One of the columns has the text, whatever the case of its ASCII letters.
    Contains(&'static [&'static str], String),
}

/// A list: rows of a table in the order of a key, by an index on `(equal…, key)`.
pub(super) struct List {
    pub(super) table: &'static str,
    columns: &'static str,
    key: &'static str,
    /// Whether the greatest key comes first.
    pub(super) is_newest_first: bool,
    pub(super) equal: Vec<(&'static str, Value)>,
    pub(super) filters: Vec<Filter>,
}

impl List {
    pub(super) fn of_runs(filter: RunFilter) -> Self {
        let mut list = Self::new("runs", RUN_COLUMNS, "seq");
        list.equal.extend(filter.status.map(|status| ("status", Value::Text(status.word().to_owned()))));
        list.between("created_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["project", "reason"], text)));
        list
    }

    pub(super) fn of_jobs(filter: JobFilter) -> Self {
        let mut list = Self::new("jobs", JOB_COLUMNS, "seq");
        let status = filter.status.map(|status| Value::Text(status.word().to_owned()));
        let agent = filter.agent.map(|agent| Value::Number(agent.into()));
        match (filter.run, status, agent) {
            (Some(run), Some(status), agent) => {
                list.equal = vec![("run_id", Value::Text(run.to_string())), ("status", status)];
                list.filters.extend(agent.map(|agent| Filter::Equal("agent", agent)));
            }
            (Some(run), None, agent) => {
                list.equal.push(("run_id", Value::Text(run.to_string())));
                list.equal.extend(agent.map(|agent| ("agent", agent)));
            }
            (None, status, agent) => {
                list.filters.extend(status.map(|status| Filter::Equal("status", status)));
                list.filters.extend(agent.map(|agent| Filter::Equal("agent", agent)));
            }
        }
        list.between("created_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["message", "error"], text)));
        list
    }

    pub(super) fn of_reports(filter: ReportFilter) -> Self {
        let mut list = Self::new("reports", REPORT_COLUMNS, "seq");
        list.equal.push(match filter.of {
            ReportsOf::Run(run) => ("run_id", Value::Text(run.to_string())),
            ReportsOf::Job(job) => ("job_id", Value::Text(job.to_string())),
        });
        list.equal.push(("kind", Value::Text(filter.kind.to_owned())));
        list.filters.extend(filter.level.map(|level| Filter::Equal("level", Value::Text(level))));
        list.between("reported_at", filter.from, filter.to);
        list.filters.extend(filter.text.map(|text| Filter::Contains(&["content"], text)));
        list
    }

    pub(super) fn of_agents(run: Uuid) -> Self {
        let mut list = Self::new("agents", AGENT_COLUMNS, "agent");
        list.is_newest_first = false;
        list.equal.push(("run_id", Value::Text(run.to_string())));
        list
    }

    pub(super) fn of_attempts(job: Uuid) -> Self {
        let mut list = Self::new("attempts", ATTEMPT_COLUMNS, "attempt");
        list.is_newest_first = false;
        list.equal.push(("job_id", Value::Text(job.to_string())));
        list
    }

    pub(super) fn new(table: &'static str, columns: &'static str, key: &'static str) -> Self {
        Self { table, columns, key, is_newest_first: true, equal: Vec::new(), filters: Vec::new() }
    }

    pub(super) fn between(&mut self, column: &'static str, from: Option<i64>, to: Option<i64>) {
        self.filters.extend(from.map(|from| Filter::AtLeast(column, from)));
        self.filters.extend(to.map(|to| Filter::Below(column, to)));
    }

    /// `SELECT … FROM … WHERE` what an index finds.
    pub(super) fn select(&self, columns: &str, paging: &Paging) -> Statement {
        let mut statement = Statement::new(&format!("SELECT {columns} FROM {} WHERE 1 = 1", self.table));
        for (column, value) in &self.equal {
            statement.push(&format!(" AND {column} = "));
            bind(&mut statement, value);
        }
        for (than, number) in [(">", paging.after), ("<", paging.before)] {
            if let Some(number) = number {
                statement.push(&format!(" AND {} {than} ", self.key)).bind(whole(number));
            }
        }
        statement
    }

    pub(super) fn order(&self, statement: &mut Statement, is_descending: bool, limit: u64, offset: u64) {
        let direction = if is_descending { "DESC" } else { "ASC" };
        statement.push(&format!(" ORDER BY {} {direction} LIMIT ", self.key)).bind(whole(limit));
        if offset > 0 {
            statement.push(" OFFSET ").bind(whole(offset));
        }
    }

    pub(super) fn filter(&self, statement: &mut Statement) {
        for filter in &self.filters {
            match filter {
                Filter::Equal(column, value) => bind(statement.push(&format!(" AND {column} = ")), value),
                Filter::AtLeast(column, least) => drop(statement.push(&format!(" AND {column} >= ")).bind(*least)),
                Filter::Below(column, bound) => drop(statement.push(&format!(" AND {column} < ")).bind(*bound)),
                Filter::Contains(columns, text) => {
                    for (index, column) in columns.iter().enumerate() {
                        statement.push(if index == 0 { " AND (" } else { " OR " });
                        statement.push(&format!("LOWER({column}) LIKE LOWER(")).bind(pattern(text));
                        statement.push(") ESCAPE '\\'");
                    }
                    statement.push(")");
                }
            }
        }
    }

    /// Where the rows that are looked at end, and how many they are.
    pub(super) fn edge(&self, paging: &Paging, is_descending: bool) -> Statement {
        let outermost = if is_descending { "MIN" } else { "MAX" };
        let mut looked_at = self.select(self.key, paging);
        self.order(&mut looked_at, is_descending, LOOKED_AT, 0);
        let before = format!("SELECT COALESCE({outermost}({}), 0) AS edge, COUNT(*) AS number FROM (", self.key);
        looked_at.wrap(&before, ") AS looked_at");
        looked_at
    }

    /// Only what is not behind the edge.
    pub(super) fn within(&self, statement: &mut Statement, edge: i64, is_descending: bool) {
        let than = if is_descending { ">=" } else { "<=" };
        statement.push(&format!(" AND {} {than} ", self.key)).bind(edge);
    }

    pub(super) fn page(&self, paging: &Paging, is_descending: bool, edge: Option<i64>) -> Statement {
        let mut statement = self.select(self.columns, paging);
        if let Some(edge) = edge {
            self.within(&mut statement, edge, is_descending);
        }
        self.filter(&mut statement);
        self.order(&mut statement, is_descending, paging.size + 1, paging.offset);
        statement
    }

    pub(super) fn count(&self, edge: i64) -> Statement {
        let mut statement = self.select("COUNT(*) AS number", &Paging::default());
        self.within(&mut statement, edge, self.is_newest_first);
        self.filter(&mut statement);
        statement
    }
}

fn bind(statement: &mut Statement, value: &Value) {
    match value {
        Value::Text(text) => statement.bind(text.clone()),
        Value::Number(number) => statement.bind(*number),
    };
}

/// A text that is looked for, as LIKE takes it.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in clean(text).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
