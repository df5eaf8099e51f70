//! The life of the link's process.

use super::arena::LinkArena;
use super::board::Board;
use super::driver::{Driver, End};
use super::overview::Looks;
use super::pipes::Pipes;
use super::request::LinkRequest;
use super::{FDS, VERB};
use crate::exit;
use crate::logs;
use crate::queue::{Arena, SlotId};
use crate::sys::{inherited, memory};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::ExitCode;
use std::rc::Rc;
use tokio::task::LocalSet;

/// The exit code is 0 once the machine has left the run, and 2 where no try helps.
pub(crate) fn run() -> ExitCode {
    let _ = nix::sys::prctl::set_name(c"mprun:link"); // what `top` shows
    memory::keep_heap();
    let code = match live() {
        Ok(End::Left) => exit::DONE,
        Ok(End::Hopeless) => exit::USAGE,
        Ok(End::Alone) => exit::FAILED,
        Ok(End::Broken(why)) | Err(why) => {
            log::error!(target: "mprun", "{VERB}: {why}");
            exit::FAILED
        }
    };
    exit::code(code)
}

fn live() -> Result<End, String> {
    let [request, arena, orders, news, board, shown] = FDS.map(inherited::take);
    let foreign = "this command is for mprun's own use";
    let request = read(request.map_err(|_| foreign.to_owned())?.into())?;
    logs::sink::use_stderr_as_pipe();
    logs::set_pipeline(&request.plan.pipeline);
    request.log.start(None);
    let arena = Arena::attach(arena.map_err(|_| foreign)?).map_err(|fault| fault.to_string())?;
    let arena =
        LinkArena::open(arena, SlotId(request.slot), &request.spec).map_err(|fault| fault.to_string())?;
    let [orders, news, board, shown] =
        [orders, news, board, shown].map(|fd| fd.map_err(|_| foreign.to_owned()));
    let (orders, news, board, shown) = (orders?, news?, board?, shown?);
    let request = Rc::new(request);
    let looks = Looks::new(Rc::clone(&request), Board(File::from(shown)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let tasks = LocalSet::new();
    let end = tasks.block_on(&runtime, async {
        let board = Board(File::from(board));
        let last_shown = board.0.try_clone().map(Board).map_err(|error| error.to_string())?;
        let last_look = looks.clone();
        let pipes = Pipes::new(orders, news, board, looks).map_err(|error| error.to_string())?;
        let end = serve(request, arena, pipes).await?;
        let has_letters = last_shown.read().is_some_and(|seen| seen.letters_written_to_broker() > 0);
        if matches!(end, End::Left) && has_letters {
            last_look.take_last().await;
        }
        Ok(end)
    });
    // What is under way goes with its connection.
    drop(tasks);
    runtime.shutdown_background();
    end
}

async fn serve(request: Rc<LinkRequest>, arena: LinkArena, pipes: Pipes) -> Result<End, String> {
    let plan = request.plan.clone();
    let connect = super::connect::ToBroker::new(request);
    let driver = Driver::new(plan, arena, connect, pipes).map_err(|fault| fault.to_string())?;
    Ok(driver.run().await)
}

fn read(mut file: File) -> Result<LinkRequest, String> {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("the request is not of this version of mprun: {error}"))
}
