//! Every change of the algorithm that is tried: mutants, which have to be caught, and equivalents, which have to pass.
//!
//! Most are made beneath the production code, by words that leave a fence out or weaken an access. Those that change the
//! order of steps are made in [`crate::roles`], by calling the production code in another order.

/// What is different from the algorithm as shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,

    /// PUB-2 left out where a slot is claimed.
    NoFence2,
    /// PUB-1 as a release store, PUB-2 left out.
    ClaimByReleaseStore,
    /// The slot is claimed after its pixels were stored.
    ClaimAfterPixels,
    /// PUB-1 left out: pixels are stored into a slot that readers still hold for whole.
    NoClaim,
    /// PUB-4 and PUB-6 both relaxed.
    CompleteAndPublishRelaxed,
    /// PUB-4 and PUB-6 before the pixels.
    PublishBeforePixels,
    /// PUB-6 before PUB-4.
    PublishBeforeComplete,
    /// A claim that is dropped puts the old number back.
    DroppedClaimPutsNumberBack,
    /// A number is given to two frames.
    NumberUsedTwice,
    /// Frame 3 is exported before frame 2.
    NumbersGoBack,
    /// PUB-10 without its fence.
    WithdrawWithoutFence,
    /// Pixels are given back before PUB-10.
    PixelsGivenBackFirst,
    /// Going idle without PUB-10.
    IdleWithoutWithdraw,
    /// The idle flag is cleared before the first new frame is published.
    IdleClearedFirst,
    /// The state `replaced` before the successor is visible.
    ReplacedBeforeSuccessor,
    /// The state stored relaxed.
    StateRelaxed,
    /// A frame is published after the state said that the pair is over.
    PublishAfterStop,

    /// READ-3 left out.
    NoFence3,
    /// READ-5 left out.
    NoFence5,
    /// READ-6 left out.
    NoCheck6,
    /// READ-6 as an acquire load, READ-5 left out.
    Check6ByAcquireLoad,
    /// READ-5 and READ-6 before the pixels are read.
    CheckBeforePixels,
    /// The frame's time taken from the mirror.
    TimeFromMirror,
    /// Every store a release store, every load of a word an acquire load, and no fence.
    AcquireReleaseNoFences,

    /// PUB-4 relaxed, PUB-6 released.
    CompleteRelaxed,
    /// PUB-6 relaxed, PUB-4 released.
    PublishRelaxed,
    /// READ-1 and READ-2 as acquire loads, READ-3 left out. (READ-12 says why it is not done.)
    FindByAcquireLoads,
    /// Every fence sequentially consistent.
    SeqCstFences,
    /// PUB-5 after PUB-6.
    MirrorLast,
}
