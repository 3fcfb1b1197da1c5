//! What C sees: structs, constants and results.
#![allow(
    non_camel_case_types,
    reason = "the names are those of the header, so that both can be searched for the same words"
)]

use crate::camera::{Phase, Wrong};
use std::ffi::{c_char, c_void};
use std::sync::Mutex;
use vas_shm_writer::{Color, ColorRange, Exporter, NotExported, PictureFormat};

/// Room for every message that a call may give, its final zero included; longer paths are cut off.
pub const VAS_MESSAGE_SIZE: usize = 1024;

/// Pixels are copied while somebody has the camera's files open, and a few seconds longer: `when` of struct
/// vas_exporter_config.
pub const VAS_WHEN_ATTACHED: u32 = 0;
/// Pixels are copied always.
pub const VAS_WHEN_ALWAYS: u32 = 1;

/// The library's thread says twice a second that the server is alive: `heartbeat` of struct vas_exporter_config.
pub const VAS_HEARTBEAT_THREAD: u32 = 0;
/// The server says so itself, by vas_exporter_beat.
pub const VAS_HEARTBEAT_CALLER: u32 = 1;

/// Something is not exported, or was refused: the level of a message of vas_log.
pub const VAS_LOG_ERROR: u32 = 1;
/// Something is not as it should be, and the export goes on.
pub const VAS_LOG_WARN: u32 = 2;
/// Files were made or removed.
pub const VAS_LOG_INFO: u32 = 3;

/// Frames come: the state of a camera's source.
pub const VAS_SOURCE_LIVE: u32 = 0;
/// The source is lost; the server is trying to get it back.
pub const VAS_SOURCE_STALLED: u32 = 1;

/// Nothing is known of the range; readers take it for limited.
pub const VAS_COLOR_RANGE_UNKNOWN: u8 = 0;
/// 16 to 235 for luma, 16 to 240 for chroma.
pub const VAS_COLOR_RANGE_LIMITED: u8 = 1;
/// 0 to 255, as in JPEG. Say it rather than convert it.
pub const VAS_COLOR_RANGE_FULL: u8 = 2;

/// The decoder reported loss or concealment in this frame or in one that it refers to: a flag of vas_camera_publish.
pub const VAS_FRAME_DAMAGED: u32 = 1;

/// What a call answers: 0 when it did what it says; positive when vas_camera_begin gives no slot, which is no fault of anybody;
/// negative when nothing was done because something is wrong with the call or with what it was made on. A later version may
/// answer what is not listed here: go by the sign.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum vas_result {
    /// Done.
    VAS_OK = 0,
    /// No slot: nobody has the camera's files open. Do not make the picture.
    VAS_IDLE = 1,
    /// No slot: the files for this format are being made. So the first frames of a camera, and of a new format, end.
    VAS_PREPARING = 2,
    /// No slot: the file system has no room for the files. The log has the bytes; it is tried again every few seconds.
    VAS_NO_ROOM = 3,
    /// No slot: another process exports this camera. It is tried again every second.
    VAS_HELD_BY_ANOTHER = 4,
    /// No slot: the base directory, or something in it, cannot be used at the moment. The log has the reason.
    VAS_UNAVAILABLE = 5,
    /// No slot: the exporter was shut down.
    VAS_SHUT_DOWN = 6,
    /// No slot: a reason that this version of the interface has no name for.
    VAS_NOT_EXPORTED = 7,
    /// A pointer is NULL that must not be.
    VAS_ERROR_NULL = -1,
    /// A value is outside of what is allowed; for a picture's size that is 1 to 16384 in both directions.
    VAS_ERROR_ARGUMENT = -2,
    /// There is no slot to fill, publish or abandon: vas_camera_begin was not called, or gave none.
    VAS_ERROR_NO_SLOT = -3,
    /// The camera has a slot that is neither published nor abandoned: that comes first.
    VAS_ERROR_SLOT_HELD = -4,
    /// Another thread is in a call with this camera. Nothing was done.
    VAS_ERROR_BUSY = -5,
    /// The base directory cannot be trusted or used, or the library's thread cannot be started.
    VAS_ERROR_BASE = -6,
    /// This exporter has a camera of that name already.
    VAS_ERROR_DUPLICATE = -7,
    /// A plane does not hold the picture. Nothing was written; the slot is still there.
    VAS_ERROR_PLANE = -8,
    /// A defect of the library: it has panicked. The camera can only be stopped or removed after that.
    VAS_ERROR_PANIC = -9,
}

