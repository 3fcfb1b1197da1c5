//! The JSON beside every pair of conformance files: what the files are, and what a reader has to say of them.
//!
//! `vas-shm-proto/conformance/README.md` describes every field for people who write a harness of their own.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 64-bit number, a decimal string in JSON: many languages read JSON's numbers as doubles, which end at 53 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Big(pub u64);

impl Big {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Big {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Big {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// One vector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Folder and name, such as `accept/picture-33x17`.
    pub name: String,
    /// What it is about, one sentence.
    pub about: String,
    /// The clauses of `PROTOCOL.md` that it proves.
    pub clauses: Vec<String>,
    /// The camera's id, or what is none, that the reader is started with.
    #[serde(default = "vector", skip_serializing_if = "is_vector")]
    pub camera: String,
    /// Whether the camera's directory is there at all.
    #[serde(default, skip_serializing_if = "Directory::is_present")]
    pub directory: Directory,
    /// What stands under the name `frame.meta`.
    pub meta: File,
    /// What stands under the name `frame.data`.
    pub data: File,
    /// What `fstat` is to say of `frame.data` where the files are only bytes; the stored header was made for it.
    pub data_inode: Big,
    /// What the header's `data_inode` differs in from the real one: 0 unless the pair is a mixed one.
    #[serde(default, skip_serializing_if = "Big::is_zero")]
    pub data_inode_xor: Big,
    /// The answer of an open.
    pub open: Open,
    /// The decoded header, if the answer is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Fields>,
    /// Every frame that stands and that a reader may ask for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
    /// What the newest frame is, if the answer is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// A conversation after another open: what a writer stores, and what the reader says then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

/// The camera that a vector is staged as unless it says another.
const CAMERA: &str = "vector";

pub(crate) fn vector() -> String {
    CAMERA.to_owned()
}

fn is_vector(camera: &String) -> bool {
    camera == CAMERA
}

/// Whether the camera's directory is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directory {
    /// It is.
    #[default]
    Present,
    /// It is not; the base directory is.
    Missing,
}

impl Directory {
    fn is_present(&self) -> bool {
        *self == Self::Present
    }
}

/// What stands under a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes. The stored file may be shorter: the rest are zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A regular file.
    Regular,
    /// Nothing.
    Missing,
    /// A FIFO without a writer.
    Fifo,
    /// A symbolic link to a regular file with the stored bytes.
    Symlink,
    /// A directory.
    Directory,
    /// A regular file with the stored bytes on which the writer has a lease at this moment (IDLE-4).
    Leased,
    /// A regular file with the stored bytes that the reader must not open (mode 0000).
    Unreadable,
}

impl Kind {
    /// Whether bytes are stored for it.
    #[must_use]
    pub fn has_bytes(self) -> bool {
        matches!(self, Self::Regular | Self::Symlink | Self::Unreadable | Self::Leased)
    }
}

/// The answer of an open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Open {
    /// Mapped and checked.
    Ready,
    /// A state that passes.
    NotThereYet {
        /// `missing`, `busy`, `mixed_pair`, `stopped` or `replaced`.
        reason: String,
    },
    /// Not to be read.
    Refused {
        /// The row of the header's table, or `frame.meta`, `frame.data` for the file itself.
        field: String,
        /// The value found.
        value: String,
        /// What it has to be.
        bound: String,
    },
    /// Nothing is opened, as the camera's id is none: the probe ends at once with exit code 2.
    NoCameraId,
}

/// The constants of a header that was accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the rows of the header's table")]
pub struct Fields {
    pub version: u32,
    pub header_size: u32,
    pub width: u32,
    pub height: u32,
    pub pixel_format: u32,
    pub stride: u32,
    pub data_size: Big,
    pub uv_offset: Big,
    pub slot_count: u32,
    /// As a reader takes it: an unknown one is 0.
    pub color_range: u8,
    pub color_primaries: u8,
    pub color_transfer: u8,
    pub color_matrix: u8,
    pub data_file_size: Big,
    pub data_inode: Big,
    pub generation: Big,
}

/// A frame that stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// Its number.
    pub id: Big,
    /// The slot it is in, for people who look at the files.
    pub slot: u32,
    /// Its time.
    pub timestamp_ns: Big,
    /// Its flags, unknown bits included.
    pub flags: Big,
    /// SHA-256 of `height` rows of `width` bytes.
    pub luma_sha256: String,
    /// SHA-256 of `ceil(height / 2)` rows of `2 * ceil(width / 2)` bytes.
    pub chroma_sha256: String,
}

/// What the newest frame is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latest {
    /// This one of `frames`.
    Frame(Big),
    /// There is none.
    Nothing,
}

/// One step of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Step {
    /// The writer stores a word into `frame.meta`.
    Store {
        /// What and where.
        store: Store,
    },
    /// The writer fills bytes of `frame.data`.
    Fill {
        /// What and where.
        fill: Fill,
    },
    /// The files of another vector take the names, `frame.data` first, by renaming.
    RenamePair {
        /// The other vector's name.
        rename_pair: String,
    },
    /// A name goes away.
    Unlink {
        /// `meta` or `data`.
        unlink: String,
    },
    /// The pixels of the held frame.
    Planes {
        /// SHA-256 of the packed luma plane.
        luma_sha256: String,
        /// SHA-256 of the packed chroma plane.
        chroma_sha256: String,
    },
    /// The header, which has to be that of another vector.
    Header {
        /// The other vector's name.
        header_of: String,
    },
    /// A command for the reader, and its answer.
    Do {
        /// The command.
        #[serde(rename = "do")]
        command: String,
        /// The answer.
        expect: String,
    },
}

/// A word that the writer stores.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Bytes from the start of `frame.meta`.
    pub offset: u32,
    /// A word of 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u32: Option<u32>,
    /// A word of 64 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u64: Option<Big>,
}

/// Bytes that the writer fills.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Bytes from the start of `frame.data`.
    pub offset: u32,
    /// How many.
    pub bytes: u32,
    /// With what.
    pub byte: u8,
}

impl Case {
    /// As it stands in the `.json` file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a case has only strings for keys");
        text.push('\n');
        text
    }
}

impl Fields {
    /// The line that a probe answers to `header`.
    #[must_use]
    pub fn line(&self) -> String {
        let Self {
            version,
            header_size,
            width,
            height,
            pixel_format,
            stride,
            data_size: Big(data_size),
            uv_offset: Big(uv_offset),
            slot_count,
            color_range,
            color_primaries,
            color_transfer,
            color_matrix,
            data_file_size: Big(data_file_size),
            data_inode: Big(data_inode),
            generation: Big(generation),
        } = self;
        format!(
            "version={version} header_size={header_size} width={width} height={height} pixel_format={pixel_format} \
             stride={stride} data_size={data_size} uv_offset={uv_offset} slot_count={slot_count} \
             color_range={color_range} color_primaries={color_primaries} color_transfer={color_transfer} \
             color_matrix={color_matrix} data_file_size={data_file_size} data_inode={data_inode} \
             generation={generation}"
        )
    }
}

impl Frame {
    /// The line that a probe answers when it hands this frame out.
    #[must_use]
    pub fn line(&self) -> String {
        format!("frame {} {} {}", self.id.0, self.timestamp_ns.0, self.flags.0)
    }
}

impl Open {
    /// The line that a probe answers to `open`.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::NotThereYet { reason } => format!("not_there_yet {reason}"),
            Self::Refused { field, .. } => format!("refused {field}"),
            Self::NoCameraId => "error this is no camera id".to_owned(),
        }
    }
}
