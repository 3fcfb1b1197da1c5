//! A frame at the size that a model takes.
//!
//! The frame is copied out first, which is as short as looking at all of it can be, and checked: what comes after takes
//! several times as long, and needs the frame no more. Luma and chroma are resized each by itself and become pixels at the
//! size of the model's input; so a fraction of the pixels is converted, and chroma goes to its size in one step.

use super::bands::{self, Planes};
use super::{ConvertError, Converter, Picture, PixelLayout, Target};
use crate::error::Overwritten;
use crate::frame::Frame;
use fast_image_resize as fir;
use vas_shm_proto::layout::MAX_DIMENSION;

/// How pixels between pixels come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// The pixel that is there: fastest, and lines vanish or double.
    Nearest,
    /// Between the four pixels around the place, whatever lies between two such places: `INTER_LINEAR` of OpenCV, which
    /// most detectors were trained with. Fine lines of a picture that is made much smaller flicker.
    Linear,
    /// Linear, over all pixels that the new one covers: `BILINEAR` of Pillow.
    #[default]
    Triangle,
    /// The mean of the pixels that the new one covers: like `INTER_AREA` of OpenCV.
    Box,
    /// Cubic, over all pixels that the new one covers: `BICUBIC` of Pillow.
    CatmullRom,
    /// Sharpest and slowest.
    Lanczos3,
}

impl Filter {
    fn algorithm(self) -> fir::ResizeAlg {
        match self {
            Self::Nearest => fir::ResizeAlg::Nearest,
            Self::Linear => fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear),
            Self::Triangle => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
            Self::Box => fir::ResizeAlg::Convolution(fir::FilterType::Box),
            Self::CatmullRom => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
            Self::Lanczos3 => fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3),
        }
    }
}

/// What becomes of a picture whose sides are not in the proportion of the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fit {
    /// It is stretched to fill the input.
    Stretch,
    /// It keeps its proportion, stands in the middle, and has bars on two sides.
    Letterbox {
        /// Red, green and blue of the bars. In grey their mean.
        pad: [u8; 3],
    },
}

/// What a model takes.
///
/// ```
/// use vas_shm_reader::convert::{Filter, ModelInput, PixelLayout};
///
/// // 640x640 RGB, letterboxed with grey bars of 114, as YOLO's tools do it.
/// let yolo = ModelInput::new(640, 640);
/// // 224x224 BGR, stretched.
/// let classifier = ModelInput::new(224, 224).layout(PixelLayout::Bgr).stretch().filter(Filter::Box);
/// assert_eq!((yolo.stride_bytes(), classifier.bytes()), (640 * 3, 224 * 224 * 3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelInput {
    width: u32,
    height: u32,
    layout: PixelLayout,
    fit: Fit,
    filter: Filter,
}

impl ModelInput {
    /// Grey bars, as most detectors were trained with.
    const PAD: [u8; 3] = [114; 3];

