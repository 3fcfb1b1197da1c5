//! Frames as RGB, BGR, RGBA, BGRA or grey (feature `convert`), and as a model's input (feature `resize`).
//!
//! Whatever the camera says of its range and matrix is honoured; what it does not say is decided by the rules of
//! [`Conversion::choose`]. No copy of the whole picture is made on the way to pixels: some rows at a time go through 16 kB of private
//! memory. The check that the frame was whole comes after the last byte that is read of it, and whoever fails it gets no picture.
//!
//! ```
//! # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
//! # use std::time::Duration;
//! # use vas_shm_reader::{CameraId, Event, FrameStream};
//! # let server = server::Server::start();
//! # let base = server.path();
//! let mut stream = FrameStream::new(base, CameraId::new("front")?);
//! loop {
//!     if let Event::Frame(frame) = stream.next_event(Duration::from_secs(5)) {
//!         let picture = frame.to_rgb()?;
//!         println!("{}x{}, {} bytes", picture.width, picture.height, picture.bytes.len());
//!         # assert_eq!(picture.bytes.len(), 64 * 48 * 3);
//!         # break;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to have | call |
//! |---|---|
//! | a picture in memory of its own | [`Frame::to_rgb`], [`Frame::to_bgr`], [`Frame::to_rgba`], [`Frame::to_bgra`], [`Frame::to_gray`] |
//! | a picture in your memory, with your distance between rows | [`Frame::convert_to`] |
//! | picture after picture without an allocation | [`Converter::convert`] |
#![cfg_attr(
    feature = "resize",
    doc = "| a model's input, and the way back for its boxes | [`Converter::fit`] |"
)]
//! | to convert what was copied before with [`Frame::copy_to`] | [`Converter::convert_packed`] |
//!
//! Each chroma sample is repeated for its two by two pixels, as PROTOCOL.md has it. How near that is to the exact
//! numbers, and to FFmpeg's swscale, is measured in `tests/convert` of the repository.

mod bands;
mod color;
#[cfg(feature = "resize")]
mod fit;

pub use color::{Conversion, Matrix, matrix_name};
#[cfg(feature = "resize")]
pub use fit::{Filter, ModelInput, Placement};

use crate::error::Overwritten;
use crate::frame::Frame;
use bands::Planes;
use std::fmt;
use vas_shm_proto::{Color, Nv12};

/// What a pixel is made of, first byte first. One byte each, 0 to 255; alpha is 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelLayout {
    /// Red, green, blue: what Pillow, PyTorch and most models take.
    Rgb,
    /// Blue, green, red: what OpenCV takes.
    Bgr,
    /// Red, green, blue, alpha.
    Rgba,
    /// Blue, green, red, alpha.
    Bgra,
    /// One byte, from 0 for black to 255 for white whatever the camera's range.
    Gray,
}

impl PixelLayout {
    /// 1, 3 or 4.
    #[must_use]
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb | Self::Bgr => 3,
            Self::Rgba | Self::Bgra => 4,
        }
    }

    /// As it is written in text: `RGB`, `grey`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Rgba => "RGBA",
            Self::Bgra => "BGRA",
            Self::Gray => "grey",
        }
    }
}

impl fmt::Display for PixelLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A converted picture, rows without padding between them.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What each pixel is made of.
    pub layout: PixelLayout,
    /// `height * width * layout.bytes_per_pixel()` bytes, from the top left.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// From the first byte of a row to that of the next.
    #[must_use]
    pub fn stride_bytes(&self) -> usize {
        self.width as usize * self.layout.bytes_per_pixel()
    }
}

// Without its bytes, which are millions.
impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// Why there is no converted picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// As [`Overwritten`]; the buffer holds a mixture.
    #[error(transparent)]
    Overwritten(#[from] Overwritten),
    /// The buffer is too small; nothing was written.
    #[error("the buffer has {have} bytes, the converted picture needs {need}")]
    BufferTooSmall {
        /// Bytes of the buffer.
        have: usize,
        /// Bytes from the first pixel to the last, at the distance between rows that was asked for.
        need: usize,
    },
    /// Rows would lie on top of each other, or more than 2 GiB apart; nothing was written.
    #[error(
        "rows of the buffer are {have} bytes apart; the converted picture needs {need} at least, 2^31 - 1 at most"
    )]
    Stride {
        /// Distance between rows that was asked for, in bytes.
        have: usize,
        /// Bytes of a row.
        need: usize,
    },
    /// What was given as a packed copy has not the size of one; nothing was written.
    #[error("the packed NV12 picture has {have} bytes instead of {need}")]
    PackedSize {
        /// Bytes that were given.
        have: usize,
        /// [`Nv12::packed_size`].
        need: u64,
    },
    /// A model's input has no pixel, or too many; nothing was written.
    #[cfg(feature = "resize")]
    #[error("a model's input has 1 to 16384 pixels a side, not {width}x{height}")]
    InputSize {
        /// Pixels in a row that were asked for.
        width: u32,
        /// Rows that were asked for.
        height: u32,
    },
    /// The camera names a matrix whose colours would come out wrong; nothing was written. Grey needs no matrix, and
    /// [`Converter::with_conversion`] takes one of the caller's choice.
    #[error(
        "the camera's matrix is {code_point}, {}, which is not converted; \
         choose another matrix (Converter::with_conversion) to have wrong colours, or grey",
        matrix_name(*.code_point)
    )]
    UnsupportedMatrix {
        /// H.273, table 4.
        code_point: u8,
    },
}

