//! Pictures of pages.

use armada::Result;
use armada::browser::{ImageFormat, Page, Rect};
use guests::{Case, fails, same};

guests::cases![
    a_picture_shows_the_viewport,
    a_full_page_picture_shows_everything,
    a_picture_of_an_element_shows_it_only,
    a_clip_shows_a_part,
    formats_are_what_they_say,
    a_background_can_be_left_out,
    options_that_contradict_are_invalid,
    a_page_is_printed,
];

/// Width and height of a PNG (its IHDR chunk).
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(&png[1..4], b"PNG");
    (number(16), number(20))
}

/// The colour of a picture's point, as the page itself decodes it.
async fn color(page: &Page, picture: &[u8], x: u32, y: u32) -> Result<[u8; 4]> {
    let script = "async ({ bytes, x, y }) => {
        const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
        const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
        canvas.drawImage(picture, 0, 0);
        return [...canvas.getImageData(x, y, 1, 1).data];
    }";
    Ok(page.evaluate(script).arg(armada::json!({"bytes": picture, "x": x, "y": y})).await?)
}

const RED: [u8; 4] = [255, 0, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];

/// A blue page, twice as high as the viewport, with a red box of 100 × 50 at (200, 1000).
async fn open(case: &Case<'_>) -> Result<Page> {
    case.show(
        "<!doctype html><body style='margin: 0; background: blue; height: 1440px'>
         <div style='position: absolute; left: 200px; top: 1000px; width: 100px; height: 50px; background: red'></div>",
    )
    .await
}

async fn a_picture_shows_the_viewport(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let picture = page.screenshot().await?;
    same!(size(&picture), (1280, 720));
    same!(color(&page, &picture, 1000, 700).await?, BLUE);
    Ok(())
}

async fn a_full_page_picture_shows_everything(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let picture = page.screenshot().full_page().await?;
    same!(size(&picture), (1280, 1440));
    same!(color(&page, &picture, 201, 1001).await?, RED);
    same!(page.evaluate::<(f64, f64)>("[scrollY, innerHeight]").await?, (0.0, 720.0));
    Ok(())
}

async fn a_picture_of_an_element_shows_it_only(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let picture = page.locator("div").screenshot().await?;
    same!(size(&picture), (100, 50));
    same!(color(&page, &picture, 0, 0).await?, RED);
    same!(color(&page, &picture, 99, 49).await?, RED);
    fails!(page.locator("body, div").screenshot().await, Invalid, "matches 2");
    Ok(())
}

async fn a_clip_shows_a_part(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let part = Rect { x: 190.0, y: 990.0, width: 20.0, height: 30.0 };
    let picture = page.screenshot().full_page().clip(part).await?;
    same!(size(&picture), (20, 30));
    same!(color(&page, &picture, 0, 0).await?, BLUE);
    same!(color(&page, &picture, 11, 11).await?, RED);
    let nothing = Rect { width: 0.0, ..part };
    fails!(page.screenshot().clip(nothing).await, Invalid, "");
    Ok(())
}

async fn formats_are_what_they_say(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    let jpeg = page.screenshot().format(ImageFormat::Jpeg).quality(50).await?;
    same!(jpeg[..3], [0xff, 0xd8, 0xff]);
    let webp = page.screenshot().format(ImageFormat::Webp).await?;
    same!(&webp[8..12], b"WEBP");
    Ok(())
}

async fn a_background_can_be_left_out(case: Case<'_>) -> Result<()> {
    let page = case.show("<p>text</p>").await?;
    let picture = page.screenshot().omit_background().await?;
    same!(color(&page, &picture, 1000, 700).await?, [0, 0, 0, 0]);
    let picture = page.screenshot().await?;
    same!(color(&page, &picture, 1000, 700).await?, [255, 255, 255, 255]);
    Ok(())
}

async fn options_that_contradict_are_invalid(case: Case<'_>) -> Result<()> {
    let page = open(&case).await?;
    fails!(page.locator("div").screenshot().full_page().await, Invalid, "not both");
    fails!(page.screenshot().quality(50).await, Invalid, "PNG has none");
    fails!(page.screenshot().format(ImageFormat::Jpeg).quality(101).await, Invalid, "0 to 100");
    fails!(page.screenshot().format(ImageFormat::Jpeg).omit_background().await, Invalid, "no transparency");
    fails!(page.pdf().scale(3.0).await, Invalid, "scale");
    Ok(())
}

async fn a_page_is_printed(case: Case<'_>) -> Result<()> {
    let page = case.show("<p>one<p style='break-before: page'>two").await?;
    let pages = |pdf: &[u8]| String::from_utf8_lossy(pdf).matches("/Type /Page\n").count();
    let pdf = page.pdf().await?;
    same!(&pdf[..5], b"%PDF-");
    same!(pages(&pdf), 2);
    let pdf = page
        .pdf()
        .page_ranges("2")
        .landscape()
        .print_background()
        .margin(0.0)
        .paper_width(4.0)
        .paper_height(6.0)
        .await?;
    same!(pages(&pdf), 1);
    armada::ensure!(String::from_utf8_lossy(&pdf).contains("/MediaBox [0 0 432 288]"), "the paper has another size");
    page.pdf().prefer_css_page_size().scale(0.5).await?;
    Ok(())
}
