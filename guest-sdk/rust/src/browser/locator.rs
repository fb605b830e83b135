//! Locators: what to look for, found anew each time it is used.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::page::{script, value};
use super::*;
use crate::__bindings::armada::browser::browser as wit;
use crate::operation::Operation;

/// Elements of a page, by a selector that is looked up each time the locator is used.
///
/// What acts on or reads from an element waits for it, and fails when two match; narrow it down with
/// [`locator`](Self::locator), [`filter`](Self::filter), [`first`](Self::first) or [`nth`](Self::nth).
#[derive(Clone, Debug)]
pub struct Locator {
    page: Rc<wit::Page>,
    selector: String,
}

/// An ARIA role, with what else is known of the element: `Role::new("heading").name("Quotes").level(1)`.
#[derive(Clone, Debug)]
pub struct Role {
    selector: String,
}

impl Role {
    /// Elements of this role, such as `button`, `link`, `textbox` or `heading`.
    pub fn new(role: impl AsRef<str>) -> Self {
        Self { selector: format!("role={}", role.as_ref()) }
    }

    /// Whose accessible name contains this, ignoring case.
    pub fn name(self, name: impl AsRef<str>) -> Self {
        self.and(format_args!("name*={} i", quoted(name.as_ref())))
    }

    /// Whose accessible name is exactly this.
    pub fn exact_name(self, name: impl AsRef<str>) -> Self {
        self.and(format_args!("name={}", quoted(name.as_ref())))
    }

    /// Headings of this level.
    pub fn level(self, level: u32) -> Self {
        self.and(format_args!("level={level}"))
    }

    /// Which are checked, or not.
    pub fn checked(self, checked: bool) -> Self {
        self.and(format_args!("checked={checked}"))
    }

    /// Which are disabled, or not.
    pub fn disabled(self, disabled: bool) -> Self {
        self.and(format_args!("disabled={disabled}"))
    }

    /// Which are expanded, or not.
    pub fn expanded(self, expanded: bool) -> Self {
        self.and(format_args!("expanded={expanded}"))
    }

    /// Which are pressed, or not.
    pub fn pressed(self, pressed: bool) -> Self {
        self.and(format_args!("pressed={pressed}"))
    }

    /// Which are selected, or not.
    pub fn selected(self, selected: bool) -> Self {
        self.and(format_args!("selected={selected}"))
    }

    fn and(self, condition: std::fmt::Arguments<'_>) -> Self {
        Self { selector: format!("{}[{condition}]", self.selector) }
    }
}

impl<S: AsRef<str>> From<S> for Role {
    fn from(role: S) -> Self {
        Self::new(role)
    }
}

/// The ways to look for elements, which a page and a locator share.
macro_rules! finders {
    ($type:ty, $doc:literal) => {
        impl $type {
            #[doc = concat!("Elements by a selector, ", $doc, ".")]
            pub fn locator(&self, selector: impl AsRef<str>) -> Locator {
                self.find(selector.as_ref().to_owned())
            }

            /// Elements of this ARIA role.
            pub fn get_by_role(&self, role: impl Into<Role>) -> Locator {
                self.find(role.into().selector)
            }

            /// The innermost elements whose text contains this, ignoring case.
            pub fn get_by_text(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("text={}", contains(text.as_ref())))
            }

            /// The innermost elements whose text is exactly this.
            pub fn get_by_exact_text(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("text={}", quoted(text.as_ref())))
            }

            /// Form controls whose label contains this, ignoring case.
            pub fn get_by_label(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("label={}", contains(text.as_ref())))
            }

            /// Form controls whose placeholder contains this, ignoring case.
            pub fn get_by_placeholder(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("placeholder={}", contains(text.as_ref())))
            }

            /// Elements whose `alt` text contains this, ignoring case.
            pub fn get_by_alt_text(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("alt={}", contains(text.as_ref())))
            }

            /// Elements whose `title` contains this, ignoring case.
            pub fn get_by_title(&self, text: impl AsRef<str>) -> Locator {
                self.find(format!("title={}", contains(text.as_ref())))
            }

            /// Elements whose `data-testid` is exactly this.
            pub fn get_by_test_id(&self, id: impl AsRef<str>) -> Locator {
                self.find(format!("test-id={}", quoted(id.as_ref())))
            }

            /// The document of the `iframe` that this CSS selector finds: locate inside it.
            pub fn frame_locator(&self, selector: impl AsRef<str>) -> Locator {
                self.find(format!("frame={}", selector.as_ref()))
            }
        }
    };
}

