//! JavaScript that a script runs in its pages.

use std::time::Duration;

use armada::{Result, Value, json};
use guests::{Case, fails, same};

guests::cases![
    expressions_statements_and_functions_give_their_value,
    arguments_and_values_are_json,
    what_json_cannot_say_becomes_null,
    promises_are_awaited,
    what_is_thrown_is_told_with_its_stack,
    a_script_that_throws_a_syntax_error_runs_once,
    arguments_that_are_not_json_are_invalid,
    values_of_another_type_are_invalid,
    functions_get_the_element,
    functions_get_all_elements,
    conditions_are_waited_for,
    a_condition_is_waited_for_across_navigations,
    init_scripts_run_before_the_pages_own,
    init_scripts_of_a_context_hold_for_its_pages,
    pages_cannot_fool_what_reads_them,
    a_script_that_navigates_does_not_hang,
];

async fn expressions_statements_and_functions_give_their_value(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.evaluate::<i32>("1 + 1").await?, 2);
    same!(page.evaluate::<String>("document.title").await?, "Plain");
    same!(page.evaluate::<i32>("const a = 3; let b = 4; a * b").await?, 12);
    same!(page.evaluate::<i32>("const a = 5; a").await?, 5);
    same!(page.evaluate::<i32>("if (true) { 6 } else { 7 }").await?, 6);
    same!(page.evaluate::<i32>("() => 8").await?, 8);
    same!(page.evaluate::<i32>("function named() { return 9 }").await?, 9);
    same!(page.evaluate::<i32>("async () => 10").await?, 10);
    same!(page.evaluate::<Value>("({ a: [1, 'x', null, true, 1.5] })").await?, json!({"a": [1, "x", null, true, 1.5]}));
    same!(page.evaluate::<i32>("11 // a comment").await?, 11);
    Ok(())
}

async fn arguments_and_values_are_json(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for value in [
        json!(null),
        json!("quotes \" ' ` ${x} \\ \u{2028} \0 👋"),
        json!({"__proto__": 1, "deep": [[[{}]]]}),
        json!(9_007_199_254_740_991_i64),
        json!(-0.5),
    ] {
        same!(page.evaluate::<Value>("it => it").arg(&value).await?, value);
    }
    same!(page.evaluate::<i32>("([a, b]) => a + b").arg([1, 2]).await?, 3);
    Ok(())
}

async fn what_json_cannot_say_becomes_null(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for script in ["undefined", "NaN", "Infinity", "Symbol('x')", "() => () => 1", "var x = 1", "void 0", "10n"] {
        same!((script, page.evaluate::<Value>(script).await?), (script, Value::Null));
    }
    same!(
        page.evaluate::<Value>("({ a: undefined, b: () => 1, c: [undefined, NaN] })").await?,
        json!({"c": [null, null]})
    );
    // An object that contains itself, and one of the browser's own.
    for script in ["const own = {}; own.self = own; own", "window", "document.body"] {
        let given = page.evaluate::<Value>(script).await;
        armada::ensure!(given.is_ok() || given.is_err_and(|error| !error.message().is_empty()));
    }
    same!(page.evaluate::<String>("'\\ud800'").await?, "\u{fffd}");
    Ok(())
}

async fn promises_are_awaited(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    same!(page.evaluate::<i32>("new Promise(done => setTimeout(() => done(7), 100))").await?, 7);
    same!(page.evaluate::<i32>("await Promise.resolve(8)").await?, 8);
    fails!(page.evaluate::<i32>("Promise.reject(new Error('no'))").await, Other, "Error: no");
    Ok(())
}

async fn what_is_thrown_is_told_with_its_stack(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.evaluate::<()>("() => { throw new TypeError('wrong') }").await, Other, "TypeError: wrong");
    fails!(page.evaluate::<()>("function inner() { throw new Error('x') } inner()").await, Other, "at inner");
    fails!(page.evaluate::<()>("null.field").await, Other, "reading 'field'");
    fails!(page.evaluate::<()>("throw 'text'").await, Other, "text");
    fails!(page.evaluate::<()>("throw { a: 1 }").await, Other, "");
    fails!(page.evaluate::<()>("if (").await, Other, "SyntaxError");
    Ok(())
}

async fn a_script_that_throws_a_syntax_error_runs_once(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("globalThis.runs = 0; null").await?;
    fails!(page.evaluate::<()>("(++runs, JSON.parse('{'))").await, Other, "SyntaxError");
    fails!(page.evaluate::<()>("() => { runs++; throw new SyntaxError('mine') }").await, Other, "SyntaxError: mine");
    same!(page.evaluate::<i32>("runs").await?, 2);
    Ok(())
}

