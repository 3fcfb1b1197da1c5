//! The exported functions. Their documentation becomes the header's.
#![allow(
    unsafe_code,
    reason = "the one module of this crate that takes C's word for what a pointer leads to"
)]
#![allow(clippy::missing_safety_doc, reason = "what C has to keep is said once, at the top of the header")]

use crate::camera::{Phase, Wrong};
use crate::log::Log;
use crate::types::{
    VAS_FRAME_DAMAGED, VAS_HEARTBEAT_CALLER, VAS_HEARTBEAT_THREAD, VAS_LOG_ERROR, VAS_LOG_INFO, VAS_LOG_WARN,
    VAS_SOURCE_LIVE, VAS_SOURCE_STALLED, VAS_WHEN_ALWAYS, VAS_WHEN_ATTACHED, vas_camera, vas_camera_counters,
    vas_exporter, vas_exporter_config, vas_log, vas_picture_format, vas_plane, vas_planes, vas_result,
};
use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tracing::Level;
use vas_shm_writer::{
    CameraError, CameraId, ExportWhen, Exporter, ExporterConfig, Heartbeat, Plane, RawPlanes, SlotCount,
    SourceState, Stamp,
};

/// By convention, and by the table of the layout.
const DEFAULT_BASE: &CStr = c"/dev/shm/vas";
/// What this version knows of each struct that grows. Once a member is added, programs that were built before it have fewer bytes,
/// and are to be read as if the rest were zeros.
const CONFIG_SIZE: usize = size_of::<vas_exporter_config>();
const COUNTERS_SIZE: usize = size_of::<vas_camera_counters>();
/// No struct will ever have more: a larger `size` was not set. (As of clone3(2), which draws this line at a page.)
const MAX_SIZE: usize = 4096;

// ---- The exporter ---------------------------------------------------------------------------------------------------------

/// Starts an exporter: checks the base directory, removes what killed servers left of cameras that nobody writes now, starts
/// the library's thread. One per process and base directory. `*exporter` is NULL unless this answers VAS_OK.
///
/// `message` has room for `message_size` bytes, VAS_MESSAGE_SIZE are enough; it gets one sentence for a person when this fails,
/// and is empty otherwise. NULL: none is wanted.
///
/// The library's thread blocks all signals but those of faults, so that the server's own threads get them; no handler is
/// installed and none is changed. (When a reader opens the files in the very moment in which the writer looks whether anybody
/// is attached, the kernel sends the process SIGURG, which is ignored unless the server asks for it.)
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_BASE, VAS_ERROR_PANIC. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_exporter_start(
    config: *const vas_exporter_config,
    exporter: *mut *mut vas_exporter,
    message: *mut c_char,
    message_size: usize,
) -> vas_result {
    let message = Message { to: message, size: message_size };
    let work = || {
        // SAFETY: the header asks for NULL or a place for a pointer.
        unsafe { put(exporter, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for NULL or a config of `size` bytes.
        let config = unsafe { read_config(config) }?;
        // SAFETY: handed on to the header.
        let (config, log) = unsafe { checked(&config) }?;
        let started = log.around(|| with_signals_blocked(|| Exporter::start(config)));
        let started = started.map_err(|why| Wrong::new(vas_result::VAS_ERROR_BASE, why.to_string()))?;
        let started = Box::into_raw(Box::new(vas_exporter { exporter: started }));
        // SAFETY: as above.
        unsafe { put(exporter, started) }
    };
    // SAFETY: the header asks for NULL or a buffer of that size.
    unsafe { called(work, &message) }
}

/// Says that the server is alive, if the config says that it does so itself (VAS_HEARTBEAT_CALLER); else nothing comes of it.
/// To be called at least four times a second, by any thread, for instance from the loop that watches the cameras: a server that
/// hangs is then seen to hang. Never waits: a look at the clock and a store.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_PANIC. From any thread, from several at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_exporter_beat(exporter: *const vas_exporter) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or an exporter that was not shut down.
        unsafe { exporter.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?.exporter.beat();
        Ok(())
    })
}

