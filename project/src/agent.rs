//! What an agent's message says to the host: the settings of the capabilities, block by block.
//!
//! Everything else in the message is the project's own.

use serde_json::{Map, Value};

use crate::browser::{self, BrowserSettings};
use crate::mistake::Note;
use crate::modifiers::ModifierSettings;
use crate::proxy::{self, ProxySettings};
use crate::setting::Problem;

/// The settings in an agent's message.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSettings {
    /// How the browser is started and used: `config_fantomas`.
    pub browser: BrowserSettings,
    /// The modifiers: `config_proxy.modifiers`.
    pub modifiers: Vec<ModifierSettings>,
    /// The way out: `config_proxy`.
    pub proxy: ProxySettings,
}

impl AgentSettings {
    /// The members of a message that are read here.
    pub(crate) const BLOCKS: [&str; 2] = [browser::OUTER, proxy::PROXY];

    /// Reads a merged agent message, with notes on what has no effect.
    pub fn from_message(message: &Map<String, Value>) -> Result<(AgentSettings, Vec<Note>), Vec<Problem>> {
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let browser = BrowserSettings::read(message, &mut problems, &mut notes);
        let modifiers = ModifierSettings::read(message, &mut problems);
        let proxy = ProxySettings::read(message, &mut problems, &mut notes);
        if problems.is_empty() { Ok((AgentSettings { browser, modifiers, proxy }, notes)) } else { Err(problems) }
    }
}
