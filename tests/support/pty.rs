//! A terminal of a test's own: what a program draws on it, and keys for the program.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What has come to the terminal.
struct Shown {
    screen: vt100::Parser,
    all: Vec<u8>,
}

/// The end of a pseudo-terminal that a person sits at, 24 lines of 100 columns.
pub struct Pty {
    keyboard: File,
    theirs: Option<OwnedFd>,
    shown: Arc<Mutex<Shown>>,
    reader: Option<JoinHandle<()>>,
}

fn open(rows: u16, columns: u16) -> (OwnedFd, OwnedFd) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut ours, mut theirs) = (-1, -1);
    let (none, no_modes) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the pointers are to live variables, or null where that is allowed; both descriptors are ours from here.
    unsafe {
        assert_eq!(libc::openpty(&mut ours, &mut theirs, none, no_modes, &raw const size as *mut _), 0);
        for fd in [ours, theirs] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

fn count(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

impl Pty {
    pub fn open() -> Pty {
        let (ours, theirs) = open(24, 100);
        let keyboard = File::from(ours);
        let mut output = keyboard.try_clone().unwrap();
        let screen = vt100::Parser::new(count(24), count(100), 0);
        let shown = Arc::new(Mutex::new(Shown { screen, all: Vec::new() }));
        let to = Arc::clone(&shown);
        // Ends when nobody has the other end any more.
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let mut shown = to.lock().unwrap();
                shown.screen.process(&bytes[..length]);
                shown.all.extend_from_slice(&bytes[..length]);
            }
        });
        Pty { keyboard, theirs: Some(theirs), shown, reader: Some(reader) }
    }

    /// One that is only read by [`Pty::read`]: so it can be hung up at a moment of the test's own, by dropping it.
    pub fn unread() -> Pty {
        let (ours, theirs) = open(24, 100);
        let screen = vt100::Parser::new(count(24), count(100), 0);
        let shown = Arc::new(Mutex::new(Shown { screen, all: Vec::new() }));
        Pty { keyboard: File::from(ours), theirs: Some(theirs), shown, reader: None }
    }

    /// Waits for something new on it, and takes it in.
    pub fn read(&self) {
        let mut bytes = [0; 4096];
        let length = (&self.keyboard).read(&mut bytes).unwrap();
        self.shown.lock().unwrap().screen.process(&bytes[..length]);
    }

    /// Makes it the controlling terminal of a command, with all three descriptors on it.
    pub fn take(&mut self, command: &mut Command) {
        let theirs = self.theirs.take().unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: two plain system calls; standard input is the terminal by then.
        unsafe {
            command.pre_exec(|| {
                (libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY, 0) != -1)
                    .then_some(())
                    .ok_or_else(std::io::Error::last_os_error)
            });
        }
    }

    /// What can be read on the screen now.
    pub fn text(&self) -> String {
        self.look(|screen| screen.contents())
    }

    /// Something about the screen as it is.
    pub fn look<T>(&self, look: impl Fn(&vt100::Screen) -> T) -> T {
        look(self.shown.lock().unwrap().screen.screen())
    }

    /// All that was ever written to it.
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().all).into_owned()
    }

    /// Nobody writes any more: what is on the screen at last.
    pub fn end(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }

    /// What another program would write next.
    pub fn show(&self, text: &str) {
        self.shown.lock().unwrap().screen.process(text.as_bytes());
    }

    pub fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// The terminal's own switches: lines, echo, signals.
    pub fn modes(&self) -> [u32; 3] {
        modes(self.keyboard.as_raw_fd())
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        self.shown.lock().unwrap().screen.screen_mut().set_size(count(rows), count(columns));
        self.claim(rows, columns);
    }

    /// Says that it has this size, which is not so.
    pub fn claim(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let fd = self.keyboard.as_raw_fd();
        // SAFETY: the descriptor is open, and the structure lives as long as the call.
        unsafe { assert_eq!(libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size), 0) };
    }
}

fn modes(fd: i32) -> [u32; 3] {
    let mut modes = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the descriptor is open, and the kernel fills the structure in if it says 0.
    let modes = unsafe {
        assert_eq!(libc::tcgetattr(fd, modes.as_mut_ptr()), 0);
        modes.assume_init()
    };
    [modes.c_lflag, modes.c_iflag, modes.c_oflag]
}

/// Those of any new terminal.
pub fn fresh_modes() -> [u32; 3] {
    let (ours, _theirs) = open(24, 100);
    modes(ours.as_raw_fd())
}