/// Stops the export of every camera: readers are told, files removed, memory given back; ends the library's thread; sets
/// `*exporter` to NULL, so that doing it twice does no harm. Bounded: it waits for files that are just being made, and at most
/// half a second for readers and for slots that are being filled. Its cameras still have to be stopped; they answer
/// VAS_SHUT_DOWN. Hold no lock that the log's function takes: the library's thread may be in it, and is waited for.
///
/// Answers: VAS_OK, VAS_ERROR_PANIC. From any thread, while no other call is made with this exporter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_exporter_shutdown(exporter: *mut *mut vas_exporter) -> vas_result {
    let work = || {
        // SAFETY: the header asks for NULL or the place of a pointer to an exporter, or of NULL.
        let Some(exporter) = (unsafe { taken(exporter) }) else { return Ok(()) };
        exporter.exporter.shutdown();
        Ok(())
    };
    silently(work)
}

// ---- A camera -------------------------------------------------------------------------------------------------------------

/// A camera to export. `camera_id` is 1 to 64 letters, digits, '_' and '-', of which the first is a letter or a digit. Nothing
/// is made on disk before its first frame: only then is the format known. `*camera` is NULL unless this answers VAS_OK.
///
/// `message` as with vas_exporter_start.
///
/// Answers: VAS_OK, VAS_SHUT_DOWN, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_DUPLICATE, VAS_ERROR_PANIC. From any thread,
/// from several at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_add(
    exporter: *const vas_exporter,
    camera_id: *const c_char,
    camera: *mut *mut vas_camera,
    message: *mut c_char,
    message_size: usize,
) -> vas_result {
    let message = Message { to: message, size: message_size };
    let work = || {
        // SAFETY: the header asks for NULL or a place for a pointer.
        unsafe { put(camera, std::ptr::null_mut()) }?;
        // SAFETY: the header asks for NULL or an exporter that was not shut down.
        let exporter = unsafe { exporter.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        // SAFETY: the header asks for NULL or a text that ends with a zero.
        let id = unsafe { text(camera_id) }?;
        let id = id.to_string_lossy();
        let id = CameraId::new(&id).map_err(|why| {
            Wrong::new(vas_result::VAS_ERROR_ARGUMENT, format!("{id:?} is no camera's name: {why}"))
        })?;
        let added = exporter.exporter.camera(id).map_err(|why| {
            let result = match why {
                CameraError::Duplicate(_) => vas_result::VAS_ERROR_DUPLICATE,
                _ => vas_result::VAS_SHUT_DOWN,
            };
            Wrong::new(result, why.to_string())
        })?;
        let added = Box::into_raw(Box::new(vas_camera { phase: Mutex::new(Phase::Ready(added)) }));
        // SAFETY: as above.
        unsafe { put(camera, added) }
    };
    // SAFETY: the header asks for NULL or a buffer of that size.
    unsafe { called(work, &message) }
}

/// Stops the camera: readers are told, its files removed (waited for at most a second), and the camera freed; sets `*camera` to
/// NULL, so that doing it twice does no harm. A slot that is being filled leaves nothing visible. The camera's directory stays,
/// so that a container may go on bind-mounting it. Before or after vas_exporter_shutdown.
///
/// Answers: VAS_OK, VAS_ERROR_BUSY (the camera is as it was), VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_stop(camera: *mut *mut vas_camera) -> vas_result {
    // SAFETY: the header asks for NULL or the place of a pointer to a camera, or of NULL.
    silently(|| unsafe { end(camera, false) })
}

/// As vas_camera_stop, and removes the camera's directory too: for a camera that leaves the configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_remove(camera: *mut *mut vas_camera) -> vas_result {
    // SAFETY: the header asks for NULL or the place of a pointer to a camera, or of NULL.
    silently(|| unsafe { end(camera, true) })
}

/// Tells readers how far apart frames are expected, in nanoseconds; 0: unknown. Never waits; call it on each change.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_set_frame_period(
    camera: *const vas_camera,
    period_ns: u64,
) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        let period = (period_ns > 0).then(|| Duration::from_nanos(period_ns));
        camera.enter()?.ready()?.set_frame_period(period);
        Ok(())
    })
}

