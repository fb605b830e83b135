//! Hides secrets in what pages and the browser say.
//!
//! A secret that was typed into a page comes back as the value of a field, in the page's HTML, in the requests that the
//! page makes. Whatever comes from the browser goes through here, once a secret was given to a page; each of its common
//! written forms is replaced by `[secret NAME]`. Other forms (reversed, hashed, in base64, a picture of it) are not
//! known here.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

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
    pub(crate) fn body(&self, body: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return body;
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

/// How a text is written: as it is, in JSON, in JSON within JSON, each of them in forms and URLs, and in HTML.
fn forms(text: &str) -> Vec<String> {
    let json = |text: &String| {
        let quoted = Value::from(text.as_str()).to_string();
        quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned)
    };
    let mut forms = Vec::new();
    for level in std::iter::successors(Some(text.to_owned()), json).take(JSON_LEVELS) {
        let form: String = url::form_urlencoded::byte_serialize(level.as_bytes()).collect();
        forms.extend([form.replace('+', "%20"), form.to_lowercase(), form, level]);
    }
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    forms.extend([html.replace('"', "&quot;"), html]);
    if let Ok(mut url) = Url::parse("x:/") {
        url.set_query(Some(text));
        forms.extend(url.query().map(str::to_owned));
    }
    forms
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
