//! Runs the real binary on a pipeline text in a folder of its own, and looks at it from outside.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod control_api;
pub mod deny;
pub mod docs_page;
pub mod nginx;
pub mod once;
pub mod process;
pub mod pty;
pub mod server;
pub mod storm;
pub mod terminal_svg;
pub mod trace;
pub mod version6;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No condition of a test takes longer on a busy machine; only a failing test ever waits so long.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits for a condition, not for a time.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder that goes away with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let n = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mprun-test-{}-{n}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// By a process of its own: a descriptor for writing that a fork of another test has copied would make the file busy.
pub fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// The binary under test. `tests/run` names a copy when it runs the tests once more as an ordinary user, who may
/// have no way into the build folder.
pub fn binary() -> String {
    std::env::var("MPRUN_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mprun").to_owned())
}

/// The project's folder, or a copy of what tests read of it.
pub fn project() -> PathBuf {
    std::env::var_os("MPRUN_TEST_PROJECT")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running mprun. Dropped, it is killed and everything that it started must be gone.
pub struct Run {
    pub folder: Folder,
    pub child: Child,
    ended: Option<ExitStatus>,
}

impl Run {
    /// Runs the pipeline text.
    pub fn start(text: &str) -> Run {
        Run::start_with(text, &[])
    }

    /// The same with more arguments.
    pub fn start_with(text: &str, arguments: &[&str]) -> Run {
        let folder = Folder::new();
        folder.file("pipeline.toml", text);
        Run::in_folder(folder, arguments)
    }

    /// Runs `pipeline.toml` of a folder.
    pub fn in_folder(folder: Folder, arguments: &[&str]) -> Run {
        let mut command = command(&folder);
        command.arg("run").arg("pipeline.toml").args(arguments);
        Run::of(folder, command)
    }

    /// Runs a command made by [`command`], its output into files of the folder.
    pub fn of(folder: Folder, mut command: Command) -> Run {
        command.stdout(File::create(folder.path().join("stdout")).unwrap());
        command.stderr(File::create(folder.path().join("stderr")).unwrap());
        let child = command.spawn().unwrap();
        Run { folder, child, ended: None }
    }

    /// A run that was started otherwise.
    pub fn adopt(folder: Folder, child: Child) -> Run {
        Run { folder, child, ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("stdout")).unwrap()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("stderr")).unwrap()).into_owned()
    }

    /// The path of the control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/mprun/pipeline.sock")
    }

    /// Another mprun, at home in the same folder: what it said, and its exit code.
    pub fn ask(&self, arguments: &[&str]) -> Said {
        let output = command(&self.folder).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The same, which must go well; what it printed.
    #[track_caller]
    pub fn tell(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}\nlog:\n{}", said.stderr, self.stderr());
        said.stdout
    }

    pub fn lines(&self) -> Vec<String> {
        self.stdout().lines().map(str::to_owned).collect()
    }

    /// Replaces the pipeline file, as an editor does: a new file renamed over the old one.
    pub fn edit(&self, text: &str) {
        let new = self.folder.file("pipeline.toml.new", text);
        fs::rename(new, self.folder.path().join("pipeline.toml")).unwrap();
    }

    pub fn signal(&self, signal: i32) {
        process::kill(self.pid(), signal);
    }

    /// The processes of a stage, by their environment.
    pub fn workers(&self, stage: &str) -> Vec<u32> {
        let mut workers = process::with_variable(self.pid(), "MPRUN_STAGE", stage);
        workers.sort_unstable();
        workers
    }

    /// The first of them. There is none while one takes the place of another.
    #[track_caller]
    pub fn worker(&self, stage: &str) -> u32 {
        wait_until(&format!("a worker of {stage}; the log is:\n{}", self.stderr()), || {
            self.workers(stage).first().copied()
        })
    }

    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log; it is:\n{}", self.stderr()), || {
            self.stderr().contains(text).then_some(())
        });
    }

    /// Waits for the end; the exit code (128 + n for a signal).
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let child = &mut self.child;
        let status = wait_until("the run to end", || child.try_wait().unwrap());
        self.ended = Some(status);
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Waits for a good end and returns the lines it printed.
    #[track_caller]
    pub fn finish(&mut self) -> Vec<String> {
        let code = self.wait();
        assert_eq!(code, 0, "stderr:\n{}", self.stderr());
        self.lines()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let pid = self.pid();
        if self.ended.is_none() {
            process::kill(pid, 9);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("what a run of this test said, as it failed:\n{}", self.stderr());
        } else {
            let folder = self.folder.path().to_owned();
            wait_until("all processes of the run to be gone", || {
                process::in_folder(&folder).is_empty().then_some(())
            });
        }
    }
}

/// mprun, at home in the folder: its state goes there too.
pub fn command(folder: &Folder) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).stdin(Stdio::null());
    command.env("XDG_STATE_HOME", folder.path().join("state")).env("MPRUN_TEST", folder.path());
    command.env("XDG_RUNTIME_DIR", folder.path().join("run"));
    for variable in ["RUNTIME_DIRECTORY", "RUST_LOG", "STATE_DIRECTORY", "JOURNAL_STREAM", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    // A shell starts what it runs in the background with these ignored, and who executes another program hands that on.
    let obeys_the_keyboard = || {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: the default action installs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec only `signal` is called, which is async-signal-safe.
    unsafe { command.pre_exec(obeys_the_keyboard) };
    command
}
