//! Languages and time zones of countries, for devices that are where their traffic comes out.

/// What a device in a country is usually set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The country (ISO 3166-1 alpha-2).
    country: &'static str,
    pub(super) locale: &'static str,
    pub(super) timezone: &'static str,
}

const fn place(country: &'static str, locale: &'static str, timezone: &'static str) -> Place {
    Place { country, locale, timezone }
}

/// Of countries with several, the most common ones.
const PLACES: [Place; 28] = [
    place("AR", "es-AR", "America/Argentina/Buenos_Aires"),
    place("AT", "de-AT", "Europe/Vienna"),
    place("AU", "en-AU", "Australia/Sydney"),
    place("BE", "nl-BE", "Europe/Brussels"),
    place("BR", "pt-BR", "America/Sao_Paulo"),
    place("CA", "en-CA", "America/Toronto"),
    place("CH", "de-CH", "Europe/Zurich"),
    place("CZ", "cs-CZ", "Europe/Prague"),
    place("DE", "de-DE", "Europe/Berlin"),
    place("DK", "da-DK", "Europe/Copenhagen"),
    place("ES", "es-ES", "Europe/Madrid"),
    place("FI", "fi-FI", "Europe/Helsinki"),
    place("FR", "fr-FR", "Europe/Paris"),
    place("GB", "en-GB", "Europe/London"),
    place("IE", "en-IE", "Europe/Dublin"),
    place("IN", "en-IN", "Asia/Kolkata"),
    place("IT", "it-IT", "Europe/Rome"),
    place("JP", "ja-JP", "Asia/Tokyo"),
    place("KR", "ko-KR", "Asia/Seoul"),
    place("MX", "es-MX", "America/Mexico_City"),
    place("NL", "nl-NL", "Europe/Amsterdam"),
    place("NO", "nb-NO", "Europe/Oslo"),
    place("NZ", "en-NZ", "Pacific/Auckland"),
    place("PL", "pl-PL", "Europe/Warsaw"),
    place("PT", "pt-PT", "Europe/Lisbon"),
    place("SE", "sv-SE", "Europe/Stockholm"),
    place("TR", "tr-TR", "Europe/Istanbul"),
    place("US", "en-US", "America/New_York"),
];

/// The place of a country that is known here.
pub(super) fn named(country: &str) -> Option<Place> {
    PLACES.into_iter().find(|place| place.country.eq_ignore_ascii_case(country))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_have_languages_and_time_zones() {
        let found = |country: &str| named(country).map(|place| (place.locale, place.timezone));
        assert_eq!(found("de"), Some(("de-DE", "Europe/Berlin")));
        assert_eq!(found("FR"), Some(("fr-FR", "Europe/Paris")));
        assert_eq!((found(""), found("Middle-earth")), (None, None));
    }
}
