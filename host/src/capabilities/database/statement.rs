//! What a script may ask of a database, by the first word of its statement.
//!
//! Statements that change data or tables are for databases that are lent for writing. Some are for nobody: what begins
//! and ends transactions would undo the read-only ones that the host begins, and what sets up sessions, accounts or
//! functions, attaches other files or moves the server's files is not the script's business: an account that is lent
//! can always change its own password, and no server takes that right away. This look decides nothing about reading: the
//! server does that.

use crate::contract::Error;
use crate::contract::database::Kind;

/// What asks.
const READING: [&str; 8] = ["SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC"];
/// What changes.
const WRITING: [&str; 12] = [
    "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "REFRESH",
    "ANALYZE",
];
/// What makes and unmakes things, and the things that scripts may do that to.
const DEFINING: [&str; 3] = ["CREATE", "ALTER", "DROP"];
const DEFINED: [&str; 5] = ["TABLE", "INDEX", "VIEW", "MATERIALIZED", "SEQUENCE"];
/// What may be said of a thing before it is named.
const QUALIFYING: [&str; 9] =
    ["OR", "REPLACE", "TEMPORARY", "TEMP", "UNLOGGED", "UNIQUE", "RECURSIVE", "FULLTEXT", "SPATIAL"];
/// How SQLite's tables of pragmas begin.
const PRAGMA: &str = "pragma_";
/// How long a statement may be, in bytes.
const STATEMENT: usize = 1 << 20;

/// Lets a statement through that is for scripts to make.
pub(super) fn check(kind: Kind, sql: &str, writable: bool, database: &str) -> Result<(), Error> {
    if sql.len() > STATEMENT {
        return Err(Error::Limit(format!("a statement has at most {STATEMENT} bytes; this one has {}", sql.len())));
    }
    if sql.contains('\0') {
        return Err(Error::Invalid("a statement cannot have a character of the code 0".to_owned()));
    }
    let mut words = words(kind, sql);
    let word = words.next().unwrap_or_default();
    if WRITING.contains(&word.as_str()) && !writable {
        return Err(Error::Denied(format!(
            "the database `{database}` is lent for reading, not for {word}: the operator can lend it with `writable = true`"
        )));
    }
    if !READING.contains(&word.as_str()) && !WRITING.contains(&word.as_str()) {
        let what = if word.is_empty() { "this".to_owned() } else { word };
        return Err(Error::Denied(format!(
            "{what} is no statement for scripts: a statement begins with one of {}, or, where the database may be changed, \
             {}; transactions are begun and ended by their own functions",
            READING.join(", "),
            WRITING.join(", ")
        )));
    }
    if DEFINING.contains(&word.as_str()) {
        let what = words.find(|next| !QUALIFYING.contains(&next.as_str())).unwrap_or_default();
        if !DEFINED.contains(&what.as_str()) {
            return Err(Error::Denied(format!(
                "{word} {what} is no statement for scripts: they {word} {}, and nothing else",
                DEFINED.join(", ")
            )));
        }
    }
    if kind == Kind::Sqlite { sqlite(sql) } else { Ok(()) }
}

/// The words that a statement begins with, in upper case.
fn words(kind: Kind, sql: &str) -> impl Iterator<Item = String> {
    let mut rest = Some(sql);
    std::iter::from_fn(move || {
        let (word, after) = first_word(kind, rest?).filter(|(word, _)| !word.is_empty())?;
        rest = Some(after);
        Some(word.to_ascii_uppercase())
    })
}

/// The first word after blanks, comments and opening parentheses, and what comes after it.
fn first_word(kind: Kind, sql: &str) -> Option<(&str, &str)> {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|character: char| character.is_ascii_whitespace() || character == '(');
        let line = rest.starts_with("--") || (kind == Kind::Mysql && rest.starts_with('#'));
        if line {
            rest = rest.split_once('\n')?.1;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            // MySQL runs what some comments say.
            if kind == Kind::Mysql && comment.starts_with(['!', 'M']) {
                return None;
            }
            rest = match kind {
                Kind::Postgresql | Kind::SqlServer => after_nested_comment(comment)?,
                Kind::Mysql | Kind::Sqlite => comment.split_once("*/")?.1,
            };
        } else {
            break;
        }
    }
    let end = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// What comes after a comment in which there may be others.
