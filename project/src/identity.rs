//! The settings of made-up people in an agent's message: `config_identity`.

use crate::setting::{Form, Kind, settings};

/// The block of an agent's message that holds these settings.
pub(crate) const KEY: &str = "config_identity";

/// The languages and countries that there are people of.
pub const IDENTITY_LOCALES: [&str; 5] = ["en-US", "en-GB", "en-AU", "de-DE", "fr-FR"];

settings! {
    /// The settings of `config_identity`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct IdentitySettings {
        email_domain: Option<String> = Kind::Text(Form::Domain), None, "",
            "Domain of their e-mail addresses; where absent `example.com`, which takes no mail.";
        locale: Option<String> = Kind::Text(Form::LocaleOf(&IDENTITY_LOCALES)), None, "",
            "Language and country that they are of, or one of the two; `en-US` where absent.";
    }
}
