//! The site, as the script sees it. Shows locators, waiting, forms, and JavaScript in the page.

use armada::browser::{BrowserContext, LoadState, Role, SelectorState};
use armada::{FailureExt as _, Result};

use crate::ctx_job_context::Note;

pub struct Site {
    url: String,
    context: BrowserContext,
}

/// What a quote's own page tells.
pub struct Quote {
    pub words: usize,
    pub hearts: u32,
}

impl Site {
    pub fn new(url: &str, context: BrowserContext) -> Self {
        Self { url: url.to_owned(), context }
    }

    /// Searches for a word and pages through what is found: the quotes' paths, and how many pages they were on.
    pub async fn search(&self, word: &str) -> Result<(Vec<String>, usize)> {
        let page = self.context.new_page().await?;
        page.goto(&self.url).await?;
        let search = page.get_by_role(Role::new("searchbox").name("Search"));
        search.fill(word).await?;
        search.press("Enter").await?;
        let next = page.get_by_role(Role::new("link").exact_name("Next"));
        let (mut paths, mut pages) = (Vec::new(), 1);
        loop {
            // An act that leads to another page is over when that has begun; a list is read when it is whole.
            page.wait_for_load_state(LoadState::DomContentLoaded).await?;
            let links = page.locator(".quote blockquote a");
            paths.extend(links.evaluate_all::<Vec<String>>("links => links.map(link => link.pathname)").await?);
            if next.count().await? == 0 {
                return Ok((paths, pages));
            }
            next.click().await?;
            pages += 1;
        }
    }

    /// Reads a quote's page, whose hearts come later than the rest.
    pub async fn quote(&self, path: &str) -> Result<Quote> {
        let page = self.context.new_page().await?;
        page.goto(format!("{}{path}", self.url)).await?;
        let words = page.evaluate("document.querySelector('blockquote').innerText.split(/\\s+/).length").await?;
        // What reads an element waits for it.
        let hearts = page.get_by_test_id("hearts").inner_text().await?;
        Ok(Quote { words, hearts: hearts.parse().context(format!("the hearts of {path}"))? })
    }

    /// Adds up a column of a table that only members see, and whose rows come late.
    pub async fn cards_ordered(&self, month: &str) -> Result<u32> {
        let page = self.context.new_page().await?;
        page.goto(format!("{}/orders?month={month}", self.url)).await?;
        let rows = page.locator("table tbody tr");
        rows.first().wait_for(SelectorState::Visible).await?;
        let mut cards = 0;
        for row in rows.all().await? {
            cards += row.locator("td").nth(2).inner_text().await?.parse::<u32>()?;
        }
        Ok(cards)
    }

    /// Fills in the form of a quote: what the site answers, and a picture of it.
    pub async fn add_note(&self, path: &str, note: &Note) -> Result<(String, Vec<u8>)> {
        let page = self.context.new_page().await?;
        page.goto(format!("{}{path}", self.url)).await?;
        page.get_by_role(Role::new("link").name("Add a note")).click().await?;
        page.get_by_label("Your note").fill(&note.text).await?;
        page.get_by_label("Mood").select_option(&note.mood).await?;
        page.get_by_label("Show my name").set_checked(note.named).await?;
        page.get_by_role(Role::new("button").name("Add the note")).click().await?;
        // The page of the note, and all of it: an element may be there before its last words are.
        page.wait_for_url(r"re=/notes/\d+$").await?;
        let answer = page.locator("main .by").inner_text().await?;
        Ok((answer, page.screenshot().full_page().await?))
    }
}
