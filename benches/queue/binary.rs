//! The same queue through the real program.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn time_to_end(items: u64) -> Duration {
    let folder = std::env::temp_dir().join(format!("mprun-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {items} }}\noutput = 'a'\n\
         [queues.a]\ncapacity = 1024\n[stages.gone]\nuse = 'discard'\ninput = 'a'\n"
    );
    std::fs::write(folder.join("pipeline.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mprun"));
    command.args(["-q", "pipeline.toml"]).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    let start = Instant::now();
    assert!(command.status().unwrap().success(), "the run failed");
    let took = start.elapsed();
    std::fs::remove_dir_all(&folder).unwrap();
    took
}

/// What `count -> discard` takes for so many items, without the start and the end of the run.
pub fn count_to_discard(items: u64) -> Duration {
    time_to_end(items).saturating_sub(time_to_end(1))
}
