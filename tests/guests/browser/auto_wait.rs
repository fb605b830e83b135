//! Acts wait until the element is ready, and say what they were waiting for when it never is.

use std::time::Duration;

use armada::Result;
use armada::browser::{Page, SelectorState};
use guests::{Case, fails, same};

guests::cases![
    an_element_that_appears_late_is_waited_for,
    an_element_that_moves_is_clicked_where_it_stops,
    an_element_that_is_covered_is_clicked_once_it_is_not,
    an_element_that_is_disabled_is_clicked_once_it_is_enabled,
    an_element_that_is_hidden_is_clicked_once_it_is_shown,
    an_element_that_is_replaced_is_found_again,
    an_element_that_is_off_screen_is_scrolled_to,
    an_element_under_a_sticky_header_is_scrolled_out_of_it,
    an_element_that_jumps_away_under_the_mouse_is_not_missed,
    a_field_that_is_read_only_is_filled_once_it_is_not,
    an_option_that_comes_late_is_selected,
    a_frame_that_comes_late_is_entered,
    two_that_become_one_are_an_error_at_once,
    waits_that_end_in_vain_say_why,
    the_next_document_is_searched_too,
    states_are_waited_for,
    force_does_not_wait,
    trial_waits_and_does_not_click,
    default_timeouts_hold_for_the_context,
];

const SHORT: Duration = Duration::from_millis(300);

/// A page with a button that counts its clicks in its text, and this script.
async fn button(case: &Case<'_>, script: &str) -> Result<Page> {
    case.show(&format!(
        "<button id=b onclick=\"this.textContent = 'clicked ' + (this.dataset.n = +(this.dataset.n || 0) + 1)\">b</button>
         <script>const b = document.querySelector('#b'); {script}</script>"
    ))
    .await
}

async fn clicked_once(page: &Page) -> Result<()> {
    page.click("#b").await?;
    same!(page.inner_text("#b").await?, "clicked 1");
    Ok(())
}

async fn an_element_that_appears_late_is_waited_for(case: Case<'_>) -> Result<()> {
    clicked_once(&button(&case, "b.remove(); setTimeout(() => document.body.append(b), 300)").await?).await
}

async fn an_element_that_moves_is_clicked_where_it_stops(case: Case<'_>) -> Result<()> {
    let page = button(
        &case,
        "b.style.position = 'relative';
         const moves = b.animate([{ left: '0px' }, { left: '400px' }], { duration: 500, fill: 'forwards' });
         b.addEventListener('click', () => { document.title = moves.playState })",
    )
    .await?;
    clicked_once(&page).await?;
    same!(page.title().await?, "finished");
    Ok(())
}

async fn an_element_that_is_covered_is_clicked_once_it_is_not(case: Case<'_>) -> Result<()> {
    let page = button(
        &case,
        "const cover = document.createElement('div');
         cover.style = 'position: fixed; inset: 0';
         cover.onclick = () => { document.title = 'missed' };
         document.body.append(cover);
         setTimeout(() => cover.remove(), 400)",
    )
    .await?;
    clicked_once(&page).await?;
    same!(page.title().await?, "");
    Ok(())
}

async fn an_element_that_is_disabled_is_clicked_once_it_is_enabled(case: Case<'_>) -> Result<()> {
    clicked_once(&button(&case, "b.disabled = true; setTimeout(() => { b.disabled = false }, 300)").await?).await
}

async fn an_element_that_is_hidden_is_clicked_once_it_is_shown(case: Case<'_>) -> Result<()> {
    clicked_once(&button(&case, "b.hidden = true; setTimeout(() => { b.hidden = false }, 300)").await?).await
}

async fn an_element_that_is_replaced_is_found_again(case: Case<'_>) -> Result<()> {
    let page = button(
        &case,
        "b.disabled = true;
         setTimeout(() => { const other = b.cloneNode(true); other.disabled = false; b.replaceWith(other) }, 300)",
    )
    .await?;
    clicked_once(&page).await
}