/// Tells readers whether the source delivers: VAS_SOURCE_LIVE (as a camera begins) or VAS_SOURCE_STALLED. Never waits; call it
/// on each change, before the frame that follows. Do not hold a slot while you wait for the source, and repeat a call that
/// answered VAS_ERROR_SLOT_HELD or VAS_ERROR_BUSY: until then readers are not told.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_set_source_state(camera: *const vas_camera, state: u32) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        let state = match state {
            VAS_SOURCE_LIVE => SourceState::Live,
            VAS_SOURCE_STALLED => SourceState::Stalled,
            _ => return Err(vas_result::VAS_ERROR_ARGUMENT.into()),
        };
        camera.enter()?.ready()?.set_source_state(state);
        Ok(())
    })
}

/// What became of the camera's frames so far. `counters->size` has to be set; what a later library counts beyond that is left out, what
/// this one does not count is 0.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_get_counters(
    camera: *const vas_camera,
    counters: *mut vas_camera_counters,
) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        let to = counters.cast::<usize>();
        // SAFETY: the header asks for NULL or counters, of which `size` is set.
        let size = *unsafe { to.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        if !(COUNTERS_SIZE..=MAX_SIZE).contains(&size) {
            return Err(vas_result::VAS_ERROR_ARGUMENT.into());
        }
        let counted = camera.enter()?.look()?.counters();
        let counted =
            vas_camera_counters { size, published: counted.published, not_exported: counted.not_exported };
        // SAFETY: there are `size` bytes, as many as this struct has or more; the header asks for memory that may be written.
        unsafe { counters.write(counted) };
        // SAFETY: as above; COUNTERS_SIZE is at most `size`.
        let unknown = unsafe { counters.cast::<u8>().add(COUNTERS_SIZE) };
        // SAFETY: as many bytes as `size` has beyond what this library knows.
        unsafe { unknown.write_bytes(0, size - COUNTERS_SIZE) };
        Ok(())
    })
}

// ---- A frame --------------------------------------------------------------------------------------------------------------

/// Takes a slot for a frame of this format, before its pixels are made: whatever this answers but VAS_OK, nothing needs to be
/// decoded further or converted. After VAS_OK fill the slot, through `*planes` or by vas_camera_write_nv12 or
/// vas_camera_write_yuv420p, then vas_camera_publish or vas_camera_abandon it. `planes` may be NULL if it is not wanted.
///
/// Never waits. While somebody is attached it makes no system call; while nobody is, it makes three. For a format that has no
/// files yet these are asked for, and there is no slot until they are there; a format that comes back before its files were
/// replaced goes on in them.
///
/// Answers: VAS_OK; no slot: VAS_IDLE, VAS_PREPARING, VAS_NO_ROOM, VAS_HELD_BY_ANOTHER, VAS_UNAVAILABLE, VAS_SHUT_DOWN,
/// VAS_NOT_EXPORTED; nothing was done: VAS_ERROR_NULL, VAS_ERROR_ARGUMENT (a size that cannot be exported, a colour range that
/// is none), VAS_ERROR_SLOT_HELD, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_begin(
    camera: *const vas_camera,
    format: *const vas_picture_format,
    planes: *mut vas_planes,
) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        // SAFETY: the header asks for NULL or a format.
        let format = *unsafe { format.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        let mut phase = camera.enter()?;
        let slot = phase.begin(format.checked()?)?;
        if !planes.is_null() {
            // SAFETY: it is not NULL, so by the header it is a place for planes.
            unsafe { put(planes, pointers(&slot.planes())) }?;
        }
        Ok(())
    })
}

/// Copies an NV12 picture into the slot: luma, then Cb and Cr in turn, with any strides. On a failure nothing was written.
///
/// `message` as with vas_exporter_start.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_PLANE, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_write_nv12(
    camera: *const vas_camera,
    luma: *const vas_plane,
    chroma: *const vas_plane,
    message: *mut c_char,
    message_size: usize,
) -> vas_result {
    let message = Message { to: message, size: message_size };
    let work = || {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        // SAFETY: the header asks for NULL or a plane of memory that nobody changes meanwhile; so for the next.
        let luma = unsafe { plane(luma) }?;
        // SAFETY: as above.
        let chroma = unsafe { plane(chroma) }?;
        let written = camera.enter()?.slot()?.write_nv12(luma, chroma);
        written.map_err(|why| Wrong::new(vas_result::VAS_ERROR_PLANE, why.to_string()))
    };
    // SAFETY: the header asks for NULL or a buffer of that size.
    unsafe { called(work, &message) }
}

