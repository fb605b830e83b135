//! Sites with a certificate that nobody vouches for. Run with such a site.

use armada::Result;
use guests::{Case, fails, same};

guests::cases![
    a_certificate_that_nobody_vouches_for_is_refused,
    a_context_may_accept_any_certificate,
    what_one_context_accepts_another_does_not,
];

async fn a_certificate_that_nobody_vouches_for_is_refused(case: Case<'_>) -> Result<()> {
    let page = case.agent.browser.new_page().await?;
    fails!(page.goto(case.url("plain.html")).await, Unavailable, "ERR_CERT_AUTHORITY_INVALID");
    Ok(())
}

async fn a_context_may_accept_any_certificate(case: Case<'_>) -> Result<()> {
    let open = case.agent.browser.new_context().ignore_https_errors().await?;
    let page = open.new_page().await?;
    page.goto(case.url("plain.html")).await?;
    same!(page.title().await?, "Plain");
    same!(page.evaluate::<bool>("() => fetch('/plain.html').then(answer => answer.ok)").await?, true);
    Ok(())
}

async fn what_one_context_accepts_another_does_not(case: Case<'_>) -> Result<()> {
    let open = case.agent.browser.new_context().ignore_https_errors().await?;
    open.new_page().await?.goto(case.url("plain.html")).await?;
    let strict = case.agent.browser.new_context().await?;
    fails!(strict.new_page().await?.goto(case.url("plain.html")).await, Unavailable, "ERR_CERT_AUTHORITY_INVALID");
    Ok(())
}
