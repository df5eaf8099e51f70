//! From a SIGKILL to a program until the next one's main() begins, by that one's own stamp of the monotonic clock.

use crate::stamps::{Stamps, bare_loop, own};
use crate::support::{Folder, Run, command, process, wait_until};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Something that keeps one such program alive.
pub struct Kept {
    stamps: Stamps,
    _run: Keeper,
}

enum Keeper {
    Run { _run: Run },
    Loop { child: Child, folder: Folder },
}

impl Kept {
    /// Kept by mprun, as the program of a stage with items.
    pub fn by_stage() -> Kept {
        let folder = Folder::new();
        let stamps = Stamps { file: folder.path().join("stamps") };
        let text = format!(
            "[defaults]\ngive_up = {{ restarts = 100000, within = '1s' }}\n\
             backoff = {{ initial = '1ms', max = '1ms', reset_after = '10ms' }}\n\
             [stages.t]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'a'\n\
             [stages.p]\ncommand = ['{}', 'stamp', '{}']\ninput = 'a'\nattempts = 1000000\n",
            own().display(),
            stamps.file.display()
        );
        folder.file("pipeline.toml", &text);
        let mut command = command(&folder);
        command.args(["run", "-q", "pipeline.toml"]);
        Kept::started(stamps, Keeper::Run { _run: Run::of(folder, command) })
    }

    /// By a loop around fork, exec and wait.
    pub fn by_loop() -> Kept {
        let folder = Folder::new();
        let stamps = Stamps { file: folder.path().join("stamps") };
        let mut command = bare_loop(1, &stamps);
        command.stdin(Stdio::null()).env("MPRUN_TEST", folder.path());
        let child = command.spawn().unwrap();
        Kept::started(stamps, Keeper::Loop { child, folder })
    }

    fn started(stamps: Stamps, run: Keeper) -> Kept {
        let kept = Kept { stamps, _run: run };
        wait_until("the first stamp", || (kept.stamps.all().len() == 1).then_some(()));
        kept
    }

    /// Kills the program after a good while; milliseconds until the next one is there.
    pub fn kill(&self) -> f64 {
        self.stamps.kill(Duration::from_millis(60))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Keeper::Loop { child, folder } = self {
            let _ = child.kill();
            let _ = child.wait();
            for pid in process::in_folder(folder.path()) {
                process::kill(pid, libc::SIGKILL);
            }
        }
    }
}