/// Copies a planar 4:2:0 picture into the slot (FFmpeg: yuv420p, yuvj420p): luma as it is, Cb and Cr interleaved on their way,
/// with any strides. No value is changed, so full range stays full range. On a failure nothing was written.
///
/// `message` as with vas_exporter_start.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_PLANE, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_write_yuv420p(
    camera: *const vas_camera,
    luma: *const vas_plane,
    cb: *const vas_plane,
    cr: *const vas_plane,
    message: *mut c_char,
    message_size: usize,
) -> vas_result {
    let message = Message { to: message, size: message_size };
    let work = || {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        // SAFETY: the header asks for NULL or a plane of memory that nobody changes meanwhile; so for the next two.
        let luma = unsafe { plane(luma) }?;
        // SAFETY: as above.
        let cb = unsafe { plane(cb) }?;
        // SAFETY: as above.
        let cr = unsafe { plane(cr) }?;
        let written = camera.enter()?.slot()?.write_yuv420p(luma, cb, cr);
        written.map_err(|why| Wrong::new(vas_result::VAS_ERROR_PLANE, why.to_string()))
    };
    // SAFETY: the header asks for NULL or a buffer of that size.
    unsafe { called(work, &message) }
}

/// Hands the frame to the readers. `timestamp_ns` is CLOCK_MONOTONIC when the frame was decoded (vas_writer_monotonic_ns),
/// `flags` is 0 or VAS_FRAME_DAMAGED. `*frame_id` gets the frame's number; `frame_id` may be NULL. Never waits, calls nothing,
/// allocates nothing.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_ARGUMENT (an unknown flag; the slot is still there), VAS_ERROR_NO_SLOT,
/// VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_publish(
    camera: *const vas_camera,
    timestamp_ns: u64,
    flags: u32,
    frame_id: *mut u64,
) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        if flags & !VAS_FRAME_DAMAGED != 0 {
            return Err(vas_result::VAS_ERROR_ARGUMENT.into());
        }
        let stamp = Stamp::at(timestamp_ns).damaged(flags & VAS_FRAME_DAMAGED != 0);
        let id = camera.enter()?.end(|slot| slot.publish(stamp))?;
        if !frame_id.is_null() {
            // SAFETY: it is not NULL, so by the header it is a place for a number.
            unsafe { put(frame_id, id.get()) }?;
        }
        Ok(())
    })
}

/// Gives the slot back and leaves nothing visible; the frame's number is for the next one.
///
/// Answers: VAS_OK, VAS_ERROR_NULL, VAS_ERROR_NO_SLOT, VAS_ERROR_BUSY, VAS_ERROR_PANIC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vas_camera_abandon(camera: *const vas_camera) -> vas_result {
    silently(|| {
        // SAFETY: the header asks for NULL or a camera.
        let camera = unsafe { camera.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
        camera.enter()?.end(|slot| (slot.abandon(), ()))
    })
}

// ---- Besides --------------------------------------------------------------------------------------------------------------

/// This process's CLOCK_MONOTONIC in nanoseconds. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn vas_writer_monotonic_ns() -> u64 {
    vas_shm_writer::monotonic_ns()
}

/// The version of this library, such as "0.1.0"; of the bytes that it writes, the header of each camera says the version. For
/// ever.
#[unsafe(no_mangle)]
pub extern "C" fn vas_writer_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// What a result means, for people: a text that stays for ever. For every number, also one that is no result.
#[unsafe(no_mangle)]
pub extern "C" fn vas_result_text(result: i32) -> *const c_char {
    vas_result::of_number(result)
        .map_or(c"a result that this library does not know", vas_result::text)
        .as_ptr()
}

// ---- Between C and Rust ---------------------------------------------------------------------------------------------------

/// Where a call may say in words why it did nothing.
struct Message {
    to: *mut c_char,
    size: usize,
}