async fn an_element_that_is_off_screen_is_scrolled_to(case: Case<'_>) -> Result<()> {
    clicked_once(&button(&case, "b.style.marginTop = '5000px'").await?).await?;
    let inside = "const box = document.createElement('div'); box.style = 'height: 100px; overflow: auto';
                  b.before(box); box.append(b); b.style.marginTop = '900px'";
    clicked_once(&button(&case, inside).await?).await
}

async fn an_element_under_a_sticky_header_is_scrolled_out_of_it(case: Case<'_>) -> Result<()> {
    let page = button(
        &case,
        "const header = document.createElement('div');
         header.style = 'position: fixed; top: 0; left: 0; right: 0; height: 100px; background: silver';
         document.body.append(header);
         document.body.style = 'height: 3000px';
         b.style.marginTop = '1500px';
         scrollTo(0, 1480)",
    )
    .await?;
    clicked_once(&page).await
}

async fn an_element_that_jumps_away_under_the_mouse_is_not_missed(case: Case<'_>) -> Result<()> {
    // The first time that the mouse comes near, the button goes elsewhere and something else is in its place.
    let page = button(
        &case,
        "const other = document.createElement('button');
         other.textContent = 'other'; other.onclick = () => { document.title = 'missed' };
         b.addEventListener('mouseenter', () => {
           b.replaceWith(other); document.body.append(document.createElement('p'), b);
         }, { once: true })",
    )
    .await?;
    page.click("#b").await?;
    same!(page.title().await?, "");
    same!(page.inner_text("#b").await?, "clicked 1");
    Ok(())
}

async fn a_field_that_is_read_only_is_filled_once_it_is_not(case: Case<'_>) -> Result<()> {
    let page = case
        .show("<input readonly><script>const i = document.querySelector('input'); setTimeout(() => { i.readOnly = false }, 300)</script>")
        .await?;
    page.fill("input", "text").await?;
    same!(page.input_value("input").await?, "text");
    Ok(())
}

async fn an_option_that_comes_late_is_selected(case: Case<'_>) -> Result<()> {
    let page = case
        .show("<select></select><script>setTimeout(() => document.querySelector('select').add(new Option('Late', 'l')), 300)</script>")
        .await?;
    same!(page.select_option("select", "Late").await?, ["l"]);
    fails!(page.select_option("select", "None").timeout(SHORT).await, Timeout, r#"it has no option "None""#);
    Ok(())
}

async fn a_frame_that_comes_late_is_entered(case: Case<'_>) -> Result<()> {
    let page = case
        .show(
            "<script>setTimeout(() => {
               const frame = document.createElement('iframe');
               frame.srcdoc = '<button onclick=\"this.textContent = 1\">b</button>';
               document.body.append(frame);
             }, 300)</script>",
        )
        .await?;
    page.click("frame=iframe >> button").await?;
    same!(page.inner_text("frame=iframe >> button").await?, "1");
    Ok(())
}

async fn two_that_become_one_are_an_error_at_once(case: Case<'_>) -> Result<()> {
    let page = case.show("<p>one</p><p id=two>two</p>").await?;
    fails!(page.click("p").await, Invalid, "matches 2 elements");
    Ok(())
}

