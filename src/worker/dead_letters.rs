//! What fails: an item is tried again, or becomes a dead letter; what is too long for an item is a dead letter at once.

use super::context::WorkerContext;
use super::stop::Stop;
use crate::dead_letter::{self, Cause, DeadLetter};
use crate::item::Shown;
use crate::model::{ItemFailure, Tuning};
use crate::queue::{Delay, Ending, Failed, Waiting};
use crate::stage::{Failure, Reach, TooLong};
use std::time::{Duration, Instant, SystemTime};

/// How long a letter that can't be written waits for the next try: doubled from the one to the other.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// That it still waits is said again after this.
const REPEAT_REPORT: Duration = Duration::from_secs(60);

/// Why an item failed, and the last stderr lines of its program.
pub(super) struct Reason<'a> {
    pub text: String,
    pub cause: Cause,
    pub stderr: &'a [String],
}

/// Ends lease `i`, whose item a built-in stage could not process.
pub(super) fn fail(worker: &mut WorkerContext, i: usize, failure: &Failure) -> Result<(), Stop> {
    let text = failure.to_string();
    let reason = Reason { cause: Cause::Error(text.clone()), text, stderr: &[] };
    fail_with(worker, i, item_failure(failure.reach()).unwrap_or(ItemFailure::Charged), reason)
}

/// What a built-in's failure means for the item; `None`: it is not the item's.
pub(super) fn item_failure(reach: Reach) -> Option<ItemFailure> {
    match reach {
        Reach::Item => Some(ItemFailure::Charged),
        Reach::Later => Some(ItemFailure::Later),
        Reach::Rejected => Some(ItemFailure::Never),
        Reach::NotYet | Reach::Worker | Reach::Never | Reach::OutputClosed | Reach::Ordered => None,
    }
}

/// Ends lease `i`, whose attempt has not succeeded: back to its queue, or as a dead letter.
pub(super) fn fail_with(
    worker: &mut WorkerContext,
    i: usize,
    failure: ItemFailure,
    reason: Reason<'_>,
) -> Result<(), Stop> {
    fail_with_outputs(worker, i, failure, reason, None).map(drop)
}

/// Publishes the outputs of a failed item, and commits its lease, which is the first one.
pub(super) type Outputs<'a> = &'a dyn Fn(&mut WorkerContext) -> Result<(), Stop>;

/// [`fail_with`] for an item whose outputs are published even if it becomes a dead letter. Returns whether it has become one.
/// Every failed lease ends in this function.
pub(super) fn fail_with_outputs(
    worker: &mut WorkerContext,
    i: usize,
    failure: ItemFailure,
    reason: Reason<'_>,
    outputs: Option<Outputs<'_>>,
) -> Result<bool, Stop> {
    let tuning @ Tuning { attempts, .. } = worker.live.tuning;
    let lease = worker.queues.item(i)?;
    let (item, attempt) = (Shown(lease.bytes), lease.attempt);
    let why = &reason.text;
    match failure {
        ItemFailure::Later => {
            log::info!("{}", put_off(worker, i, Duration::ZERO, why)?);
            Ok(false)
        }
        ItemFailure::Charged => {
            let item = item.to_string();
            match worker.queues.fail(i, true, &tuning, why)? {
                Failed::Again { delay, charged, failing } => {
                    let counts = match (charged, failing) {
                        (true, _) if attempt < attempts => format!("attempt {attempt} of {attempts}"),
                        (true, _) => format!("attempt {attempt}, and no other item was done since its first"),
                        (false, _) => "not charged: the stage is failing".to_owned(),
                    };
                    let again = if failing { String::new() } else { again(delay) };
                    log::warn!("`{item}` failed ({counts}): {why}{again}");
                    Ok(false)
                }
                Failed::Dead => {
                    let tries = counted_attempts(attempt, attempts);
                    let said = format!("`{item}` is a dead letter after {tries}: {why}");
                    end_as_letter(worker, i, reason, &said, outputs)?;
                    Ok(true)
                }
            }
        }
        ItemFailure::Never => {
            let said = format!("`{item}` is a dead letter at once: {why}");
            end_as_letter(worker, i, reason, &said, outputs)?;
            Ok(true)
        }
    }
}

/// An item that its worker's death had interrupted may have been begun more often than it is tried.
fn counted_attempts(attempt: u32, attempts: u32) -> String {
    match attempt > attempts {
        true => format!("{attempt} attempts"),
        false => format!("{attempt} of {attempts} attempts"),
    }
}

/// Ends lease `i`, whose item can't be done now: it is tried again, not before `least`, and no attempt of it is used up. Returns
/// what is to be said of it.
pub(super) fn put_off(
    worker: &mut WorkerContext,
    i: usize,
    least: Duration,
    why: &str,
) -> Result<String, Stop> {
    let item = Shown(worker.queues.item(i)?.bytes).to_string();
    let tuning = worker.live.tuning;
    let delay = match worker.queues.not_now(i, least, &tuning, why)? {
        Failed::Again { delay, failing: false, .. } => delay,
        // Its next try is a probe; and a dead letter is only made of a failure that is charged.
        Failed::Again { .. } | Failed::Dead => None,
    };
    Ok(format!("`{item}` is put off: {why}{}", again(delay)))
}

/// When it is tried again, if that is worth a word.
fn again(delay: Option<Delay>) -> String {
    let millis = delay.map_or(0, |delay| u64::try_from(delay.time.as_millis()).unwrap_or(u64::MAX));
    match millis {
        0 => String::new(),
        _ => format!("; again in {}", humantime::format_duration(Duration::from_millis(millis))),
    }
}

