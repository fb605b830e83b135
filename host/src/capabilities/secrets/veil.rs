//! Hides secrets in what pages and the browser say.
//!
//! A secret that was typed into a page comes back as the value of a field, in the page's HTML, in the requests that the
//! page makes. Whatever comes from the browser goes through here, once a secret was given to a page; each of its common
//! written forms is replaced by `[secret NAME]`. Other forms (reversed, hashed, in base64, a picture of it) are not
//! known here.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

/// The shortest secret that is hidden, in characters: a shorter one is in everything.
const SHORTEST: usize = 4;

/// The secrets that were given to pages.
#[derive(Default)]
pub(crate) struct Veil {
    /// What is hidden, and what stands in its place.
    hidden: RwLock<Vec<(String, String)>>,
    /// The same in bytes that are no UTF-8.
    hidden_bytes: RwLock<Vec<(Vec<u8>, String)>>,
    /// Whether there were any, however short.
    is_used: AtomicBool,
}

impl Veil {
    /// Hides this secret from now on.
    pub(super) fn hide(&self, name: &str, value: &str) {
        self.is_used.store(true, Ordering::Relaxed);
        if value.chars().count() < SHORTEST {
            return;
        }
        let shown = format!("[secret {name}]");
        if let Some(bytes) = western(value) {
            let mut hidden = self.hidden_bytes.write().unwrap_or_else(PoisonError::into_inner);
            if !hidden.iter().any(|(known, _)| *known == bytes) {
                hidden.push((bytes, shown.clone()));
            }
        }
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms(value) {
            if !hidden.iter().any(|(known, _)| *known == form) {
                hidden.push((form, shown.clone()));
            }
        }
        // What has another within it is looked for first.
        hidden.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
    }

    /// Whether what a page sends to one URL may be sent to another instead, which may be relative to it: once pages were
    /// given secrets, not to another server.
    pub(crate) fn lets_go(&self, from: &str, to: &str) -> bool {
        if !self.is_used.load(Ordering::Relaxed) {
            return true;
        }
        let Ok(from) = Url::parse(from) else { return false };
        from.join(to).is_ok_and(|to| to.origin() == from.origin())
    }

