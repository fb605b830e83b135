//! The browser's settings in an agent's message.
//!
//! `config_fantomas.config_screen` and `config_fantomas.config_browser` keep every key they have for the project's own
//! use; the ones in the tables here also mean something to the host. Chromium flags come from untrusted projects, so
//! only flags that cannot weaken the sandbox are honoured, and the others are noted.

use serde_json::{Map, Value};

use crate::mistake::Note;
use crate::path::ValuePath;
use crate::setting::{Form, Kind, Preset, Problem, Setting, Unknown, note_misspelt, read_block, settings};
use crate::suggest::{found, quoted};

/// The block of an agent's message that holds the two others, and those.
pub(crate) const OUTER: &str = "config_fantomas";
pub(crate) const SCREEN: &str = "config_screen";
pub(crate) const BROWSER: &str = "config_browser";
/// The list of Chromium flags, in [`BROWSER`].
pub(crate) const FLAGS: &str = "fantomas_browser_options";

/// The most that one side of a screen, window or page may have, in pixels.
const MAX_SIDE: u64 = 10_000;

settings! {
    /// The settings of `config_fantomas.config_screen`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct ScreenSettings {
        screen_visible: bool = Kind::OldSwitch, Some(Preset::Switch(false)), "",
            "Whether the browser has a window, on a virtual display that the capability `screen` takes pictures of.";
        screen_width: Option<u32> = Kind::Whole { min: 1, max: MAX_SIDE }, None, "pixels",
            "Width of the screen; of a visible browser's, 1920 where absent.";
        screen_height: Option<u32> = Kind::Whole { min: 1, max: MAX_SIDE }, None, "pixels",
            "Height of the screen; of a visible browser's, 1080 where absent.";
    }
}

settings! {
    /// The settings of `config_fantomas.config_browser`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct BrowserOptions {
        jobs_per_browser: u32 = Kind::Whole { min: 1, max: 1_000_000 }, Some(Preset::Whole(100)), "jobs",
            "Jobs after which the agent context is closed, and opened again with a new browser.";
        action_timeout_ms: u32 = Kind::Whole { min: 1, max: 86_400_000 }, Some(Preset::Whole(30_000)), "ms",
            "Time that an act on a page waits for its element.";
        navigation_timeout_ms: u32 = Kind::Whole { min: 1, max: 86_400_000 }, Some(Preset::Whole(30_000)), "ms",
            "Time that a navigation takes.";
        launch_timeout_ms: u32 = Kind::Whole { min: 1, max: 86_400_000 }, Some(Preset::Whole(30_000)), "ms",
            "Time that the browser takes to start.";
        user_agent: Option<String> = Kind::Text(Form::UserAgent), None, "",
            "User agent that pages see; the browser's own where absent.";
        locale: Option<String> = Kind::Text(Form::Locale), None, "",
            "Language that pages see; the browser's own where absent.";
        timezone: Option<String> = Kind::Text(Form::Timezone), None, "",
            "Time zone that pages see; the machine's where absent.";
    }
}

/// How an agent's browser is started.
#[derive(Clone, Debug, PartialEq)]
pub struct BrowserSettings {
    /// The screen.
    pub screen: ScreenSettings,
    /// The browser. A user agent or language given as a flag is here too, unless the block has its own.
    pub browser: BrowserOptions,
    /// Width and height of the window in pixels, of the flag `--window-size`.
    pub window_size: Option<(u32, u32)>,
    /// Device pixels for each CSS pixel, of the flag `--force-device-scale-factor`.
    pub device_scale_factor: Option<f64>,
}

/// Flags that are honoured, and what their values are.
pub(crate) const HONOURED_FLAGS: [(&str, &str); 6] = [
    ("--window-size=W,H", "size of the window in pixels"),
    ("--lang=TAG", "as `locale`, which wins where both are given"),
    ("--user-agent=TEXT", "as `user_agent`, which wins where both are given"),
    ("--force-device-scale-factor=N", "device pixels for each CSS pixel, from 0.1 to 10"),
    ("--start-maximized", "accepted; without a visible window it has no effect"),
    ("--start-fullscreen", "accepted; without a visible window it has no effect"),
];

