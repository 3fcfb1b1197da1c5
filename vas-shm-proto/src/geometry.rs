//! NV12 planes and slots, in checked arithmetic.
//!
//! An NV12 picture is a plane of `height` luma rows followed by a plane of `ceil(height / 2)` chroma rows; a chroma row holds
//! `ceil(width / 2)` pairs of Cb and Cr. Both planes have the same stride. The bytes between a row's end and the stride are
//! unspecified.

use crate::header::Refusal;
use crate::layout::{MAX_DIMENSION, PAGE_SIZE, WHOLE_HEADER_SIZE};
use crate::words::SlotCount;

/// The geometry of one NV12 frame. Every value of this type is in bounds: rows fit the stride, planes do not overlap, the
/// frame ends within `data_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nv12 {
    width: u32,
    height: u32,
    stride_bytes: u32,
    uv_offset: u64,
    data_size: u64,
}

impl Nv12 {
    /// Rows of frames that this crate lays out start at multiples of this many bytes, so that SIMD converters find aligned
    /// rows and two rows never share a cache line.
    pub const STRIDE_ALIGNMENT: u32 = 64;

    /// The geometry a writer uses for pictures of this size: stride rounded up to 64 bytes, planes back to back.
    ///
    /// ```
    /// use vas_shm_proto::Nv12;
    /// let odd = Nv12::for_picture(641, 479).unwrap();
    /// assert_eq!((odd.stride_bytes(), odd.chroma_row_bytes(), odd.chroma_rows()), (704, 642, 240));
    /// assert_eq!(odd.data_size(), 704 * (479 + 240));
    /// ```
    ///
    /// # Errors
    /// Width or height outside 1 to 16384.
    pub fn for_picture(width: u32, height: u32) -> Result<Self, Refusal> {
        check_dimensions(width, height)?;
        // At most 16384, so nothing here can overflow.
        let stride = (width + width % 2).next_multiple_of(Self::STRIDE_ALIGNMENT);
        let uv_offset = u64::from(stride) * u64::from(height);
        let data_size = uv_offset + u64::from(stride) * u64::from(height.div_ceil(2));
        Ok(Self { width, height, stride_bytes: stride, uv_offset, data_size })
    }

    /// Checks a geometry that somebody else wrote.
    ///
    /// # Errors
    /// The first field that is out of bounds: width, height, stride, uv_offset, data_size.
    pub fn check(
        width: u32,
        height: u32,
        stride_bytes: u32,
        uv_offset: u64,
        data_size: u64,
    ) -> Result<Self, Refusal> {
        check_dimensions(width, height)?;
        let min = 2 * width.div_ceil(2);
        if stride_bytes < min {
            return Err(Refusal::Stride { stride: stride_bytes, min });
        }
        // u32 * u32 always fits u64.
        let luma_size = u64::from(stride_bytes) * u64::from(height);
        if uv_offset < luma_size {
            return Err(Refusal::UvOffset { uv_offset, min: luma_size });
        }
        let chroma_size = u64::from(stride_bytes) * u64::from(height.div_ceil(2));
        let min = uv_offset.checked_add(chroma_size).ok_or(Refusal::UvOffsetOverflow { uv_offset })?;
        if data_size < min {
            return Err(Refusal::DataSize { data_size, min });
        }
        Ok(Self { width, height, stride_bytes, uv_offset, data_size })
    }

    /// Luma pixels per row.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Luma rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next, in both planes.
    #[must_use]
    pub const fn stride_bytes(&self) -> u32 {
        self.stride_bytes
    }

    /// Bytes from the frame's first byte to its chroma plane.
    #[must_use]
    pub const fn uv_offset(&self) -> u64 {
        self.uv_offset
    }

    /// Bytes of one frame, padding included.
    #[must_use]
    pub const fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Rows of the chroma plane: `ceil(height / 2)`.
    #[must_use]
    pub const fn chroma_rows(&self) -> u32 {
        self.height.div_ceil(2)
    }

    /// Visible bytes of a chroma row: `2 * ceil(width / 2)`.
    #[must_use]
    pub const fn chroma_row_bytes(&self) -> u32 {
        2 * self.width.div_ceil(2)
    }

    /// Bytes of the visible picture without padding: what `ffmpeg -pix_fmt nv12 -f rawvideo` writes per frame.
    #[must_use]
    pub const fn packed_size(&self) -> u64 {
        self.width as u64 * self.height as u64 + self.chroma_row_bytes() as u64 * self.chroma_rows() as u64
    }
}

fn check_dimensions(width: u32, height: u32) -> Result<(), Refusal> {
    if width == 0 || width > MAX_DIMENSION {
        return Err(Refusal::Width { width });
    }
    if height == 0 || height > MAX_DIMENSION {
        return Err(Refusal::Height { height });
    }
    Ok(())
}

/// What a pair of files takes for a geometry and a number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSize {
    /// Bytes of `frame.meta`: one page.
    pub meta_bytes: u64,
    /// Bytes from one slot to the next in `frame.data`.
    pub slot_bytes: u64,
    /// Bytes of `frame.data`.
    pub data_bytes: u64,
}

impl PairSize {
    /// The sizes for frames of this geometry, as a writer lays them out: slots back to back, each from a page boundary.
    ///
    /// A geometry of [`Nv12::for_picture`] has at most 16384 * 24576 bytes, far from any limit. One that somebody else
    /// wrote may claim to need up to 2^64 bytes; sizes past that stop there, where no file can follow.
    #[must_use]
    pub fn new(picture: &Nv12, slots: SlotCount) -> Self {
        const { assert!(WHOLE_HEADER_SIZE <= PAGE_SIZE) };
        let slot_bytes = picture.data_size().checked_next_multiple_of(PAGE_SIZE as u64).unwrap_or(u64::MAX);
        let data_bytes = slot_bytes.saturating_mul(u64::from(slots.get()));
        Self { meta_bytes: PAGE_SIZE as u64, slot_bytes, data_bytes }
    }

    /// Bytes of both files: what one camera takes of the file system while its geometry does not change.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.meta_bytes.saturating_add(self.data_bytes)
    }
}