finders!(Page, "anywhere in the page");
finders!(Locator, "inside what this locator finds");

impl Page {
    fn find(&self, selector: String) -> Locator {
        Locator { page: self.handle.clone(), selector }
    }
}

impl Locator {
    fn find(&self, part: String) -> Self {
        Self { page: self.page.clone(), selector: format!("{} >> {part}", self.selector) }
    }

    /// The selector.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// Of the elements found, the first.
    pub fn first(&self) -> Self {
        self.nth(0)
    }

    /// Of the elements found, the last.
    pub fn last(&self) -> Self {
        self.nth(-1)
    }

    /// Of the elements found, the one in this place, from 0; -1 is the last.
    pub fn nth(&self, place: i32) -> Self {
        self.find(format!("nth={place}"))
    }

    /// Of the elements found, those that contain this text, ignoring case.
    pub fn filter(&self, text: impl AsRef<str>) -> Self {
        self.find(format!("has-text={}", contains(text.as_ref())))
    }

    /// Of the elements found, those that contain a match of this selector.
    pub fn filter_has(&self, selector: impl AsRef<str>) -> Self {
        self.find(format!("has={}", quoted(selector.as_ref())))
    }

    /// Of the elements found, those that are visible.
    pub fn filter_visible(&self) -> Self {
        self.find("visible=true".to_owned())
    }

    /// The elements that match now, each by its place.
    #[track_caller]
    pub fn all(&self) -> Operation<(), Vec<Self>> {
        let locator = self.clone();
        self.count().map(move |count| {
            Ok((0..count).map(|place| locator.nth(i32::try_from(place).unwrap_or(i32::MAX))).collect())
        })
    }

    /// The elements that match now, as handles that stay with these very elements.
    #[track_caller]
    pub fn element_handles(&self) -> Operation<(), Vec<ElementHandle>> {
        let (page, selector) = (self.page.clone(), self.selector.clone());
        Operation::new((), |()| async move {
            let elements = page.query_all(selector).await?;
            Ok(elements.into_iter().map(|element| ElementHandle::new(page.clone(), element)).collect())
        })
    }

    /// Waits until what this looks for is in this state.
    #[track_caller]
    pub fn wait_for(&self, state: SelectorState) -> Operation<WaitOptions, ()> {
        let (page, selector) = (self.page.clone(), self.selector.clone());
        Operation::new(WaitOptions::default(), move |options| async move {
            page.wait_for_selector(selector, state, options).await
        })
    }

    /// Drags the element onto another.
    #[track_caller]
    pub fn drag_to(&self, target: &Self) -> Operation<ActionOptions, ()> {
        let (page, source, target) = (self.page.clone(), self.selector.clone(), target.selector.clone());
        Operation::new(ActionOptions::default(), |options| async move { page.drag(source, target, options).await })
    }

    /// Takes a picture of the element.
    #[track_caller]
    pub fn screenshot(&self) -> Operation<ScreenshotOptions, Vec<u8>> {
        let (page, selector) = (self.page.clone(), self.selector.clone());
        let options = ScreenshotOptions { selector: Some(selector), ..Default::default() };
        Operation::new(options, |options| async move { page.screenshot(options).await })
    }

