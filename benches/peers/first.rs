//! From the start of a tool to the main() of its first job, by the job's own stamp of the monotonic clock.

use crate::pairs::{Goal, PAIRS, Pairs, row};
use crate::stamps::{Stamps, now, own};
use crate::support::{Folder, binary, command};
use std::process::{Command, Stdio};

/// An earlier version of mprun, to be measured with the same file.
const EARLIER: &str = "MPRUN_BENCH_EARLIER";

pub fn rows() {
    let what = "start -> the main() of the first of two jobs";
    let ours = || by_line(&binary());
    row(what, "xargs -n1", "ms", 2, &Pairs::take(3 * PAIRS, ours, by_xargs), Goal::None);
    let Some(earlier) = std::env::var_os(EARLIER).and_then(|path| path.into_string().ok()) else { return };
    let file = || by_file(&binary());
    let row = |what, theirs: &dyn Fn() -> f64, ours: &dyn Fn() -> f64| {
        row(what, &earlier, "ms", 2, &Pairs::take(3 * PAIRS, ours, theirs), Goal::AtMost(0.5));
    };
    row("the same, from a file", &|| by_file(&earlier), &file);
    row("`mprun do` beside that file", &|| by_file(&earlier), &ours);
}

fn by_line(mprun: &str) -> f64 {
    measured(|folder, stamps| {
        let mut tool = of(mprun, folder);
        tool.args(["do", "-j1", "--"]).arg(own()).arg("job").arg(stamps).arg("{}");
        tool
    })
}

fn by_xargs() -> f64 {
    measured(|_, stamps| {
        let mut tool = Command::new("xargs");
        tool.arg("-n1").arg(own()).arg("job").arg(stamps);
        tool
    })
}

fn by_file(mprun: &str) -> f64 {
    measured(|folder, stamps| {
        let text = format!(
            "[stages.in]\nuse = 'stdin'\noutput = 'a'\n\
             [stages.p]\ncommand = ['{}', 'job', '{stamps}', '{{}}']\nmode = 'each'\ninput = 'a'\n",
            own().display()
        );
        folder.file("pipeline.toml", &text);
        let mut tool = of(mprun, folder);
        tool.args(["-q", "pipeline.toml"]);
        tool
    })
}

fn of(mprun: &str, folder: &Folder) -> Command {
    let mut tool = Command::new(mprun);
    for (name, value) in command(folder).get_envs() {
        match value {
            Some(value) => tool.env(name, value),
            None => tool.env_remove(name),
        };
    }
    tool
}

/// Milliseconds.
fn measured(tool: impl FnOnce(&Folder, &str) -> Command) -> f64 {
    let folder = Folder::new();
    let stamps = Stamps { file: folder.path().join("stamps") };
    let items = folder.file("items", "1\n2\n");
    let mut tool = tool(&folder, &stamps.file.display().to_string());
    tool.current_dir(folder.path()).stdin(std::fs::File::open(items).unwrap());
    tool.stdout(Stdio::null()).stderr(Stdio::null());
    let start = now();
    let status = tool.status().unwrap();
    assert!(status.success(), "{tool:?}: {status}");
    (stamps.all()[0].1 - start) as f64 / 1e6
}
