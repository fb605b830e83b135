//! Selectors: text that says which elements are meant, parsed here and looked up in pages by the page engine.
//!
//! Parsing happens in the host so that a mistake is told before anything is waited for, and so that what reaches a page
//! is data, never code. CSS and XPath are passed on as they are; the page's own parsers judge them.

use std::fmt;

use armada_project::nearest;
use serde::Serialize;

/// How long a selector may be, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// How many parts a selector may have.
const MAX_PARTS: usize = 32;
/// How deep `has=` may be nested.
const MAX_DEPTH: usize = 8;

/// A selector: paths of parts, each but the last of which finds the frame that the next looks inside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    text: String,
    /// Never empty; no path is empty.
    paths: Vec<Vec<Part>>,
}

/// One part of a selector.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Part {
    Css { text: String },
    Xpath { text: String },
    Text(Wanted),
    HasText(Wanted),
    Label(Wanted),
    Placeholder(Wanted),
    Alt(Wanted),
    Title(Wanted),
    TestId(Wanted),
    Role { role: String, conditions: Vec<(String, Condition)> },
    Nth { place: i64 },
    Visible,
    Has { parts: Vec<Part> },
    Held { id: u64 },
}

/// A text that is looked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Wanted {
    text: String,
    /// The whole text rather than a part of it.
    exact: bool,
    /// Upper and lower case are the same.
    fold: bool,
}

/// What must be true of an element of a role.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Condition {
    Text(Wanted),
    Flag(bool),
    Level(u32),
}

/// Why a text is no selector.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{part}` is no selector: {reason}")]
pub(crate) struct SelectorError {
    part: String,
    reason: String,
}

/// The names that may stand before `=`.
const ENGINES: [&str; 15] = [
    "css",
    "xpath",
    "text",
    "role",
    "label",
    "placeholder",
    "alt",
    "title",
    "test-id",
    "nth",
    "has-text",
    "has",
    "visible",
    "frame",
    "element",
];

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Selector {
    /// Parses a selector.
    pub(crate) fn parse(text: &str) -> Result<Self, SelectorError> {
        let paths = parse_paths(text, 0)?;
        Ok(Self { text: text.to_owned(), paths })
    }

    /// The paths to the frames on the way, each of which finds one `iframe`.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &[Part]> {
        let count = self.paths.len().saturating_sub(1);
        self.paths.iter().take(count).map(Vec::as_slice)
    }

    /// The path inside the last frame.
    pub(crate) fn last(&self) -> &[Part] {
        self.paths.last().map_or(&[], Vec::as_slice)
    }

    /// The handle that the selector begins with, if it does.
    pub(crate) fn held(&self) -> Option<u64> {
        match self.paths.first().and_then(|path| path.first()) {
            Some(Part::Held { id }) => Some(*id),
            _ => None,
        }
    }
}

fn parse_paths(text: &str, depth: usize) -> Result<Vec<Vec<Part>>, SelectorError> {
    let error = |reason: String| SelectorError { part: abbreviate(text), reason };
    if text.len() > MAX_BYTES {
        return Err(error(format!("it is longer than {MAX_BYTES} bytes")));
    }
    if depth > MAX_DEPTH {
        return Err(error(format!("`has=` is nested more than {MAX_DEPTH} deep")));
    }
    let texts = split(text);
    if texts.len() > MAX_PARTS {
        return Err(error(format!("it has more than {MAX_PARTS} parts")));
    }
    let mut paths = vec![Vec::new()];
    for (place, part) in texts.into_iter().enumerate() {
        let parsed = parse_part(part.trim(), place, depth)
            .map_err(|reason| SelectorError { part: abbreviate(part.trim()), reason })?;
        if let Some(path) = paths.last_mut() {
            path.push(parsed.0);
        }
        if parsed.1 {
            paths.push(Vec::new());
        }
    }
    if paths.last().is_some_and(Vec::is_empty) {
        return Err(error("it ends with a frame; say what to look for inside, such as `css=body`".to_owned()));
    }
    Ok(paths)
}

