//! What selectors find, form by form.

use std::time::Duration;

use armada::Result;
use armada::browser::{Locator, Page, Role};
use guests::{Case, fails, same};

guests::cases![
    css_is_the_default,
    css_looks_into_shadow_roots,
    text_finds_the_innermost_elements,
    quoted_text_is_exact_unless_it_is_folded,
    roles_have_names_and_states,
    xpath_is_known_by_its_beginning,
    form_controls_are_found_by_what_describes_them,
    places_count_from_both_ends,
    filters_narrow_what_was_found,
    chains_look_inside,
    quotes_protect_what_joins_parts,
    two_matches_are_an_error_that_lists_them,
    locators_say_the_same_as_selectors,
    all_gives_a_locator_for_each,
    mistakes_are_invalid_and_say_where,
    handles_stay_with_their_element,
];

async fn open(case: &Case<'_>) -> Result<Page> {
    case.open("selectors.html").await
}

/// The ids of what a locator finds.
async fn ids(locator: Locator) -> Result<String> {
    let ids: Vec<String> = locator.evaluate_all("elements => elements.map(element => element.id)").await?;
    Ok(ids.join(" "))
}

/// Fails unless a selector finds the elements with these ids.
async fn find(page: &Page, expected: &[(&str, &str)]) -> Result<()> {
    for (selector, expected) in expected {
        let found = ids(page.locator(selector)).await?;
        armada::ensure!(found == *expected, "`{selector}` finds {found:?} and should find {expected:?}");
        same!(page.count(selector).await?, expected.split_whitespace().count() as u32);
    }
    Ok(())
}

async fn css_is_the_default(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[("css=.fruit", "apple pear"), (".fruit", "apple pear"), ("ul > li:first-child", "apple"), ("#none", "")],
    )
    .await
}

async fn css_looks_into_shadow_roots(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[(".in-shadow", "shadowed deep"), ("#host >> .in-shadow", "shadowed deep"), ("text=Deep down", "deep")],
    )
    .await?;
    same!(page.inner_text("#deep").await?, "Deep down");
    page.click("#shadowed").await?;
    same!(page.inner_text("#shadowed").await?, "Clicked");
    Ok(())
}

async fn text_finds_the_innermost_elements(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[("text=apple", "apple"), ("text=APPL", "apple"), ("text=two  words", "words"), ("text=Send", "send submit")],
    )
    .await
}