impl vas_result {
    const ALL: [Self; 17] = [
        Self::VAS_OK,
        Self::VAS_IDLE,
        Self::VAS_PREPARING,
        Self::VAS_NO_ROOM,
        Self::VAS_HELD_BY_ANOTHER,
        Self::VAS_UNAVAILABLE,
        Self::VAS_SHUT_DOWN,
        Self::VAS_NOT_EXPORTED,
        Self::VAS_ERROR_NULL,
        Self::VAS_ERROR_ARGUMENT,
        Self::VAS_ERROR_NO_SLOT,
        Self::VAS_ERROR_SLOT_HELD,
        Self::VAS_ERROR_BUSY,
        Self::VAS_ERROR_BASE,
        Self::VAS_ERROR_DUPLICATE,
        Self::VAS_ERROR_PLANE,
        Self::VAS_ERROR_PANIC,
    ];

    pub(crate) fn of_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|result| *result as i32 == number)
    }

    pub(crate) const fn text(self) -> &'static std::ffi::CStr {
        match self {
            Self::VAS_OK => c"done",
            Self::VAS_IDLE => c"nobody is looking",
            Self::VAS_PREPARING => c"the files are being made",
            Self::VAS_NO_ROOM => c"there is no room for the files",
            Self::VAS_HELD_BY_ANOTHER => c"another process exports this camera",
            Self::VAS_UNAVAILABLE => c"the base directory cannot be used",
            Self::VAS_SHUT_DOWN => c"the exporter was shut down",
            Self::VAS_NOT_EXPORTED => c"the frame is not exported",
            Self::VAS_ERROR_NULL => c"a pointer is NULL that must not be",
            Self::VAS_ERROR_ARGUMENT => c"a value is outside of what is allowed",
            Self::VAS_ERROR_NO_SLOT => {
                c"there is no slot: vas_camera_begin comes first, and has to answer VAS_OK"
            }
            Self::VAS_ERROR_SLOT_HELD => c"the camera has a slot that is neither published nor abandoned",
            Self::VAS_ERROR_BUSY => c"another thread is in a call with this camera",
            Self::VAS_ERROR_BASE => c"the base directory cannot be trusted or used",
            Self::VAS_ERROR_DUPLICATE => c"the exporter has a camera of that name already",
            Self::VAS_ERROR_PLANE => c"a plane does not hold the picture",
            Self::VAS_ERROR_PANIC => c"a defect of the library: it has panicked",
        }
    }
}

impl From<NotExported> for vas_result {
    fn from(why: NotExported) -> Self {
        match why {
            NotExported::Idle => Self::VAS_IDLE,
            NotExported::Preparing => Self::VAS_PREPARING,
            NotExported::NoRoom => Self::VAS_NO_ROOM,
            NotExported::HeldByAnother => Self::VAS_HELD_BY_ANOTHER,
            NotExported::Unavailable => Self::VAS_UNAVAILABLE,
            NotExported::ShutDown => Self::VAS_SHUT_DOWN,
            NotExported::Size => Self::VAS_ERROR_ARGUMENT,
            _ => Self::VAS_NOT_EXPORTED,
        }
    }
}

/// Hears what the writer has to say: once per change of a situation, never per frame. `message` is text in UTF-8 that ends with
/// a zero, and gone after the call.
///
/// It is called by the thread that is in vas_exporter_start, and then by the exporter's own thread until vas_exporter_shutdown
/// is done; never by one that is in another call. It must come back soon (cameras' files and heartbeats wait for it, frames do
/// not), must not call this library, and no C++ exception may leave it.
pub type vas_log = Option<unsafe extern "C" fn(context: *mut c_void, level: u32, message: *const c_char)>;

/// Where and how to export. Set every byte to zero, then `size`, then what is to be other than the default:
///
///     struct vas_exporter_config config = {.size = sizeof config, .base = "/dev/shm/vas"};
///
/// Later versions add members at the end; a program that was compiled with this one goes on as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vas_exporter_config {
    /// sizeof(struct vas_exporter_config).
    pub size: usize,
    /// The base directory, on a tmpfs; NULL: /dev/shm/vas. It is made if missing, the directories above it are not.
    pub base: *const c_char,
    /// Slots per camera, 2 to 8; 0: 3. More give slow readers more time.
    pub slots: u32,
    /// VAS_WHEN_ATTACHED or VAS_WHEN_ALWAYS.
    pub when: u32,
    /// Not 0: the members of the group `group` may read. 0: those of whatever group the directory has.
    pub has_group: u32,
    /// The number of that group.
    pub group: u32,
    /// Hears what this exporter has to say; NULL: nobody. Other exporters of the process are not heard here.
    pub log: vas_log,
    /// Handed to `log`; has to live until vas_exporter_shutdown is done.
    pub log_context: *mut c_void,
    /// The least important level that is heard; 0: VAS_LOG_INFO.
    pub log_level: u32,
    /// VAS_HEARTBEAT_THREAD or VAS_HEARTBEAT_CALLER.
    pub heartbeat: u32,
}