/// A text cut to what fits in a message.
fn abbreviate(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Splits at ` >> ` outside of quotes. A quote counts as one when it is closed; a single one only inside brackets, as
/// it is an apostrophe elsewhere.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut brackets) = (0, 0_usize);
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let mut step = rest.chars().next().map_or(1, char::len_utf8);
        if rest.starts_with(" >> ") {
            parts.push(text.get(start..at).unwrap_or_default());
            step = 4;
            start = at + step;
            brackets = 0;
        } else if rest.starts_with('[') {
            brackets += 1;
        } else if rest.starts_with(']') {
            brackets = brackets.saturating_sub(1);
        } else if rest.starts_with('"') || (brackets > 0 && rest.starts_with('\'')) {
            step = quoted_length(rest).unwrap_or(step);
        }
        at += step;
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// How many bytes the quoted text at the start takes, with both quotes; nothing if it is not closed.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Some(at + quote.len_utf8());
        }
    }
    None
}

/// A part, and whether it goes into a frame.
fn parse_part(text: &str, place: usize, depth: usize) -> Result<(Part, bool), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.starts_with("//") || text.starts_with("..") || text.starts_with("(/") {
        return Ok((Part::Xpath { text: text.to_owned() }, false));
    }
    let Some((engine, value)) = text.split_once('=').filter(|(name, _)| is_name(name)) else {
        return Ok((Part::Css { text: text.to_owned() }, false));
    };
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("nothing follows `{engine}=`"));
    }
    let part = match engine {
        "css" => Part::Css { text: value.to_owned() },
        "xpath" => Part::Xpath { text: value.to_owned() },
        "text" => Part::Text(parse_wanted(value)?),
        "has-text" => Part::HasText(parse_wanted(value)?),
        "label" => Part::Label(parse_wanted(value)?),
        "placeholder" => Part::Placeholder(parse_wanted(value)?),
        "alt" => Part::Alt(parse_wanted(value)?),
        "title" => Part::Title(parse_wanted(value)?),
        "test-id" => {
            let text =
                parse_quoted(value).map_or_else(|| Ok(value.to_owned()), |quoted| quoted.map(|(text, _)| text))?;
            Part::TestId(Wanted { text, exact: true, fold: false })
        }
        "role" => parse_role(value)?,
        "nth" => Part::Nth { place: value.parse().map_err(|_| "`nth=` takes a whole number".to_owned())? },
        "visible" if value == "true" => Part::Visible,
        "visible" => return Err("`visible=` takes `true` only; for hidden elements, wait for the state".to_owned()),
        "has" => {
            let inner = match parse_quoted(value) {
                Some(quoted) => quoted?.0,
                None => value.to_owned(),
            };
            let mut paths = parse_paths(&inner, depth + 1).map_err(|error| error.to_string())?;
            match (paths.pop(), paths.is_empty()) {
                (Some(parts), true) if !parts.iter().any(|part| matches!(part, Part::Held { .. })) => {
                    Part::Has { parts }
                }
                _ => return Err("`has=` cannot look inside frames or at handles".to_owned()),
            }
        }
        "frame" => return Ok((Part::Css { text: value.to_owned() }, true)),
        "element" if place == 0 => {
            Part::Held { id: value.parse().map_err(|_| "`element=` takes the number of a handle".to_owned())? }
        }
        "element" => return Err("`element=` can only be the first part".to_owned()),
        unknown => {
            let near = nearest(unknown, ENGINES.iter().copied());
            let hint = near.map(|near| format!("; did you mean `{near}=`?")).unwrap_or_default();
            return Err(format!("there is no `{unknown}=`{hint}"));
        }
    };
    Ok((part, false))
}