/// Where pixels go: checked to have room for all rows.
pub(crate) struct Target<'o> {
    bytes: &'o mut [u8],
    stride_bytes: usize,
    row_bytes: usize,
    rows: usize,
}

impl<'o> Target<'o> {
    fn new(
        out: &'o mut [u8],
        stride_bytes: usize,
        (width, height): (u32, u32),
        layout: PixelLayout,
    ) -> Result<Self, ConvertError> {
        let (row_bytes, rows) = (width as usize * layout.bytes_per_pixel(), height as usize);
        if stride_bytes < row_bytes || stride_bytes > i32::MAX as usize {
            return Err(ConvertError::Stride { have: stride_bytes, need: row_bytes });
        }
        // 2^31 times 2^32 at most: no overflow in the 64 bits that this crate is for.
        let need = stride_bytes * rows.saturating_sub(1) + row_bytes;
        let have = out.len();
        let bytes = out.get_mut(..need).ok_or(ConvertError::BufferTooSmall { have, need })?;
        Ok(Self { bytes, stride_bytes, row_bytes, rows })
    }

    /// Whether the last row is as long as the distance between rows.
    fn is_padded(&self) -> bool {
        self.bytes.len() == self.stride_bytes * self.rows
    }

    fn row(&mut self, y: usize) -> &mut [u8] {
        &mut self.bytes[y * self.stride_bytes..][..self.row_bytes]
    }

    /// `rows` rows from `first` on.
    fn part(&mut self, first: usize, rows: usize) -> Target<'_> {
        let end = (first + rows) * self.stride_bytes;
        let end = end.min(self.bytes.len());
        Target { bytes: &mut self.bytes[first * self.stride_bytes..end], rows, ..*self }
    }
}

/// Converts frame after frame; keeps what it needs from one to the next, so that the second of a size allocates nothing.
///
/// ```
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
/// # use std::time::Duration;
/// # use vas_shm_reader::{CameraId, Event, FrameStream};
/// use vas_shm_reader::convert::{Converter, PixelLayout};
///
/// # let server = server::Server::start();
/// # let base = server.path();
/// let mut stream = FrameStream::new(base, CameraId::new("front")?);
/// let mut converter = Converter::new();
/// let mut out = Vec::new();
/// loop {
///     if let Event::Frame(frame) = stream.next_event(Duration::from_secs(5)) {
///         let stride_bytes = frame.picture().width() as usize * 3;
///         out.resize(stride_bytes * frame.picture().height() as usize, 0);
///         converter.convert(&frame, PixelLayout::Bgr, &mut out, stride_bytes)?;
///         # assert!(out.chunks(3).all(|pixel| pixel == [0, 135, 0]), "luma, Cb and Cr of 16");
///         # break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Converter {
    conversion: Option<Conversion>,
    band: Vec<u8>,
    #[cfg(feature = "resize")]
    fit: fit::Buffers,
}

impl Converter {
    /// One that goes by what each frame's camera says.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes by this instead, whatever the camera says.
    #[must_use]
    pub fn with_conversion(mut self, conversion: Conversion) -> Self {
        self.conversion = Some(conversion.insisted_on());
        self
    }

    /// What a picture of this colour and height in rows is converted with.
    #[must_use]
    pub fn conversion(&self, color: Color, height: u32) -> Conversion {
        self.conversion.unwrap_or_else(|| Conversion::choose(color, height))
    }

    fn chosen(&self, color: Color, height: u32, layout: PixelLayout) -> Result<Conversion, ConvertError> {
        let conversion = self.conversion(color, height);
        match conversion.unsupported_matrix() {
            Some(code_point) if layout != PixelLayout::Gray => {
                Err(ConvertError::UnsupportedMatrix { code_point })
            }
            _ => Ok(conversion),
        }
    }

