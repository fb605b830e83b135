//! Content codings: how the bodies of HTTP messages are compressed (RFC 9110, 8.4.1), undone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// What is undone here, as the value of `accept-encoding`.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd, deflate";

/// What a decoder remembers of a body at most, as a power of two in bytes (RFC 9659): who compresses says how much that is.
const ZSTD_WINDOW: u32 = 23;

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
            Self::Brotli => Box::new(BrotliDecoder::new(OrdinaryBrotli { compressed, is_known: false })),
            Self::Deflate => Box::new(ZlibDecoder::new(compressed)),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(compressed);
                decoder.multiple_members(true);
                Box::new(decoder)
            }
            Self::Zstd => Box::new(ZstdDecoder::with_params(compressed, &[DParameter::window_log_max(ZSTD_WINDOW)])),
        }
    }
}

/// Brotli as RFC 7932 has it, with windows of up to 16 MiB. The decoder knows another kind, too, whose windows are up to
/// 1 GiB: it begins with what the RFC calls invalid (9.1).
struct OrdinaryBrotli<R> {
    compressed: R,
    is_known: bool,
}

/// How the other kind begins, in the lowest bits of the first byte.
const LARGE_WINDOW: u8 = 0b001_0001;

impl<R: AsyncBufRead + Unpin> AsyncBufRead for OrdinaryBrotli<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let Self { compressed, is_known } = self.get_mut();
        let filled = Pin::new(compressed).poll_fill_buf(context);
        if let (Poll::Ready(Ok([first, ..])), false) = (&filled, *is_known) {
            *is_known = true;
            if first & 0b111_1111 == LARGE_WINDOW {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its window is larger than 16 MiB",
                )));
            }
        }
        filled
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        Pin::new(&mut self.get_mut().compressed).consume(bytes);
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for OrdinaryBrotli<R> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().compressed).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use async_compression::Level;
    use async_compression::brotli::EncoderParams;
    use async_compression::tokio::bufread::{BrotliEncoder, ZstdEncoder};
    use async_compression::zstd::CParameter;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn undone(coding: Coding, mut compressed: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
        let (mut bytes, mut plain) = (Vec::new(), Vec::new());
        compressed.read_to_end(&mut bytes).await?;
        coding.undo(io::Cursor::new(bytes)).read_to_end(&mut plain).await?;
        Ok(plain)
    }

    #[tokio::test]
    async fn windows_are_as_large_as_the_codings_of_http_may_have_them() {
        let text = vec![b'x'; 40 << 20];
        let zstd = |window| {
            let parameters = [CParameter::window_log(window), CParameter::enable_long_distance_matching(true)];
            undone(Coding::Zstd, ZstdEncoder::with_quality_and_params(&text[..], Level::Fastest, &parameters))
        };
        assert!(zstd(ZSTD_WINDOW).await.unwrap() == text);
        assert!(zstd(ZSTD_WINDOW + 1).await.is_err());
        let brotli = |window| {
            let parameters = EncoderParams::default().quality(Level::Fastest).window_size(window);
            undone(Coding::Brotli, BrotliEncoder::with_params(&text[..], parameters))
        };
        assert!(brotli(24).await.unwrap() == text);
        // The head of a stream with a window of 1 GiB.
        let refused = undone(Coding::Brotli, &[LARGE_WINDOW, 30, 0, 0][..]).await.unwrap_err();
        assert!(refused.to_string().contains("16 MiB"), "{refused}");
    }
}
