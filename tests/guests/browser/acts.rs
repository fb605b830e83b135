//! What a script does to elements, and what the page sees of it.

use std::time::Duration;

use armada::browser::{Modifiers, MouseAction, MouseButton, Page, Point, SelectBy, UploadFile};
use armada::{Result, json};
use guests::{Case, fails, same};

guests::cases![
    a_click_is_what_a_person_does,
    clicks_have_button_place_modifiers_and_count,
    a_click_can_be_held,
    a_double_click_is_two_clicks_and_one_event,
    hover_brings_the_mouse,
    fill_replaces_the_value,
    fill_knows_every_kind_of_field,
    clear_empties_a_field,
    typing_goes_key_by_key,
    keys_are_pressed_with_modifiers,
    the_focused_element_takes_keys,
    check_boxes_are_checked_and_unchecked,
    options_are_selected_by_value_label_and_place,
    several_options_are_selected_together,
    elements_are_dragged_natively,
    elements_are_dragged_with_the_mouse,
    files_are_uploaded,
    the_focus_is_given,
    elements_are_scrolled_to,
    events_are_dispatched,
    the_mouse_moves_presses_and_turns,
    acts_on_what_cannot_be_acted_on_are_invalid,
];

async fn open(case: &Case<'_>) -> Result<Page> {
    case.open("acts.html").await
}

/// What the page has noted since the last time.
async fn noted(page: &Page) -> Result<String> {
    let notes: Vec<String> = page.evaluate("notes.splice(0)").await?;
    Ok(notes.join(" "))
}

async fn a_click_is_what_a_person_does(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.click("#target").await?;
    same!(noted(&page).await?, "pointerdown:0 mousedown:0 pointerup:0 mouseup:0 click:0");
    same!(page.evaluate::<bool>("trusted").await?, true);
    same!(page.evaluate::<(f64, f64)>("[last.offsetX, last.offsetY]").await?, (50.0, 50.0));
    Ok(())
}

async fn clicks_have_button_place_modifiers_and_count(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.click("#target").position(Point { x: 7.0, y: 9.0 }).modifiers(Modifiers::SHIFT | Modifiers::CONTROL).await?;
    let seen = "[last.offsetX, last.offsetY, last.shiftKey, last.ctrlKey, last.altKey, last.metaKey]";
    same!(page.evaluate::<armada::Value>(seen).await?, json!([7, 9, true, true, false, false]));
    noted(&page).await?;
    page.click("#target").button(MouseButton::Right).await?;
    armada::ensure!(noted(&page).await?.contains("contextmenu:2"));
    page.click("#target").button(MouseButton::Middle).await?;
    armada::ensure!(noted(&page).await?.contains("auxclick:1"));
    page.click("#target").count(3).await?;
    same!(page.evaluate::<u32>("last.detail").await?, 3);
    fails!(page.click("#target").count(4).await, Invalid, "1 to 3");
    Ok(())
}

async fn a_click_can_be_held(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.click("#target").hold(Duration::from_millis(300)).await?;
    armada::ensure!(page.evaluate::<f64>("held").await? >= 250.0);
    Ok(())
}

async fn a_double_click_is_two_clicks_and_one_event(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.dblclick("#target").await?;
    let noted = noted(&page).await?;
    same!(noted.matches("click:0").count() - noted.matches("dblclick:0").count(), 2);
    same!(noted.matches("dblclick:0").count(), 1);
    Ok(())
}

async fn hover_brings_the_mouse(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.hover("#target").await?;
    same!(page.evaluate::<bool>("document.querySelector('#target').matches(':hover')").await?, true);
    Ok(())
}

async fn fill_replaces_the_value(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.fill("#text", "Grüße, 世界 👋").await?;
    same!(page.input_value("#text").await?, "Grüße, 世界 👋");
    armada::ensure!(noted(&page).await?.contains("input"));
    page.fill("#text", "other").await?;
    page.focus("#area").await?;
    same!(page.input_value("#text").await?, "other");
    armada::ensure!(noted(&page).await?.contains("change"));
    Ok(())
}

async fn fill_knows_every_kind_of_field(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    for (field, value) in [
        ("#text", "x"),
        ("#area", "two\nlines"),
        ("#number", "-1.5"),
        ("#date", "2024-02-29"),
        ("#time", "13:37"),
        ("#color", "#00ff00"),
        ("#range", "7"),
        ("#secret", "p4ss"),
        ("#mail", "ada@example.com"),
        ("label=Labelled", "by label"),
    ] {
        page.fill(field, value).await?;
        same!(page.input_value(field).await?, value);
    }
    page.fill("#editable", "edited").await?;
    same!(page.inner_text("#editable").await?, "edited");
    fails!(page.fill("#date", "tomorrow").await, Invalid, "is no date value");
    fails!(page.fill("#number", "seven").await, Invalid, "is no number");
    fails!(page.fill("#target", "x").await, Invalid, "is no input");
    Ok(())
}

async fn clear_empties_a_field(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.fill("#text", "something").await?;
    page.clear("#text").await?;
    same!(page.input_value("#text").await?, "");
    Ok(())
}

async fn typing_goes_key_by_key(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.press_sequentially("#keys", "Aé!").delay(Duration::from_millis(1)).await?;
    same!(page.input_value("#keys").await?, "Aé!");
    let noted = noted(&page).await?;
    armada::ensure!(noted.contains("keydown:A:KeyA") && noted.contains("keydown:!:Digit1"), "{noted}");
    Ok(())
}

