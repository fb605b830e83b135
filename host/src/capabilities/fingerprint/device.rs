//! A device as pages see it: a profile, and the version of the Chromium that really runs.

use armada_protocol::DeviceProfile;
use serde::Serialize;

/// A profile with a version, a language and a time zone.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::capabilities) struct Device {
    pub(in crate::capabilities) profile: DeviceProfile,
    /// Chromium's version, such as `156.0.8078.79`.
    version: String,
    /// The language and those it implies, as `navigator.languages` has them.
    pub(in crate::capabilities) languages: Vec<String>,
    pub(in crate::capabilities) timezone: Option<String>,
}

/// A name and version of the browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::capabilities) struct Brand {
    pub(super) brand: String,
    pub(super) version: String,
}

/// What Chromium is told of the user agent and its client hints.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::capabilities) struct Hints {
    brands: Vec<Brand>,
    full_version_list: Vec<Brand>,
    full_version: String,
    platform: String,
    platform_version: String,
    architecture: String,
    bitness: String,
    model: String,
    mobile: bool,
    wow64: bool,
}

impl Device {
    pub(super) fn new(profile: DeviceProfile, version: String, locale: &str, timezone: Option<String>) -> Self {
        let mut languages = vec![locale.to_owned()];
        languages.extend(locale.split_once('-').map(|(language, _)| language.to_owned()));
        Self { profile, version, languages, timezone }
    }

    /// The language.
    pub(in crate::capabilities) fn locale(&self) -> &str {
        self.languages.first().map_or("", String::as_str)
    }

    /// The languages as Chromium takes them: it adds the weights of the header itself.
    pub(in crate::capabilities) fn accept_language(&self) -> String {
        self.languages.join(",")
    }

    fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }

    /// The user agent, whose minor versions are zero in every Chromium.
    pub(in crate::capabilities) fn user_agent(&self) -> String {
        let mobile = if self.profile.mobile { "Mobile " } else { "" };
        format!(
            "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 {mobile}Safari/537.36",
            self.profile.user_agent_system,
            self.major()
        )
    }

    /// The brands that a Chromium of this version names, with its major version.
    pub(super) fn brands(&self) -> Vec<Brand> {
        self.brands_with(self.major(), "")
    }

    /// The same, with full versions.
    pub(super) fn full_version_list(&self) -> Vec<Brand> {
        self.brands_with(&self.version, ".0.0.0")
    }

    /// Chromium adds a brand that is none, so that nobody relies on the list, and shuffles: by the major version, as in
    /// its `components/embedder_support/user_agent_utils.cc`.
    fn brands_with(&self, version: &str, zeros: &str) -> Vec<Brand> {
        const MARKS: [&str; 11] = [" ", "(", ":", "-", ".", "/", ")", ";", "=", "?", "_"];
        const VERSIONS: [&str; 3] = ["8", "99", "24"];
        let seed: usize = self.major().parse().unwrap_or(0);
        let mark = |place: usize| MARKS.get(place % MARKS.len()).copied().unwrap_or_default();
        let none_version = VERSIONS.get(seed % VERSIONS.len()).copied().unwrap_or_default();
        let none = Brand {
            brand: format!("Not{}A{}Brand", mark(seed), mark(seed + 1)),
            version: format!("{none_version}{zeros}"),
        };
        let own = Brand { brand: "Chromium".to_owned(), version: version.to_owned() };
        if seed.is_multiple_of(2) { vec![none, own] } else { vec![own, none] }
    }

    /// What Chromium is told of the client hints.
    pub(in crate::capabilities) fn hints(&self) -> Hints {
        let profile = &self.profile;
        Hints {
            brands: self.brands(),
            full_version_list: self.full_version_list(),
            full_version: self.version.clone(),
            platform: profile.hint_platform.clone(),
            platform_version: profile.platform_version.clone(),
            architecture: profile.architecture.clone(),
            bitness: profile.bitness.clone(),
            model: profile.model.clone(),
            mobile: profile.mobile,
            wow64: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        let profiles: Vec<DeviceProfile> = serde_json::from_str(super::super::PROFILES).unwrap();
        let profile = profiles.into_iter().find(|profile| profile.name == name).unwrap();
        Device::new(profile, "156.0.8078.79".to_owned(), "de-DE", None)
    }

    #[test]
    fn the_user_agent_and_brands_are_those_of_the_version_that_runs() {
        let told = |brands: Vec<Brand>| {
            brands.iter().map(|brand| format!("{}/{}", brand.brand, brand.version)).collect::<Vec<_>>()
        };
        let phone = device("android-phone");
        assert_eq!(
            phone.user_agent(),
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile \
             Safari/537.36"
        );
        assert_eq!(told(phone.brands()), ["Not:A-Brand/8", "Chromium/156"]);
        assert_eq!(told(phone.full_version_list()), ["Not:A-Brand/8.0.0.0", "Chromium/156.0.8078.79"]);
        assert_eq!((phone.locale(), phone.accept_language()), ("de-DE", "de-DE,de".to_owned()));
    }

    #[test]
    fn the_profiles_are_coherent() {
        let profiles: Vec<DeviceProfile> = serde_json::from_str(super::super::PROFILES).unwrap();
        assert!(profiles.len() >= 5);
        for profile in &profiles {
            let named = profiles.iter().filter(|other| other.name == profile.name).count();
            assert_eq!(named, 1, "{profile:?}");
            assert!(profile.viewport.0 <= profile.screen.0 && profile.viewport.1 <= profile.screen.1, "{profile:?}");
            assert!(!profile.mobile || profile.is_handheld(), "{profile:?}");
            assert_eq!(profile.is_handheld(), !profile.model.is_empty(), "{profile:?}");
            assert!(profile.cores > 0 && (0.1..=10.0).contains(&profile.pixel_ratio), "{profile:?}");
        }
    }
}