async fn waits_that_end_in_vain_say_why(case: Case<'_>) -> Result<()> {
    let cover = "const cover = document.createElement('div'); cover.id = 'cover';
                 cover.style = 'position: fixed; inset: 0'; document.body.append(cover)";
    for (script, why) in [
        ("b.remove()", "no element matches"),
        ("b.hidden = true", "it is not visible"),
        ("b.style.visibility = 'hidden'", "it is not visible"),
        ("b.disabled = true", "it is not enabled"),
        ("b.animate([{ margin: 0 }, { margin: '90px' }], { duration: 99, iterations: Infinity })", "it is moving"),
        (cover, "<div id=\"cover\"></div> covers it"),
        ("b.style = 'position: fixed; left: -500px'", "it is outside of the viewport"),
    ] {
        let page = button(&case, script).await?;
        fails!(page.click("#b").timeout(SHORT).await, Timeout, why);
        same!(page.text_content("body").await?.contains("clicked"), false);
    }
    let page = case.show("<input readonly><input type=checkbox>").await?;
    fails!(page.fill("input >> nth=0", "x").timeout(SHORT).await, Timeout, "it is not editable");
    fails!(page.fill("input >> nth=1", "x").timeout(SHORT).await, Invalid, "checkbox cannot be filled");
    fails!(page.click("frame=iframe >> p").timeout(SHORT).await, Timeout, "the frame on the way is not there");
    Ok(())
}

async fn the_next_document_is_searched_too(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("setTimeout(() => { location = '/selectors.html' }, 300); null").await?;
    same!(page.inner_text("#send").await?, "Send");
    Ok(())
}

async fn states_are_waited_for(case: Case<'_>) -> Result<()> {
    let page = case
        .show(
            "<p id=late hidden>late</p><p id=goes>goes</p><p id=hides>hides</p><script>setTimeout(() => {
               const find = id => document.querySelector(id);
               find('#late').hidden = false; find('#goes').remove(); find('#hides').hidden = true;
               document.body.append(document.createElement('i'));
             }, 300)</script>",
        )
        .await?;
    page.wait_for_selector("#late", SelectorState::Visible).await?;
    page.wait_for_selector("#goes", SelectorState::Detached).await?;
    page.wait_for_selector("#goes", SelectorState::Hidden).await?;
    page.wait_for_selector("#hides", SelectorState::Hidden).await?;
    page.wait_for_selector("i", SelectorState::Attached).await?;
    page.wait_for_selector("frame=iframe >> p", SelectorState::Detached).await?;
    fails!(page.wait_for_selector("#late", SelectorState::Hidden).timeout(SHORT).await, Timeout, "1 visible");
    fails!(page.wait_for_selector("#late", SelectorState::Detached).timeout(SHORT).await, Timeout, "1 found");
    fails!(
        page.wait_for_selector("#goes", SelectorState::Attached).timeout(SHORT).await,
        Timeout,
        "no element matches"
    );
    fails!(page.wait_for_selector("p", SelectorState::Visible).timeout(SHORT).await, Invalid, "matches 2");
    Ok(())
}

async fn force_does_not_wait(case: Case<'_>) -> Result<()> {
    let cover = "const cover = document.createElement('div'); cover.style = 'position: fixed; inset: 0';
                 cover.onclick = () => { document.title = 'covered' }; document.body.append(cover)";
    let page = button(&case, cover).await?;
    page.click("#b").force().await?;
    same!(page.title().await?, "covered");
    let page = case.show("<input readonly value=old>").await?;
    page.fill("input", "new").force().timeout(SHORT).await?;
    same!(page.input_value("input").await?, "old");
    Ok(())
}

async fn trial_waits_and_does_not_click(case: Case<'_>) -> Result<()> {
    let page = button(&case, "b.disabled = true; setTimeout(() => { b.disabled = false }, 300)").await?;
    page.click("#b").trial().await?;
    same!(page.is_enabled("#b").await?, true);
    same!(page.inner_text("#b").await?, "b");
    page.click("#b").await?;
    same!(page.inner_text("#b").await?, "clicked 1");
    Ok(())
}

async fn default_timeouts_hold_for_the_context(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context().await?;
    context.set_default_timeout(SHORT);
    context.set_default_navigation_timeout(Duration::from_millis(400));
    let page = context.new_page().await?;
    fails!(page.click("#none").await, Timeout, "no element matches");
    fails!(page.goto(case.url("never")).await, Timeout, "to reach load");
    Ok(())
}
