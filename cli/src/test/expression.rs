//! Expressions that select tests: names joined by `and`, `or`, `not` and parentheses, with pytest's meaning.

use std::iter::Peekable;
use std::vec::IntoIter;

/// How deep parentheses and `not` may be.
const MOST_DEPTH: usize = 50;

/// A condition on the names of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Name(String),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = words(text).into_iter().peekable();
        let read = either(&mut words, 0)?;
        match words.next() {
            None => Ok(read),
            Some(word) => Err(format!("expected `and` or `or` before `{word}`")),
        }
    }

    /// Whether it holds when `is` says of each name whether the test has it.
    pub(super) fn holds(&self, is: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Name(name) => is(name),
            Self::Not(one) => !one.holds(is),
            Self::And(one, two) => one.holds(is) && two.holds(is),
            Self::Or(one, two) => one.holds(is) || two.holds(is),
        }
    }
}

type Words = Peekable<IntoIter<String>>;

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split_whitespace() {
        let mut word = String::new();
        for character in part.chars() {
            if matches!(character, '(' | ')') {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(character.into());
            } else {
                word.push(character);
            }
        }
        words.extend((!word.is_empty()).then_some(word));
    }
    words
}

fn either(words: &mut Words, depth: usize) -> Result<Expression, String> {
    let mut read = both(words, depth)?;
    while words.next_if_eq("or").is_some() {
        read = Expression::Or(Box::new(read), Box::new(both(words, depth)?));
    }
    Ok(read)
}

fn both(words: &mut Words, depth: usize) -> Result<Expression, String> {
    let mut read = one(words, depth)?;
    while words.next_if_eq("and").is_some() {
        read = Expression::And(Box::new(read), Box::new(one(words, depth)?));
    }
    Ok(read)
}

fn one(words: &mut Words, depth: usize) -> Result<Expression, String> {
    if depth > MOST_DEPTH {
        return Err("this is nested too deeply".to_owned());
    }
    match words.next() {
        None => Err("expected a name at the end".to_owned()),
        Some(word) if word == "not" => Ok(Expression::Not(Box::new(one(words, depth + 1)?))),
        Some(word) if word == "(" => {
            let read = either(words, depth + 1)?;
            words.next_if_eq(")").map(|_| read).ok_or_else(|| "expected `)`".to_owned())
        }
        Some(word) if matches!(word.as_str(), ")" | "and" | "or") => Err(format!("expected a name before `{word}`")),
        Some(word) => Ok(Expression::Name(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, names: &[&str]) -> bool {
        Expression::parse(text).unwrap().holds(&|name| names.contains(&name))
    }

    #[test]
    fn not_binds_closer_than_and_and_and_closer_than_or() {
        assert!(holds("a and not b", &["a"]) && !holds("a and not b", &["a", "b"]));
        assert!(holds("a or b and c", &["a"]) && !holds("(a or b) and c", &["a"]));
        assert!(holds("not (a or b)", &["c"]) && holds("not not a", &["a"]));
    }

    #[test]
    fn what_is_no_expression_says_what_is_missing() {
        for (text, missing) in
            [("", "a name at the end"), ("a b", "`or` before `b`"), ("(a", "`)`"), ("and a", "a name before `and`")]
        {
            let told = Expression::parse(text).unwrap_err();
            assert!(told.contains(missing), "{text}: {told}");
        }
        assert!(Expression::parse(&"not ".repeat(10_000)).is_err());
    }
}