async fn quoted_text_is_exact_unless_it_is_folded(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[
            (r#"text="Send""#, "send"),
            (r#"text="send""#, ""),
            (r#"text="send" i"#, "send submit"),
            (r#"text="Two words""#, "words"),
            (r#"text="Two""#, ""),
        ],
    )
    .await
}

async fn roles_have_names_and_states(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[
            (r#"role=button[name="Send"]"#, "send"),
            (r#"role=button[name*="send" i]"#, "send submit"),
            (r#"role=button[name*="send"]"#, ""),
            ("role=button[pressed]", "toggle"),
            ("role=button[disabled]", "off"),
            ("role=button[expanded]", "menu"),
            ("role=checkbox[checked]", "agreed"),
            ("role=checkbox[checked=false]", "other"),
            ("role=heading[level=2]", "second"),
            ("role=option[selected]", "green"),
            ("role=tab[selected=true]", "tab"),
            (r#"role=textbox[name="Your name"]"#, "name"),
            (r#"role=img[name="A logo"]"#, "logo"),
            (r#"role=region[name="Named"]"#, "section"),
            ("role=list", "list"),
        ],
    )
    .await
}

async fn xpath_is_known_by_its_beginning(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[
            ("xpath=//li[2]", "pear"),
            ("//li[2]", "pear"),
            ("#apple >> ..", "list"),
            ("#list >> xpath=./li", "apple pear plain"),
        ],
    )
    .await
}

async fn form_controls_are_found_by_what_describes_them(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[
            ("label=your name", "name"),
            (r#"label="Your name""#, "name"),
            (r#"label="Your""#, ""),
            ("label=Wrapped", "wrapped"),
            ("label=By ARIA", "aria"),
            ("label=By reference", "referred"),
            ("placeholder=e-mail", "mail"),
            (r#"placeholder="Your e-mail""#, "mail"),
            ("alt=logo", "logo"),
            ("title=Tip", "tip"),
            ("test-id=a b", "tested"),
            ("test-id=a", ""),
        ],
    )
    .await
}

async fn places_count_from_both_ends(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(&page, &[("li >> nth=0", "apple"), ("li >> nth=-1", "plain"), ("li >> nth=1", "pear"), ("li >> nth=7", "")])
        .await
}

async fn filters_narrow_what_was_found(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(
        &page,
        &[
            ("li >> has-text=pe", "pear"),
            (r#"li >> has-text="Pear""#, "pear"),
            (r#"li >> has="b""#, "pear"),
            (r#"li >> has="text=Apple""#, ""),
            (r#"ul >> has="li >> b""#, "list"),
            (".seen >> visible=true", "shown"),
        ],
    )
    .await
}

async fn chains_look_inside(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(&page, &[("#list >> text=apple", "apple"), ("section >> role=button", "inside"), ("#list >> #send", "")]).await
}

async fn quotes_protect_what_joins_parts(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    find(&page, &[(r#"text="a >> b""#, "arrows"), (r#"[title="x >> y"]"#, "titled"), ("text=Don't", "apostrophe")])
        .await
}

async fn two_matches_are_an_error_that_lists_them(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    fails!(page.click(".fruit").await, Invalid, "matches 2 elements");
    fails!(page.inner_text(".fruit").await, Invalid, r#"<li id="apple" class="fruit">Apple</li>"#);
    fails!(page.is_visible(".fruit").await, Invalid, r#"<li id="pear" class="fruit">"#);
    Ok(())
}

async fn locators_say_the_same_as_selectors(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let checkbox = |checked| Role::new("checkbox").checked(checked);
    for (locator, expected) in [
        (page.get_by_text("APPLE"), "apple"),
        (page.get_by_exact_text("Send"), "send"),
        (page.get_by_role("list"), "list"),
        (page.get_by_role(Role::new("button").exact_name("Send")), "send"),
        (page.get_by_role(Role::new("button").name("send")), "send submit"),
        (page.get_by_role(Role::new("heading").level(2)), "second"),
        (page.get_by_role(Role::new("button").pressed(true)), "toggle"),
        (page.get_by_role(Role::new("button").disabled(true)), "off"),
        (page.get_by_role(Role::new("button").expanded(true)), "menu"),
        (page.get_by_role(Role::new("option").selected(true)), "green"),
        (page.get_by_role(checkbox(true)), "agreed"),
        (page.get_by_role(checkbox(false)), "other"),
        (page.get_by_label("your NAME"), "name"),
        (page.get_by_placeholder("E-MAIL"), "mail"),
        (page.get_by_alt_text("logo"), "logo"),
        (page.get_by_title("tip"), "tip"),
        (page.get_by_test_id("a b"), "tested"),
        (page.locator("li").first(), "apple"),
        (page.locator("li").last(), "plain"),
        (page.locator("li").nth(1), "pear"),
        (page.locator("li").filter("PEAR"), "pear"),
        (page.locator("li").filter_has("b"), "pear"),
        (page.locator(".seen").filter_visible(), "shown"),
        (page.locator("#list").locator("li").first(), "apple"),
        (page.get_by_text("a >> b"), "arrows"),
    ] {
        let found = ids(locator.clone()).await?;
        armada::ensure!(found == expected, "`{}` finds {found:?}, not {expected:?}", locator.selector());
    }
    Ok(())
}

async fn all_gives_a_locator_for_each(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let mut texts = Vec::new();
    for item in page.locator("li").all().await? {
        texts.push(item.inner_text().await?);
    }
    same!(texts, ["Apple", "Pear", "Plain"]);
    Ok(())
}

async fn mistakes_are_invalid_and_say_where(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    fails!(page.count("role=button[name=Save]").await, Invalid, "in quotes");
    fails!(page.count("rolle=button").await, Invalid, "did you mean `role=`?");
    fails!(page.click("li >> ").await, Invalid, "it is empty");
    fails!(page.click("li:no-such-thing").await, Invalid, "li:no-such-thing");
    fails!(page.count("li[").await, Invalid, "li[");
    fails!(page.all_inner_texts("//li[").await, Invalid, "//li[");
    fails!(page.inner_text("xpath=//li/text(").await, Invalid, "text(");
    Ok(())
}

async fn handles_stay_with_their_element(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let handles = page.locator("li").element_handles().await?;
    same!(handles.len(), 3);
    let pear = handles[1].locator();
    page.evaluate::<()>("document.querySelector('#list').prepend(document.querySelector('#pear')); null").await?;
    same!(pear.inner_text().await?, "Pear");
    same!(pear.locator("b").inner_text().await?, "ear");
    same!(page.locator("li").first().get_attribute("id").await?.as_deref(), Some("pear"));
    page.evaluate::<()>("document.querySelector('#pear').remove(); null").await?;
    fails!(pear.inner_text().timeout(Duration::from_secs(5)).await, Closed, "gone");
    fails!(page.inner_text("element=999999").await, Closed, "gone");
    page.reload().await?;
    fails!(handles[0].locator().inner_text().await, Closed, "gone");
    Ok(())
}
