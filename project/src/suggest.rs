//! Words for people: the name somebody probably meant, numbers with separators, a value in a few characters.
//!
//! Every mistake in this crate is phrased with these, so that one kind of thing always looks the same.

use serde_json::Value;

/// How many characters of a value a message repeats.
const MAX_SHOWN: usize = 40;

/// The candidate that `name` is most likely a misspelling of.
///
/// At most a third of the letters may differ (a swap of neighbours is one difference); case does not count. Of very
/// many candidates, only the first are compared.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(name, candidates, usize::MAX)
}

/// The same where `name` may well be meant as it is: no more than two letters may differ.
pub(crate) fn misspelt<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(name, candidates, 2)
}

fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    // Distances take time in the product of the lengths; no name of ours is that long.
    if name.len() > 100 {
        return None;
    }
    let folded = name.to_lowercase();
    candidates
        .into_iter()
        .take(1000)
        .filter(|candidate| candidate.len() <= 100)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1).min(most))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// “did you mean `x`?” if there is a near name, else `otherwise`.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    match nearest(name, candidates) {
        Some(near) => format!("did you mean `{}`?", shown(near)),
        None => otherwise(),
    }
}

/// `` `a`, `b` `` for a sentence.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A whole number with a comma between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// What a value is, in a few words.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        other => other.to_string(),
    }
}

/// A text in double quotes, shortened, with nothing that could act on a terminal.
pub(crate) fn quoted(text: &str) -> String {
    Value::String(shortened(text)).to_string().chars().map(harmless).collect()
}

/// A name as it is, but shortened, and with nothing that could act on a terminal.
pub(crate) fn shown(name: &str) -> String {
    shortened(name).chars().map(harmless).collect()
}

/// A character that can be written to a terminal: control characters are replaced, and what has no width or turns the
/// direction of the text round.
pub(crate) fn harmless(c: char) -> char {
    let is_unseen =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if c.is_control() || is_unseen { char::REPLACEMENT_CHARACTER } else { c }
}

/// Words with nothing that could act on a terminal; lines stay lines.
pub(crate) fn harmless_text(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { harmless(c) }).collect()
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["run_message", "default_agent_message", "default_job_message"];
        assert_eq!(nearest("run_mesage", names), Some("run_message"));
        assert_eq!(nearest("RUN_MESSAGE", names), Some("run_message"));
        assert_eq!(nearest("default_agents_message", names), Some("default_agent_message"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest(&"run_message".repeat(50), names), None);
        assert_eq!(nearest("number_of_pages", ["number_of_agents"]), Some("number_of_agents"));
        assert_eq!(misspelt("number_of_pages", ["number_of_agents"]), None);
        assert_eq!(misspelt("number_of_agnet", ["number_of_agents"]), Some("number_of_agents"));
    }

    #[test]
    fn numbers_have_separators() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(100_000_000), "100,000,000");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(4312, "row"), "4,312 rows");
    }

    #[test]
    fn values_are_short_and_harmless() {
        assert_eq!(found(&Value::from("two")), r#"the text "two""#);
        assert_eq!(found(&Value::from("\u{1b}[31m")), r#"the text "\u001b[31m""#);
        assert_eq!(found(&Value::from("x".repeat(100))), format!("the text \"{}…\"", "x".repeat(40)));
        assert_eq!(found(&Value::Null), "null");
        assert_eq!(quoted("\u{9b}31m"), "\"\u{fffd}31m\"");
        assert_eq!(shown("a\u{1b}[2J"), "a\u{fffd}[2J");
    }
}