    /// Converts a frame into `out`: rows of `width * layout.bytes_per_pixel()` bytes, `stride_bytes` apart. What lies between
    /// rows may be written too, and means nothing.
    ///
    /// # Errors
    /// [`ConvertError`]; only with [`ConvertError::Overwritten`] anything was written.
    pub fn convert(
        &mut self,
        frame: &Frame<'_>,
        layout: PixelLayout,
        out: &mut [u8],
        stride_bytes: usize,
    ) -> Result<(), ConvertError> {
        let size = (frame.picture().width(), frame.picture().height());
        let conversion = self.chosen(frame.color(), size.1, layout)?;
        let mut target = Target::new(out, stride_bytes, size, layout)?;
        bands::frame(frame, &conversion, layout, &mut self.band, &mut target)
    }

    /// Converts what [`Frame::copy_to`] has copied, in any memory of the caller's: luma rows, then chroma rows, without padding.
    /// `picture` and `color` are those of the frame.
    ///
    /// # Errors
    /// [`ConvertError`], except that nothing can be overwritten.
    pub fn convert_packed(
        &mut self,
        (picture, color): (&Nv12, Color),
        packed: &[u8],
        layout: PixelLayout,
        out: &mut [u8],
        stride_bytes: usize,
    ) -> Result<(), ConvertError> {
        let (width, height) = (picture.width(), picture.height());
        let conversion = self.chosen(color, height, layout)?;
        if packed.len() as u64 != picture.packed_size() {
            return Err(ConvertError::PackedSize { have: packed.len(), need: picture.packed_size() });
        }
        let mut target = Target::new(out, stride_bytes, (width, height), layout)?;
        bands::planes(Planes::packed(width, height, packed), &conversion, layout, &mut target);
        Ok(())
    }

    /// A frame as a picture in memory of its own.
    ///
    /// # Errors
    /// [`ConvertError::Overwritten`], [`ConvertError::UnsupportedMatrix`].
    pub fn to_picture(&mut self, frame: &Frame<'_>, layout: PixelLayout) -> Result<Picture, ConvertError> {
        let (width, height) = (frame.picture().width(), frame.picture().height());
        let stride_bytes = width as usize * layout.bytes_per_pixel();
        let mut bytes = vec![0; stride_bytes * height as usize];
        self.convert(frame, layout, &mut bytes, stride_bytes)?;
        Ok(Picture { width, height, layout, bytes })
    }
}

/// Conversion (feature `convert`). A [`Converter`] does the same without an allocation for each frame.
impl Frame<'_> {
    /// What the frame is converted with, and whether that is an assumption.
    #[must_use]
    pub fn conversion(&self) -> Conversion {
        Conversion::choose(self.color(), self.picture().height())
    }

    /// Converts the frame into `out`: rows of `width * layout.bytes_per_pixel()` bytes, `stride_bytes` apart. What lies between
    /// rows may be written too, and means nothing.
    ///
    /// # Errors
    /// [`ConvertError`]; only with [`ConvertError::Overwritten`] anything was written.
    pub fn convert_to(
        &self,
        layout: PixelLayout,
        out: &mut [u8],
        stride_bytes: usize,
    ) -> Result<(), ConvertError> {
        Converter::new().convert(self, layout, out, stride_bytes)
    }

    /// A private picture: red, green, blue, one byte each.
    ///
    /// # Errors
    /// [`ConvertError::Overwritten`], [`ConvertError::UnsupportedMatrix`].
    pub fn to_rgb(&self) -> Result<Picture, ConvertError> {
        Converter::new().to_picture(self, PixelLayout::Rgb)
    }

    /// A private picture: blue, green, red, as OpenCV takes it.
    ///
    /// # Errors
    /// As [`Frame::to_rgb`].
    pub fn to_bgr(&self) -> Result<Picture, ConvertError> {
        Converter::new().to_picture(self, PixelLayout::Bgr)
    }

    /// A private picture: red, green, blue, 255.
    ///
    /// # Errors
    /// As [`Frame::to_rgb`].
    pub fn to_rgba(&self) -> Result<Picture, ConvertError> {
        Converter::new().to_picture(self, PixelLayout::Rgba)
    }

    /// A private picture: blue, green, red, 255.
    ///
    /// # Errors
    /// As [`Frame::to_rgb`].
    pub fn to_bgra(&self) -> Result<Picture, ConvertError> {
        Converter::new().to_picture(self, PixelLayout::Bgra)
    }

    /// A private picture: one byte a pixel, 0 for black to 255 for white whatever the camera's range.
    ///
    /// # Errors
    /// [`ConvertError::Overwritten`].
    pub fn to_gray(&self) -> Result<Picture, ConvertError> {
        Converter::new().to_picture(self, PixelLayout::Gray)
    }
}
