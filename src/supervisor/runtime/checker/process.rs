//! The life of the helper that makes checks: one thread, a task for each process that is looked at.

use super::course::{Course, Outcome};
use super::hand::{Hand, Slept};
use super::message::{Report, Request, Task};
use crate::exit;
use crate::sys::inherited;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// Where the helper finds its end of the socket.
pub(super) const SOCKET_FD: RawFd = 3;
/// News that wait for room in the socket. With more of them courses wait, too.
const PENDING: usize = 64;
/// Threads that ask for names: a server may never answer.
const NAME_THREADS: usize = 8;

/// The life of the helper's process.
pub(crate) fn run() -> ExitCode {
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mprun: {}: {error}", super::VERB);
            exit::code(exit::FAILED)
        }
    }
}

fn live() -> io::Result<()> {
    let socket =
        inherited::take(SOCKET_FD).map_err(|_| io::Error::other("this command is for mprun's own use"))?;
    let _ = nix::sys::prctl::set_name(c"mprun:check"); // what `top` shows
    // What programs of checks leave behind comes to this process, which ends it.
    nix::sys::prctl::set_child_subreaper(true)?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(NAME_THREADS)
        .build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, serve(socket))?;
    // Their programs are killed with them.
    drop(tasks);
    runtime.shutdown_background();
    Ok(())
}

/// Until the supervisor's end of the socket is closed.
async fn serve(socket: std::os::unix::net::UnixStream) -> io::Result<()> {
    let (requests, reports) = UnixStream::from_std(socket)?.into_split();
    let (news, pending) = mpsc::channel(PENDING);
    let writer = spawn_local(tell(reports, pending));
    let outcome = take_requests(requests, &news).await;
    writer.abort();
    outcome
}

async fn take_requests(requests: OwnedReadHalf, news: &mpsc::Sender<Report>) -> io::Result<()> {
    let hand = Rc::new(Hand::new()?);
    let mut courses: BTreeMap<u16, Running> = BTreeMap::new();
    let mut lines = BufReader::new(requests).lines();
    while let Some(line) = lines.next_line().await? {
        let Request { slot, number, task } = serde_json::from_str(&line)?;
        courses.remove(&slot);
        if let Some(task) = task {
            let course = follow(task, (slot, number), Rc::clone(&hand), news.clone());
            courses.insert(slot, Running(spawn_local(course)));
        }
    }
    Ok(())
}

/// A course of checks. Dropped, it ends, and its program is killed.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(task: Task, (slot, number): (u16, u64), hand: Rc<Hand>, news: mpsc::Sender<Report>) {
    let name = format!("{}[{}]", task.stage, task.worker);
    let mut course = Course::new(task.purpose, &task.check, &name, Instant::now());
    while let Some(next) = course.next() {
        let outcome = match hand.sleep_until(next).await {
            Slept::Well => hand.try_once(&task, |now| course.limit(now)).await,
            Slept::TooLong => Outcome::Void,
        };
        if let Some(finding) = course.ended(outcome, Instant::now())
            && news.send(Report { slot, number, finding }).await.is_err()
        {
            return;
        }
    }
}

async fn tell(mut reports: OwnedWriteHalf, mut pending: mpsc::Receiver<Report>) {
    while let Some(report) = pending.recv().await {
        let Ok(mut line) = serde_json::to_vec(&report) else { continue };
        line.push(b'\n');
        if reports.write_all(&line).await.is_err() {
            return; // the supervisor is gone, which the other half sees
        }
    }
}
