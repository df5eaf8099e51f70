//! How far a run is: what it is busy with beside its work.

use super::ids::RequestId;
use super::reason::StopCause;
use super::restart::Stopping;
use std::time::Instant;

/// How far the run is.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// All is as wanted, or nothing is wanted yet.
    #[default]
    Steady,
    /// On the way from one pipeline to another.
    Reloading(Reload),
    /// It ends before its work is through.
    Stopping(Stop),
    /// Nothing is decided any more.
    Over,
}

/// A way from one pipeline to another, not yet at its end.
#[derive(Debug)]
pub(super) struct Reload {
    pub since: Instant,
    /// Back to what ran before: there is nothing further to go back to.
    pub back: bool,
    /// When a removed stage must have worked off its input.
    pub until: Option<Instant>,
    /// The queues that go have been asked for.
    pub removing: bool,
}

/// A stop under way.
#[derive(Debug)]
pub(super) struct Stop {
    pub cause: StopCause,
    /// `Draining` or `Killing`.
    pub phase: Stopping,
    /// When the draining has taken long enough; `None`: it may take any time.
    pub until: Option<Instant>,
    /// The last SIGINT that counted.
    pub interrupted: Option<Instant>,
}

impl Phase {
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Phase::Over)
    }

    pub(super) fn reload(&self) -> Option<&Reload> {
        if let Phase::Reloading(reload) = self { Some(reload) } else { None }
    }

    pub(super) fn reload_mut(&mut self) -> Option<&mut Reload> {
        if let Phase::Reloading(reload) = self { Some(reload) } else { None }
    }

    pub(super) fn stop(&self) -> Option<&Stop> {
        if let Phase::Stopping(stop) = self { Some(stop) } else { None }
    }

    pub(super) fn stop_mut(&mut self) -> Option<&mut Stop> {
        if let Phase::Stopping(stop) = self { Some(stop) } else { None }
    }
}

/// A change of programs under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// The request to answer, if a client waits.
    pub request: Option<RequestId>,
    pub since: Instant,
    pub phase: UpgradePhase,
}

/// How far a change of programs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpgradePhase {
    /// Something else may have to end first: a reload, workers that leave.
    Requested,
    /// The program on the disk is tried.
    Preflight,
    /// It can go on from here.
    Ready,
    /// Something came in first. Much of what comes is answered without an event, so there is a time to try again.
    Interrupted { again: Instant },
}
