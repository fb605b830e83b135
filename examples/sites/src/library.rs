//! What the site has: quotes, their authors, and the orders of its members. `data/` has the texts; what is counted
//! (hearts, orders) is computed, so that it is the same for everyone.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The months of a year.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Somebody who is quoted.
#[derive(Debug, Deserialize, Serialize)]
pub struct Author {
    /// The name in URLs.
    pub slug: String,
    /// The name.
    pub name: String,
    /// The profession.
    pub what: String,
    /// A sentence about them.
    pub about: String,
}

/// Something said.
#[derive(Debug, Serialize)]
pub struct Quote {
    /// Its number, from 1.
    pub id: usize,
    /// What was said.
    pub text: String,
    /// By whom.
    pub author: &'static Author,
    /// About what.
    pub tags: Vec<String>,
}

impl Quote {
    /// How many readers liked it.
    pub fn hearts(&self) -> usize {
        self.text.len() * self.id % 97
    }

    /// Whether its text, its author or its tags have this word.
    fn has(&self, word: &str) -> bool {
        let words =
            [&self.text, &self.author.name].into_iter().flat_map(|text| text.split(|c: char| !c.is_alphabetic()));
        words.chain(self.tags.iter().map(String::as_str)).any(|other| other.to_lowercase() == word)
    }
}

/// An order of printed cards.
#[derive(Debug, Serialize)]
pub struct Order {
    /// Its number.
    pub number: String,
    /// The quote on the cards, by its author.
    pub card: &'static str,
    /// How many.
    pub copies: usize,
    /// What they cost, such as `€ 4.50`.
    pub total: String,
}

/// All authors.
pub fn authors() -> &'static [Author] {
    static AUTHORS: LazyLock<Vec<Author>> = LazyLock::new(|| rows(include_str!("../data/authors.csv")).collect());
    &AUTHORS
}

/// All quotes.
pub fn quotes() -> &'static [Quote] {
    #[derive(Deserialize)]
    struct Row {
        author: String,
        tags: String,
        text: String,
    }
    static QUOTES: LazyLock<Vec<Quote>> = LazyLock::new(|| {
        let quotes = rows(include_str!("../data/quotes.csv")).zip(1..).filter_map(|(row, id): (Row, usize)| {
            let author = authors().iter().find(|author| author.slug == row.author)?;
            Some(Quote { id, text: row.text, author, tags: row.tags.split(' ').map(str::to_owned).collect() })
        });
        quotes.collect()
    });
    &QUOTES
}

/// The quotes that have all of these words, in order: all quotes for none.
pub fn search(words: &str) -> Vec<&'static Quote> {
    let words: HashSet<String> = words.split_whitespace().map(str::to_lowercase).collect();
    quotes().iter().filter(|quote| words.iter().all(|word| quote.has(word))).collect()
}

/// The orders of a month: the same for every member.
pub fn orders(month: &str) -> Vec<Order> {
    let Some(month) = MONTHS.iter().position(|name| *name == month) else { return Vec::new() };
    let order = |place: usize| {
        let quote = quotes().get((month * 7 + place * 11) % quotes().len())?;
        let copies = 1 + (month * 5 + place * 3) % 12;
        let cents = copies * 150;
        Some(Order {
            number: format!("{}-{:02}", 2000 + month, place + 1),
            card: &quote.author.name,
            copies,
            total: format!("€ {}.{:02}", cents / 100, cents % 100),
        })
    };
    (0..3 + month % 4).filter_map(order).collect()
}

/// The rows of a table that is part of this program.
fn rows<T: for<'a> Deserialize<'a>>(csv: &'static str) -> impl Iterator<Item = T> {
    csv::Reader::from_reader(csv.as_bytes()).into_deserialize().filter_map(Result::ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_is_there() {
        let rows = |csv: &str| csv.lines().count() - 1;
        assert_eq!(authors().len(), rows(include_str!("../data/authors.csv")));
        assert_eq!(quotes().len(), rows(include_str!("../data/quotes.csv")));
    }

    #[test]
    fn a_search_finds_words_and_not_parts_of_them() {
        assert!(search("sea").iter().all(|quote| quote.has("sea")) && !search("sea").is_empty());
        assert!(search("se").is_empty());
        assert_eq!(search("LINDQVIST").len(), 7);
        assert_eq!(search("lindqvist sea").len(), 3);
        assert_eq!(search("").len(), quotes().len());
    }
}
