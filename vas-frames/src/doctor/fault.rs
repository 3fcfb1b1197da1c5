//! Everything that the doctor can find, by its name.
//!
//! A name is for programs and for searching in the manual: once published it keeps its meaning.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Somebody gets no picture because of it, or the server exports none.
    Error,
    /// Pictures come, and something is not as it should be, or will fail later.
    Warning,
}

impl Severity {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! faults {
    ($($fault:ident $name:literal $severity:ident $meaning:literal)+) => {
        /// One kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault {
            $(#[doc = $meaning] $fault,)+
        }

        impl Fault {
            /// Every kind, in the order of the manual.
            pub(super) const ALL: &[Self] = &[$(Self::$fault,)+];

            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)+ }
            }

            pub(super) const fn severity(self) -> Severity {
                match self { $(Self::$fault => Severity::$severity,)+ }
            }

            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$fault => $meaning,)+ }
            }
        }
    };
}

faults! {
    BaseMissing "base-missing" Error "the base directory is not there: no server exports under it"
    BaseNotDirectory "base-not-directory" Error "the base directory's name is a symbolic link, a file or something else"
    NotABase "not-a-base" Error "the base directory that was named holds something else than cameras"
    BaseNotTmpfs "base-not-tmpfs" Error "the base directory is not on a tmpfs; the server refuses it"
    BaseWritable "base-writable" Error "others than its owner may write in the base directory; the server refuses it"
    BaseRemoved "base-removed" Error "the base directory that is mounted here was removed on the host"
    BaseNotSetgid "base-not-setgid" Warning "the base directory has a readers' group and does not hand it on to new cameras"
    CallerNotInGroup "caller-not-in-group" Error "the caller is not in the group that may read"
    GroupNeedsLogin "group-needs-login" Error "the caller was put into the group, and logged in before that"
    NoGroupAccess "no-group-access" Error "the mode of a directory or file keeps the readers' group out"
    AccessDenied "access-denied" Error "something on the way keeps the caller out, for another reason"
    ForeignOwner "foreign-owner" Error "the base directory, or something beneath it, belongs to another user than the server"
    WrongGroup "wrong-group" Error "a camera's directory or file has another group than the base directory"
    DirectoryWritable "directory-writable" Error "others than its owner may write in a camera's directory; the server refuses it"
    DirectoryMode "directory-mode" Warning "a camera's directory lacks the set-group-id bit, or lets everybody in"
    FileMode "file-mode" Warning "the mode of a camera's file is not 0640"
    SquattedCamera "squatted-camera" Error "where a camera's directory belongs there is something else"
    SquattedFile "squatted-file" Error "where a camera's file belongs there is something else"
    SquattedLock "squatted-lock" Error "where a lock of the server belongs there is something else"
    ForeignEntry "foreign-entry" Warning "something beneath the base directory that the server did not make"
    NoCameras "no-cameras" Warning "the base directory holds no camera"
    CameraMissing "camera-missing" Error "the camera has no directory"
    CameraNotExported "camera-not-exported" Warning "the camera's directory is empty: nothing is exported at this time"
    CameraStalled "camera-stalled" Warning "the server lives, and has lost the camera"
    HalfPair "half-pair" Error "one of the camera's two files is not there"
    MixedPair "mixed-pair" Error "the camera's two files belong to different pairs"
    HeaderRefused "header-refused" Error "a field of the camera's header is out of bounds"
    CameraUnreadable "camera-unreadable" Error "the kernel does not let the camera's files be read, for another reason"
    StalePair "stale-pair" Error "the camera's files are there and their server is gone"
    ServerHangs "server-hangs" Error "the server holds the camera, and gives no sign of life"
    ServerSilent "server-silent" Error "the camera gives no sign of life, and who holds it cannot be seen from here"
    ShmTooSmall "shm-too-small" Warning "the file system has no room for another pair of the largest camera"
    ShmNoInodes "shm-no-inodes" Warning "the file system takes hardly any further file"
    ContainerPrivateShm "container-private-shm" Error "this container has a /dev/shm of its own, without cameras"
    ContainerUserNamespace "container-user-namespace" Error "the readers' group has no number in this container's user namespace"
    UnitRemovesBase "unit-removes-base" Error "an option of the server's unit removes its files when it stops"
    UnitHidesBase "unit-hides-base" Error "an option of the server's unit puts another /dev/shm before it"
    UnitReadOnlyBase "unit-read-only-base" Error "the server's unit may not write where the base directory is"
    UnitPrivateUsers "unit-private-users" Error "an option of the server's unit takes the readers' group away"
    UnitRestrictsSetgid "unit-restricts-setgid" Warning "an option of the server's unit forbids the set-group-id bit"
    LogindRemovesBase "logind-removes-base" Warning "logind removes the server's files when its user logs out"
}
