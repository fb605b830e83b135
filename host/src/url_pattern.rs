//! Patterns of URLs: globs over the whole URL, or regular expressions after `re=`.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::contract::Error;

/// How long a pattern may be, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// How much memory a compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A pattern of URLs.
#[derive(Clone, Debug)]
pub(crate) struct UrlPattern {
    text: String,
    regex: Regex,
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl UrlPattern {
    /// Parses a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Invalid(format!("the URL pattern is no good: {reason}"));
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(invalid(format!("it must have 1 to {MAX_BYTES} bytes")));
        }
        let expression = match text.strip_prefix("re=") {
            Some(expression) => expression.to_owned(),
            None => glob(text),
        };
        let regex = RegexBuilder::new(&expression).size_limit(MAX_COMPILED_BYTES).build();
        let regex = regex.map_err(|error| invalid(error.to_string()))?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Whether a URL matches.
    pub(crate) fn matches(&self, url: &str) -> bool {
        self.regex.is_match(url)
    }
}

/// A glob as a regular expression: `*` is any text without `/`, `**` any text, `{a,b}` either.
fn glob(text: &str) -> String {
    let mut expression = String::from("(?s)^");
    let mut alternatives = 0_usize;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.next_if_eq(&'*').is_some() => {
                // `**/` may also be nothing at all, so that `**/*.png` has `a.png`.
                match characters.next_if_eq(&'/') {
                    Some(_) => expression.push_str("(?:.*/)?"),
                    None => expression.push_str(".*"),
                }
            }
            '*' => expression.push_str("[^/]*"),
            '{' if characters.clone().any(|later| later == '}') => {
                alternatives += 1;
                expression.push_str("(?:");
            }
            ',' if alternatives > 0 => expression.push('|'),
            '}' if alternatives > 0 => {
                alternatives -= 1;
                expression.push(')');
            }
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push_str(&")".repeat(alternatives));
    expression.push('$');
    expression
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        UrlPattern::parse(pattern).unwrap().matches(url)
    }

    #[test]
    fn globs_cover_the_whole_url() {
        assert!(matches("**/*.{png,jpg}", "https://a.b/c/d.jpg"));
        assert!(!matches("**/*.{png,jpg}", "https://a.b/c/d.jpg?x"));
        assert!(matches("https://a.b/*", "https://a.b/c"));
        assert!(!matches("https://a.b/*", "https://a.b/c/d"));
        assert!(matches("**/search?q=a+b", "http://h/search?q=a+b"));
        assert!(!matches("**/account", "http://h/account/2"));
        assert!(matches("http://h/{a", "http://h/{a"));
    }

    #[test]
    fn regular_expressions_match_anywhere() {
        assert!(matches(r"re=/item/\d+$", "http://h/item/42"));
        assert!(UrlPattern::parse("re=(").is_err());
        assert!(UrlPattern::parse("").is_err());
        assert!(UrlPattern::parse("re=(((a{1000}){1000}){1000}){1000}").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_a_mistake(text in any::<String>(), odd in r"[*{},/?\[\]()a]{0,30}") {
            let _ = UrlPattern::parse(&text);
            prop_assert!(odd.is_empty() || UrlPattern::parse(&odd).is_ok());
        }

        #[test]
        fn text_without_wildcards_matches_itself(text in r"[a-z0-9:/.?&=+%#_-]{1,40}") {
            prop_assume!(!text.starts_with("re="));
            prop_assert!(matches(&text, &text));
        }
    }
}
