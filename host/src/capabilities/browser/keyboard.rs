//! The keyboard: a US layout, as the browser wants to hear of it.

use std::time::Duration;

use chromiumoxide_cdp::cdp::browser_protocol::input::{DispatchKeyEventParams, DispatchKeyEventType, InsertTextParams};
use serde_json::{Value, json};

use super::actions::modifier_bits;
use super::page::Page;
use crate::contract::Error;
use crate::contract::browser as wit;

/// A key: its name (`KeyboardEvent.key`), its place (`code`), its number (`keyCode`), and the text that it types.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    key: &'static str,
    code: &'static str,
    number: i64,
    text: &'static str,
}

const fn named(key: &'static str, number: i64) -> Key {
    Key { key, code: key, number, text: "" }
}

const fn at(key: &'static str, code: &'static str, number: i64) -> Key {
    Key { key, code, number, text: "" }
}

/// Keys that have names rather than characters.
const NAMED: [Key; 44] = [
    Key { key: "Enter", code: "Enter", number: 13, text: "\r" },
    named("Backspace", 8),
    named("Tab", 9),
    at("Shift", "ShiftLeft", 16),
    at("Control", "ControlLeft", 17),
    at("Alt", "AltLeft", 18),
    at("Meta", "MetaLeft", 91),
    named("Pause", 19),
    named("CapsLock", 20),
    named("Escape", 27),
    Key { key: " ", code: "Space", number: 32, text: " " },
    named("PageUp", 33),
    named("PageDown", 34),
    named("End", 35),
    named("Home", 36),
    named("ArrowLeft", 37),
    named("ArrowUp", 38),
    named("ArrowRight", 39),
    named("ArrowDown", 40),
    named("PrintScreen", 44),
    named("Insert", 45),
    named("Delete", 46),
    named("ContextMenu", 93),
    named("NumLock", 144),
    named("ScrollLock", 145),
    named("F1", 112),
    named("F2", 113),
    named("F3", 114),
    named("F4", 115),
    named("F5", 116),
    named("F6", 117),
    named("F7", 118),
    named("F8", 119),
    named("F9", 120),
    named("F10", 121),
    named("F11", 122),
    named("F12", 123),
    named("AudioVolumeMute", 173),
    named("AudioVolumeDown", 174),
    named("AudioVolumeUp", 175),
    named("MediaTrackNext", 176),
    named("MediaTrackPrevious", 177),
    named("MediaStop", 178),
    named("MediaPlayPause", 179),
];

/// Keys that type characters: plain, with shift, place, number.
const TYPING: [(char, char, &str, i64); 47] = [
    ('`', '~', "Backquote", 192),
    ('1', '!', "Digit1", 49),
    ('2', '@', "Digit2", 50),
    ('3', '#', "Digit3", 51),
    ('4', '$', "Digit4", 52),
    ('5', '%', "Digit5", 53),
    ('6', '^', "Digit6", 54),
    ('7', '&', "Digit7", 55),
    ('8', '*', "Digit8", 56),
    ('9', '(', "Digit9", 57),
    ('0', ')', "Digit0", 48),
    ('-', '_', "Minus", 189),
    ('=', '+', "Equal", 187),
    ('q', 'Q', "KeyQ", 81),
    ('w', 'W', "KeyW", 87),
    ('e', 'E', "KeyE", 69),
    ('r', 'R', "KeyR", 82),
    ('t', 'T', "KeyT", 84),
    ('y', 'Y', "KeyY", 89),
    ('u', 'U', "KeyU", 85),
    ('i', 'I', "KeyI", 73),
    ('o', 'O', "KeyO", 79),
    ('p', 'P', "KeyP", 80),
    ('[', '{', "BracketLeft", 219),
    (']', '}', "BracketRight", 221),
    ('\\', '|', "Backslash", 220),
    ('a', 'A', "KeyA", 65),
    ('s', 'S', "KeyS", 83),
    ('d', 'D', "KeyD", 68),
    ('f', 'F', "KeyF", 70),
    ('g', 'G', "KeyG", 71),
    ('h', 'H', "KeyH", 72),
    ('j', 'J', "KeyJ", 74),
    ('k', 'K', "KeyK", 75),
    ('l', 'L', "KeyL", 76),
    (';', ':', "Semicolon", 186),
    ('\'', '"', "Quote", 222),
    ('z', 'Z', "KeyZ", 90),
    ('x', 'X', "KeyX", 88),
    ('c', 'C', "KeyC", 67),
    ('v', 'V', "KeyV", 86),
    ('b', 'B', "KeyB", 66),
    ('n', 'N', "KeyN", 78),
    ('m', 'M', "KeyM", 77),
    (',', '<', "Comma", 188),
    ('.', '>', "Period", 190),
    ('/', '?', "Slash", 191),
];

