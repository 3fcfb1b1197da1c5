//! What stands in a recording, as types.

use vas_shm_proto::header::Refusal;
use vas_shm_proto::{CameraId, Color, FrameFlags, Nv12};

/// Where and when a recording was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of which camera.
    pub camera: CameraId,
    /// Nanoseconds since 1970-01-01 UTC by the system's clock, at the same moment as `monotonic_ns`.
    pub wall_ns: u64,
    /// CLOCK_MONOTONIC in nanoseconds: all other times of the recording are on this clock.
    pub monotonic_ns: u64,
}

/// What the pictures from here on look like. A new one begins with each pair of files that the recorder saw: with every restart of
/// the server and every change of size or colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    generation: u64,
    picture: Nv12,
    color: Color,
    frame_period_ns: u64,
}

/// A size of pictures that there is not: 1 to 16384 pixels in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SectionError {
    why: Refusal,
}

impl Section {
    /// A section of pictures of `width` times `height` luma pixels. `frame_period_ns`: expected nanoseconds between frames, 0 =
    /// unknown.
    ///
    /// # Errors
    /// Width or height outside 1 to 16384.
    pub fn new(
        generation: u64,
        width: u32,
        height: u32,
        color: Color,
        frame_period_ns: u64,
    ) -> Result<Self, SectionError> {
        let picture = Nv12::for_picture(width, height).map_err(|why| SectionError { why })?;
        Ok(Self { generation, picture, color, frame_period_ns })
    }

    /// Which pair of files the frames are from.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Sizes. Of the recording itself only [`Nv12::packed_size`] counts: rows have no padding there.
    #[must_use]
    pub fn picture(&self) -> &Nv12 {
        &self.picture
    }

    /// Colour description.
    #[must_use]
    pub fn color(&self) -> Color {
        self.color
    }

    /// Expected nanoseconds between frames, 0 = unknown.
    #[must_use]
    pub fn frame_period_ns(&self) -> u64 {
        self.frame_period_ns
    }

    /// Bytes of the pixels of each frame.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        self.picture.packed_size()
    }
}

/// A frame, apart from its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// The number it had in shared memory.
    pub frame_id: u64,
    /// CLOCK_MONOTONIC in nanoseconds when the server had it decoded.
    pub timestamp_ns: u64,
    /// Its flags.
    pub flags: FrameFlags,
    /// Frames before this one that are not in the recording because the camera overwrote them before they were copied.
    pub overwritten: u64,
    /// Frames before this one that are not in the recording because what it is written to was too slow.
    pub dropped: u64,
}

/// What a camera's server said of itself, or that it said nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamState {
    /// It lives, and frames come.
    Live,
    /// It lives; nobody was attached.
    Idle,
    /// It lives; its source is lost.
    Stalled,
    /// The camera was stopped.
    Stopped,
    /// Another pair took the files' names.
    Replaced,
    /// No sign of life for three seconds.
    ServerGone,
    /// The camera's files were not there.
    Waiting,
    /// The camera's files could not be read.
    Refused,
    /// A number that this version has no name for.
    Other(u32),
}

impl StreamState {
    /// The number in the file.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Live => 1,
            Self::Stalled => 2,
            Self::Stopped => 3,
            Self::Replaced => 4,
            Self::Idle => 5,
            Self::ServerGone => 6,
            Self::Waiting => 7,
            Self::Refused => 8,
            Self::Other(number) => number,
        }
    }

    /// The state behind a number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Live,
            2 => Self::Stalled,
            3 => Self::Stopped,
            4 => Self::Replaced,
            5 => Self::Idle,
            6 => Self::ServerGone,
            7 => Self::Waiting,
            8 => Self::Refused,
            other => Self::Other(other),
        }
    }

    /// The name used in tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
            Self::ServerGone => "server_gone",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Other(_) => "unknown",
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStateChange {
    /// The state from now on.
    pub state: StreamState,
    /// CLOCK_MONOTONIC in nanoseconds when the recorder noticed.
    pub at_ns: u64,
}

/// Why a recorder ended its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// As many frames or seconds as it was asked for.
    Asked,
    /// A signal.
    Signal,
    /// The recording was as large as it may be.
    Size,
    /// No frame came for as long as it was to wait.
    Silence,
    /// A number that this version has no name for.
    Other(u32),
}

impl EndReason {
    /// The number in the file.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Asked => 1,
            Self::Signal => 2,
            Self::Size => 3,
            Self::Silence => 4,
            Self::Other(number) => number,
        }
    }

    /// The reason behind a number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Asked,
            2 => Self::Signal,
            3 => Self::Size,
            4 => Self::Silence,
            other => Self::Other(other),
        }
    }

    /// The name used in tools.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Signal => "signal",
            Self::Size => "size",
            Self::Silence => "silence",
            Self::Other(_) => "unknown",
        }
    }
}

/// The end of a recording that was not broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Frames in the recording.
    pub frames: u64,
    /// Frames that are not in it because the camera overwrote them before they were copied.
    pub overwritten: u64,
    /// Frames that are not in it because what it is written to was too slow.
    pub dropped: u64,
    /// CLOCK_MONOTONIC in nanoseconds.
    pub at_ns: u64,
    /// Why it ended.
    pub reason: EndReason,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its recorder wanted.
    Whole(End),
    /// There is no end: the recorder was killed, the disk was full, or the file was cut. All records before it were whole.
    Cut {
        /// Bytes from the beginning of the recording to the first record that is not whole or not there.
        offset: u64,
    },
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The pictures from here on look like this.
    Section(Section),
    /// A frame; its pixels are in the buffer that the reader was given.
    Frame(FrameInfo),
    /// The state changed.
    State(StreamStateChange),
    /// Nothing follows.
    Ended(Ending),
}