impl Message {
    /// As much of the text as there is room for, in whole characters.
    ///
    /// # Safety
    /// `to` is NULL, or `size` bytes from there may be written.
    unsafe fn say(&self, text: &str) {
        let Some(room) = self.size.checked_sub(1).filter(|_| !self.to.is_null()) else { return };
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        // SAFETY: end < size, so that many bytes may be written (caller); a text that was made here is elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.to.cast(), end) };
        // SAFETY: end < size, as above.
        let zero = unsafe { self.to.add(end) };
        // SAFETY: as above.
        unsafe { zero.write(0) };
    }
}

/// Does the work of a call. No panic leaves it.
fn caught(work: impl FnOnce() -> Result<(), Wrong>) -> Result<(), Wrong> {
    // Whatever the work was doing to a camera, it left a phase behind (camera.rs).
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(vas_result::VAS_ERROR_PANIC.into()))
}

/// A call that answers by its code alone.
fn silently(work: impl FnOnce() -> Result<(), Wrong>) -> vas_result {
    caught(work).map_or_else(|wrong| wrong.result, |()| vas_result::VAS_OK)
}

/// A call with a message.
///
/// # Safety
/// The message's place is NULL, or there is room for as many bytes as it says.
unsafe fn called(work: impl FnOnce() -> Result<(), Wrong>, message: &Message) -> vas_result {
    let (result, text) = match caught(work) {
        Ok(()) => (vas_result::VAS_OK, "".into()),
        Err(Wrong { result, text }) => (result, text.unwrap_or_else(|| result.text().to_string_lossy())),
    };
    // SAFETY: handed on to the caller.
    unsafe { message.say(&text) };
    result
}

/// Gives C a value. What stands in its place before may be nothing at all, so no reference to it is made.
///
/// # Safety
/// NULL, or a place for such a value.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Wrong> {
    if place.is_null() {
        return Err(vas_result::VAS_ERROR_NULL.into());
    }
    // SAFETY: not NULL, so it is such a place (caller).
    unsafe { place.write(value) };
    Ok(())
}

/// A text of C.
///
/// # Safety
/// NULL, or a text that ends with a zero and stays as it is for `'t`.
unsafe fn text<'t>(from: *const c_char) -> Result<&'t CStr, Wrong> {
    if from.is_null() {
        return Err(vas_result::VAS_ERROR_NULL.into());
    }
    // SAFETY: not NULL, so it is such a text (caller).
    Ok(unsafe { CStr::from_ptr(from) })
}

