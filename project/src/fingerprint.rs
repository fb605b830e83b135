//! The settings of the device that an agent's browser shows, in its message: `config_fingerprint`.

use crate::setting::{Form, Kind, Preset, settings};

/// The block of an agent's message that holds these settings.
pub(crate) const KEY: &str = "config_fingerprint";

settings! {
    /// The settings of `config_fingerprint`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct FingerprintSettings {
        fingerprint_enabled: bool = Kind::OldSwitch, Some(Preset::Switch(false)), "",
            "Whether pages see the device of a profile, in place of `config_browser`'s user agent, language, time zone and window.";
        device_profile: Option<String> = Kind::Text(Form::Name), None, "",
            "Name of the profile; where absent, one that depends on the run and the agent.";
        locale: Option<String> = Kind::Text(Form::Locale), None, "",
            "Language of the device; where absent that of the country in which its traffic comes out, else `config_browser.locale`, else `en-US`.";
        timezone: Option<String> = Kind::Text(Form::Timezone), None, "",
            "Time zone of the device; where absent that of the country in which its traffic comes out, else `config_browser.timezone`, else the machine's.";
    }
}
