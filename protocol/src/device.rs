//! Profiles of devices: what a kind of device is to the pages that it shows.
//!
//! An operator extends those that every agent has with a JSON file that the inventory names. What a profile says is
//! checked when it is read, so that a mistake is told at the start and not by a browser.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How many profiles an operator's file may have.
const MOST: usize = 1_000;
/// How long a text of a profile may be, in bytes.
const TEXT_BYTES: usize = 200;
/// What browsers say of a device's memory (W3C Device Memory), in GiB.
const MEMORIES: [f64; 8] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// What a kind of device is, apart from the browser's version and where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    /// What `config_fingerprint.device_profile` calls it.
    pub name: String,
    /// What stands in the brackets of the user agent, such as `Windows NT 10.0; Win64; x64`.
    pub user_agent_system: String,
    /// `navigator.platform`.
    pub platform: String,
    /// The operating system, as client hints have it.
    pub hint_platform: String,
    /// The version of the operating system.
    pub platform_version: String,
    /// The architecture, such as `x86`.
    pub architecture: String,
    /// The bits of an address, such as `64`.
    pub bitness: String,
    /// The model of a phone or tablet.
    #[serde(default)]
    pub model: String,
    /// Whether it is a phone.
    #[serde(default)]
    pub mobile: bool,
    /// Width and height of the screen, in CSS pixels.
    pub screen: (u32, u32),
    /// What pages have of it.
    pub viewport: (u32, u32),
    /// Device pixels for each CSS pixel.
    pub pixel_ratio: f64,
    /// How many fingers a touch screen knows apart; 0 without one.
    #[serde(default)]
    pub touch_points: u32,
    /// How many processors scripts see.
    pub cores: u32,
    /// How much memory scripts see, in GiB.
    pub memory: f64,
    /// Whether pages are asked for dark colours.
    #[serde(default)]
    pub dark: bool,
}

impl DeviceProfile {
    /// Whether pages are laid out as on a phone or tablet.
    pub fn is_handheld(&self) -> bool {
        self.touch_points > 0 && self.hint_platform == "Android"
    }

    /// What is wrong with it, if something is.
    fn mistake(&self) -> Option<&'static str> {
        let texts = [
            &self.user_agent_system,
            &self.platform,
            &self.hint_platform,
            &self.platform_version,
            &self.architecture,
            &self.bitness,
            &self.model,
        ];
        let is_text = |text: &str| text.len() <= TEXT_BYTES && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_size = |(width, height): (u32, u32)| [width, height].iter().all(|side| (1..=10_000).contains(side));
        if !(1..=100).contains(&self.name.len()) || !self.name.bytes().all(is_name) {
            Some("`name` has 1 to 100 letters, digits, dots, hyphens and underscores")
        } else if !texts.into_iter().all(|text| is_text(text)) {
            Some("texts have at most 200 printable ASCII characters")
        } else if !is_size(self.screen) || !is_size(self.viewport) {
            Some("the sides of `screen` and `viewport` go from 1 to 10,000")
        } else if !(0.1..=10.0).contains(&self.pixel_ratio) {
            Some("`pixel_ratio` goes from 0.1 to 10")
        } else if self.touch_points > 16 || !(1..=512).contains(&self.cores) {
            Some("`touch_points` goes to 16, and `cores` from 1 to 512")
        } else if !MEMORIES.contains(&self.memory) {
            Some("`memory` is 0.25, 0.5, 1, 2, 4, 8, 16 or 32 GiB, as browsers round it")
        } else {
            None
        }
    }
}

/// The profiles of an operator's file, which the inventory has by its path.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct DeviceProfiles(pub Vec<DeviceProfile>);

impl DeviceProfiles {
    /// Reads the text of such a file.
    fn parse(text: &str) -> Result<DeviceProfiles, String> {
        let profiles: Vec<DeviceProfile> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if profiles.len() > MOST {
            return Err(format!("there are more than {MOST} profiles"));
        }
        for (place, profile) in profiles.iter().enumerate() {
            if let Some(mistake) = profile.mistake() {
                return Err(format!("profile {}, {:?}: {mistake}", place + 1, profile.name));
            }
            if profiles.iter().take(place).any(|other| other.name == profile.name) {
                return Err(format!("two profiles are called {:?}", profile.name));
            }
        }
        Ok(DeviceProfiles(profiles))
    }
}

impl TryFrom<PathBuf> for DeviceProfiles {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<DeviceProfiles, String> {
        let told = |path: &Path, error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| told(&path, error.to_string()))?;
        DeviceProfiles::parse(&text).map_err(|error| told(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn profile() -> Value {
        json!({
            "name": "kiosk", "user_agent_system": "X11; Linux aarch64", "platform": "Linux aarch64",
            "hint_platform": "Linux", "platform_version": "6.1.0", "architecture": "arm", "bitness": "64",
            "screen": [1080, 1920], "viewport": [1080, 1920], "pixel_ratio": 1, "touch_points": 10, "cores": 4, "memory": 4,
        })
    }

    #[test]
    fn the_example_of_the_manual_is_a_file_of_profiles() {
        let manual = include_str!("../../project/README.md");
        let mut blocks = manual.split("```json\n").filter_map(|rest| rest.split("```").next());
        let example = blocks.find(|block| block.contains("user_agent_system")).unwrap();
        let profiles = DeviceProfiles::parse(example).unwrap().0;
        assert_eq!(profiles.first().unwrap().name, "shop-kiosk");
    }

    #[test]
    fn a_file_of_profiles_is_read_and_its_mistakes_are_told() {
        let read = |profiles: Value| DeviceProfiles::parse(&profiles.to_string());
        assert_eq!(read(json!([profile()])).unwrap().0.first().unwrap().name, "kiosk");
        for (key, value, says) in [
            ("name", json!("a b"), "`name`"),
            ("platform", json!("a\nb"), "printable"),
            ("screen", json!([0, 1]), "`screen`"),
            ("pixel_ratio", json!(11), "`pixel_ratio`"),
            ("cores", json!(0), "`cores`"),
            ("memory", json!(3), "`memory`"),
            ("colour", json!("red"), "unknown field `colour`"),
        ] {
            let mut wrong = profile();
            wrong[key] = value;
            let mistake = read(json!([wrong])).unwrap_err();
            assert!(mistake.contains(says), "{key}: {mistake}");
        }
        assert!(read(json!([profile(), profile()])).unwrap_err().contains("two profiles are called \"kiosk\""));
        let missing = DeviceProfiles::try_from(PathBuf::from("/nowhere/profiles.json")).unwrap_err();
        assert!(missing.contains("/nowhere/profiles.json"), "{missing}");
    }
}