    fn is_empty(&self) -> bool {
        self.hidden.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// A text with nothing in it that is hidden.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        hidden.iter().fold(Cow::Borrowed(text), |text, (form, shown)| {
            if text.contains(form.as_str()) { Cow::Owned(text.replace(form.as_str(), shown)) } else { text }
        })
    }

    /// The body of a request, as far as it is text.
    pub(crate) fn body(&self, mut body: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return body;
        }
        for (bytes, shown) in self.hidden_bytes.read().unwrap_or_else(PoisonError::into_inner).iter() {
            body = replaced(body, bytes, shown.as_bytes());
        }
        let mut veiled = Vec::with_capacity(body.len());
        for chunk in body.utf8_chunks() {
            veiled.extend(self.text(chunk.valid()).bytes());
            veiled.extend(chunk.invalid());
        }
        veiled
    }

    /// What the browser says, if there is anything to hide in it. Names that the browser gives to things stay: it is
    /// called by them.
    pub(crate) fn json(&self, said: &RawValue, repaired: impl Fn(&str) -> Option<String>) -> Option<Box<RawValue>> {
        if self.is_empty() {
            return None;
        }
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let mut value = read(said.get()).or_else(|| read(&repaired(said.get())?)).unwrap_or_default();
        self.veil(&mut value);
        serde_json::value::to_raw_value(&value).ok()
    }

    /// Hides what is hidden in every text of a value.
    pub(crate) fn veil(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(veiled) = self.text(text) {
                    *text = veiled;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.veil(value)),
            Value::Object(members) => {
                for (name, value) in members.iter_mut() {
                    let is_name = name == "id" || name.ends_with("Id") || name.ends_with("Ids");
                    if !is_name || value.is_object() {
                        self.veil(value);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// How deeply JSON is looked for within JSON.
const JSON_LEVELS: usize = 4;

/// What `encodeURIComponent` encodes, and what `encodeURI` does.
const COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
const WHOLE_URL: AsciiSet = COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// How quotes are written in HTML by those who write them otherwise, `"` and `'`.
const QUOTES: [(&str, &str); 5] =
    [("\"", "'"), ("&quot;", "'"), ("&quot;", "&#39;"), ("&quot;", "&#x27;"), ("&#34;", "&#39;")];

/// How a text is written: as it is, in JSON, in JSON within JSON, each of them in forms and URLs; in HTML, and that in
/// JSON; and all that by pages that are not in UTF-8.
fn forms(text: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for level in nested(text).chain(escaped(text)) {
        forms.extend(in_urls(level.as_bytes()));
        forms.push(level);
    }
    forms.extend([&COMPONENT, &WHOLE_URL].map(|encoded| utf8_percent_encode(text, encoded).to_string()));
    for (double, single) in QUOTES {
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        forms.extend(nested(&html.replace('"', double).replace('\'', single)));
    }
    if let Some(bytes) = western(text) {
        forms.extend(in_urls(&bytes));
        forms.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    if let Ok(mut url) = Url::parse("x:/") {
        url.set_query(Some(text));
        forms.extend(url.query().map(str::to_owned));
    }
    forms
}

/// A text, in JSON, and in JSON within JSON.
fn nested(text: &str) -> impl Iterator<Item = String> {
    let json = |text: &String| {
        let quoted = Value::from(text.as_str()).to_string();
        quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned)
    };
    std::iter::successors(Some(text.to_owned()), json).take(JSON_LEVELS)
}

/// A text in JSON as it is written by those who escape more than they have to: what is not ASCII, and what HTML minds.
fn escaped(text: &str) -> impl Iterator<Item = String> {
    let json = nested(text).nth(1).unwrap_or_default();
    let escape = |is_kept: fn(char) -> bool, json: &str| {
        let units = |character: char| {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect::<String>()
        };
        let written = json.chars().map(|one| if is_kept(one) { one.to_string() } else { units(one) });
        written.collect::<String>()
    };
    let ascii = escape(|one| one.is_ascii(), &json);
    let for_html = escape(|one| !"<>&'".contains(one), &json);
    let both = escape(|one| one.is_ascii() && !"<>&'".contains(one), &json);
    let slashes = ascii.replace('/', "\\/");
    [ascii, for_html, both, slashes].into_iter()
}

/// Bytes in a form that is sent, and in a URL.
fn in_urls(bytes: &[u8]) -> [String; 3] {
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    [form.replace('+', "%20"), form.to_lowercase(), form]
}

/// A text in the charset of pages that name none (ISO 8859-1, of which windows-1252 is the browsers' name), if it can
/// be written in it and is another then.
fn western(text: &str) -> Option<Vec<u8>> {
    let is_told_apart = !text.is_ascii() && text.chars().filter(char::is_ascii).count() >= SHORTEST;
    let bytes = text.chars().map(|one| u8::try_from(one).ok());
    if is_told_apart { bytes.collect() } else { None }
}

/// Bytes with each of these replaced.
fn replaced(bytes: Vec<u8>, these: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut replaced, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some(at) = rest.windows(these.len()).position(|window| window == these) {
        let (before, after) = rest.split_at(at);
        replaced.extend_from_slice(before);
        replaced.extend_from_slice(by);
        rest = after.get(these.len()..).unwrap_or_default();
    }
    if replaced.is_empty() {
        return bytes;
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veil(secret: &str) -> Veil {
        let veil = Veil::default();
        veil.hide("password", secret);
        veil
    }

    fn json(veil: &Veil, said: &str) -> String {
        veil.json(&RawValue::from_string(said.to_owned()).unwrap(), |_| None)
            .map_or(said.to_owned(), |json| json.get().to_owned())
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_that_pages_write() {
        let secret = "p@ss \"wörd\" & <more>";
        let veil = veil(secret);
        let within = Value::from(Value::from(format!("a{secret}b")).to_string()).to_string();
        for said in [
            Value::from(secret).to_string(),
            within,
            r#"{"html": "<b value=\"p@ss &quot;wörd&quot; &amp; &lt;more&gt;\">"}"#.to_owned(),
            r#"{"url": "https://x/?a=p%40ss+%22w%C3%B6rd%22+%26+%3Cmore%3E&b"}"#.to_owned(),
            r#"["p%40ss%20%22w%C3%B6rd%22%20%26%20%3Cmore%3E"]"#.to_owned(),
            r#"{"\u0061": "p@ss \"w\u00f6rd\" & <more>"}"#.to_owned(),
        ] {
            let veiled = json(&veil, &said);
            assert!(veiled.contains("[secret password]") && !veiled.contains("more"), "{said}: {veiled}");
        }
        let body = [b"\xff pass=p%40ss+%22w%C3%B6rd%22+%26+%3Cmore%3E ".as_slice(), b"\xfe"].concat();
        assert_eq!(veil.body(body), b"\xff pass=[secret password] \xfe");
    }

    #[test]
    fn a_secret_is_hidden_as_servers_and_old_pages_write_it() {
        for (secret, said) in [
            ("Gr\u{fc}n-Blau-77", "code=Gr%FCn-Blau-77&"),
            ("Gr\u{fc}n-Blau-77", "var s=\"Gr\\u00fcn-Blau-77\""),
            ("Gr\u{fc}n-Blau-77", "x-code: Gr\u{fffd}n-Blau-77"),
            ("O'Brien-77", "O&#x27;Brien-77 O&#39;Brien-77 O\\u0027Brien-77 O'Brien-77"),
            ("a\"b&c1234", "\"Hello a\\\"b&amp;c1234\" a&#34;b&amp;c1234 a\\\"b\\u0026c1234"),
            ("tea&milk 77#1!", "tea&milk%2077#1! tea%26milk%2077%231!"),
            ("a/b 77", "a\\/b 77"),
        ] {
            let veiled = veil(secret).text(said).into_owned();
            assert!(!veiled.contains("77") && !veiled.contains("1234") && veiled.contains("[secret "), "{veiled}");
        }
        let body = b"code: Gr\xfcn-Blau-77, Gr\xfcn-Blau-77.".to_vec();
        assert_eq!(veil("Gr\u{fc}n-Blau-77").body(body), b"code: [secret password], [secret password].");
    }

    #[test]
    fn names_of_things_and_all_else_stay_as_they_are() {
        let said = r#"{"frameId":"1234ABCD","id":"1234ABCD","text":"1234ABCD is 1234","n":1234.5}"#;
        let veiled = json(&veil("1234"), said);
        let expected =
            r#"{"frameId":"1234ABCD","id":"1234ABCD","text":"[secret password]ABCD is [secret password]","n":1234.5}"#;
        assert_eq!(veiled, expected);
        // Nothing is looked at while there is nothing to hide, and a secret of a letter hides nothing.
        assert_eq!(json(&veil("a"), said), said);
        assert_eq!(json(&Veil::default(), said), said);
    }

    #[test]
    fn what_may_carry_a_secret_stays_with_its_server() {
        let none = Veil::default();
        assert!(none.lets_go("https://a.example/x", "https://b.example/"));
        // One that is too short to be hidden, too.
        let veil = veil("123");
        for (to, goes) in
            [("/y", true), ("https://a.example/y", true), ("https://b.example/", false), ("//b.example", false)]
        {
            assert_eq!(veil.lets_go("https://a.example/x", to), goes, "{to}");
        }
        assert!(!veil.lets_go("https://a.example/x", "https://["));
    }
}