/// A key press as it is sent.
#[derive(Clone, Debug, PartialEq)]
struct Stroke {
    key: String,
    code: &'static str,
    number: i64,
    text: String,
    modifiers: wit::Modifiers,
}

/// Parses a key or a combination: `a`, `Enter`, `Control+Shift+T`, `+`.
fn parse(combination: &str) -> Result<Stroke, Error> {
    let unknown = |key: &str| {
        Error::Invalid(format!(
            "there is no key `{key}`; keys are characters or names such as `Enter`, `ArrowDown`, `F5`"
        ))
    };
    let mut modifiers = wit::Modifiers::empty();
    let mut rest = combination;
    // The key itself may be `+`.
    while let Some((modifier, after)) = rest.split_once('+').filter(|(modifier, _)| !modifier.is_empty()) {
        modifiers |= match modifier {
            "Alt" => wit::Modifiers::ALT,
            "Control" | "ControlOrMeta" => wit::Modifiers::CONTROL,
            "Meta" => wit::Modifiers::META,
            "Shift" => wit::Modifiers::SHIFT,
            other => return Err(unknown(other)),
        };
        rest = after;
    }
    let mut stroke = stroke(rest, modifiers.contains(wit::Modifiers::SHIFT)).ok_or_else(|| unknown(rest))?;
    stroke.modifiers = modifiers;
    if modifiers.intersects(wit::Modifiers::ALT | wit::Modifiers::CONTROL | wit::Modifiers::META) {
        // A combination types nothing.
        stroke.text = String::new();
    }
    Ok(stroke)
}

/// The press of one key; nothing for a character that is on no key.
fn stroke(key: &str, shift: bool) -> Option<Stroke> {
    let named = match key {
        "Space" => " ",
        "\n" | "\r" => "Enter",
        "\t" => "Tab",
        other => other,
    };
    let modifiers = wit::Modifiers::empty();
    if let Some(key) = NAMED.iter().find(|known| known.key == named) {
        return Some(Stroke {
            key: key.key.to_owned(),
            code: key.code,
            number: key.number,
            text: key.text.to_owned(),
            modifiers,
        });
    }
    let mut characters = key.chars();
    let (Some(character), None) = (characters.next(), characters.next()) else { return None };
    let (plain, shifted, code, number) =
        TYPING.iter().find(|(plain, shifted, ..)| [*plain, *shifted].contains(&character))?;
    let typed = if shift && character == *plain { *shifted } else { character };
    Some(Stroke { key: typed.to_string(), code, number: *number, text: typed.to_string(), modifiers })
}

/// What the browser does with a combination when it edits text; a native application would do it by itself.
fn editing_command(stroke: &Stroke) -> Option<&'static str> {
    let control = stroke.modifiers == wit::Modifiers::CONTROL;
    match stroke.key.as_str() {
        "a" | "A" if control => Some("selectAll"),
        "c" | "C" if control => Some("copy"),
        "x" | "X" if control => Some("cut"),
        "v" | "V" if control => Some("paste"),
        "z" | "Z" if control => Some("undo"),
        _ => None,
    }
}

