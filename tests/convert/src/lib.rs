//! A picture of any numbers and colour description, on its way through the real writer to the real reader.

use std::path::Path;
use std::time::{Duration, Instant};
use vas_shm_reader::{Event, Frame, FrameStream, Mode, Reader};
use vas_shm_writer::{
    Camera, CameraId, Color, ExportWhen, Exporter, ExporterConfig, PictureFormat, Plane, Stamp,
};

/// Files are made, and a frame is found, far sooner.
const WITHIN: Duration = Duration::from_secs(30);

/// NV12 without padding.
#[derive(Clone, Debug)]
pub struct Nv12Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Luma rows, then rows of Cb and Cr by turns.
    pub bytes: Vec<u8>,
}

impl Nv12Picture {
    /// Bytes of such a picture.
    #[must_use]
    pub fn len_bytes(width: u32, height: u32) -> usize {
        let (width, height) = (width as usize, height as usize);
        width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
    }

    /// A picture whose bytes are made one after the other.
    pub fn of(width: u32, height: u32, byte: impl FnMut() -> u8) -> Self {
        let bytes = std::iter::repeat_with(byte).take(Self::len_bytes(width, height)).collect();
        Self { width, height, bytes }
    }

    /// Luma, Cb and Cr of a pixel.
    #[must_use]
    pub fn sample(&self, x: usize, y: usize) -> [u8; 3] {
        let (width, row_bytes) = (self.width as usize, 2 * self.width.div_ceil(2) as usize);
        let chroma = width * self.height as usize + y / 2 * row_bytes + x / 2 * 2;
        [self.bytes[y * width + x], self.bytes[chroma], self.bytes[chroma + 1]]
    }
}

/// A camera that exports one picture, and who reads it.
#[derive(Debug)]
pub struct Scene {
    stream: FrameStream,
    _camera: Camera,
    exporter: Option<Exporter>,
}

impl Scene {
    /// Publishes a picture in a base directory of its own and waits until it is read.
    ///
    /// # Panics
    /// If that does not come about.
    #[must_use]
    pub fn new(base: &Path, picture: &Nv12Picture, color: Color) -> Self {
        let id = CameraId::new("convert").expect("an id");
        let config = ExporterConfig::new(base).when(ExportWhen::Always);
        let exporter = Exporter::start(config).expect("an exporter");
        let mut camera = exporter.camera(id).expect("a camera");
        let format = PictureFormat::new(picture.width, picture.height, color);
        let row_bytes = 2 * picture.width.div_ceil(2) as usize;
        let (luma, chroma) = picture.bytes.split_at(picture.width as usize * picture.height as usize);
        let deadline = Instant::now() + WITHIN;
        // While files are being made there is no slot.
        let mut slot = loop {
            match camera.slot(format) {
                Ok(_) => break camera.slot(format).expect("the slot that was just there"),
                Err(why) => assert!(Instant::now() < deadline, "not exported: {why}"),
            }
            std::thread::yield_now();
        };
        slot.write_nv12(Plane::new(luma, picture.width as usize), Plane::new(chroma, row_bytes))
            .expect("the picture of that format");
        slot.publish(Stamp::now());
        let mut stream = FrameStream::new(base, id).mode(Mode::Latest);
        while !matches!(stream.next_event(Duration::from_secs(1)), Event::Frame(_)) {
            assert!(Instant::now() < deadline, "no frame");
        }
        Self { stream, _camera: camera, exporter: Some(exporter) }
    }

    /// The picture.
    ///
    /// # Panics
    /// Never: the camera publishes no other.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        self.stream.reader().and_then(Reader::last_picture).expect("the frame is there")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(exporter) = self.exporter.take() {
            exporter.shutdown();
        }
    }
}
