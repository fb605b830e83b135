//! Patterns of URLs: globs over the whole URL, or regular expressions after `re=`.
//!
//! They are what a project says of its traffic, and what a script gives to `page.route`, `wait_for_url` and watches, and so
//! they come from people who may mean harm. Each becomes a deterministic automaton of bounded size: matching looks at every
//! byte of a URL once, whatever the pattern is, and making one takes a bounded time. That leaves out what only large
//! automata do: Unicode's classes (URLs are ASCII), and long counted repetitions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use regex_automata::dfa::{Automaton as _, dense, sparse};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// How long a pattern may be, in bytes.
const MAX_BYTES: usize = 2 * 1024;
/// How much memory making its automaton may take on the way, in bytes.
const MAX_NFA_BYTES: usize = 512 * 1024;
const MAX_DFA_BYTES: usize = 1024 * 1024;
/// How large an automaton may be that is kept, in bytes.
const MAX_KEPT_BYTES: usize = 128 * 1024;
/// What means something in an expression unless it is escaped.
const MEANING: &str = r"\.+*?()|[]{}^$#&-~";
/// How deeply groups may lie within each other.
const MAX_NESTING: u32 = 50;

/// A pattern of URLs.
///
/// | text | matches |
/// |---|---|
/// | `https://example.com/` | this URL and no other |
/// | `**/*.png` | every URL whose last part ends so: `*` is any text without `/`, `**` any text |
/// | `**/*.{png,jpg}` | either |
/// | `re=/item/[0-9]+$` | what this regular expression finds anywhere in the URL |
#[derive(Clone)]
pub struct UrlPattern {
    text: String,
    automaton: Arc<sparse::DFA<Vec<u8>>>,
}

impl fmt::Debug for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UrlPattern").field(&self.text).finish()
    }
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
        let automaton = automaton(&expression).map_err(UrlPatternError)?;
        Ok(Self { text: text.to_owned(), automaton: Arc::new(automaton) })
    }
}

impl UrlPattern {
    /// Whether a URL matches.
    pub fn matches(&self, url: &str) -> bool {
        let input = Input::new(url).anchored(Anchored::No).earliest(true);
        // Searching fails at bytes that an automaton was told to give up at, of which there are none.
        self.automaton.try_search_fwd(&input).is_ok_and(|end| end.is_some())
    }
}

/// The automaton of a regular expression. Says why there is none.
fn automaton(expression: &str) -> Result<sparse::DFA<Vec<u8>>, String> {
    let syntax = syntax::Config::new().unicode(false).utf8(false).nest_limit(MAX_NESTING);
    // What is wrong with the expression is said by whoever reads it, without the places of an automaton.
    syntax::parse_with(expression, &syntax).map_err(|error| {
        // The lines before the last one show the place in the expression, as on a terminal.
        let told = error.to_string();
        let reason = told.lines().next_back().unwrap_or_default();
        reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
    })?;
    let too_complex = || "it is too complex: use a simpler one, without long counted repetitions".to_owned();
    let config = dense::Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .start_kind(regex_automata::dfa::StartKind::Unanchored)
        .dfa_size_limit(Some(MAX_DFA_BYTES))
        .determinize_size_limit(Some(MAX_DFA_BYTES));
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_NFA_BYTES));
    let dense = dense::Builder::new().configure(config).syntax(syntax).thompson(nfa).build(expression);
    let sparse = dense.map_err(|_| too_complex())?.to_sparse().map_err(|_| too_complex())?;
    if sparse.memory_usage() > MAX_KEPT_BYTES { Err(too_complex()) } else { Ok(sparse) }
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
            other if MEANING.contains(other) => expression.extend(['\\', other]),
            other => expression.push(other),
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
        assert!(matches(r"re=/item/\d+$", "http://h/item/42") && !matches(r"re=/item/\d+$", "http://h/item/42/x"));
        assert!(matches("re=(?i)\\.(PNG|jpe?g)(\\?.*)?$", "http://h/a.png?size=9"));
        let uuid = "re=[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        assert!(matches(uuid, "http://h/0b7cd0a5-1b0f-4c3e-9d7e-0123456789ab/x"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        let why = |text: &str| text.parse::<UrlPattern>().unwrap_err().to_string();
        assert_eq!(why("re=("), "the URL pattern is no good: unclosed group");
        assert_eq!(why(""), "the URL pattern is no good: it must have 1 to 2048 bytes");
        assert_eq!(why(&"a".repeat(2049)), why(""));
        assert!(why("re=(((a{1000}){1000}){1000}){1000}").contains("too complex"));
        assert!(why("re=[a-m].{30}[^a-z]").contains("too complex"));
        assert!(why(r"re=\pL").contains("Unicode not allowed here"));
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
