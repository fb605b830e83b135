//! Files that pages download.

use std::time::Duration;

use armada::Result;
use guests::{Case, fails, same};

guests::cases![
    a_download_has_a_name_and_content,
    a_download_that_a_page_makes_itself,
    a_download_that_is_broken_off_is_unavailable,
    a_download_that_is_too_large_is_a_limit,
    no_download_is_a_timeout,
    downloads_come_in_order,
];

async fn a_download_has_a_name_and_content(case: Case<'_>) -> Result<()> {
    let page = case.show(&format!("<a href='{}'>get</a>", case.url("attachment?name=report.csv&bytes=70000"))).await?;
    page.click("a").await?;
    let download = page.wait_for_download().await?;
    same!(download.suggested_filename(), "report.csv");
    same!(download.url(), case.url("attachment?name=report.csv&bytes=70000"));
    same!(download.bytes().await?, vec![b'x'; 70_000]);
    same!(download.bytes().await?.len(), 70_000);
    Ok(())
}

async fn a_download_that_a_page_makes_itself(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>(
        "() => {
           const link = document.createElement('a');
           link.href = URL.createObjectURL(new Blob(['made here']));
           link.download = '../../made.txt';
           link.click();
         }",
    )
    .await?;
    let download = page.wait_for_download().await?;
    armada::ensure!(!download.suggested_filename().contains('/'), "{}", download.suggested_filename());
    same!(download.bytes().await?, b"made here");
    Ok(())
}

async fn a_download_that_is_broken_off_is_unavailable(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.querySelector('a').href = '/broken'; null").await?;
    page.click("a").await?;
    let download = page.wait_for_download().await?;
    fails!(download.bytes().await, Unavailable, "was broken off");
    Ok(())
}

async fn a_download_that_is_too_large_is_a_limit(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    page.evaluate::<()>("document.querySelector('a').href = '/attachment?name=a&bytes=100000000'; null").await?;
    page.click("a").await?;
    fails!(page.wait_for_download().await?.bytes().await, Limit, "bytes_per_call");
    Ok(())
}

async fn no_download_is_a_timeout(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    let short = Duration::from_millis(100);
    fails!(page.wait_for_download().timeout(short).await, Timeout, "the page to start a download");
    Ok(())
}

async fn downloads_come_in_order(case: Case<'_>) -> Result<()> {
    let page = case.open("plain.html").await?;
    for name in ["first", "second"] {
        page.evaluate::<()>("name => { document.querySelector('a').href = `/attachment?name=${name}&bytes=1` }")
            .arg(name)
            .await?;
        page.click("a").await?;
        same!(page.wait_for_download().await?.suggested_filename(), name);
    }
    Ok(())
}