async fn keys_are_pressed_with_modifiers(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.fill("#keys", "abc").await?;
    page.press("#keys", "ArrowLeft").await?;
    page.press("#keys", "Backspace").await?;
    same!(page.input_value("#keys").await?, "ac");
    page.press("#keys", "Shift+A").await?;
    same!(page.input_value("#keys").await?, "aAc");
    page.press("#keys", "Control+A").await?;
    page.press("#keys", "Delete").await?;
    same!(page.input_value("#keys").await?, "");
    page.press("#keys", "Enter").await?;
    armada::ensure!(noted(&page).await?.contains("submit"));
    fails!(page.press("#keys", "NoSuchKey").await, Invalid, "NoSuchKey");
    Ok(())
}

async fn the_focused_element_takes_keys(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.focus("#text").await?;
    page.keyboard_type("one").await?;
    page.keyboard_press("Tab").await?;
    page.keyboard_type("two").await?;
    same!(page.input_value("#text").await?, "one");
    same!(page.input_value("#area").await?, "two");
    Ok(())
}

async fn check_boxes_are_checked_and_unchecked(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.check("#box").await?;
    page.check("#box").await?;
    same!(page.is_checked("#box").await?, true);
    page.uncheck("#box").await?;
    same!(page.is_checked("#box").await?, false);
    page.set_checked("label=Boxed", true).await?;
    same!(page.is_checked("#boxed").await?, true);
    page.check("#radio").await?;
    same!(page.is_checked("#radio").await?, true);
    page.check("#switch").await?;
    same!(page.get_attribute("#switch", "aria-checked").await?.as_deref(), Some("true"));
    fails!(page.uncheck("#radio").await, Other, "did not change whether it is checked");
    fails!(page.check("#text").await, Invalid, "is no check box");
    Ok(())
}

async fn options_are_selected_by_value_label_and_place(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.select_option("#one", "r").await?, ["r"]);
    same!(page.select_option("#one", "Green").await?, ["g"]);
    same!(page.select_options("#one", vec![SelectBy::Value("b".into())]).await?, ["b"]);
    same!(page.select_options("#one", vec![SelectBy::Label("Red".into())]).await?, ["r"]);
    same!(page.select_options("#one", vec![SelectBy::Index(1)]).await?, ["g"]);
    same!(page.input_value("#one").await?, "g");
    armada::ensure!(noted(&page).await?.ends_with("input change"));
    Ok(())
}

async fn several_options_are_selected_together(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let two = || vec![SelectBy::Index(0), SelectBy::Label("Blue".into())];
    same!(page.select_options("#many", two()).await?, ["r", "b"]);
    same!(page.select_options("#many", Vec::new()).await?, Vec::<String>::new());
    fails!(page.select_options("#one", two()).await, Invalid, "one option only");
    Ok(())
}

async fn elements_are_dragged_natively(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.drag_and_drop("#dragged", "#drop").await?;
    same!(page.inner_text("#drop").await?, "dropped: payload");
    Ok(())
}

async fn elements_are_dragged_with_the_mouse(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.locator("#slider").drag_to(&page.locator("#drop")).await?;
    same!(page.inner_text("#drop").await?, "slid");
    Ok(())
}

async fn files_are_uploaded(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let file = |name: &str, media_type: &str, bytes: &[u8]| UploadFile {
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        bytes: bytes.to_owned(),
    };
    page.set_input_files("#files", vec![file("a.txt", "text/plain", b"hello"), file("b.bin", "", &[0, 255])]).await?;
    page.wait_for_function::<bool>("document.querySelector('#uploaded').textContent !== ''").await?;
    same!(page.inner_text("#uploaded").await?, "a.txt text/plain 104,101,108,108,111; b.bin 0,255");
    fails!(page.set_input_files("#file", vec![file("a", "", b""), file("b", "", b"")]).await, Invalid, "one file only");
    fails!(page.set_input_files("#text", Vec::new()).await, Invalid, "is no file input");
    Ok(())
}

async fn the_focus_is_given(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.focus("#area").await?;
    same!(page.is_focused("#area").await?, true);
    same!(page.is_focused("#text").await?, false);
    Ok(())
}

async fn elements_are_scrolled_to(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let below = page.bounding_box("#far").await?.expect("a box");
    page.scroll_into_view_if_needed("#far").await?;
    let now = page.bounding_box("#far").await?.expect("a box");
    armada::ensure!(below.y > 2000.0 && now.y < 720.0, "{below:?} {now:?}");
    Ok(())
}

async fn events_are_dispatched(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    page.dispatch_event("#target", "click", json!({"button": 1, "shiftKey": true})).await?;
    same!(noted(&page).await?, "click:1");
    same!(page.evaluate::<bool>("last.shiftKey && last instanceof MouseEvent && !trusted").await?, true);
    page.dispatch_event("#target", "own", json!({})).await?;
    same!(noted(&page).await?, "own");
    Ok(())
}

async fn the_mouse_moves_presses_and_turns(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let at = page.bounding_box("#target").await?.expect("a box");
    page.mouse(MouseAction::Move(Point { x: at.x + 10.0, y: at.y + 10.0 })).await?;
    page.mouse(MouseAction::Down(MouseButton::Left)).await?;
    page.mouse(MouseAction::Up(MouseButton::Left)).await?;
    same!(noted(&page).await?, "pointerdown:0 mousedown:0 pointerup:0 mouseup:0 click:0");
    page.mouse(MouseAction::Wheel(Point { x: 0.0, y: 300.0 })).await?;
    page.wait_for_function::<bool>("scrollY === 300").await?;
    Ok(())
}

async fn acts_on_what_cannot_be_acted_on_are_invalid(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    fails!(page.select_option("#text", "x").await, Invalid, "is no select");
    fails!(page.input_value("#target").await, Invalid, "is no input");
    fails!(page.check("#target").await, Invalid, "is no check box");
    Ok(())
}
