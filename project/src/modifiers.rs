//! The modifiers that an agent's message names: `config_proxy.modifiers`.
//!
//! Each is a module of the project (in Rust: a name in `armada::project!`) and says for which URLs it is asked and of which
//! it gets the bodies. A body that nobody asks for is never held.

use serde_json::{Map, Value};

use crate::path::ValuePath;
use crate::proxy::PROXY;
use crate::setting::{Problem, unknown_key};
use crate::suggest::found;

/// The list in the block of an agent's message.
pub(crate) const MODIFIERS: &str = "modifiers";
/// The keys of a modifier.
const KEYS: [&str; 3] = ["name", "urls", "bodies"];
/// How many modifiers there may be.
const MOST: usize = 100;

/// A modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModifierSettings {
    /// Its name: a module of a Python project, or what `armada::project!` calls it.
    pub name: String,
    /// The URLs that it is asked about, as patterns; all where none is given.
    pub urls: Vec<String>,
    /// Those of them whose bodies it gets, as patterns; none where none is given.
    pub bodies: Vec<String>,
}

impl ModifierSettings {
    /// Reads the modifiers of a merged agent message.
    pub(crate) fn read(message: &Map<String, Value>, problems: &mut Vec<Problem>) -> Vec<ModifierSettings> {
        let path = ValuePath::of_keys([PROXY, MODIFIERS]);
        let entries = match message.get(PROXY).and_then(|block| block.get(MODIFIERS)) {
            None => return Vec::new(),
            Some(Value::Array(entries)) if entries.len() <= MOST => entries,
            Some(Value::Array(_)) => {
                problems.push(Problem::of_value(&path, format!("more than {MOST} modifiers")));
                return Vec::new();
            }
            Some(other) => {
                let problem = Problem::of_value(&path, format!("expected a list of modifiers, found {}", found(other)));
                problems.push(problem.help("such as [\"addon.prices\"]"));
                return Vec::new();
            }
        };
        let entries = entries.iter().enumerate();
        entries.filter_map(|(index, entry)| read_one(entry, &path.index(index), problems)).collect()
    }
}

fn read_one(entry: &Value, path: &ValuePath, problems: &mut Vec<Problem>) -> Option<ModifierSettings> {
    let members = match entry {
        Value::String(name) if !name.is_empty() => {
            return Some(ModifierSettings { name: name.clone(), urls: Vec::new(), bodies: Vec::new() });
        }
        Value::Object(members) => members,
        other => {
            let problem = Problem::of_value(path, format!("expected the name of a module, found {}", found(other)));
            problems.push(problem.help("or an object such as {\"name\": \"addon.prices\", \"bodies\": [\"**\"]}"));
            return None;
        }
    };
    for key in members.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        problems.push(unknown_key(&path.key(key), key, KEYS.into_iter()));
    }
    let name = match members.get("name") {
        Some(Value::String(name)) if !name.is_empty() => name.clone(),
        _ => {
            problems.push(Problem::of_value(path, "a modifier needs a `name`: the module that has its functions"));
            return None;
        }
    };
    let mut patterns = |key: &str| -> Vec<String> {
        let texts = match members.get(key) {
            None => return Vec::new(),
            Some(Value::Array(texts)) => texts.iter().map(|text| text.as_str().map(ToOwned::to_owned)).collect(),
            Some(_) => None,
        };
        texts.unwrap_or_else(|| {
            let wrong = format!("`{key}` must be a list of URL patterns such as \"**/api/*\"");
            problems.push(Problem::of_value(&path.key(key), wrong));
            Vec::new()
        })
    };
    let (urls, bodies) = (patterns("urls"), patterns("bodies"));
    Some(ModifierSettings { name, urls, bodies })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn modifiers(value: Value) -> Result<Vec<ModifierSettings>, Vec<String>> {
        let message = json!({"config_proxy": {"modifiers": value}});
        let Value::Object(message) = message else { panic!() };
        let mut problems = Vec::new();
        let modifiers = ModifierSettings::read(&message, &mut problems);
        if problems.is_empty() { Ok(modifiers) } else { Err(problems.iter().map(Problem::to_string).collect()) }
    }

    #[test]
    fn a_modifier_is_a_name_or_says_what_it_is_for() {
        let read = modifiers(json!(["addon.one", {"name": "addon.two", "urls": ["**/api/*"], "bodies": ["**"]}]));
        let expected = [("addon.one", vec![], vec![]), ("addon.two", vec!["**/api/*"], vec!["**"])];
        let texts = |texts: Vec<&str>| texts.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
        let expected = expected.map(|(name, urls, bodies)| ModifierSettings {
            name: name.to_owned(),
            urls: texts(urls),
            bodies: texts(bodies),
        });
        assert_eq!(read.unwrap(), expected);
        assert!(ModifierSettings::read(&Map::new(), &mut Vec::new()).is_empty());
    }

    #[test]
    fn every_mistake_is_told() {
        assert_eq!(
            modifiers(
                json!([1, "", {"name": "a", "url": []}, {"urls": []}, {"name": "b", "urls": "x", "bodies": [1]}])
            )
            .unwrap_err(),
            [
                "config_proxy.modifiers[0]: expected the name of a module, found 1",
                "config_proxy.modifiers[1]: expected the name of a module, found the text \"\"",
                "config_proxy.modifiers[2].url: there is no setting \"url\"",
                "config_proxy.modifiers[3]: a modifier needs a `name`: the module that has its functions",
                "config_proxy.modifiers[4].urls: `urls` must be a list of URL patterns such as \"**/api/*\"",
                "config_proxy.modifiers[4].bodies: `bodies` must be a list of URL patterns such as \"**/api/*\"",
            ]
        );
        assert!(modifiers(json!("addon.one")).is_err());
    }
}