/// Flags that people bring along, by how they start, and why they are ignored.
const IGNORED_FLAGS: [(&str, &str); 16] = [
    ("--proxy", "the host chooses the proxy"),
    ("--no-proxy", "the host chooses the proxy"),
    ("--host-re", "the run's allowed hosts decide what is reached"),
    ("--host-rules", "the run's allowed hosts decide what is reached"),
    ("--dns", "the run's allowed hosts decide what is reached"),
    ("--no-sandbox", "Chromium's own sandbox is the host's decision"),
    ("--disable-setuid-sandbox", "Chromium's own sandbox is the host's decision"),
    ("--disable-gpu-sandbox", "Chromium's own sandbox is the host's decision"),
    ("--headless", "`screen_visible` in config_screen decides"),
    ("--remote-debugging", "a project has no DevTools connection of its own"),
    ("--user-data-dir", "every agent has a profile folder of its own"),
    ("--profile-directory", "every agent has a profile folder of its own"),
    ("--load-extension", "extensions are not loaded"),
    ("--disable-extensions", "extensions are not loaded"),
    ("--ignore-certificate-errors", "certificates are always checked"),
    ("--disable-web-security", "the same-origin policy always holds"),
];

impl BrowserSettings {
    /// Reads the settings of a merged agent message, with notes on what has no effect.
    pub(crate) fn read(message: &Map<String, Value>, problems: &mut Vec<Problem>, notes: &mut Vec<Note>) -> Self {
        let mut settings = BrowserSettings {
            screen: ScreenSettings::default(),
            browser: BrowserOptions::default(),
            window_size: None,
            device_scale_factor: None,
        };
        let outer_path = ValuePath::of_keys([OUTER]);
        let outer = match message.get(OUTER) {
            None => return settings,
            Some(Value::Object(outer)) => outer,
            Some(other) => {
                problems.push(Problem::of_value(&outer_path, format!("expected an object, found {}", found(other))));
                return settings;
            }
        };
        note_misspelt(outer, &outer_path, [SCREEN, BROWSER].into_iter(), notes);
        let names = |table: &'static [Setting]| table.iter().map(|setting| setting.name);
        if let Some(screen) = outer.get(SCREEN) {
            let path = outer_path.key(SCREEN);
            if let Value::Object(members) = screen {
                note_misspelt(members, &path, names(ScreenSettings::TABLE), notes);
            }
            read_block(&mut settings.screen, screen, &path, Unknown::Pass, problems);
        }
        if let Some(browser) = outer.get(BROWSER) {
            let path = outer_path.key(BROWSER);
            if let Value::Object(members) = browser {
                note_misspelt(members, &path, names(BrowserOptions::TABLE).chain([FLAGS]), notes);
            }
            if let Some(flags) = browser.get(FLAGS) {
                settings.read_flags(flags, &path.key(FLAGS), problems, notes);
            }
            read_block(&mut settings.browser, browser, &path, Unknown::Pass, problems);
        }
        settings
    }

    fn read_flags(&mut self, flags: &Value, path: &ValuePath, problems: &mut Vec<Problem>, notes: &mut Vec<Note>) {
        let Value::Array(flags) = flags else {
            problems
                .push(Problem::of_value(path, format!("expected a list of Chromium flags, found {}", found(flags))));
            return;
        };
        for (index, flag) in flags.iter().enumerate() {
            let path = path.index(index);
            let read = match flag {
                Value::String(flag) => self.read_flag(flag),
                other => Err(format!("expected a Chromium flag, found {}", found(other))),
            };
            match read {
                Ok(None) => {}
                Ok(Some(reason)) => notes.push(Note { about: path.to_string(), message: reason }),
                Err(message) => problems.push(Problem::of_value(&path, message)),
            }
        }
    }

