//! Content codings: how the bodies of HTTP messages are compressed (RFC 9110, 8.4.1), undone.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::io::{AsyncBufRead, AsyncRead};

/// What is undone here, as the value of `accept-encoding`.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd, deflate";

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Deflate,
    Gzip,
    Zstd,
}

impl Coding {
    /// Takes the way in which a body is compressed out of its headers, if it is one that is undone here.
    pub(crate) fn take(headers: &mut HeaderMap) -> Option<Self> {
        let coding = Self::named(headers.get(CONTENT_ENCODING)?.to_str().ok()?)?;
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        Some(coding)
    }

    /// The way in which a body is compressed that a header names so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is = |other: &str| name.trim().eq_ignore_ascii_case(other);
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }

    /// What is inside.
    pub(crate) fn undo(
        self,
        compressed: impl AsyncBufRead + Send + Unpin + 'static,
    ) -> Box<dyn AsyncRead + Send + Unpin> {
        match self {
            Self::Brotli => Box::new(BrotliDecoder::new(compressed)),
            Self::Deflate => Box::new(ZlibDecoder::new(compressed)),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(compressed);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Self::Zstd => Box::new(ZstdDecoder::new(compressed)),
        }
    }
}