async fn arguments_that_are_not_json_are_invalid(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
    fails!(page.evaluate::<()>("it => it").arg(unwritable).await, Invalid, "as JSON");
    Ok(())
}

async fn values_of_another_type_are_invalid(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    fails!(page.evaluate::<u32>("'seven'").await, Invalid, "of another type");
    Ok(())
}

async fn functions_get_the_element(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.querySelector('h1').own = 7; null").await?;
    let heading = page.locator("h1");
    same!(heading.evaluate::<i32>("element => element.own").await?, 7);
    same!(heading.evaluate::<String>("(element, tail) => element.textContent + tail").arg("!").await?, "Plain!");
    fails!(heading.evaluate::<()>("element => { throw new Error(element.tagName) }").await, Other, "Error: H1");
    let short = Duration::from_millis(100);
    fails!(page.locator("#none").evaluate::<()>("() => 1").timeout(short).await, Timeout, "no element matches");
    fails!(heading.evaluate::<()>("() => new Promise(() => {})").timeout(short).await, Timeout, "to return");
    Ok(())
}

async fn functions_get_all_elements(case: Case<'_>) -> Result<()> {
    let page = case.open("selectors.html").await?;
    let count = "(elements, more) => elements.length + more";
    same!(page.locator("li").evaluate_all::<i32>(count).arg(10).await?, 13);
    same!(page.locator("#none").evaluate_all::<i32>(count).arg(10).await?, 10);
    same!(page.locator("frame=#none >> li").evaluate_all::<i32>(count).arg(10).await?, 10);
    Ok(())
}

async fn conditions_are_waited_for(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("setTimeout(() => { window.ready = { n: 7 } }, 300); null").await?;
    same!(page.wait_for_function::<Value>("window.ready").polling(Duration::from_millis(20)).await?, json!({"n": 7}));
    same!(page.wait_for_function::<i32>("n => n + 1").arg(1).await?, 2);
    let never = page.wait_for_function::<()>("''").timeout(Duration::from_millis(200)).await;
    fails!(never, Timeout, "counts as true");
    fails!(page.wait_for_function::<()>("() => { throw new Error('no') }").await, Other, "Error: no");
    Ok(())
}

async fn a_condition_is_waited_for_across_navigations(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("setTimeout(() => { location = '/selectors.html' }, 200); null").await?;
    same!(page.wait_for_function::<bool>("document.title === 'Selectors'").await?, true);
    Ok(())
}

async fn init_scripts_run_before_the_pages_own(case: Case<'_>) -> Result<()> {
    let page = case.open("notes_early.html").await?;
    same!(page.title().await?, "undefined");
    page.add_init_script("window.early = 'first'").await?;
    page.add_init_script("window.early += ' second'").await?;
    page.reload().await?;
    same!(page.title().await?, "first second");
    same!(page.evaluate::<String>("document.querySelector('iframe').contentWindow.early").await?, "first second");
    Ok(())
}

async fn init_scripts_of_a_context_hold_for_its_pages(case: Case<'_>) -> Result<()> {
    let context = case.agent.browser.new_context().await?;
    context.add_init_script("window.early = 'context'").await?;
    let page = context.new_page().await?;
    page.goto(case.url("notes_early.html")).await?;
    same!(page.title().await?, "context");
    page.evaluate::<()>("window.open('/notes_early.html'); null").await?;
    let popup = page.wait_for_popup().await?;
    popup.wait_for_url("**/notes_early.html").await?;
    same!(popup.title().await?, "context");
    Ok(())
}

async fn pages_cannot_fool_what_reads_them(case: Case<'_>) -> Result<()> {
    let page = case
        .show(
            "<button>b</button><script>
               document.querySelector = document.querySelectorAll = () => { throw new Error('fooled') };
               Element.prototype.getBoundingClientRect = Element.prototype.querySelectorAll = document.querySelector;
               Array.prototype.map = Array.prototype.filter = Promise.prototype.then = document.querySelector;
               JSON.stringify = () => '\"fooled\"'; globalThis.armada = null;
             </script>",
        )
        .await?;
    page.click("button").await?;
    same!(page.inner_text("text=b").await?, "b");
    same!(page.all_inner_texts("button").await?, ["b"]);
    Ok(())
}

async fn a_script_that_navigates_does_not_hang(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let given = page.evaluate::<Value>("location = '/selectors.html'; new Promise(() => {})").await;
    fails!(given, Closed, "another document");
    page.wait_for_url("**/selectors.html").await?;
    Ok(())
}
