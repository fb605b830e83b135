//! Tests of the script: `armada test` runs them in the sandbox, each with a real page of its own.

use armada::Result;
use armada::browser::Page;

use crate::ctx_script::read_headings;

armada::tests! {
    async fn headings_are_read_in_their_order(page: &Page) -> Result {
        page.set_content("<h1>Shoes</h1> <p>49.00</p> <h2>On sale</h2>").await?;
        assert_eq!(read_headings(page).await?, ["Shoes", "On sale"]);
        Ok(())
    }
}
