//! The states of a pair of files and the two sets of flags.

use crate::layout;

/// What the server says of the camera: the word at offset 56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Frames come, or would come if anybody were attached.
    Live,
    /// The source is lost; the server is reconnecting. The newest frame stays readable and grows old.
    Stalled,
    /// The camera was stopped; the files are gone. Unmap, and open again if the camera is still wanted.
    Stopped,
    /// Another pair took these names (new geometry or colour). Unmap and open again.
    Replaced,
    /// A value of a later version: counts as live.
    Other(u32),
}

impl State {
    /// The state behind a word.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        match word {
            layout::STATE_LIVE => Self::Live,
            layout::STATE_STALLED => Self::Stalled,
            layout::STATE_STOPPED => Self::Stopped,
            layout::STATE_REPLACED => Self::Replaced,
            other => Self::Other(other),
        }
    }

    /// The word for this state.
    #[must_use]
    pub const fn to_word(self) -> u32 {
        match self {
            Self::Live => layout::STATE_LIVE,
            Self::Stalled => layout::STATE_STALLED,
            Self::Stopped => layout::STATE_STOPPED,
            Self::Replaced => layout::STATE_REPLACED,
            Self::Other(word) => word,
        }
    }

    /// Whether a reader has to leave this pair: stopped or replaced.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Replaced)
    }

    /// The name used in tools and documents. Unknown values count as live.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live | Self::Other(_) => "live",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Replaced => "replaced",
        }
    }
}

/// Flags of the stream: the word at offset 60. Unknown bits are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StreamFlags(pub u32);

impl StreamFlags {
    /// Nobody is attached; pixels are not being copied.
    pub const IDLE: Self = Self(layout::FLAG_IDLE);

    /// Whether [`StreamFlags::IDLE`] is set.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        self.0 & Self::IDLE.0 != 0
    }
}

/// Flags of one frame: the word at offset 24 of its slot record. Unknown bits are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrameFlags(pub u64);

impl FrameFlags {
    /// The decoder reported loss or concealment in this frame or in one that it refers to.
    pub const DAMAGED: Self = Self(layout::FRAME_FLAG_DAMAGED);

    /// Whether [`FrameFlags::DAMAGED`] is set.
    #[must_use]
    pub const fn is_damaged(self) -> bool {
        self.0 & Self::DAMAGED.0 != 0
    }
}