    /// Takes a flag over, or says why it is ignored, or what is wrong with it.
    fn read_flag(&mut self, flag: &str) -> Result<Option<String>, String> {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value),
            None => (flag, ""),
        };
        let text = |form: Form| match form.allows(value) {
            true => Ok(Some(value.to_owned())),
            false => Err(format!("`{name}` needs {}, found {}", form.expected(), quoted(value))),
        };
        match name {
            "--window-size" => self.window_size = Some(window_size(value)?),
            "--lang" => self.browser.locale = text(Form::Locale)?,
            "--user-agent" => self.browser.user_agent = text(Form::UserAgent)?,
            "--force-device-scale-factor" => {
                let factor = value.parse().ok().filter(|factor| (0.1..=10.0).contains(factor));
                let wrong = || format!("`{name}` needs a number from 0.1 to 10, found {}", quoted(value));
                self.device_scale_factor = Some(factor.ok_or_else(wrong)?);
            }
            "--start-maximized" | "--start-fullscreen" => {}
            _ => {
                let known = IGNORED_FLAGS.iter().find(|(start, _)| name.starts_with(start));
                let reason =
                    known.map_or("flags that are not on the list of harmless ones are ignored", |(_, why)| why);
                let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
                return Ok(Some(format!("`{shown}`: {reason}")));
            }
        }
        Ok(None)
    }
}

fn window_size(value: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(&u64::from(*side)));
    let sides = value.split_once(',').and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| {
        format!("`--window-size` needs a width and a height from 1 to 10,000, as in 1280,720; found {}", quoted(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<(BrowserSettings, Vec<Note>), Vec<String>> {
        let Value::Object(message) = value else { panic!("not a message") };
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let settings = BrowserSettings::read(&message, &mut problems, &mut notes);
        if problems.is_empty() { Ok((settings, notes)) } else { Err(problems.iter().map(Problem::to_string).collect()) }
    }

    #[test]
    fn an_agent_that_says_nothing_has_the_defaults() {
        let (settings, notes) = read(json!({"config_proxy": {}})).unwrap();
        assert!(notes.is_empty() && !settings.screen.screen_visible && settings.window_size.is_none());
        assert_eq!((settings.browser.jobs_per_browser, settings.browser.action_timeout_ms), (100, 30_000));
    }

    #[test]
    fn the_settings_are_read_and_other_keys_pass() {
        let (settings, notes) = read(json!({"config_fantomas": {
            "fantomas_emulate_movement": 1,
            "config_screen": {"screen_visible": 1, "screen_width": 1920, "screen_height": 1080, "own": "x"},
            "config_browser": {"locale": "de-DE", "timezone": "Europe/Berlin", "jobs_per_browser": 5,
                "fantomas_browser_options": ["--window-size=800,600", "--lang=fr", "--user-agent=Mine",
                    "--force-device-scale-factor=2", "--start-maximized", "--proxy-server=evil:1", "--weird"]}
        }}))
        .unwrap();
        assert_eq!((settings.screen.screen_visible, settings.screen.screen_width), (true, Some(1920)));
        assert_eq!((settings.window_size, settings.device_scale_factor), (Some((800, 600)), Some(2.0)));
        assert_eq!(settings.browser.locale.as_deref(), Some("de-DE"));
        assert_eq!(settings.browser.user_agent.as_deref(), Some("Mine"));
        let notes: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            [
                "config_fantomas.config_browser.fantomas_browser_options[5]: `--proxy-server`: the host chooses the \
                 proxy",
                "config_fantomas.config_browser.fantomas_browser_options[6]: `--weird`: flags that are not on the \
                 list of harmless ones are ignored",
            ]
        );
    }

    #[test]
    fn every_problem_is_reported() {
        let problems = read(json!({"config_fantomas": {
            "config_screen": {"screen_visible": 2, "screen_width": "wide"},
            "config_browser": {"jobs_per_browser": 0, "user_agent": "a\nb", "locale": "de;q=1",
                "timezone": "../../etc", "fantomas_browser_options":
                    [1, "--window-size=0,1", "--lang=x y", "--force-device-scale-factor=nan", "--user-agent="]}
        }}))
        .unwrap_err();
        assert_eq!(problems.len(), 11, "{problems:#?}");
        assert!(read(json!({"config_fantomas": 1})).is_err());
        assert!(read(json!({"config_fantomas": {"config_screen": []}})).is_err());
        assert!(read(json!({"config_fantomas": {"config_browser": {"fantomas_browser_options": "x"}}})).is_err());
    }
}
