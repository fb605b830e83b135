//! Where made-up people come from: names, streets, cities and phone numbers that belong together.
//!
//! Family names are those of the crate `fake`; the rest is here, since `fake` has neither given names by gender nor
//! cities with their postal codes. A country is here only if its regulator keeps phone numbers for fiction, so that
//! nobody is called when a form is sent: numbers "for media use" of Germany's Bundesnetzagentur, "for drama use" of
//! Britain's Ofcom, for audiovisual works of France's Arcep, "for use in creative works" of Australia's ACMA, and
//! 555-0100 to 555-0199 in North America.

use std::ops::RangeInclusive;

use fake::Fake as _;
use fake::faker::name::raw::LastName;
use fake::locales::{DE_DE, EN, FR_FR};
use rand_chacha::ChaCha20Rng;

/// A language and a country.
pub(super) struct Locale {
    /// Its tag (BCP 47).
    pub(super) tag: &'static str,
    /// The country (ISO 3166-1 alpha-2).
    pub(super) country: &'static str,
    pub(super) female_names: &'static [&'static str],
    pub(super) male_names: &'static [&'static str],
    pub(super) family_name: fn(&mut ChaCha20Rng) -> String,
    pub(super) streets: &'static [&'static str],
    /// The numbers of houses.
    pub(super) numbers: RangeInclusive<u32>,
    pub(super) cities: &'static [City],
}

/// A city, as addresses have it.
#[derive(Clone, Copy, Default)]
pub(super) struct City {
    pub(super) name: &'static str,
    pub(super) region: &'static str,
    pub(super) postal_codes: &'static [&'static str],
    /// Phone numbers there that are kept for fiction; `#` is any digit.
    pub(super) phone: &'static str,
}

const fn city(
    name: &'static str,
    region: &'static str,
    postal_codes: &'static [&'static str],
    phone: &'static str,
) -> City {
    City { name, region, postal_codes, phone }
}

impl Locale {
    /// The locale of a tag; of a language or country alone, the first that has it.
    pub(super) fn find(asked: &str) -> Option<&'static Locale> {
        let whole = LOCALES.iter().find(|locale| locale.tag.eq_ignore_ascii_case(asked));
        let part = |locale: &&Locale| locale.tag.split('-').any(|part| part.eq_ignore_ascii_case(asked));
        whole.or_else(|| LOCALES.iter().find(part))
    }
}

/// The letters and digits of a name in lower-case ASCII, written as people do who have no others.
pub(super) fn to_ascii(name: &str) -> String {
    let mut ascii = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '0'..='9' => ascii.push(letter),
            'ä' | 'æ' => ascii.push_str("ae"),
            'ö' | 'œ' => ascii.push_str("oe"),
            'ü' => ascii.push_str("ue"),
            'ß' => ascii.push_str("ss"),
            'à' | 'á' | 'â' | 'ã' | 'å' => ascii.push('a'),
            'ç' | 'č' | 'ć' => ascii.push('c'),
            'è' | 'é' | 'ê' | 'ë' | 'ě' => ascii.push('e'),
            'ğ' => ascii.push('g'),
            'ì' | 'í' | 'î' | 'ï' | 'ı' => ascii.push('i'),
            'ł' => ascii.push('l'),
            'ñ' => ascii.push('n'),
            'ò' | 'ó' | 'ô' | 'õ' | 'ø' => ascii.push('o'),
            'ř' => ascii.push('r'),
            'š' | 'ş' => ascii.push('s'),
            'ù' | 'ú' | 'û' | 'ů' => ascii.push('u'),
            'ý' | 'ÿ' => ascii.push('y'),
            'ž' => ascii.push('z'),
            _ => {}
        }
    }
    ascii
}