impl Page {
    /// Types text key by key.
    pub(crate) async fn type_text(
        &self,
        selector: Option<&str>,
        text: &str,
        options: wit::TypeOptions,
    ) -> Result<(), Error> {
        let deadline = self.action_deadline(options.timeout_ms);
        let delay = Duration::from_millis(options.delay_ms.unwrap_or(0).into());
        let _input =
            deadline.bound(|| "the keyboard to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        self.before_act();
        if let Some(selector) = selector {
            self.with_element::<Value>(selector, json!({"op": "focus"}), deadline).await?;
        }
        let typing = async {
            let mut characters = text.chars().peekable();
            while let Some(character) = characters.next() {
                match stroke(character.encode_utf8(&mut [0; 4]), false) {
                    Some(stroke) => self.send(&stroke).await?,
                    // What is on no key comes as if from an input method.
                    None => self.insert_text(&character.to_string()).await?,
                }
                if !delay.is_zero() && characters.peek().is_some() {
                    tokio::time::sleep(delay).await;
                }
            }
            Ok(())
        };
        deadline.bound(|| "the page to take the text".to_owned(), typing).await?;
        self.after_act(deadline).await
    }

    /// Presses a key or a combination.
    pub(crate) async fn press(
        &self,
        selector: Option<&str>,
        key: &str,
        options: wit::TypeOptions,
    ) -> Result<(), Error> {
        let stroke = parse(key)?;
        let deadline = self.action_deadline(options.timeout_ms);
        let _input =
            deadline.bound(|| "the keyboard to be free".to_owned(), async { Ok(self.input.lock().await) }).await?;
        self.before_act();
        if let Some(selector) = selector {
            self.with_element::<Value>(selector, json!({"op": "focus"}), deadline).await?;
        }
        deadline.bound(|| format!("the page to take the key {key}"), self.send(&stroke)).await?;
        self.after_act(deadline).await
    }

    /// Presses a key by name, while something else is being done with the keyboard.
    pub(super) async fn press_key(&self, key: &str) -> Result<(), Error> {
        self.send(&parse(key)?).await
    }

    /// Puts text in at once, as an input method does.
    pub(super) async fn insert_text(&self, text: &str) -> Result<(), Error> {
        self.session.call(InsertTextParams::new(text)).await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Presses and releases a key, with its modifiers around it.
    async fn send(&self, stroke: &Stroke) -> Result<(), Error> {
        const MODIFIERS: [(wit::Modifiers, &str); 4] = [
            (wit::Modifiers::ALT, "Alt"),
            (wit::Modifiers::CONTROL, "Control"),
            (wit::Modifiers::META, "Meta"),
            (wit::Modifiers::SHIFT, "Shift"),
        ];
        let held = MODIFIERS.iter().filter(|(modifier, _)| stroke.modifiers.contains(*modifier));
        let held: Vec<Stroke> = held.filter_map(|(_, name)| self::stroke(name, false)).collect();
        let mut events = Vec::new();
        let mut down = wit::Modifiers::empty();
        for key in &held {
            down |= modifier_of(&key.key);
            events.push(event(key, true, down));
        }
        events.push(event(stroke, true, stroke.modifiers));
        events.push(event(stroke, false, stroke.modifiers));
        for key in held.iter().rev() {
            down &= !modifier_of(&key.key);
            events.push(event(key, false, down));
        }
        let mut answers = Vec::with_capacity(events.len());
        for event in &events {
            answers.push(self.session.begin(event).map_err(|error| self.error(error))?);
        }
        for answer in answers {
            match answer.wait().await {
                Ok(_) => {}
                // The key has taken the page elsewhere, or closed it.
                Err(error) if error.is_gone() => {}
                Err(_) if self.is_closed() => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(())
    }
}

fn modifier_of(key: &str) -> wit::Modifiers {
    match key {
        "Alt" => wit::Modifiers::ALT,
        "Control" => wit::Modifiers::CONTROL,
        "Meta" => wit::Modifiers::META,
        "Shift" => wit::Modifiers::SHIFT,
        _ => wit::Modifiers::empty(),
    }
}

fn event(stroke: &Stroke, down: bool, modifiers: wit::Modifiers) -> DispatchKeyEventParams {
    let kind = match (down, stroke.text.is_empty()) {
        (false, _) => DispatchKeyEventType::KeyUp,
        (true, true) => DispatchKeyEventType::RawKeyDown,
        (true, false) => DispatchKeyEventType::KeyDown,
    };
    let mut event = DispatchKeyEventParams::new(kind);
    event.key = Some(stroke.key.clone());
    event.code = Some(stroke.code.to_owned());
    event.windows_virtual_key_code = Some(stroke.number);
    event.modifiers = Some(modifier_bits(modifiers));
    if down && !stroke.text.is_empty() {
        event.text = Some(stroke.text.clone());
        event.unmodified_text = Some(stroke.text.clone());
    }
    if down {
        event.commands = editing_command(stroke).map(|command| vec![command.to_owned()]);
    }
    event
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_have_names_and_characters() {
        assert_eq!(parse("Enter").unwrap().text, "\r");
        assert_eq!(parse("a").unwrap().code, "KeyA");
        assert_eq!(parse("A").unwrap().key, "A");
        assert_eq!(parse("+").unwrap().code, "Equal");
        assert_eq!(parse("Space").unwrap().text, " ");
        assert!(matches!(parse("Retrun"), Err(Error::Invalid(message)) if message.contains("`Retrun`")));
        assert!(parse("Hyper+a").is_err() && parse("").is_err() && parse("ü").is_err());
    }

    #[test]
    fn combinations_type_nothing_and_edit() {
        let stroke = parse("Control+A").unwrap();
        assert_eq!((stroke.text.as_str(), editing_command(&stroke)), ("", Some("selectAll")));
        assert_eq!(parse("Control++").unwrap().key, "+");
        assert_eq!(parse("Shift+a").unwrap().text, "A");
        assert_eq!(parse("Shift+1").unwrap().text, "!");
    }

    proptest! {
        #[test]
        fn any_text_is_a_key_or_a_mistake(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