    /// RGB of this size in pixels, 1 to 16384 a side, letterboxed with bars of 114, 114, 114.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        let (layout, fit) = (PixelLayout::Rgb, Fit::Letterbox { pad: Self::PAD });
        Self { width, height, layout, fit, filter: Filter::Triangle }
    }

    /// Chooses what each pixel is made of.
    #[must_use]
    pub const fn layout(mut self, layout: PixelLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Fills the input, whatever that does to the proportion.
    #[must_use]
    pub const fn stretch(mut self) -> Self {
        self.fit = Fit::Stretch;
        self
    }

    /// Keeps the proportion; the bars are of this red, green and blue.
    #[must_use]
    pub const fn letterbox(mut self, pad: [u8; 3]) -> Self {
        self.fit = Fit::Letterbox { pad };
        self
    }

    /// Chooses how pixels between pixels come about.
    #[must_use]
    pub const fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Bytes of a row without padding.
    #[must_use]
    pub const fn stride_bytes(&self) -> usize {
        self.width as usize * self.layout.bytes_per_pixel()
    }

    /// Bytes of the input, rows without padding.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.stride_bytes().saturating_mul(self.height as usize)
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    fn check(&self) -> Result<(), ConvertError> {
        let sides = 1..=MAX_DIMENSION;
        if sides.contains(&self.width) && sides.contains(&self.height) {
            return Ok(());
        }
        Err(ConvertError::InputSize { width: self.width, height: self.height })
    }

    /// Where a picture of this size in pixels comes to lie.
    #[must_use]
    pub fn placement(&self, width: u32, height: u32) -> Placement {
        let ratio = |input: u32, picture: u32| f64::from(input) / f64::from(picture.max(1));
        let (by_width, by_height) = (ratio(self.width, width), ratio(self.height, height));
        let side = |picture: u32, input: u32| {
            let fitted = f64::from(picture) * by_width.min(by_height);
            (fitted.round() as u32).clamp(1, input.max(1))
        };
        let (fitted_width, fitted_height) = match self.fit {
            Fit::Stretch => (self.width, self.height),
            Fit::Letterbox { .. } => (side(width, self.width), side(height, self.height)),
        };
        Placement {
            x: self.width.saturating_sub(fitted_width) / 2,
            y: self.height.saturating_sub(fitted_height) / 2,
            width: fitted_width,
            height: fitted_height,
            scale_x: ratio(fitted_width, width),
            scale_y: ratio(fitted_height, height),
            frame_width: width,
            frame_height: height,
        }
    }
}

/// Where a frame lies in a model's input, and the way back for what the model found.
///
/// ```
/// use vas_shm_reader::convert::ModelInput;
///
/// let placement = ModelInput::new(640, 640).placement(1920, 1080);
/// assert_eq!((placement.x, placement.y, placement.width, placement.height), (0, 140, 640, 360));
/// assert_eq!(placement.box_to_frame([0.0, 140.0, 320.0, 500.0]), [0.0, 0.0, 960.0, 1080.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Placement {
    /// Column of the input that the frame's first column begins at.
    pub x: u32,
    /// Row of the input that the frame's first row begins at.
    pub y: u32,
    /// Columns of the input that the frame fills.
    pub width: u32,
    /// Rows of the input that the frame fills.
    pub height: u32,
    /// Pixels of the input for one of the frame, along a row.
    pub scale_x: f64,
    /// Pixels of the input for one of the frame, down a column.
    pub scale_y: f64,
    /// Columns of the frame.
    pub frame_width: u32,
    /// Rows of the frame.
    pub frame_height: u32,
}

impl Placement {
    /// From a place in the input to that in the frame, both in pixels from the top left corner of the top left pixel. May lie
    /// outside the frame.
    #[must_use]
    pub fn to_frame(&self, x: f64, y: f64) -> (f64, f64) {
        ((x - f64::from(self.x)) / self.scale_x, (y - f64::from(self.y)) / self.scale_y)
    }

    /// From a box in the input, left, top, right and bottom in pixels, to that in the frame, cut to the frame.
    #[must_use]
    pub fn box_to_frame(&self, [left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
        let cut = |(x, y): (f64, f64)| {
            [x.clamp(0.0, f64::from(self.frame_width)), y.clamp(0.0, f64::from(self.frame_height))]
        };
        let ([left, top], [right, bottom]) =
            (cut(self.to_frame(left, top)), cut(self.to_frame(right, bottom)));
        [left, top, right, bottom]
    }
}

/// What is kept from frame to frame.
#[derive(Default)]
pub(super) struct Buffers {
    resizer: fir::Resizer,
    packed: Vec<u8>,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffers").field("packed_bytes", &self.packed.len()).finish_non_exhaustive()
    }
}

