//! Patterns of URLs: globs over the whole URL, or regular expressions after `re=`.
//!
//! They are what a project says of its traffic, and what a script gives to `page.route`, `wait_for_url` and watches.
//! Parsed once, a pattern has a bounded size, and matching takes time that is linear in the URL.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

/// How long a pattern may be, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// How much memory a compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A pattern of URLs.
///
/// | text | matches |
/// |---|---|
/// | `https://example.com/` | this URL and no other |
/// | `**/*.png` | every URL whose last part ends so: `*` is any text without `/`, `**` any text |
/// | `**/*.{png,jpg}` | either |
/// | `re=/item/[0-9]+$` | what this regular expression finds anywhere in the URL |
#[derive(Clone, Debug)]
pub struct UrlPattern {
    text: String,
    regex: Regex,
}

/// Why a text is not a URL pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL pattern is no good: {0}")]
pub struct UrlPatternError(String);

impl PartialEq for UrlPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UrlPattern {}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for UrlPattern {
    type Err = UrlPatternError;

    fn from_str(text: &str) -> Result<Self, UrlPatternError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(UrlPatternError(format!("it must have 1 to {MAX_BYTES} bytes")));
        }
        let expression = match text.strip_prefix("re=") {
            Some(expression) => expression.to_owned(),
            None => glob(text),
        };
        let regex = RegexBuilder::new(&expression).size_limit(MAX_COMPILED_BYTES).build().map_err(|error| {
            // The lines before the last one show the place in the expression, as on a terminal.
            let told = error.to_string();
            let reason = told.lines().next_back().unwrap_or_default();
            UrlPatternError(reason.strip_prefix("error: ").unwrap_or(reason).to_owned())
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

impl UrlPattern {
    /// Whether a URL matches.
    pub fn matches(&self, url: &str) -> bool {
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
        pattern.parse::<UrlPattern>().unwrap().matches(url)
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
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let why = |text: &str| text.parse::<UrlPattern>().unwrap_err().to_string();
        assert_eq!(why("re=("), "the URL pattern is no good: unclosed group");
        assert_eq!(why(""), "the URL pattern is no good: it must have 1 to 4096 bytes");
        assert_eq!(why(&"a".repeat(4097)), why(""));
        assert!(why("re=(((a{1000}){1000}){1000}){1000}").contains("size limit"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_a_mistake(text in any::<String>(), odd in r"[*{},/?\[\]()a]{0,30}") {
            let _ = text.parse::<UrlPattern>();
            prop_assert!(odd.is_empty() || odd.parse::<UrlPattern>().is_ok());
        }

        #[test]
        fn text_without_wildcards_matches_itself(text in r"[a-z0-9:/.?&=+%#_-]{1,40}") {
            prop_assume!(!text.starts_with("re="));
            prop_assert!(matches(&text, &text));
        }
    }
}