/// A plane of C.
///
/// # Safety
/// NULL, or a plane whose `data` is NULL or leads to `size` bytes that stay as they are for `'p`.
unsafe fn plane<'p>(from: *const vas_plane) -> Result<Plane<'p>, Wrong> {
    // SAFETY: NULL or a plane (caller).
    let vas_plane { data, size, stride_bytes } =
        *unsafe { from.as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
    if data.is_null() {
        return Err(vas_result::VAS_ERROR_NULL.into());
    }
    if size > isize::MAX as usize {
        let text =
            format!("the plane has {size} bytes, more than there is memory; is that a negative number?");
        return Err(Wrong::new(vas_result::VAS_ERROR_PLANE, text));
    }
    // SAFETY: not NULL, and `size` bytes, not too many for a slice, stay as they are for 'p (caller).
    Ok(Plane::new(unsafe { std::slice::from_raw_parts(data, size) }, stride_bytes))
}

/// A config of this version or another: members that the caller does not know are zero, and those that this library does not
/// know have to be, or it would not do what was asked for. (So do the kernel's structs that grow, clone3(2) for one.)
///
/// # Safety
/// NULL, or a config of as many bytes as its `size` says.
unsafe fn read_config(from: *const vas_exporter_config) -> Result<vas_exporter_config, Wrong> {
    // SAFETY: NULL or a config, whose first member this is (caller).
    let size = *unsafe { from.cast::<usize>().as_ref() }.ok_or(vas_result::VAS_ERROR_NULL)?;
    if !(CONFIG_SIZE..=MAX_SIZE).contains(&size) {
        let text = format!("the config's size is {size}, it has to be sizeof(struct vas_exporter_config)");
        return Err(Wrong::new(vas_result::VAS_ERROR_ARGUMENT, text));
    }
    for at in CONFIG_SIZE..size {
        // SAFETY: at < size, and so many bytes are there (caller).
        let byte = unsafe { from.cast::<u8>().add(at) };
        // SAFETY: as above.
        if unsafe { byte.read() } != 0 {
            let text = format!(
                "the config's byte {at} is set, this library, version {}, knows {CONFIG_SIZE} bytes: use a newer one, or leave out what it does not know",
                env!("CARGO_PKG_VERSION")
            );
            return Err(Wrong::new(vas_result::VAS_ERROR_ARGUMENT, text));
        }
    }
    // SAFETY: as many bytes as this struct has are there; each of its members may have any value.
    Ok(unsafe { from.read() })
}

/// What a config asks for.
///
/// # Safety
/// `base` is NULL or a text that ends with a zero; `log` may be called with `log_context` as the header says.
unsafe fn checked(config: &vas_exporter_config) -> Result<(ExporterConfig, Log), Wrong> {
    let wrong = |text: String| Wrong::new(vas_result::VAS_ERROR_ARGUMENT, text);
    // SAFETY: not NULL, so it is such a text (caller).
    let base = if config.base.is_null() { DEFAULT_BASE } else { unsafe { text(config.base) }? };
    let when = match config.when {
        VAS_WHEN_ATTACHED => ExportWhen::Attached,
        VAS_WHEN_ALWAYS => ExportWhen::Always,
        other => return Err(wrong(format!("the config's `when` is {other}, there is no such constant"))),
    };
    let level = match config.log_level {
        VAS_LOG_ERROR => Level::ERROR,
        VAS_LOG_WARN => Level::WARN,
        0 | VAS_LOG_INFO => Level::INFO,
        other => return Err(wrong(format!("the config's `log_level` is {other}, there is no such level"))),
    };
    let heartbeat = match config.heartbeat {
        VAS_HEARTBEAT_THREAD => Heartbeat::Thread,
        VAS_HEARTBEAT_CALLER => Heartbeat::Caller,
        other => {
            return Err(wrong(format!("the config's `heartbeat` is {other}, there is no such constant")));
        }
    };
    let base = Path::new(OsStr::from_bytes(base.to_bytes()));
    let mut to = ExporterConfig::new(base).when(when).heartbeat(heartbeat);
    if config.slots != 0 {
        let slots =
            SlotCount::new(config.slots).map_err(|why| wrong(format!("the config's `slots`: {why}")))?;
        to = to.slots(slots);
    }
    to = to.group((config.has_group != 0).then_some(config.group));
    let listener = Listener::new(config.log, config.log_context);
    Ok((to, Log::new(listener, level)))
}

/// Takes an object out of its place, where NULL stays.
///
/// # Safety
/// NULL, or the place of NULL or of a pointer that `Box::into_raw` gave and nobody else uses.
unsafe fn taken<T>(place: *mut *mut T) -> Option<Box<T>> {
    // SAFETY: NULL or a place for a pointer (caller).
    let place = unsafe { place.as_mut() }?;
    let object = std::mem::replace(place, std::ptr::null_mut());
    // SAFETY: not NULL, so it came from a box (caller), and nobody finds it there again.
    (!object.is_null()).then(|| unsafe { Box::from_raw(object) })
}

/// Stops a camera and frees it.
///
/// # Safety
/// As [`taken`].
unsafe fn end(place: *mut *mut vas_camera, removes_directory: bool) -> Result<(), Wrong> {
    // SAFETY: NULL or a place for a pointer (caller).
    let camera = unsafe { place.as_ref() }.copied().unwrap_or(std::ptr::null_mut());
    // SAFETY: NULL or a camera (caller).
    let Some(camera) = (unsafe { camera.as_ref() }) else { return Ok(()) };
    // As far as can be known: freed under another thread's call it would be gone for that.
    drop(camera.enter()?);
    // SAFETY: handed on to the caller.
    let Some(camera) = (unsafe { taken(place) }) else { return Ok(()) };
    let phase = camera.phase.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    phase.stop(removes_directory);
    Ok(())
}

fn pointers(planes: &RawPlanes<'_>) -> vas_planes {
    let picture = planes.picture();
    vas_planes {
        luma: planes.luma_ptr(),
        chroma: planes.chroma_ptr(),
        stride_bytes: picture.stride_bytes() as usize,
        luma_rows: picture.height() as usize,
        luma_row_bytes: picture.width() as usize,
        chroma_rows: picture.chroma_rows() as usize,
        chroma_row_bytes: picture.chroma_row_bytes() as usize,
    }
}

/// A C function that hears events.
pub(crate) struct Listener {
    call: unsafe extern "C" fn(context: *mut c_void, level: u32, message: *const c_char),
    context: *mut c_void,
}

// SAFETY: nothing is done with the context but handing it to the function, which the header says is called from two threads.
unsafe impl Send for Listener {}
// SAFETY: as above; tracing shares a subscriber between threads.
unsafe impl Sync for Listener {}

impl Listener {
    fn new(call: vas_log, context: *mut c_void) -> Option<Self> {
        call.map(|call| Self { call, context })
    }

    pub(crate) fn tell(&self, level: Level, mut text: String) {
        text.retain(|c| c != '\0');
        let Ok(text) = CString::new(text) else { return };
        let level = match level {
            Level::ERROR => VAS_LOG_ERROR,
            Level::WARN => VAS_LOG_WARN,
            _ => VAS_LOG_INFO,
        };
        // SAFETY: the header asks for a function that takes these, and for a context that lives as long as the exporter,
        // whose events alone come here.
        unsafe { (self.call)(self.context, level, text.as_ptr()) };
    }
}

/// Does some work with the signals of this thread blocked, those of faults apart; a thread that it starts goes on like that.
/// The signals of a process go to any thread that takes them, and a server that waits for one has to be the one that gets it.
fn with_signals_blocked<R>(work: impl FnOnce() -> R) -> R {
    let faults =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGABRT];
    let mut blocked = std::mem::MaybeUninit::uninit();
    // SAFETY: fills in the set that it is given.
    unsafe { libc::sigfillset(blocked.as_mut_ptr()) };
    // SAFETY: sigfillset cannot fail for a set of its own type, and has filled it in.
    let mut blocked: libc::sigset_t = unsafe { blocked.assume_init() };
    for fault in faults {
        // SAFETY: a set that was filled in, and a signal that there is.
        unsafe { libc::sigdelset(&mut blocked, fault) };
    }
    let mask = |how, set: &libc::sigset_t, old: *mut libc::sigset_t| {
        // SAFETY: both sets are sets, or the second is NULL; the mask is that of this thread alone.
        unsafe { libc::pthread_sigmask(how, set, old) }
    };
    let mut before = blocked;
    let is_blocked = mask(libc::SIG_SETMASK, &blocked, &mut before) == 0;
    let result = work();
    if is_blocked {
        mask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_panic_leaves_a_call_and_it_is_told_from_other_failures() {
        assert_eq!(silently(|| panic!("on purpose")), vas_result::VAS_ERROR_PANIC);
        assert_eq!(silently(|| Ok(())), vas_result::VAS_OK);
    }

    #[test]
    fn a_message_that_is_too_long_ends_with_a_whole_character_and_a_zero() {
        let said = |room: usize| {
            let mut bytes = vec![b'#' as c_char; 8];
            let message = Message { to: bytes.as_mut_ptr(), size: room };
            // SAFETY: room is 8 at most.
            unsafe { message.say("aé€") };
            bytes.into_iter().map(|byte| byte as u8).collect::<Vec<_>>()
        };
        assert_eq!(said(0), b"########");
        assert_eq!(said(1), b"\0#######");
        assert_eq!(said(3), b"a\0######");
        assert_eq!(said(4), "aé\0####".as_bytes());
        assert_eq!(said(7), "aé€\0#".as_bytes());
        // SAFETY: NULL is allowed.
        unsafe { Message { to: std::ptr::null_mut(), size: 8 }.say("a") };
    }

    #[test]
    fn every_result_has_a_text_of_its_own() {
        let mut texts: Vec<_> =
            (-9..=7).map(|number| vas_result::of_number(number).unwrap().text()).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 17);
        assert_eq!(vas_result::of_number(8), None);
    }
}