const ENGLISH_FEMALE: &[&str] = &[
    "Abigail",
    "Alice",
    "Amelia",
    "Anna",
    "Charlotte",
    "Chloe",
    "Claire",
    "Eleanor",
    "Ella",
    "Emily",
    "Emma",
    "Grace",
    "Hannah",
    "Isabel",
    "Jessica",
    "Julia",
    "Laura",
    "Lucy",
    "Olivia",
    "Rachel",
    "Sarah",
    "Sophie",
    "Victoria",
    "Zoe",
];
const ENGLISH_MALE: &[&str] = &[
    "Adam",
    "Alexander",
    "Andrew",
    "Benjamin",
    "Charles",
    "Daniel",
    "David",
    "Edward",
    "Ethan",
    "George",
    "Henry",
    "Jack",
    "James",
    "John",
    "Joseph",
    "Lucas",
    "Matthew",
    "Michael",
    "Nathan",
    "Oliver",
    "Peter",
    "Samuel",
    "Thomas",
    "William",
];
const GERMAN_FEMALE: &[&str] = &[
    "Anja",
    "Anna",
    "Birgit",
    "Christina",
    "Claudia",
    "Emma",
    "Franziska",
    "Hannah",
    "Heike",
    "Jana",
    "Johanna",
    "Julia",
    "Katharina",
    "Katrin",
    "Käthe",
    "Lea",
    "Lena",
    "Marie",
    "Melanie",
    "Nadine",
    "Sabine",
    "Sandra",
    "Susanne",
    "Ulrike",
];
const GERMAN_MALE: &[&str] = &[
    "Alexander",
    "Andreas",
    "Christian",
    "Daniel",
    "Dirk",
    "Felix",
    "Florian",
    "Frank",
    "Jan",
    "Jonas",
    "Jörg",
    "Jürgen",
    "Lukas",
    "Markus",
    "Martin",
    "Matthias",
    "Maximilian",
    "Michael",
    "Paul",
    "Philipp",
    "Sebastian",
    "Stefan",
    "Thomas",
    "Tobias",
];
const FRENCH_FEMALE: &[&str] = &[
    "Alice", "Amélie", "Anaïs", "Aurélie", "Camille", "Caroline", "Chloé", "Claire", "Élodie", "Émilie", "Hélène",
    "Inès", "Jeanne", "Julie", "Laura", "Léa", "Louise", "Lucie", "Manon", "Marie", "Mathilde", "Pauline", "Sophie",
    "Valérie",
];
const FRENCH_MALE: &[&str] = &[
    "Adrien",
    "Alexandre",
    "Antoine",
    "Arthur",
    "Baptiste",
    "Clément",
    "David",
    "Étienne",
    "François",
    "Gabriel",
    "Guillaume",
    "Hugo",
    "Jérôme",
    "Jules",
    "Julien",
    "Louis",
    "Lucas",
    "Mathieu",
    "Maxime",
    "Nicolas",
    "Olivier",
    "Pierre",
    "Rémi",
    "Thomas",
];

