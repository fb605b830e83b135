//! Dialogs of pages: answered at once, as the script has said beforehand, and remembered.

use chromiumoxide_cdp::cdp::browser_protocol::page::{
    DialogType, EventJavascriptDialogOpening, HandleJavaScriptDialogParams,
};

use super::page::Page;
use crate::capabilities::cut;
use crate::contract::browser as wit;

/// How many answered dialogs are remembered.
const DIALOGS: usize = 100;
/// How many bytes of a dialog's texts are remembered, and given as its answer.
const DIALOG_BYTES: usize = 4 * 1024;

/// What to do with dialogs.
#[derive(Clone, Debug, Default)]
pub(super) struct DialogPolicy {
    accept: bool,
    text: Option<String>,
}

impl Page {
    /// Says what to do with dialogs from now on.
    pub(crate) fn set_dialog_policy(&self, policy: wit::DialogPolicy) {
        self.state().dialog_policy = match policy {
            wit::DialogPolicy::Dismiss => DialogPolicy::default(),
            wit::DialogPolicy::Accept => DialogPolicy { accept: true, text: None },
            wit::DialogPolicy::AcceptWith(text) => {
                DialogPolicy { accept: true, text: Some(cut(&text, DIALOG_BYTES).to_owned()) }
            }
        };
    }

    /// The dialogs so far.
    pub(crate) fn dialogs(&self) -> Vec<wit::Dialog> {
        self.state().dialogs.iter().cloned().collect()
    }

    /// Answers a dialog at once: while it is open, the page answers nothing else.
    pub(super) fn answer_dialog(&self, event: EventJavascriptDialogOpening) {
        let unloading = event.r#type == DialogType::Beforeunload;
        let policy = self.state().dialog_policy.clone();
        let accepted = unloading || policy.accept;
        let mut answer = HandleJavaScriptDialogParams::new(accepted);
        answer.prompt_text = policy.text.or_else(|| event.default_prompt.clone());
        self.session.tell(&answer);
        let dialog = wit::Dialog {
            kind: event.r#type.as_ref().to_owned(),
            message: cut(&event.message, DIALOG_BYTES).to_owned(),
            default_value: cut(&event.default_prompt.unwrap_or_default(), DIALOG_BYTES).to_owned(),
            accepted,
        };
        self.change(|state| {
            if state.dialogs.len() >= DIALOGS {
                state.dialogs.pop_front();
            }
            state.dialogs.push_back(dialog);
        });
    }
}