/// Ends lease `i` as a dead letter.
///
/// | killed … | left behind | what follows |
/// |---|---|---|
/// | before the letter is written | the lease | the item is tried again |
/// | with the letter written | the letter and the lease | it is tried again, and may have another letter |
/// | after the commit | the letter and the outputs | – |
fn end_as_letter(
    worker: &mut WorkerContext,
    i: usize,
    reason: Reason<'_>,
    said: &str,
    outputs: Option<Outputs<'_>>,
) -> Result<(), Stop> {
    let is_shared = worker.queues.is_shared(i)?;
    if !is_shared {
        if outputs.is_some() && worker.queues.are_closed(&worker.outputs)? {
            return Err(Stop(Ending::OutputClosed));
        }
        write_letter(worker, i, &reason)?;
    }
    if outputs.is_some() || is_shared {
        worker.queues.mark_dead(i, &reason.text)?;
        match outputs {
            Some(publish) => publish(worker)?,
            None => worker.commit(1)?,
        }
    } else {
        worker.queues.dead_letter(i)?;
    }
    log::error!("{said}");
    Ok(())
}

/// Writes the letter of lease `i`, before the lease ends: a worker killed in between writes it twice, but never loses it.
fn write_letter(worker: &mut WorkerContext, i: usize, reason: &Reason<'_>) -> Result<(), Stop> {
    let lease = worker.queues.item(i)?;
    let letter = DeadLetter {
        item: lease.bytes,
        stage: &worker.spec.stage,
        worker: worker.spec.worker,
        queue: worker.name_of(lease.queue),
        id: lease.id,
        origin: worker.queues.known_origin(i)?.map(|origin| origin.to_string()),
        attempts: lease.attempt,
        cause: reason.cause.clone(),
        stderr: reason.stderr,
        time: SystemTime::now(),
        run: &worker.spec.run,
    };
    let line = letter.line(&worker.spec.dead_letters.pipeline).map_err(|error| unwritten(&error))?;
    Ok(append(worker, &line, Some(i))?)
}

/// Writes a letter about what is no item of any queue, and counts it.
pub(super) fn leave_out(
    worker: &mut WorkerContext,
    max_item: u64,
    what: &TooLong<'_>,
) -> Result<(), Failure> {
    let TooLong { file, offset, length, head } = *what;
    let letter = DeadLetter {
        item: head,
        stage: &worker.spec.stage,
        worker: worker.spec.worker,
        queue: "", // no queue has seen it
        id: 0,
        origin: None,
        attempts: 1,
        cause: Cause::TooLong { file: file.to_owned(), offset, length, max_item },
        stderr: &[],
        time: SystemTime::now(),
        run: &worker.spec.run,
    };
    let line = letter.line(&worker.spec.dead_letters.pipeline).map_err(|error| unwritten(&error))?;
    append(worker, &line, None)?;
    worker.counts.count(&worker.spec.stage)?;
    log::error!(
        "{file}, byte {offset}: {length} bytes are too long for an item (max_item: {max_item} bytes): \
         left out, as a dead letter"
    );
    Ok(())
}

/// Appends a letter: that of a lease, or of what is being read. Where that has to wait for people (a full disk, too
/// many letters, a lock that is not let go), it waits; an order to finish ends the wait, and the lease goes back
/// uncharged.
fn append(worker: &mut WorkerContext, line: &[u8], lease: Option<usize>) -> Result<(), Failure> {
    let mut retry = FIRST_RETRY;
    let mut reported: Option<Instant> = None;
    loop {
        let store = &worker.spec.dead_letters;
        let error = match dead_letter::append_line(store, line.to_vec(), worker.queues.is_saved()) {
            Ok(appended) => {
                let (dropped, most) = (appended.dropped, store.max_size);
                if dropped > 0 {
                    log::warn!("{}", dead_letter::dropped_text(dropped, most));
                }
                if reported.is_some() {
                    worker.queues.set_obstacle("");
                }
                return Ok(());
            }
            Err(error) if error.passes() => error,
            Err(error) => return Err(unwritten(&error)),
        };
        if reported.is_none_or(|reported| reported.elapsed() >= REPEAT_REPORT) {
            let waits = if lease.is_some() { "its item waits" } else { "reading waits for that" };
            log::error!("a dead letter can't be written, {waits}: {error}");
            worker.queues.set_obstacle(&format!("a dead letter can't be written: {error}"));
            reported = Some(Instant::now());
        }
        wait(worker, lease, retry)?;
        retry = (retry * 2).min(LONGEST_RETRY);
    }
}

fn wait(worker: &mut WorkerContext, lease: Option<usize>, length: Duration) -> Result<(), Failure> {
    let until = Instant::now() + length;
    loop {
        let live = worker.read_orders();
        if live.must_finish() {
            lease.map_or(Ok(()), |i| worker.queues.give_back(i, false)).map_err(Failure::from)?;
            let why = "stopped while a dead letter waited for room";
            return Err(Failure::with_reach(why, Reach::Ordered));
        }
        // In the middle of what is read there is no rest.
        if live.must_pause() && lease.is_some() {
            worker.report_at_rest();
        }
        if worker.queues.pause(until, Waiting::Blocked).map_err(Failure::from)? {
            return Ok(());
        }
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Failure {
    Failure::fatal(format!("a dead letter can't be written: {error}"))
}
