//! Reads: what a script learns of an element.

use serde_json::{Value, json};

use super::locate::Place;
use super::page::Page;
use crate::contract::Error;
use crate::contract::browser as wit;

impl Page {
    /// What an operation of the page engine gives for the one element.
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        selector: &str,
        request: Value,
        options: wit::WaitOptions,
    ) -> Result<(T, Place), Error> {
        self.with_element(selector, request, self.action_deadline(options.timeout_ms)).await
    }

    /// A text of the one element: `textContent`, `innerText`, `innerHtml` or `value`.
    pub(crate) async fn text(
        &self,
        selector: &str,
        operation: &str,
        options: wit::WaitOptions,
    ) -> Result<String, Error> {
        Ok(self.read(selector, json!({"op": operation}), options).await?.0)
    }

    /// The texts of all elements that match now: `textContent` or `innerText`.
    pub(crate) async fn texts(&self, selector: &str, operation: &str) -> Result<Vec<String>, Error> {
        self.read_all(selector, operation).await
    }

    /// An attribute of the one element.
    pub(crate) async fn attribute(
        &self,
        selector: &str,
        name: &str,
        options: wit::WaitOptions,
    ) -> Result<Option<String>, Error> {
        Ok(self.read(selector, json!({"op": "attribute", "name": name}), options).await?.0)
    }

    /// All attributes of the one element.
    pub(crate) async fn attributes(
        &self,
        selector: &str,
        options: wit::WaitOptions,
    ) -> Result<Vec<(String, String)>, Error> {
        Ok(self.read(selector, json!({"op": "attributes"}), options).await?.0)
    }

    /// The box of the one element, in the page's viewport.
    pub(crate) async fn bounding_box(
        &self,
        selector: &str,
        options: wit::WaitOptions,
    ) -> Result<Option<wit::Rect>, Error> {
        #[derive(serde::Deserialize)]
        struct Box {
            x: f64,
            y: f64,
            width: f64,
            height: f64,
        }
        let (found, place): (Option<Box>, Place) = self.read(selector, json!({"op": "box"}), options).await?;
        Ok(found.map(|found| wit::Rect {
            x: found.x + place.x,
            y: found.y + place.y,
            width: found.width,
            height: found.height,
        }))
    }

    /// Whether the one element is in this state.
    pub(crate) async fn is_state(
        &self,
        selector: &str,
        state: wit::ElementState,
        options: wit::WaitOptions,
    ) -> Result<bool, Error> {
        let state = match state {
            wit::ElementState::Visible => return self.visible_now(selector).await,
            wit::ElementState::Hidden => return Ok(!self.visible_now(selector).await?),
            wit::ElementState::Enabled => "enabled",
            wit::ElementState::Disabled => "disabled",
            wit::ElementState::Editable => "editable",
            wit::ElementState::Checked => "checked",
            wit::ElementState::Focused => "focused",
        };
        Ok(self.read(selector, json!({"op": "state", "state": state}), options).await?.0)
    }

    /// The page's title.
    pub(crate) async fn title(&self) -> Result<String, Error> {
        self.read_document("document.title").await
    }

    /// The page's HTML.
    pub(crate) async fn content(&self) -> Result<String, Error> {
        let html = "(document.doctype ? new XMLSerializer().serializeToString(document.doctype) + '\\n' : '') \
                    + (document.documentElement?.outerHTML ?? '')";
        self.read_document(html).await
    }
}
