//! mprun's own Python module, which comes along with `framing = "mprun"`.

mod support;

use std::path::{Path, PathBuf};
use support::{Folder, Run, wait_until};

const WHERE: &str = "import mprun\nmprun.serve(lambda text: mprun.__file__)\n";

fn pipeline(keys: &str) -> String {
    format!(
        "drain_timeout = '100ms'\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 1 }}\noutput = 'a'\n\
         [stages.work]\ncommand = ['python3', 'work.py']\nframing = 'mprun'\n{keys}\ninput = 'a'\noutput = 'b'\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
    )
}

fn folder(script: &str, keys: &str) -> Folder {
    let folder = Folder::new();
    folder.file("work.py", script);
    folder.file("pipeline.toml", &pipeline(keys));
    folder
}

fn start(script: &str, keys: &str) -> Run {
    Run::in_folder(folder(script, keys), &[])
}

fn brought_along(folder: &Path) -> PathBuf {
    folder.join("run/mprun/pipeline.python")
}

#[test]
fn a_program_finds_the_module_without_an_installation_and_it_goes_with_the_run() {
    let mut run = start(WHERE, "processes = 4");
    let found = run.finish();
    let place = brought_along(run.folder.path());
    assert!(Path::new(&found[0]).starts_with(&place), "{found:?}");
    assert!(!place.exists());
}

#[test]
fn a_module_that_the_user_names_comes_first() {
    let folder = folder(WHERE, "env = { PYTHONPATH = 'own:other' }");
    folder.file("own/mprun.py", "import os, struct\ndef serve(f):\n    length, = struct.unpack('>I', os.read(0, 4))\n    os.read(0, length)\n    os.write(1, b'\\0\\0\\0\\4oown\\0\\0\\0\\1e')\n    os.read(0, 1)\n",
    );
    assert_eq!(Run::in_folder(folder, &[]).finish(), ["own"]);
}

#[test]
fn the_next_run_removes_what_a_killed_one_has_left() {
    let mut run = start("import mprun, time\ntime.sleep(1000)", "");
    let place = brought_along(run.folder.path());
    wait_until("the module", || place.is_dir().then_some(()));
    run.signal(libc::SIGKILL);
    run.wait();
    std::fs::create_dir_all(place.join(".new-1-0/mprun")).unwrap();
    // No process has such a number. Only root can have left this.
    let for_others = Path::new("/run/mprun/python-99999999");
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } == 0 {
        std::fs::create_dir_all(for_others).unwrap();
    }
    let folder = std::mem::replace(&mut run.folder, Folder::new());
    folder.file("pipeline.toml", "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 1 }\n");
    assert_eq!(Run::in_folder(folder, &[]).finish(), ["1"]);
    assert!(!place.exists() && !for_others.exists());
}

#[test]
fn a_program_of_another_user_finds_the_module_too() {
    // Only root can be another user; for anybody else its own user is all there is.
    // SAFETY: a plain system call.
    let keys = if unsafe { libc::geteuid() } == 0 {
        "user = 'nobody'\nenv = { PATH = '/usr/bin:/bin' }"
    } else {
        ""
    };
    let script = "import mprun, os\nmprun.serve(lambda text: f'{os.geteuid()} {mprun.__file__}')\n";
    let mut run = start(script, keys);
    let found = run.finish();
    let (user, file) = found[0].split_once(' ').unwrap();
    let is_root = !keys.is_empty();
    assert_ne!(user, "0", "{found:?}");
    assert_eq!(file.starts_with("/run/mprun/python-"), is_root, "{file}");
    assert!(!Path::new(file).exists());
}

#[test]
fn children_of_a_program_find_the_module_too() {
    let script = "
import multiprocessing
import mprun

def where(n):
    return mprun.__file__

@mprun.stage
def work(text):
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.map(where, [1])
";
    let mut run = start(script, "");
    let found = run.finish();
    assert!(Path::new(&found[0]).starts_with(brought_along(run.folder.path())), "{found:?}");
}