    /// Calls a JavaScript function with the element, and with an argument where one is set, in the element's frame:
    /// `locator.evaluate::<f64>("element => element.naturalWidth")`.
    #[track_caller]
    pub fn evaluate<T: DeserializeOwned + 'static>(
        &self,
        function: impl Into<String>,
    ) -> Operation<ScriptOptions<WaitOptions>, T> {
        let (page, selector, function) = (self.page.clone(), self.selector.clone(), function.into());
        script(move |arg, options| async move { page.evaluate_on(selector, function, arg, options).await }).map(value)
    }

    /// Calls a JavaScript function with the array of all elements that match now.
    #[track_caller]
    pub fn evaluate_all<T: DeserializeOwned + 'static>(
        &self,
        function: impl Into<String>,
    ) -> Operation<ScriptOptions, T> {
        let (page, selector, function) = (self.page.clone(), self.selector.clone(), function.into());
        script(move |arg, ()| async move { page.evaluate_all(selector, function, arg).await }).map(value)
    }
}

/// What is done with one element: each is a function of a locator and, with a selector, of a page.
macro_rules! element_functions {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty = $to:expr),*) -> $options:ty => $output:ty = |$page:ident, $selector:ident, $o:ident| $call:expr;
    )*) => {
        impl Locator {
            $($(#[$doc])* #[track_caller]
            pub fn $name(&self $(, $arg: $type)*) -> Operation<$options, $output> {
                let ($page, $selector) = (self.page.clone(), self.selector.clone());
                #[allow(clippy::redundant_locals, reason = "most arguments are converted, some are taken as they are")]
                let ($($arg,)*) = ($($to,)*);
                Operation::new(<$options>::default(), move |$o| async move { $call.await })
            })*
        }

        /// The functions of [`Locator`], with a selector: `page.click("#save")` is `page.locator("#save").click()`.
        impl Page {
            $($(#[$doc])* #[track_caller]
            pub fn $name(&self, selector: impl AsRef<str> $(, $arg: $type)*) -> Operation<$options, $output> {
                self.locator(selector).$name($($arg),*)
            })*
        }
    };
}

element_functions! {
    /// Clicks the element.
    fn click() -> ClickOptions => () = |page, selector, options| page.click(selector, options);
    /// Double-clicks the element.
    fn dblclick() -> ClickOptions => () = |page, selector, options| page.double_click(selector, options);
    /// Moves the mouse over the element.
    fn hover() -> ClickOptions => () = |page, selector, options| page.hover(selector, options);
    /// Replaces the value of an input, a text area or an editable element.
    fn fill(value: impl Into<String> = value.into()) -> ActionOptions => () =
        |page, selector, options| page.fill(selector, value, options);
    /// Replaces the value of an input or a text area by a secret of the operator, by its name; see
    /// [`secrets`](crate::secrets).
    fn fill_secret(name: impl Into<String> = name.into()) -> ActionOptions => () =
        |page, selector, options| page.fill_secret(selector, name, options);
    /// Empties an input, a text area or an editable element.
    fn clear() -> ActionOptions => () = |page, selector, options| page.fill(selector, String::new(), options);
    /// Types text key by key.
    fn press_sequentially(text: impl Into<String> = text.into()) -> TypeOptions => () =
        |page, selector, options| page.type_(Some(selector), text, options);
    /// Presses a key or a combination, such as `Enter` or `Control+A`.
    fn press(key: impl Into<String> = key.into()) -> TypeOptions => () =
        |page, selector, options| page.press(Some(selector), key, options);
    /// Checks a check box or radio button, unless it is checked.
    fn check() -> ActionOptions => () = |page, selector, options| page.set_checked(selector, true, options);
    /// Unchecks a check box, unless it is not checked.
    fn uncheck() -> ActionOptions => () = |page, selector, options| page.set_checked(selector, false, options);
    /// Checks or unchecks a check box or radio button.
    fn set_checked(checked: bool = checked) -> ActionOptions => () =
        |page, selector, options| page.set_checked(selector, checked, options);
    /// Selects the option of a `<select>` with this value or label, and gives the values selected.
    fn select_option(option: impl Into<String> = option.into()) -> ActionOptions => Vec<String> =
        |page, selector, options| page.select_option(selector, vec![SelectBy::ValueOrLabel(option)], options);
    /// Selects these options of a `<select>`, and no others, and gives the values selected.
    fn select_options(which: Vec<SelectBy> = which) -> ActionOptions => Vec<String> =
        |page, selector, options| page.select_option(selector, which, options);
    /// Gives files to an `<input type=file>`.
    fn set_input_files(files: Vec<UploadFile> = files) -> ActionOptions => () =
        |page, selector, options| page.upload(selector, files, options);
    /// Gives the focus to the element.
    fn focus() -> WaitOptions => () = |page, selector, options| page.focus(selector, options);
    /// Scrolls until the element is in view.
    fn scroll_into_view_if_needed() -> WaitOptions => () =
        |page, selector, options| page.scroll_into_view(selector, options);
    /// Sends a DOM event of this type to the element; `init` is what the event's constructor takes.
    fn dispatch_event(event_type: impl Into<String> = event_type.into(), init: serde_json::Value = init.to_string()) -> WaitOptions => () =
        |page, selector, options| page.dispatch_event(selector, event_type, Some(init), options);
    /// How many elements match now.
    fn count() -> () => u32 = |page, selector, _options| page.count(selector);
    /// The element's text as the document has it.
    fn text_content() -> WaitOptions => String = |page, selector, options| page.text_content(selector, options);
    /// The element's text as it is shown.
    fn inner_text() -> WaitOptions => String = |page, selector, options| page.inner_text(selector, options);
    /// The text of every element that matches now, as it is shown.
    fn all_inner_texts() -> () => Vec<String> = |page, selector, _options| page.all_inner_texts(selector);
    /// The text of every element that matches now, as the document has it.
    fn all_text_contents() -> () => Vec<String> = |page, selector, _options| page.all_text_contents(selector);
    /// The HTML inside the element.
    fn inner_html() -> WaitOptions => String = |page, selector, options| page.inner_html(selector, options);
    /// The value of an input, text area or select.
    fn input_value() -> WaitOptions => String = |page, selector, options| page.input_value(selector, options);
    /// An attribute of the element, where it has it.
    fn get_attribute(name: impl Into<String> = name.into()) -> WaitOptions => Option<String> =
        |page, selector, options| page.get_attribute(selector, name, options);
    /// All attributes of the element.
    fn attributes() -> WaitOptions => Vec<(String, String)> =
        |page, selector, options| page.attributes(selector, options);
    /// The element's box, or nothing when it is not rendered.
    fn bounding_box() -> WaitOptions => Option<Rect> = |page, selector, options| page.bounding_box(selector, options);
    /// Whether there is one match and it is visible, now.
    fn is_visible() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Visible, options);
    /// Whether there is no match or it is not visible, now.
    fn is_hidden() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Hidden, options);
    /// Whether the element is enabled.
    fn is_enabled() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Enabled, options);
    /// Whether the element is disabled.
    fn is_disabled() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Disabled, options);
    /// Whether the element can be edited.
    fn is_editable() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Editable, options);
    /// Whether the element is checked.
    fn is_checked() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Checked, options);
    /// Whether the element has the focus.
    fn is_focused() -> WaitOptions => bool =
        |page, selector, options| page.is_state(selector, ElementState::Focused, options);
}

/// Text to be contained, ignoring case.
fn contains(text: &str) -> String {
    format!("{} i", quoted(text))
}

/// Text in JSON quotes, in which ` >> ` and `]` mean nothing.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_as_a_selector() {
        let role = Role::new("heading").name("The \"best\" >> quotes").level(1);
        assert_eq!(role.selector, r#"role=heading[name*="The \"best\" >> quotes" i][level=1]"#);
    }
}
