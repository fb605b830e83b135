//! What a script is told when a database does not do as it is asked: what helps its author, and nothing of where the
//! database is or how the host signs in.

use percent_encoding::percent_decode_str;
use url::Url;

use super::session::{Failed, Sort};
use crate::contract::Error;

/// What stands for what a script may not see.
const HIDDEN: &str = "…";

/// Takes out of messages what the operator's URL has.
pub(super) struct Clean {
    name: String,
    /// Texts that are not shown, the longest first.
    hidden: Vec<String>,
}

impl Clean {
    /// For the database of this name at this URL.
    pub(super) fn new(name: &str, url: &str) -> Self {
        let mut hidden = vec![url.to_owned()];
        if let Ok(parsed) = Url::parse(url) {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            hidden.extend(parsed.host_str().map(str::to_owned));
            hidden.push(decoded(parsed.username()));
            hidden.extend(parsed.password().into_iter().flat_map(|password| [password.to_owned(), decoded(password)]));
            hidden.push(parsed.path().trim_start_matches('/').to_owned());
            hidden.extend(parsed.query_pairs().map(|(_, value)| value.into_owned()));
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.trim_start_matches("//");
            hidden.push(path.split_once('?').map_or(path, |(path, _)| path).to_owned());
        }
        // What is no more than a letter or two hides nothing, and taking it out would spoil every message.
        hidden.retain(|text| text.chars().count() > 2);
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        hidden.dedup();
        Self { name: name.to_owned(), hidden }
    }

    /// A message without what is hidden.
    fn clean(&self, message: &str) -> String {
        let message = self.hidden.iter().fold(message.to_owned(), |message, hidden| replaced(&message, hidden));
        without_accounts(&message)
    }

    /// Says that the database cannot be reached, and why in words of our own.
    pub(super) fn unreachable(&self, why: &str) -> Error {
        Error::Unavailable(format!("the database `{}` cannot be reached: {why}", self.name))
    }

    /// What it means that there is no connection. The operator finds more in the host's own log.
    pub(super) fn connecting(&self, failed: &Failed) -> Error {
        let (Failed::Lost(why) | Failed::Statement { message: why, .. }) = failed else {
            return self.unreachable("it did not let the host in");
        };
        tracing::debug!("no connection to the database `{}`: {}", self.name, self.clean(why));
        let why = why.to_lowercase();
        self.unreachable(if why.contains("refused") {
            "the connection was refused"
        } else if ["resolve", "lookup", "name or service"].iter().any(|word| why.contains(word)) {
            "its host has no address"
        } else if ["password", "authentication", "access denied", "login"].iter().any(|word| why.contains(word)) {
            "it did not let the host in"
        } else if ["certificate", "tls"].iter().any(|word| why.contains(word)) {
            "there is no secure connection to it"
        } else if why.contains("unable to open") {
            "there is no such file, or it is not for the host to open"
        } else {
            "no connection could be made; the host's log says why"
        })
    }

    /// What it means that something failed on a connection.
    pub(super) fn working(&self, failed: Failed) -> Error {
        match failed {
            Failed::Refused(error) | Failed::Stopped(error) => error,
            Failed::Lost(why) => {
                tracing::debug!("the connection to the database `{}` was lost: {}", self.name, self.clean(&why));
                Error::Unavailable(format!("the connection to the database `{}` was lost", self.name))
            }
            Failed::Statement { sort, code, message } => {
                let code = if code.is_empty() { String::new() } else { format!(" ({code})") };
                let said = format!("the database `{}`: {}{code}", self.name, self.clean(&message));
                match sort {
                    Sort::Invalid => Error::Invalid(said),
                    Sort::Denied => Error::Denied(said),
                    Sort::Timeout => Error::Timeout(said),
                    Sort::Unavailable => Error::Unavailable(said),
                }
            }
        }
    }
}

/// A text with every whole word like this one taken out.
fn replaced(text: &str, word: &str) -> String {
    let is_part =
        |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(word) {
        cleaned.push_str(before);
        let inside = is_part(before.chars().next_back()) && is_part(word.chars().next())
            || is_part(word.chars().next_back()) && is_part(after.chars().next());
        cleaned.push_str(if inside { word } else { HIDDEN });
        rest = after;
    }
    cleaned + rest
}

/// A text without what MySQL calls an account: `'user'@'host'`.
fn without_accounts(text: &str) -> String {
    let mut cleaned = text.to_owned();
    while let Some((before, after)) = cleaned.split_once("'@'") {
        let start = before.rfind('\'').unwrap_or(before.len());
        let end = after.find('\'').map_or(after.len(), |end| end + 1);
        let kept = (before.get(..start).unwrap_or_default(), after.get(end..).unwrap_or_default());
        cleaned = format!("{}{HIDDEN}{}", kept.0, kept.1);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_address_is_in_a_message() {
        let clean = Clean::new("orders", "postgres://robot:p%40ss+word@db.internal:5433/shop?sslrootcert=/etc/ca.pem");
        for message in [
            "password authentication failed for user \"robot\"",
            "could not connect to db.internal:5433",
            "p@ss+word or p%40ss+word in /etc/ca.pem",
            "SELECT command denied to user 'robot'@'10.1.2.3' for table `shop`.`orders`",
            "'a'@'b' and 'c'@'d",
        ] {
            let cleaned = clean.clean(message);
            for hidden in ["robot", "db.internal", "p@ss", "p%40ss", "ca.pem", "10.1.2.3", "'@'"] {
                assert!(!cleaned.contains(hidden), "{cleaned}");
            }
        }
        let said = clean.clean("column \"robots\" of table workshops does not exist");
        assert_eq!(said, "column \"robots\" of table workshops does not exist");
        let clean = Clean::new("orders", "sqlite:///srv/data/orders.db?mode=ro");
        assert_eq!(clean.clean("cannot open /srv/data/orders.db"), "cannot open …");
    }

    #[test]
    fn what_was_lost_is_said_in_our_own_words() {
        let clean = Clean::new("orders", "postgres://robot:hush@db.internal/shop");
        for (why, says) in [
            ("error communicating with database: Connection refused (os error 111)", "the connection was refused"),
            ("FATAL: password authentication failed for user \"robot\"", "it did not let the host in"),
            ("failed to lookup address information", "its host has no address"),
        ] {
            let error = clean.connecting(&Failed::Lost(why.to_owned()));
            let expected = format!("the database `orders` cannot be reached: {says}");
            assert_eq!(error, Error::Unavailable(expected));
        }
    }
}
