//! `mprun top`: a running pipeline, live, full screen. A client of its control socket like any other.

mod canvas;
mod draw;
mod feed;
mod keys;
mod screen;
mod spark;
mod terminal;

use super::machines::watch::LiveRun;
use super::machines::{AllMachines, SharedPipeline};
use super::output::{self, Failure};
use super::target::OnePipeline;
use crate::exit;
use crate::stage::Registry;
use crate::sys::suspend::SuspendScope;
use crate::terminal as terminals;
use feed::{Feed, Update};
use screen::{Asked, Screen};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::TryRecvError;
use terminal::{Input, Session};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun top
  mprun top shop   one of several; the keys stand on its last line")]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    machines: AllMachines,
}

enum End {
    Quit,
    Over,
    Signal(u8),
}

/// Shows a running pipeline until `q`, or until its end.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    if !terminals::stdout().is_terminal || !terminals::stdin().is_terminal {
        return Err(Failure::usage("top needs a terminal: `mprun status` shows the same once"));
    }
    if !terminals::stdout().moves_cursor {
        let why = "top needs a terminal that can move its cursor, and TERM says that this one can't";
        return Err(Failure::usage(format!("{why}: `mprun status` shows the same once")));
    }
    let end = if args.machines.all {
        let run = LiveRun::new(SharedPipeline::find(&args.pipeline, registry)?);
        let (first, lines) = run.look()?;
        let screen = Screen { lines, looks_only: true, ..Screen::new(first) };
        show(|wake| Feed::of_run(run, wake), screen)
    } else {
        let mut client = args.pipeline.find()?;
        let first = client.status(false)?;
        let screen = Screen::new(first.clone());
        show(|wake| Feed::start(client, &first, wake), screen)
    };
    match end.map_err(|error| Failure::io("use the terminal", &error))? {
        End::Quit => Ok(exit::DONE),
        End::Signal(number) => Ok(128_u8.saturating_add(number)),
        End::Over => {
            output::say("mprun: the pipeline has ended\n");
            Ok(exit::DONE)
        }
    }
}

/// The session ends here: the terminal is as it was before anything is said.
fn show(feed: impl FnOnce(UnixStream) -> Feed, screen: Screen) -> io::Result<End> {
    let mut session = Session::enter()?;
    let feed = feed(session.waker()?);
    watch(&mut session, &feed, screen)
}

fn watch(session: &mut Session, feed: &Feed, mut screen: Screen) -> io::Result<End> {
    loop {
        session.draw(|frame| draw::draw(frame, &screen))?;
        match session.next()? {
            Input::Signal(number) => return Ok(End::Signal(number)),
            Input::Typed(bytes) => {
                for key in keys::keys(&bytes) {
                    match screen.key(key) {
                        Asked::Nothing => {}
                        Asked::Quit => return Ok(End::Quit),
                        Asked::Suspend => session.suspend(SuspendScope::Group)?,
                        Asked::For(command) => {
                            screen.commands_sent += 1;
                            // The thread ends only with the pipeline: its last update says so.
                            let _ = feed.commands.send(command);
                        }
                    }
                }
            }
            Input::Woken => {
                if !apply_updates(feed, &mut screen)? {
                    return Ok(End::Over);
                }
            }
        }
    }
}

/// Applies all updates; false: the pipeline has ended.
fn apply_updates(feed: &Feed, screen: &mut Screen) -> io::Result<bool> {
    loop {
        match feed.updates.try_recv() {
            // A snapshot from before the last command would show the state before it.
            Ok(Update::Snapshot(snapshot, lines, commands)) if commands >= screen.commands_sent => {
                screen.update(*snapshot, lines);
            }
            Ok(Update::Snapshot(..)) => {}
            Ok(Update::Answer(answer)) => screen.message = answer,
            Ok(Update::Missed(why)) => screen.missed = Some(why),
            Ok(Update::Over) => return Ok(false),
            Err(TryRecvError::Empty) => return Ok(true),
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("the connection to the pipeline is lost"));
            }
        }
    }
}
