//! Pictures of pages: screenshots and PDF.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chromiumoxide_cdp::cdp::browser_protocol::dom::Rgba;
use chromiumoxide_cdp::cdp::browser_protocol::emulation::SetDefaultBackgroundColorOverrideParams;
use chromiumoxide_cdp::cdp::browser_protocol::page::{
    CaptureScreenshotFormat, CaptureScreenshotParams, GetLayoutMetricsParams, PrintToPdfParams, Viewport,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::Page;
use crate::contract::Error;
use crate::contract::browser as wit;
use crate::deadline::Deadline;

/// How long a picture's side may be, in CSS pixels: the browser's own limit for one texture.
const MAX_SIDE: f64 = 16_384.0;

/// Data as the protocol has it.
#[derive(Deserialize)]
struct Encoded {
    data: String,
}

impl Encoded {
    fn decode(self) -> Result<Vec<u8>, Error> {
        BASE64.decode(self.data).map_err(|error| Error::Other(format!("the browser's picture is unreadable: {error}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    css_content_size: Size,
    css_visual_viewport: VisualViewport,
}

#[derive(Deserialize)]
struct Size {
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VisualViewport {
    page_x: f64,
    page_y: f64,
    client_width: f64,
    client_height: f64,
}

impl Page {
    /// Takes a picture.
    pub(crate) async fn screenshot(&self, options: wit::ScreenshotOptions) -> Result<Vec<u8>, Error> {
        let invalid = |message: &str| Err(Error::Invalid(message.to_owned()));
        let format = options.format.unwrap_or(wit::ImageFormat::Png);
        let full_page = options.full_page.unwrap_or(false);
        if options.selector.is_some() && (full_page || options.clip.is_some()) {
            return invalid("a picture is of an element, or of the page or a part of it: not both");
        }
        if options.quality.is_some_and(|quality| quality > 100 || format == wit::ImageFormat::Png) {
            return invalid("the quality goes from 0 to 100, and PNG has none");
        }
        if options.omit_background == Some(true) && format == wit::ImageFormat::Jpeg {
            return invalid("JPEG has no transparency");
        }
        let deadline = self.action_deadline(options.timeout_ms);
        let waiting = || "the page to be shown".to_owned();
        let _pictures = deadline.bound(waiting, async { Ok(self.pictures.lock().await) }).await?;
        let clip = self.clip(&options, full_page, deadline).await?;
        let mut capture = CaptureScreenshotParams::default();
        capture.format = Some(match format {
            wit::ImageFormat::Png => CaptureScreenshotFormat::Png,
            wit::ImageFormat::Jpeg => CaptureScreenshotFormat::Jpeg,
            wit::ImageFormat::Webp => CaptureScreenshotFormat::Webp,
        });
        capture.quality = options.quality.map(Into::into);
        capture.capture_beyond_viewport = Some(full_page || options.selector.is_some());
        capture.clip = Some(clip);
        let transparent = options.omit_background.unwrap_or(false);
        if transparent {
            let none = Rgba { r: 0, g: 0, b: 0, a: Some(0.0) };
            let hide = SetDefaultBackgroundColorOverrideParams { color: Some(none) };
            deadline.bound(waiting, async { self.session.call(hide).await.map_err(|error| self.error(error)) }).await?;
        }
        let take = async { self.session.call_as::<_, Encoded>(&capture).await.map_err(|error| self.error(error)) };
        let taken = deadline.bound(|| "the picture".to_owned(), take).await;
        if transparent {
            self.session.tell(&SetDefaultBackgroundColorOverrideParams { color: None });
        }
        taken?.decode()
    }

    /// Which part of the document to show, within what can be shown at once.
    async fn clip(
        &self,
        options: &wit::ScreenshotOptions,
        full_page: bool,
        deadline: Deadline,
    ) -> Result<Viewport, Error> {
        if let Some(selector) = &options.selector {
            // In view, and then where it is: the frame it is in may have been scrolled, too.
            self.with_element::<Value>(selector, json!({"op": "scroll"}), deadline).await?;
        }
        let measure = async {
            self.session
                .call_as::<_, Layout>(&GetLayoutMetricsParams::default())
                .await
                .map_err(|error| self.error(error))
        };
        let layout = deadline.bound(|| "the page's size".to_owned(), measure).await?;
        let view = &layout.css_visual_viewport;
        let (x, y, width, height) = match (&options.selector, &options.clip) {
            (Some(selector), _) => {
                let remaining = u32::try_from(deadline.remaining().as_millis()).unwrap_or(u32::MAX);
                let found = self.bounding_box(selector, wit::WaitOptions { timeout_ms: Some(remaining) }).await?;
                let Some(found) = found.filter(|found| found.width > 0.0 && found.height > 0.0) else {
                    return Err(Error::Invalid(format!(
                        "`{selector}` is not visible: there is nothing to take a picture of"
                    )));
                };
                (found.x + view.page_x, found.y + view.page_y, found.width, found.height)
            }
            (None, Some(part)) if full_page => (part.x, part.y, part.width, part.height),
            (None, Some(part)) => (part.x + view.page_x, part.y + view.page_y, part.width, part.height),
            (None, None) if full_page => (0.0, 0.0, layout.css_content_size.width, layout.css_content_size.height),
            (None, None) => (view.page_x, view.page_y, view.client_width, view.client_height),
        };
        let positive = |side: f64| side.is_finite() && side > 0.0;
        if !positive(width) || !positive(height) || !x.is_finite() || !y.is_finite() {
            return Err(Error::Invalid("a picture needs a width and a height".to_owned()));
        }
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(Error::Limit(format!(
                "{width} x {height} pixels are more than {MAX_SIDE} on a side: take a part with `clip`"
            )));
        }
        Ok(Viewport { x, y, width, height, scale: 1.0 })
    }

    /// Prints the page to PDF.
    pub(crate) async fn pdf(&self, options: wit::PdfOptions) -> Result<Vec<u8>, Error> {
        let scale_is_off = options.scale.is_some_and(|scale| !(0.1..=2.0).contains(&scale));
        let lengths = [options.paper_width, options.paper_height, options.margin];
        if scale_is_off || lengths.into_iter().flatten().any(|length| !(0.0..=200.0).contains(&length)) {
            return Err(Error::Invalid("the scale goes from 0.1 to 2, lengths from 0 to 200 inches".to_owned()));
        }
        let deadline = self.action_deadline(options.timeout_ms);
        let waiting = || "the page to be shown".to_owned();
        let _pictures = deadline.bound(waiting, async { Ok(self.pictures.lock().await) }).await?;
        let mut print = PrintToPdfParams::default();
        print.landscape = options.landscape;
        print.print_background = options.print_background;
        print.scale = options.scale;
        print.paper_width = options.paper_width;
        print.paper_height = options.paper_height;
        print.margin_top = options.margin;
        print.margin_bottom = options.margin;
        print.margin_left = options.margin;
        print.margin_right = options.margin;
        print.page_ranges = options.page_ranges;
        print.prefer_css_page_size = options.prefer_css_page_size;
        let take = async {
            self.session.call_as::<_, Encoded>(&print).await.map_err(|error| match self.error(error) {
                Error::Other(message) if message.contains("page range") || message.contains("Page range") => {
                    Error::Invalid(message)
                }
                other => other,
            })
        };
        deadline.bound(|| "the PDF".to_owned(), take).await?.decode()
    }
}