fn after_nested_comment(text: &str) -> Option<&str> {
    let (mut depth, mut rest) = (1, text);
    while depth > 0 {
        let at = rest.find(['*', '/'])?;
        let found = rest.get(at..)?;
        rest = match (found.strip_prefix("*/"), found.strip_prefix("/*")) {
            (Some(after), _) => {
                depth -= 1;
                after
            }
            (_, Some(after)) => {
                depth += 1;
                after
            }
            _ => found.get(1..)?,
        };
    }
    Some(rest)
}

/// SQLite's driver runs one statement after the other, and takes parameters by names that it cannot read: only one
/// statement is let through, and only `?` or `?1`: of both together it would take some for others. Its texts and
/// comments are told apart as SQLite itself does (<https://www.sqlite.org/c3ref/complete.html> names the rules). What
/// pragmas tell can be read as tables, too: where the operator's file is, for one.
fn sqlite(sql: &str) -> Result<(), Error> {
    let mut rest = sql;
    let mut is_over = false;
    let mut is_numbered = None;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        let past = |end: &str| after.split_once(end).map_or("", |(_, rest)| rest);
        let name = if is_word(first) { rest } else { after };
        let is_named = is_word(first) || matches!(first, '\'' | '"' | '`' | '[');
        if is_named && name.get(..PRAGMA.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRAGMA)) {
            return Err(Error::Denied(format!("names that begin with `{PRAGMA}` are not for scripts")));
        }
        let is_blank = first.is_ascii_whitespace();
        let comment = match rest.get(..2) {
            Some("--") => Some(past("\n")),
            Some("/*") => Some(after.get(1..).unwrap_or_default().split_once("*/").map_or("", |(_, rest)| rest)),
            _ => None,
        };
        if let Some(after_comment) = comment {
            rest = after_comment;
            continue;
        }
        if is_over && !is_blank && first != ';' {
            return Err(Error::Invalid("one statement at a time: there is something after the `;`".to_owned()));
        }
        rest = match first {
            // A doubled quote is the end of one text and the beginning of the next.
            '\'' => past("'"),
            '"' => past("\""),
            '`' => past("`"),
            '[' => past("]"),
            ';' => {
                is_over = true;
                after
            }
            '?' => {
                let numbered = after.starts_with(|character: char| character.is_ascii_digit());
                if *is_numbered.get_or_insert(numbered) != numbered {
                    return Err(Error::Invalid("the placeholders are all `?` or `?1`, not some of each".to_owned()));
                }
                after
            }
            '$' | ':' | '@' | '#' => {
                return Err(Error::Invalid(format!(
                    "`{first}` cannot be used here: the placeholders are `?` and `?1`"
                )));
            }
            _ if is_word(first) => rest.trim_start_matches(|character| is_word(character) || character == '$'),
            _ => after,
        };
    }
    Ok(())
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(kind: Kind, sql: &str, writable: bool) -> bool {
        matches!(check(kind, sql, writable, "orders"), Err(Error::Denied(_)))
    }

    #[test]
    fn statements_are_known_by_their_first_word() {
        let kinds = [Kind::Postgresql, Kind::Mysql, Kind::Sqlite, Kind::SqlServer];
        for kind in kinds {
            for sql in [
                "select 1",
                " \n(SELECT 1) UNION (SELECT 2)",
                "-- why\nSelect 1",
                "/* a */ with a as (select 1) select 1",
            ] {
                assert_eq!(check(kind, sql, false, "orders"), Ok(()), "{kind:?}: {sql}");
            }
            for sql in [
                "INSERT INTO a VALUES (1)",
                "drop table a",
                "/**/update a set b = 1",
                "create /* a */ temp table b (c int)",
                "CREATE UNIQUE INDEX a ON b (c)",
                "CREATE OR REPLACE VIEW a AS SELECT 1",
            ] {
                assert!(denied(kind, sql, false) && !denied(kind, sql, true), "{kind:?}: {sql}");
            }
            for sql in [
                "COMMIT",
                "rollback",
                "BEGIN",
                "SET TRANSACTION READ WRITE",
                "-- a\nCOMMIT",
                "/* SELECT */ COMMIT",
                "",
                "/* SELECT",
                "-- SELECT",
                "ATTACH 'a' AS b",
                "PRAGMA writable_schema = 1",
                "VACUUM INTO 'a'",
                "DETACH a",
                "COPY a TO PROGRAM 'id'",
                "DO $$ $$",
                "CALL a()",
                "EXEC a",
                "LOAD DATA INFILE 'a' INTO TABLE b",
                "; SELECT 1",
                "LOCK TABLES a WRITE",
                "KILL 1",
                "USE other",
                "SAVEPOINT a",
                "PREPARE a FROM 'b'",
                "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
                "alter /* a */ user a identified by 'b'",
                "CREATE OR REPLACE FUNCTION a() RETURNS int",
                "CREATE TEMP TRIGGER a",
                "CREATE EXTENSION dblink",
                "DROP DATABASE a",
                "CREATE",
                "CREATE \"TABLE\" a",
                "é",
            ] {
                assert!(denied(kind, sql, true), "{kind:?}: {sql}");
            }
        }
    }

    #[test]
    fn sqlite_does_not_tell_where_its_file_is() {
        for sql in [
            "SELECT file FROM pragma_database_list",
            "SELECT * FROM a, \"PRAGMA_database_list\"",
            "SELECT * FROM 'pragma_database_list'",
            "SELECT * FROM [Pragma_database_list]",
            "SELECT * FROM main.`pragma_database_list`",
        ] {
            assert!(denied(Kind::Sqlite, sql, true), "{sql}");
        }
        for sql in ["SELECT my_pragma_x", "SELECT pragma", "SELECT ' pragma_x'", "SELECT 1 -- pragma_x"] {
            assert_eq!(check(Kind::Sqlite, sql, false, "orders"), Ok(()), "{sql}");
        }
    }

    #[test]
    fn comments_are_those_of_the_database() {
        assert!(denied(Kind::Mysql, "ALTER /*!50000 USER a */ TABLE b", true));
        assert!(denied(Kind::Mysql, "/*!50000 COMMIT */ SELECT 1", true));
        assert!(denied(Kind::Mysql, "/*M! COMMIT */ SELECT 1", true));
        assert!(!denied(Kind::Mysql, "# why\nSELECT 1", false) && denied(Kind::Postgresql, "# why\nSELECT 1", false));
        assert!(denied(Kind::Postgresql, "/* /* */ SELECT 1 */ COMMIT", true));
        assert!(denied(Kind::Sqlite, "/* /* */ COMMIT /* SELECT 1 */", true));
    }

    #[test]
    fn sqlite_gets_one_statement_with_placeholders_that_its_driver_knows() {
        for sql in [
            "SELECT 1;",
            "SELECT ';', \"a;b\", [c;d], `e;f` -- ; g\n /* ; */ ; ",
            "SELECT 'it''s; so', ?1, ?2",
            "SELECT '?1', ?, ?",
            "SELECT a$b",
        ] {
            assert_eq!(check(Kind::Sqlite, sql, false, "orders"), Ok(()), "{sql}");
        }
        for sql in [
            "SELECT 1; ATTACH 'x' AS y",
            "SELECT '';ATTACH 'x' AS y",
            "SELECT ''''; DELETE FROM a",
            "SELECT 1;/**/PRAGMA a",
            "SELECT \"';\"; ATTACH ''",
            "SELECT $0",
            "SELECT ?1, ?",
            "SELECT ?, ?1",
            "SELECT :a",
            "SELECT @a",
            "SELECT [a'] FROM b; ATTACH ''",
            "SELECT 1 --\n;ATTACH ''",
            "SELECT /*';*/ 1; ATTACH ''",
        ] {
            assert!(matches!(check(Kind::Sqlite, sql, true, "orders"), Err(Error::Invalid(_))), "{sql}");
        }
    }
}
