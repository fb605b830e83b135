//! Tests that cost themselves and nothing else.

use std::hint::black_box;
use std::time::Duration;

use armada::browser::Page;
use armada::{FailureExt, Result};

armada::tests! {
    async fn computes_for_ever() {
        loop {
            black_box(());
        }
    }

    async fn waits_for_ever() -> Result {
        armada::sleep(Duration::from_secs(3600)).await?;
        Ok(())
    }

    async fn eats_memory() {
        let mut eaten = Vec::new();
        loop {
            eaten.push(vec![1_u8; 1 << 20]);
            black_box(&eaten);
        }
    }

    async fn an_element_is_missing(page: &Page) -> Result {
        page.locator("#nothing").click().timeout(Duration::from_millis(200)).await.or_fatal()?;
        Ok(())
    }
}
