//! A picture of a virtual display: what Xvfb keeps in a file, as PNG.
//!
//! The file is of the X window dump format (`XWDFile.h`): a header of 32-bit numbers, big-endian, a colour map, and the
//! rows of pixels. It is read row by row, so that a picture takes the memory of what is given and not that of the
//! screen.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::contract::Error;

/// The numbers of the header, up to those that we need.
const NUMBERS: usize = 20;
/// The version of the format.
const VERSION: u32 = 7;
/// How many bytes an entry of the colour map has.
const COLOUR_BYTES: u64 = 12;
/// How many bytes a pixel has, in the order of blue, green, red and nothing.
const PIXEL_BYTES: usize = 4;

/// Takes a picture, of at most so many bytes.
pub(super) fn take(screen: &Path, most_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut taken = Bounded { bytes: Vec::new(), most: most_bytes, is_full: false };
    match convert(File::open(screen), &mut taken) {
        Ok(()) => Ok(taken.bytes),
        Err(_) if taken.is_full => Err(Error::Limit(format!(
            "the picture has more than {most_bytes} bytes: raise run_message.sandbox.limits.bytes_per_call, or have a \
             smaller screen"
        ))),
        Err(error) => Err(Error::Unavailable(format!("no picture could be taken of the screen: {error}"))),
    }
}

fn convert(screen: io::Result<impl Read + Seek>, to: impl Write) -> io::Result<()> {
    let mut screen = screen?;
    let wrong = || io::Error::other("the display keeps it in an unknown form");
    let mut numbers = [0; NUMBERS];
    for number in &mut numbers {
        let mut bytes = [0; 4];
        screen.read_exact(&mut bytes)?;
        *number = u32::from_be_bytes(bytes);
    }
    // After `XWDFileHeader`: header size, version, pixmap format, depth, width, height, x offset, byte order, bitmap
    // unit, bitmap bit order, bitmap pad, bits per pixel, bytes per line, visual class, three masks, bits per RGB,
    // colour map entries, colours.
    let [header, VERSION, _, _, width, height, _, 0, _, _, _, 32, line, _, _, _, _, _, _, colours] = numbers else {
        return Err(wrong());
    };
    let row_bytes = usize::try_from(width).map_err(|_| wrong())?.checked_mul(PIXEL_BYTES).ok_or_else(wrong)?;
    let between = u64::from(line).checked_sub(row_bytes as u64).ok_or_else(wrong)?;
    screen.seek(SeekFrom::Start(u64::from(header) + u64::from(colours) * COLOUR_BYTES))?;
    let mut encoder = png::Encoder::new(to, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut encoder = encoder.write_header()?;
    let mut png = encoder.stream_writer()?;
    let mut row = vec![0; row_bytes];
    let mut colours = Vec::with_capacity(row_bytes);
    for _ in 0..height {
        screen.read_exact(&mut row)?;
        screen.seek_relative(i64::try_from(between).map_err(|_| wrong())?)?;
        colours.clear();
        colours.extend(row.as_chunks::<PIXEL_BYTES>().0.iter().flat_map(|[blue, green, red, _]| [*red, *green, *blue]));
        png.write_all(&colours)?;
    }
    png.finish()?;
    Ok(())
}

/// Bytes that do not become more than so many.
struct Bounded {
    bytes: Vec<u8>,
    most: u64,
    is_full: bool,
}

impl Write for &mut Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A screen of two by one pixels, as Xvfb keeps it.
    fn screen() -> Vec<u8> {
        let numbers =
            [104, 7, 2, 24, 2, 1, 0, 0, 32, 0, 32, 32, 12, 4, 0xff_0000, 0xff00, 0xff, 8, 256, 1, 2, 1, 0, 0, 0];
        let mut file: Vec<u8> = numbers.iter().flat_map(|number: &u32| number.to_be_bytes()).collect();
        file.resize(104 + 12, 0);
        file.extend([3, 2, 1, 0, 30, 20, 10, 0, 9, 9, 9, 9]);
        file
    }

    fn taken(file: &[u8], most: u64) -> Result<Vec<u8>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("screen");
        std::fs::write(&path, file).unwrap();
        take(&path, most)
    }

    #[test]
    fn a_picture_has_the_colours_of_the_screen() {
        let picture = taken(&screen(), 10_000).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; 6];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, pixels), (2, 1, vec![1, 2, 3, 10, 20, 30]));
    }

    #[test]
    fn a_picture_is_bounded_and_of_what_is_known() {
        assert!(matches!(taken(&screen(), 20), Err(Error::Limit(_))));
        let mut other = screen();
        other[7] = 6;
        assert!(matches!(taken(&other, 10_000), Err(Error::Unavailable(_))));
        for length in [0, 50, 104, 120] {
            assert!(matches!(taken(&screen()[..length], 10_000), Err(Error::Unavailable(_))), "{length}");
        }
        let mut wide = screen();
        wide[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(taken(&wide, 10_000), Err(Error::Unavailable(_))));
    }
}