/// The first of a language is the one that the language alone stands for.
pub(super) const LOCALES: &[Locale] = &[
    Locale {
        tag: "en-US",
        country: "US",
        female_names: ENGLISH_FEMALE,
        male_names: ENGLISH_MALE,
        family_name: |chance| LastName(EN).fake_with_rng(chance),
        streets: &[
            "Cedar Street",
            "Church Street",
            "Elm Street",
            "Highland Avenue",
            "Hill Street",
            "Lake Street",
            "Lincoln Avenue",
            "Main Street",
            "Maple Avenue",
            "Oak Street",
            "Park Avenue",
            "Pine Street",
            "Walnut Street",
            "Washington Street",
        ],
        numbers: 10..=2400,
        cities: &[
            city("Boston", "MA", &["02108", "02113", "02116", "02118"], "+1 617-555-01##"),
            city("Chicago", "IL", &["60605", "60610", "60614", "60622"], "+1 312-555-01##"),
            city("Denver", "CO", &["80203", "80205", "80209", "80211"], "+1 303-555-01##"),
            city("New York", "NY", &["10003", "10011", "10025", "10128"], "+1 212-555-01##"),
            city("Portland", "OR", &["97205", "97209", "97214", "97217"], "+1 503-555-01##"),
            city("San Diego", "CA", &["92101", "92103", "92104", "92116"], "+1 619-555-01##"),
            city("Seattle", "WA", &["98102", "98103", "98109", "98122"], "+1 206-555-01##"),
        ],
    },
    Locale {
        tag: "en-GB",
        country: "GB",
        female_names: ENGLISH_FEMALE,
        male_names: ENGLISH_MALE,
        family_name: |chance| LastName(EN).fake_with_rng(chance),
        streets: &[
            "Albert Road",
            "Chapel Lane",
            "Church Lane",
            "Green Lane",
            "Grove Road",
            "High Street",
            "King Street",
            "Mill Lane",
            "Queen Street",
            "School Lane",
            "Station Road",
            "The Crescent",
            "Victoria Road",
            "York Road",
        ],
        numbers: 1..=180,
        cities: &[
            city("Bristol", "Bristol", &["BS1 4DJ", "BS6 5QA", "BS8 1TH"], "+44 117 496 0###"),
            city("Edinburgh", "Midlothian", &["EH1 1YZ", "EH3 9QG", "EH8 9YL"], "+44 131 496 0###"),
            city("Leeds", "West Yorkshire", &["LS1 4AP", "LS2 9JT", "LS6 3HN"], "+44 113 496 0###"),
            city("London", "Greater London", &["E1 6AN", "N1 9GU", "SE1 9SG", "SW1A 1AA"], "+44 20 7946 0###"),
            city("Manchester", "Greater Manchester", &["M1 1AE", "M4 1HQ", "M14 5TP"], "+44 161 496 0###"),
        ],
    },
    Locale {
        tag: "en-AU",
        country: "AU",
        female_names: ENGLISH_FEMALE,
        male_names: ENGLISH_MALE,
        family_name: |chance| LastName(EN).fake_with_rng(chance),
        streets: &[
            "Albert Street",
            "Beach Road",
            "Bridge Street",
            "Church Street",
            "Elizabeth Street",
            "George Street",
            "High Street",
            "Railway Parade",
            "Station Street",
            "Victoria Street",
            "William Street",
        ],
        numbers: 1..=320,
        cities: &[
            city("Adelaide", "SA", &["5000", "5006"], "+61 8 5550 ####"),
            city("Brisbane", "QLD", &["4000", "4006", "4101"], "+61 7 5550 ####"),
            city("Melbourne", "VIC", &["3000", "3004", "3053"], "+61 3 5550 ####"),
            city("Sydney", "NSW", &["2000", "2010", "2015"], "+61 2 5550 ####"),
        ],
    },
    Locale {
        tag: "de-DE",
        country: "DE",
        female_names: GERMAN_FEMALE,
        male_names: GERMAN_MALE,
        family_name: |chance| LastName(DE_DE).fake_with_rng(chance),
        streets: &[
            "Ahornweg",
            "Bahnhofstraße",
            "Bergstraße",
            "Birkenweg",
            "Dorfstraße",
            "Gartenstraße",
            "Goethestraße",
            "Hauptstraße",
            "Kirchgasse",
            "Lindenstraße",
            "Mühlenweg",
            "Ringstraße",
            "Schillerstraße",
            "Waldstraße",
        ],
        numbers: 1..=140,
        cities: &[
            city("Berlin", "Berlin", &["10115", "10437", "10999", "12047"], "+49 30 23125 ###"),
            city("Frankfurt am Main", "Hessen", &["60311", "60316", "60594"], "+49 69 90009 ###"),
            city("Hamburg", "Hamburg", &["20095", "20357", "22765"], "+49 40 66969 ###"),
            city("Köln", "Nordrhein-Westfalen", &["50667", "50674", "50823"], "+49 221 4710 ###"),
            city("München", "Bayern", &["80331", "80469", "81667"], "+49 89 99998 ###"),
        ],
    },
    Locale {
        tag: "fr-FR",
        country: "FR",
        female_names: FRENCH_FEMALE,
        male_names: FRENCH_MALE,
        family_name: |chance| LastName(FR_FR).fake_with_rng(chance),
        streets: &[
            "Avenue de la Gare",
            "Avenue de la République",
            "Chemin des Vignes",
            "Grande Rue",
            "Impasse du Moulin",
            "Place de la Mairie",
            "Rue de l’Église",
            "Rue des Écoles",
            "Rue du Château",
            "Rue Jean Jaurès",
            "Rue Pasteur",
            "Rue Victor Hugo",
        ],
        numbers: 1..=150,
        cities: &[
            city("Bordeaux", "Nouvelle-Aquitaine", &["33000", "33100", "33800"], "+33 5 36 49 ## ##"),
            city("Lyon", "Auvergne-Rhône-Alpes", &["69001", "69003", "69007"], "+33 4 65 71 ## ##"),
            city("Nantes", "Pays de la Loire", &["44000", "44100", "44300"], "+33 2 61 91 ## ##"),
            city("Paris", "Île-de-France", &["75005", "75011", "75015", "75020"], "+33 1 99 00 ## ##"),
            city("Strasbourg", "Grand Est", &["67000", "67100", "67200"], "+33 3 53 01 ## ##"),
        ],
    },
];