impl Converter {
    /// Brings a frame to a model's input in `out`: rows of [`ModelInput::stride_bytes`], `stride_bytes` apart. All of `out`'s
    /// pixels are written, bars too. Says where the frame lies in it.
    ///
    /// The frame has to stay whole only for as long as it takes to copy it, which comes before the resizing; where nothing is to be resized,
    /// for the conversion. The buffers of pixels are kept; the weights of filters are made for each call, in about a thousand small allocations.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/pair.rs")); }
    /// # use std::time::Duration;
    /// # use vas_shm_reader::{CameraId, Event, FrameStream};
    /// use vas_shm_reader::convert::{Converter, ModelInput};
    ///
    /// # fn detect(_: &[u8]) -> Vec<[f64; 4]> { vec![[0.0, 0.0, 640.0, 640.0]] }
    /// # let server = server::Server::start();
    /// # let base = server.path();
    /// let mut stream = FrameStream::new(base, CameraId::new("front")?);
    /// let mut converter = Converter::new();
    /// let input = ModelInput::new(640, 640);
    /// let mut pixels = vec![0; input.bytes()];
    /// loop {
    ///     if let Event::Frame(frame) = stream.next_event(Duration::from_secs(5)) {
    ///         let placement = converter.fit(&frame, &input, &mut pixels, input.stride_bytes())?;
    ///         for found in detect(&pixels) {
    ///             println!("{:?} of the frame", placement.box_to_frame(found));
    ///             # assert_eq!(placement.box_to_frame(found), [0.0, 0.0, 64.0, 48.0]);
    ///         }
    ///         # break;
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConvertError`]. With [`ConvertError::Overwritten`] parts of `out` may be written.
    pub fn fit(
        &mut self,
        frame: &Frame<'_>,
        input: &ModelInput,
        out: &mut [u8],
        stride_bytes: usize,
    ) -> Result<Placement, ConvertError> {
        let (width, height) = (frame.picture().width(), frame.picture().height());
        input.check()?;
        let conversion = self.chosen(frame.color(), height, input.layout)?;
        let mut target = Target::new(out, stride_bytes, (input.width, input.height), input.layout)?;
        let placement = input.placement(width, height);
        if let Fit::Letterbox { pad } = input.fit {
            fill_around(&placement, pad, input.layout, &mut target);
        }
        let mut window = target.window(&placement, input.layout);
        if (placement.width, placement.height) == (width, height) {
            bands::frame(frame, &conversion, input.layout, &mut self.band, &mut window)?;
            return Ok(placement);
        }
        let is_gray = input.layout == PixelLayout::Gray;
        let buffers = &mut self.fit;
        let planes = buffers.copy(frame, is_gray)?.resized(&placement, input.filter, is_gray);
        bands::planes(planes, &conversion, input.layout, &mut window);
        Ok(placement)
    }
}

impl Buffers {
    fn copy(&mut self, frame: &Frame<'_>, luma_only: bool) -> Result<&mut Self, ConvertError> {
        let picture = frame.picture();
        let width = picture.width() as usize;
        self.packed.resize(picture.packed_size() as usize, 0);
        if luma_only {
            let rows = self.packed.chunks_exact_mut(width).take(picture.height() as usize);
            for (y, row) in (0..).zip(rows) {
                frame.raw().copy_luma_row(y, row);
            }
        } else {
            frame.raw().copy_packed_to(&mut self.packed);
        }
        if frame.is_intact() { Ok(self) } else { Err(Overwritten.into()) }
    }

    /// What was copied, at the placement's size.
    fn resized(&mut self, placement: &Placement, filter: Filter, luma_only: bool) -> Planes<'_> {
        let (from_width, from_height) = (placement.frame_width, placement.frame_height);
        let (luma, chroma) = self.packed.split_at(from_width as usize * from_height as usize);
        let pixels = placement.width as usize * placement.height as usize;
        let to = (placement.width, placement.height);
        let whole = (f64::from(from_width), f64::from(from_height));
        self.luma.resize(pixels, 0);
        let from = (from_width, from_height);
        resize(&mut self.resizer, filter, fir::PixelType::U8, (luma, from, whole), (&mut self.luma, to));
        self.chroma.resize(if luma_only { 0 } else { 2 * pixels }, 0);
        if !luma_only {
            // Of an odd side the last chroma sample lies half outside the picture.
            let half = (whole.0 / 2.0, whole.1 / 2.0);
            let from = (from_width.div_ceil(2), from_height.div_ceil(2));
            let (kind, chroma_to) = (fir::PixelType::U8x2, &mut self.chroma);
            resize(&mut self.resizer, filter, kind, (chroma, from, half), (chroma_to, to));
        }
        Planes { width: placement.width, luma: &self.luma, chroma: &self.chroma, is_halved: false }
    }
}

/// One plane; `part` of it, from the top left, fills the target.
fn resize(
    resizer: &mut fir::Resizer,
    filter: Filter,
    kind: fir::PixelType,
    (from, from_size, part): (&[u8], (u32, u32), (f64, f64)),
    (to, to_size): (&mut [u8], (u32, u32)),
) {
    // The crate takes two bytes a pixel for grey with alpha, unless it is told otherwise.
    let options = fir::ResizeOptions::new()
        .resize_alg(filter.algorithm())
        .crop(0.0, 0.0, part.0, part.1)
        .use_alpha(false);
    let sizes = "planes have the sizes that they were made with";
    let from = fir::images::ImageRef::new(from_size.0, from_size.1, from, kind).expect(sizes);
    let mut to = fir::images::Image::from_slice_u8(to_size.0, to_size.1, to, kind).expect(sizes);
    resizer.resize(&from, &mut to, &options).expect("a part that lies in a plane of the same kind");
}

/// The bars.
fn fill_around(placement: &Placement, pad: [u8; 3], layout: PixelLayout, target: &mut Target<'_>) {
    let [red, green, blue] = pad;
    let mean = (pad.iter().map(|&part| u16::from(part)).sum::<u16>() + 1) / 3;
    let pixel: &[u8] = match layout {
        PixelLayout::Rgb => &[red, green, blue],
        PixelLayout::Bgr => &[blue, green, red],
        PixelLayout::Rgba => &[red, green, blue, u8::MAX],
        PixelLayout::Bgra => &[blue, green, red, u8::MAX],
        PixelLayout::Gray => &[mean as u8],
    };
    let fill = |part: &mut [u8]| part.chunks_exact_mut(pixel.len()).for_each(|at| at.copy_from_slice(pixel));
    let (left, right) = (placement.x as usize, (placement.x + placement.width) as usize);
    let inside = placement.y as usize..(placement.y + placement.height) as usize;
    for y in 0..target.rows {
        let row = target.row(y);
        if inside.contains(&y) {
            fill(&mut row[..left * pixel.len()]);
            fill(&mut row[right * pixel.len()..]);
        } else {
            fill(row);
        }
    }
}

impl Target<'_> {
    /// The part of it that the frame fills.
    fn window(&mut self, placement: &Placement, layout: PixelLayout) -> Target<'_> {
        let row_bytes = placement.width as usize * layout.bytes_per_pixel();
        let rows = placement.height as usize;
        let first =
            placement.y as usize * self.stride_bytes + placement.x as usize * layout.bytes_per_pixel();
        let end = first + (rows - 1) * self.stride_bytes + row_bytes;
        Target { bytes: &mut self.bytes[first..end], stride_bytes: self.stride_bytes, row_bytes, rows }
    }
}

/// A model's input (feature `resize`).
impl Frame<'_> {
    /// The frame as a model's input in memory of its own, and where it lies in that. [`Converter::fit`] does the same into
    /// memory that is kept.
    ///
    /// # Errors
    /// As [`Converter::fit`].
    pub fn to_model_input(&self, input: &ModelInput) -> Result<(Picture, Placement), ConvertError> {
        input.check()?;
        let mut bytes = vec![0; input.bytes()];
        let placement = Converter::new().fit(self, input, &mut bytes, input.stride_bytes())?;
        let picture = Picture { width: input.width, height: input.height, layout: input.layout, bytes };
        Ok((picture, placement))
    }
}
