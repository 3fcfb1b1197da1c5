//! What a camera is doing, and what a call answers when it is doing something else.

use crate::types::{vas_camera, vas_result};
use std::borrow::Cow;
use std::sync::{MutexGuard, TryLockError};
use vas_shm_writer::{Camera, OwnedSlot, PictureFormat};

/// Why a call did nothing: the code, and the sentence for those calls that give one.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) result: vas_result,
    /// `None`: what the code's own text says.
    pub(crate) text: Option<Cow<'static, str>>,
}

impl Wrong {
    pub(crate) fn new(result: vas_result, text: impl Into<Cow<'static, str>>) -> Self {
        Self { result, text: Some(text.into()) }
    }
}

impl From<vas_result> for Wrong {
    fn from(result: vas_result) -> Self {
        Self { result, text: None }
    }
}

/// What a camera is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    Ready(Camera),
    Filling(OwnedSlot),
    /// A call panicked while it had the camera, which is gone.
    Broken,
}

impl Phase {
    /// The camera, while it has no slot.
    pub(crate) fn ready(&mut self) -> Result<&mut Camera, Wrong> {
        match self {
            Self::Ready(camera) => Ok(camera),
            Self::Filling(_) => Err(vas_result::VAS_ERROR_SLOT_HELD.into()),
            Self::Broken => Err(vas_result::VAS_ERROR_PANIC.into()),
        }
    }

    /// The slot that is being filled.
    pub(crate) fn slot(&mut self) -> Result<&mut OwnedSlot, Wrong> {
        match self {
            Self::Filling(slot) => Ok(slot),
            Self::Ready(_) => Err(vas_result::VAS_ERROR_NO_SLOT.into()),
            Self::Broken => Err(vas_result::VAS_ERROR_PANIC.into()),
        }
    }

    /// Takes a slot.
    pub(crate) fn begin(&mut self, format: PictureFormat) -> Result<&mut OwnedSlot, Wrong> {
        self.ready()?;
        let begun = match std::mem::replace(self, Self::Broken) {
            Self::Ready(camera) => camera.into_slot(format),
            // ready() has said otherwise.
            Self::Filling(_) | Self::Broken => return Err(vas_result::VAS_ERROR_PANIC.into()),
        };
        match begun {
            Ok(slot) => {
                *self = Self::Filling(slot);
                self.slot()
            }
            Err((camera, why)) => {
                *self = Self::Ready(camera);
                Err(vas_result::from(why).into())
            }
        }
    }

    /// Takes the slot out; what the work gives back is the camera again.
    pub(crate) fn end<T>(&mut self, work: impl FnOnce(OwnedSlot) -> (Camera, T)) -> Result<T, Wrong> {
        self.slot()?;
        let Self::Filling(slot) = std::mem::replace(self, Self::Broken) else {
            // slot() has said otherwise.
            return Err(vas_result::VAS_ERROR_PANIC.into());
        };
        let (camera, made) = work(slot);
        *self = Self::Ready(camera);
        Ok(made)
    }

    /// The camera, whatever it is doing: for looking only.
    pub(crate) fn look(&self) -> Result<&Camera, Wrong> {
        match self {
            Self::Ready(camera) => Ok(camera),
            Self::Filling(slot) => Ok(slot.camera()),
            Self::Broken => Err(vas_result::VAS_ERROR_PANIC.into()),
        }
    }

    /// Ends it. A slot that is being filled leaves nothing visible.
    pub(crate) fn stop(self, removes_directory: bool) {
        let camera = match self {
            Self::Ready(camera) => camera,
            Self::Filling(slot) => slot.abandon(),
            Self::Broken => return,
        };
        if removes_directory {
            camera.remove();
        }
    }
}

impl vas_camera {
    /// The camera for one call. Waits for nobody: a second thread is told.
    pub(crate) fn enter(&self) -> Result<MutexGuard<'_, Phase>, Wrong> {
        match self.phase.try_lock() {
            Ok(phase) => Ok(phase),
            Err(TryLockError::WouldBlock) => Err(vas_result::VAS_ERROR_BUSY.into()),
            // Whatever a panic left is a phase; one that took the camera away left Broken.
            Err(TryLockError::Poisoned(phase)) => Ok(phase.into_inner()),
        }
    }
}
