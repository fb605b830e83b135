//! What a script learns of elements.

use armada::Result;
use armada::browser::{Page, Rect};
use guests::{Case, fails, same};

guests::cases![
    texts_are_as_shown_and_as_written,
    html_values_and_attributes_are_read,
    boxes_are_measured,
    states_are_told,
    no_match_is_hidden_and_counts_none,
    frames_do_not_shift_boxes_wrongly,
];

async fn open(case: &Case<'_>) -> Result<Page> {
    case.open("reads.html").await
}

async fn texts_are_as_shown_and_as_written(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.inner_text("#text").await?, "SHOWN");
    same!(page.text_content("#text").await?, "shown hidden");
    same!(page.all_inner_texts("li").await?, ["ONE", "TWO"]);
    same!(page.all_text_contents("li").await?, ["one", "two"]);
    same!(page.all_inner_texts("#none").await?, Vec::<String>::new());
    same!(page.count("li").await?, 2);
    Ok(())
}

async fn html_values_and_attributes_are_read(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.inner_html("#text").await?, "shown<span hidden=\"\"> hidden</span>");
    same!(page.input_value("#input").await?, "value");
    same!(page.input_value("textarea").await?, "text");
    same!(page.input_value("select").await?, "b");
    same!(page.get_attribute("#input", "data-x").await?.as_deref(), Some("\"quoted\""));
    same!(page.get_attribute("#input", "data-y").await?, None);
    let attributes = page.attributes("#input").await?;
    let expected = [("id", "input"), ("value", "value"), ("data-x", "\"quoted\""), ("readonly", "")];
    same!(attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(())
}

async fn boxes_are_measured(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.bounding_box("#box").await?, Some(Rect { x: 300.0, y: 200.0, width: 50.0, height: 25.5 }));
    same!(page.bounding_box("#text span").await?, None);
    Ok(())
}

async fn states_are_told(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.is_visible("#text").await?, true);
    same!(page.is_hidden("#text").await?, false);
    same!(page.is_visible("#text span").await?, false);
    same!(page.is_visible("#invisible").await?, false);
    same!(page.is_visible("#empty").await?, false);
    same!(page.is_visible("#contents").await?, true);
    same!(page.is_enabled("#button").await?, true);
    same!(page.is_disabled("#button").await?, false);
    same!(page.is_disabled("#in-disabled-group").await?, true);
    same!(page.is_disabled("#aria-disabled").await?, true);
    same!(page.is_editable("#input").await?, false);
    same!(page.is_editable("textarea").await?, true);
    same!(page.is_checked("#checked").await?, true);
    same!(page.is_checked("label").await?, true);
    same!(page.is_focused("textarea").await?, false);
    page.focus("textarea").await?;
    same!(page.is_focused("textarea").await?, true);
    Ok(())
}

async fn no_match_is_hidden_and_counts_none(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    same!(page.is_hidden("#none").await?, true);
    same!(page.is_visible("frame=#none >> p").await?, false);
    same!(page.count("#none").await?, 0);
    same!(page.count("frame=#none >> p").await?, 0);
    fails!(
        page.is_enabled("#none").timeout(std::time::Duration::from_millis(100)).await,
        Timeout,
        "no element matches"
    );
    Ok(())
}

async fn frames_do_not_shift_boxes_wrongly(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    // The frame's own place, its border and padding, and the place inside.
    same!(
        page.bounding_box("frame=iframe >> p").await?,
        Some(Rect { x: 400.0 + 2.0 + 3.0 + 10.0, y: 100.0 + 2.0 + 3.0 + 20.0, width: 30.0, height: 30.0 })
    );
    Ok(())
}
