//! From a fresh process to one that can begin to work.

use super::context::WorkerContext;
use super::spec::{ARENA_FD, HOLDING_PIPE_FDS, SPEC_FD, UNDO_LOG_FD, WorkerSpec};
use crate::append::UndoLog;
use crate::logs::{self, LogFile, RecentLogs};
use crate::queue::{Arena, QueueId, SlotId, WorkerHandle};
use crate::stage::{Context, Orders, Pipe, TokenNotes};
use crate::sys::{inherited, memory, readiness};
use nix::unistd::getppid;
use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek};

/// Takes what the supervisor has passed, and finds its place. An error is a text for the log.
pub(super) fn set_up() -> Result<(WorkerContext, Context), String> {
    logs::sink::use_stderr_as_pipe();
    let spec = read_spec()?;
    name_process(&spec);
    memory::raise_oom_score();
    logs::set_pipeline(&spec.pipeline);
    spec.log.start(Some((&spec.stage, spec.worker)));
    copy_log(&spec);
    super::builtin::guard::install_panic_log();
    // Between the fork and the request to die with the parent (PDEATHSIG) the parent may have gone already.
    if getppid() != spec.supervisor() {
        return Err("the supervisor is gone".to_owned());
    }
    readiness::prepare().map_err(|error| format!("signals can't be set up: {error}"))?;
    let memory = inherited::take(ARENA_FD).map_err(|error| format!("no queue memory was passed: {error}"))?;
    let arena = Arena::attach(memory).map_err(|fault| fault.to_string())?;
    let queues = WorkerHandle::open(arena.clone(), SlotId(spec.slot)).map_err(|fault| fault.to_string())?;
    let log = inherited::take(UNDO_LOG_FD).map_err(|error| format!("no undo log was passed: {error}"))?;
    let log = UndoLog::from(log);
    let context = Context {
        outputs: spec.outputs.iter().map(|(_, name)| name.clone()).collect(),
        routes: spec.work.routes.clone(),
        pipeline: spec.pipeline.clone(),
        stage: spec.stage.clone(),
        worker: spec.worker,
        folder: spec.folder.clone(),
        holding_pipe: RefCell::new(holding_pipe(&spec)?),
        undo_log: Some(log.clone()),
        soft_open_files: spec.soft_open_files,
        run: spec.run.clone(),
        continues: spec.continues,
        shared_run: spec.shared_run,
        notes: spec.token.map(|token| TokenNotes::new(arena.clone(), QueueId(token))),
        orders: Some(Orders::new(arena.clone(), SlotId(spec.slot))),
    };
    Ok((WorkerContext::new(spec, arena, log, queues), context))
}

/// What `top` shows; else it would be `exe`, the last part of the path that was executed.
fn name_process(spec: &WorkerSpec) {
    if let Ok(name) = CString::new(format!("mprun:{}", spec.stage)) {
        let _ = nix::sys::prctl::set_name(&name); // cut to 15 bytes; without it, it works as well
    }
}

/// To the file that the pipeline's asks for (a relative path starts at its folder), and to the stage's tail.
fn copy_log(spec: &WorkerSpec) {
    if let Some(file) = &spec.log_file {
        let path = spec.folder.join(&file.path);
        logs::copy_to_log_file(&LogFile { path, ..file.clone() });
    }
    if let Some(folder) = &spec.recent_logs {
        logs::keep_recent(RecentLogs::new(folder).of_stage(&spec.stage));
    }
}

fn read_spec() -> Result<WorkerSpec, String> {
    let fd = inherited::take(SPEC_FD).map_err(|_| "this command is for mprun's own use".to_owned())?;
    let mut text = String::new();
    let mut file = File::from(fd);
    // The writer left the offset, which is shared, at its end.
    file.rewind()
        .and_then(|()| file.read_to_string(&mut text))
        .map_err(|error| format!("the description of the work can't be read: {error}"))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("the description of the work is not of this version of mprun: {error}"))
}

fn holding_pipe(spec: &WorkerSpec) -> Result<Option<Pipe>, String> {
    if !spec.holding_pipe {
        return Ok(None);
    }
    let take = |fd| inherited::take(fd).map_err(|error| format!("no holding pipe was passed: {error}"));
    let [reader, writer] = HOLDING_PIPE_FDS;
    Ok(Some(Pipe { reader: take(reader)?, writer: take(writer)? }))
}