/// Whether this may be the name of an engine; CSS has no `=` outside of brackets.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// A text in JSON quotes, and whether ` i` follows; nothing when the value is not quoted.
fn parse_quoted(value: &str) -> Option<Result<(String, bool), String>> {
    let length = value.starts_with('"').then(|| quoted_length(value)).flatten()?;
    let (quoted, after) = value.split_at_checked(length)?;
    let fold = match after.trim() {
        "" => false,
        "i" => true,
        other => return Some(Err(format!("`{other}` follows the quoted text"))),
    };
    Some(serde_json::from_str(quoted).map(|text| (text, fold)).map_err(|error| format!("not a JSON string: {error}")))
}

fn parse_wanted(value: &str) -> Result<Wanted, String> {
    let wanted = match parse_quoted(value) {
        Some(quoted) => {
            let (text, fold) = quoted?;
            Wanted { text, exact: !fold, fold }
        }
        None => Wanted { text: value.to_owned(), exact: false, fold: true },
    };
    if wanted.text.trim().is_empty() { Err("the text is empty".to_owned()) } else { Ok(wanted) }
}

/// `button[name="Save"][pressed]…`
fn parse_role(value: &str) -> Result<Part, String> {
    let (role, mut rest) = value.split_at_checked(value.find('[').unwrap_or(value.len())).unwrap_or((value, ""));
    let role = role.trim();
    if !is_name(role) {
        return Err(format!("`{role}` is no ARIA role"));
    }
    let mut conditions = Vec::new();
    while !rest.trim().is_empty() {
        let inside = rest.trim_start().strip_prefix('[').ok_or("conditions stand in brackets: `[checked]`")?;
        let end = closing_bracket(inside).ok_or("a bracket is not closed")?;
        let (condition, after) = inside.split_at_checked(end).unwrap_or((inside, ""));
        conditions.push(parse_condition(condition.trim())?);
        rest = after.strip_prefix(']').unwrap_or(after);
    }
    Ok(Part::Role { role: role.to_owned(), conditions })
}

fn closing_bracket(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        if rest.starts_with(']') {
            return Some(at);
        }
        let quoted = rest.starts_with('"').then(|| quoted_length(rest)).flatten();
        at += quoted.unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
    }
}

