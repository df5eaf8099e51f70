//! All that a child reads between clone and exec: plain values, and tables made by its parent.

use super::stack::Stack;
use super::{Limit, ProcessArgs, ProcessGroupMode, ProcessSpec, SpawnError, StartStep, UserIds};
use crate::sys::mark::RunMark;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU64;

/// What its parent keeps alive until the child is gone from its memory.
pub(super) struct Orders<'a> {
    /// Files to try, in this order.
    pub files: &'a [*const c_char],
    /// Both end with a null.
    pub arguments: &'a [*const c_char],
    pub environment: &'a [*const c_char],
    pub descriptors: &'a [(RawFd, RawFd)],
    pub not_default: &'a [i32],
    pub limits: &'a [Limit],
    /// User, group, and all other groups.
    pub user_ids: Option<(Option<u32>, u32, &'a [u32])>,
    pub folder: Option<&'a CStr>,
    pub oom_score: Option<&'a CStr>,
    pub blocked: SigSet,
    pub group: ProcessGroupMode,
    pub outlives_parent: bool,
    pub umask: Option<u32>,
    pub nice: Option<i32>,
    pub soft_open_files: Option<u64>,
    pub mark: Option<RunMark>,
    pub parent: i32,
    pub pid_word: Option<&'a AtomicU64>,
    pub report: Report<'a>,
}

/// The tables that [`Orders`] point to.
pub(super) struct Tables {
    files: Vec<*const c_char>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    descriptors: Vec<(RawFd, RawFd)>,
}

impl Tables {
    /// `copies`: of those descriptors whose numbers others are to get.
    pub(super) fn new(spec: &ProcessSpec, args: &ProcessArgs<'_>, copies: &[Option<OwnedFd>]) -> Tables {
        let ended = |strings: &[CString]| pointers(strings).chain([ptr::null()]).collect();
        let descriptors = args.descriptors.iter().zip(copies);
        Tables {
            files: [spec.file.as_ptr()].into_iter().chain(pointers(&spec.other_files)).collect(),
            arguments: ended(args.arguments),
            environment: ended(args.environment),
            descriptors: descriptors
                .map(|((fd, number), copy)| {
                    (copy.as_ref().map_or(fd.as_raw_fd(), AsRawFd::as_raw_fd), *number)
                })
                .collect(),
        }
    }
}

fn pointers(strings: &[CString]) -> impl Iterator<Item = *const c_char> {
    strings.iter().map(|each| each.as_ptr())
}

impl<'a> Orders<'a> {
    pub(super) fn new(
        spec: &'a ProcessSpec,
        args: &ProcessArgs<'a>,
        tables: &'a Tables,
        not_default: &'a [i32],
        report: Report<'a>,
    ) -> Orders<'a> {
        let ids = |UserIds { user, group, groups }: &'a UserIds| (*user, *group, &groups[..]);
        Orders {
            files: &tables.files,
            arguments: &tables.arguments,
            environment: &tables.environment,
            descriptors: &tables.descriptors,
            not_default,
            limits: &spec.limits,
            user_ids: spec.user_ids.as_ref().map(ids),
            folder: spec.folder.as_deref(),
            oom_score: spec.oom_score.as_deref(),
            blocked: spec.blocked.iter().copied().collect(),
            group: spec.group,
            outlives_parent: spec.outlives_parent,
            umask: spec.umask,
            nice: spec.nice,
            soft_open_files: spec.soft_open_files,
            mark: spec.mark,
            parent: std::process::id().cast_signed(),
            pid_word: args.pid_word,
            report,
        }
    }

    /// The bytes of room that a copy takes, at the most.
    pub(super) fn size(&self) -> usize {
        let string = |string: &CStr| Stack::room_of(string.count_bytes() + 1);
        let tables = [self.files, self.arguments, self.environment];
        let strings = tables.iter().flat_map(|table| table.iter()).filter_map(|&each| target(each));
        let others = self.folder.into_iter().chain(self.oom_score);
        let groups = self.user_ids.map_or(&[][..], |(_, _, groups)| groups);
        strings.chain(others).map(string).sum::<usize>()
            + tables.map(|table| Stack::room_of(size_of_val(table))).iter().sum::<usize>()
            + Stack::room_of(size_of_val(self.descriptors))
            + Stack::room_of(size_of_val(self.not_default))
            + Stack::room_of(size_of_val(self.limits))
            + Stack::room_of(size_of_val(groups))
    }

    /// The same, with all that they point to in `room`, but for the word and the report.
    pub(super) fn copied_into<'r>(&self, room: &'r Stack) -> Orders<'r>
    where
        'a: 'r,
    {
        let table = |strings: &[*const c_char]| {
            let copy = |&string: &_| target(string).map_or(ptr::null(), |string| room.c_str(string).as_ptr());
            let copies: Vec<_> = strings.iter().map(copy).collect();
            room.slice(&copies)
        };
        let (files, arguments, environment) =
            (table(self.files), table(self.arguments), table(self.environment));
        Orders {
            files,
            arguments,
            environment,
            descriptors: room.slice(self.descriptors),
            not_default: room.slice(self.not_default),
            limits: room.slice(self.limits),
            user_ids: self.user_ids.map(|(user, group, groups)| (user, group, room.slice(groups))),
            folder: self.folder.map(|folder| room.c_str(folder)),
            oom_score: self.oom_score.map(|score| room.c_str(score)),
            ..*self
        }
    }
}

fn target<'a>(string: *const c_char) -> Option<&'a CStr> {
    // SAFETY: each pointer of orders is null, or one to a string that lives as long as they.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) })
}

/// How the child leaves word of what failed.
#[derive(Clone, Copy)]
pub(super) enum Report<'a> {
    /// In the parent's memory, which it shares.
    Word(&'a Failure),
    /// In a pipe, as [`StartFailure`](super::StartFailure) is encoded: it has no memory in common with the parent.
    Pipe(RawFd),
}

/// Where a child that shares the parent's memory leaves word of what failed.
#[derive(Default)]
pub(super) struct Failure(Cell<Option<(StartStep, i32)>>);

impl Failure {
    /// By the child.
    pub(super) fn set(&self, step: StartStep, errno: i32) {
        self.0.set(Some((step, errno)));
    }

    pub(super) fn take(&self) -> Option<SpawnError> {
        // Volatile: the compiler can't know that a call to `clone` changes it.
        // SAFETY: reads a live, initialised cell; the child, who alone writes to it, has left this memory.
        let (step, errno) = unsafe { self.0.as_ptr().read_volatile() }?;
        Some(SpawnError { step, errno: Errno::from_raw(errno) })
    }
}