/// What the pictures of a camera look like. A change means new files, so a few frames that are not exported. All zero but the
/// size is a picture of unknown colours.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vas_picture_format {
    /// Luma pixels per row, 1 to 16384.
    pub width: u32,
    /// Luma rows, 1 to 16384.
    pub height: u32,
    /// VAS_COLOR_RANGE_UNKNOWN, VAS_COLOR_RANGE_LIMITED or VAS_COLOR_RANGE_FULL.
    pub color_range: u8,
    /// ITU-T H.273 ColourPrimaries (FFmpeg: color_primaries); 0 or 2: unspecified.
    pub color_primaries: u8,
    /// ITU-T H.273 TransferCharacteristics (FFmpeg: color_trc); 0 or 2: unspecified.
    pub color_transfer: u8,
    /// ITU-T H.273 MatrixCoefficients (FFmpeg: colorspace); 0 or 2: unspecified.
    pub color_matrix: u8,
}

/// H.273's "unspecified".
const UNSPECIFIED: u8 = 2;

impl vas_picture_format {
    pub(crate) fn checked(self) -> Result<PictureFormat, Wrong> {
        let range = match self.color_range {
            VAS_COLOR_RANGE_UNKNOWN => ColorRange::Unknown,
            VAS_COLOR_RANGE_LIMITED => ColorRange::Limited,
            VAS_COLOR_RANGE_FULL => ColorRange::Full,
            _ => return Err(vas_result::VAS_ERROR_ARGUMENT.into()),
        };
        // 0 is reserved in two of the tables, and in the third (GBR) no NV12 picture has it.
        let code = |code| if code == 0 { UNSPECIFIED } else { code };
        let mut color = Color::UNSPECIFIED;
        color.range = range;
        color.primaries = code(self.color_primaries);
        color.transfer = code(self.color_transfer);
        color.matrix = code(self.color_matrix);
        Ok(PictureFormat::new(self.width, self.height, color))
    }
}

/// The two planes of a slot that is being filled, NV12: for code that writes the picture where readers will see it. Write only:
/// what is there may be an older frame. Good until the slot is published or abandoned, or its camera stopped or removed; a
/// write after that spoils another frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vas_planes {
    /// The luma plane: `luma_rows` rows of `luma_row_bytes` bytes.
    pub luma: *mut u8,
    /// The chroma plane: `chroma_rows` rows of `chroma_row_bytes` bytes, Cb and Cr in turn.
    pub chroma: *mut u8,
    /// From one row to the next, in both planes. What lies between a row's end and the next row may be written.
    pub stride_bytes: usize,
    /// As many as the picture has.
    pub luma_rows: usize,
    /// One for each pixel.
    pub luma_row_bytes: usize,
    /// Half of `luma_rows`, rounded up.
    pub chroma_rows: usize,
    /// Two for each two pixels, rounded up.
    pub chroma_row_bytes: usize,
}

/// A plane of a picture in the server's own memory, to be copied from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vas_plane {
    /// The first byte of the first row.
    pub data: *const u8,
    /// Bytes that may be read from there; the last row may end with its visible bytes.
    pub size: usize,
    /// Bytes from one row to the next, at least a row. (A picture that is stored from its bottom up has to be turned around
    /// first.)
    pub stride_bytes: usize,
}

/// What became of a camera's frames. Set `size`; later versions add members at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vas_camera_counters {
    /// sizeof(struct vas_camera_counters).
    pub size: usize,
    /// Frames published.
    pub published: u64,
    /// Frames for which vas_camera_begin gave no slot.
    pub not_exported: u64,
}

/// Exports the cameras of a process under one base directory. Has a thread, which makes, watches and removes the files.
#[derive(Debug)]
pub struct vas_exporter {
    pub(crate) exporter: Exporter,
}

/// The frame path of one camera.
#[derive(Debug)]
pub struct vas_camera {
    pub(crate) phase: Mutex<Phase>,
}