fn parse_condition(text: &str) -> Result<(String, Condition), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (text, None),
    };
    let (name, contains) = name.strip_suffix('*').map_or((name, false), |name| (name.trim_end(), true));
    let condition = match (name, value) {
        ("name", Some(value)) => {
            let (text, fold) = match parse_quoted(value) {
                Some(quoted) => quoted?,
                None => return Err("a name stands in quotes: `[name=\"Save\"]`".to_owned()),
            };
            Condition::Text(Wanted { text, exact: !contains, fold })
        }
        ("level", Some(value)) if !contains => {
            Condition::Level(value.parse().map_err(|_| "a level is a whole number".to_owned())?)
        }
        ("checked" | "disabled" | "expanded" | "pressed" | "selected", None | Some("true")) if !contains => {
            Condition::Flag(true)
        }
        ("checked" | "disabled" | "expanded" | "pressed" | "selected", Some("false")) if !contains => {
            Condition::Flag(false)
        }
        _ => {
            let known = "name, level, checked, disabled, expanded, pressed, selected";
            return Err(format!("`[{text}]` is no condition of a role; those are {known}"));
        }
    };
    Ok((name.to_owned(), condition))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.paths.len(), 1, "{selector:?}");
        selector.last().to_vec()
    }

    fn refusal(text: &str) -> String {
        Selector::parse(text).unwrap_err().to_string()
    }

    fn css(text: &str) -> Part {
        Part::Css { text: text.to_owned() }
    }

    fn wanted(text: &str, exact: bool, fold: bool) -> Wanted {
        Wanted { text: text.to_owned(), exact, fold }
    }

    #[test]
    fn text_without_a_prefix_is_css_or_xpath() {
        assert_eq!(parts("div > a[href='x=y']"), [css("div > a[href='x=y']")]);
        assert_eq!(parts("css=.a"), [css(".a")]);
        assert_eq!(parts("//li[2]"), [Part::Xpath { text: "//li[2]".into() }]);
        assert_eq!(parts("#a >> .."), [css("#a"), Part::Xpath { text: "..".into() }]);
    }

    #[test]
    fn chains_split_outside_of_quotes_only() {
        assert_eq!(parts(r#"a[title="x >> y"] >> b"#), [css(r#"a[title="x >> y"]"#), css("b")]);
        assert_eq!(parts("a[title='x >> y'] >> b"), [css("a[title='x >> y']"), css("b")]);
        assert_eq!(
            parts(r#"text="a >> b" >> nth=-1"#),
            [Part::Text(wanted("a >> b", true, false)), Part::Nth { place: -1 }]
        );
        assert_eq!(parts("text=Don't >> b"), [Part::Text(wanted("Don't", false, true)), css("b")]);
        assert_eq!(parts(r#"text=5" nails >> b"#), [Part::Text(wanted("5\" nails", false, true)), css("b")]);
    }

    #[test]
    fn text_is_folded_unless_it_is_quoted() {
        assert_eq!(parts("text=Log in"), [Part::Text(wanted("Log in", false, true))]);
        assert_eq!(parts(r#"text="Log in""#), [Part::Text(wanted("Log in", true, false))]);
        assert_eq!(parts(r#"label="E-mail" i"#), [Part::Label(wanted("E-mail", false, true))]);
        assert_eq!(parts("test-id=a b"), [Part::TestId(wanted("a b", true, false))]);
    }

    #[test]
    fn roles_have_conditions() {
        let conditions = vec![
            ("name".to_owned(), Condition::Text(wanted("a]b", false, true))),
            ("checked".to_owned(), Condition::Flag(false)),
            ("level".to_owned(), Condition::Level(2)),
        ];
        let role = Part::Role { role: "checkbox".into(), conditions };
        assert_eq!(parts(r#"role=checkbox[name*="a]b" i][checked=false][level=2]"#), [role]);
    }

    #[test]
    fn frames_split_a_selector_into_paths() {
        let selector = Selector::parse("#outer >> frame=iframe >> frame=#inner >> text=x").unwrap();
        let frames: Vec<_> = selector.frames().map(<[Part]>::to_vec).collect();
        assert_eq!(frames, [vec![css("#outer"), css("iframe")], vec![css("#inner")]]);
        assert_eq!(selector.last(), [Part::Text(wanted("x", false, true))]);
    }

    #[test]
    fn has_holds_a_selector_of_its_own() {
        assert_eq!(
            parts(r#"li >> has="a >> text=x""#),
            [css("li"), Part::Has { parts: vec![css("a"), Part::Text(wanted("x", false, true))] }]
        );
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        assert!(refusal("").contains("it is empty"));
        assert!(refusal("a >>  >> b").contains("it is empty"));
        assert!(refusal("rol=button").contains("did you mean `role=`?"));
        assert!(refusal("role=button[nam=\"x\"]").contains("name, level, checked"));
        assert!(refusal("role=button[name=Save]").contains("in quotes"));
        assert!(refusal("role=button[name=\"x\"").contains("not closed"));
        assert!(refusal("nth=one").contains("whole number"));
        assert!(refusal("a >> element=3").contains("only be the first"));
        assert!(refusal("frame=iframe").contains("ends with a frame"));
        assert!(refusal("has=\"frame=x >> y\"").contains("cannot look inside frames"));
        assert!(refusal(&"a".repeat(20_000)).contains("longer than"));
        assert!(refusal(&vec!["a"; 40].join(" >> ")).contains("more than 32 parts"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_selector_or_a_mistake(text in any::<String>(), odd in r#"[a-z=\[\]"'\\> *#]{0,60}"#) {
            let _ = Selector::parse(&text);
            let _ = Selector::parse(&odd);
        }

        #[test]
        fn quoted_text_survives_whatever_is_in_it(text in "\\PC{1,30}") {
            prop_assume!(!text.trim().is_empty());
            let selector = format!("text={} >> b", serde_json::to_string(&text).unwrap());
            prop_assert_eq!(parts(&selector), [Part::Text(wanted(&text, true, false)), css("b")]);
        }
    }
}
