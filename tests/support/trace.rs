//! Stops a process at one of its system calls, as a debugger does.

use super::wait_until;
use std::ptr::null_mut;

/// The main thread of a child of this process. Dropped, it runs on by itself.
pub struct Traced(i32);

/// A system call that is about to begin.
pub struct Call {
    pub number: i64,
    pub arguments: [u64; 6],
}

impl Traced {
    /// It is stopped wherever it is.
    pub fn stop(pid: u32) -> Traced {
        let traced = Traced(pid as i32);
        traced.ask(libc::PTRACE_SEIZE, libc::PTRACE_O_TRACESYSGOOD as usize);
        traced.ask(libc::PTRACE_INTERRUPT, 0);
        traced.wait();
        traced
    }

    /// Lets it run until it is about to begin such a call.
    #[track_caller]
    pub fn run_until(&self, is_wanted: impl Fn(&Call) -> bool) {
        let mut signal = 0;
        loop {
            self.ask(libc::PTRACE_SYSCALL, signal);
            signal = self.wait();
            if signal == (libc::SIGTRAP | 0x80) as usize {
                signal = 0;
                if self.call().is_some_and(|call| is_wanted(&call)) {
                    return;
                }
            }
        }
    }

    fn ask(&self, what: libc::c_uint, data: usize) {
        // SAFETY: none of these requests takes an address in this process.
        let answer = unsafe { libc::ptrace(what, self.0, null_mut::<u8>(), data) };
        assert!(answer >= 0, "ptrace {what:#x}: {}", std::io::Error::last_os_error());
    }

    /// Why it has stopped: the signal that it is to get, or that of a system call.
    #[track_caller]
    fn wait(&self) -> usize {
        let status = wait_until("a stop of the traced process", || {
            let mut status = 0;
            // SAFETY: a plain system call, which writes to a word of this frame.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG | libc::__WALL) };
            assert!(pid >= 0, "{}", std::io::Error::last_os_error());
            (pid == self.0).then_some(status)
        });
        assert!(libc::WIFSTOPPED(status), "it has ended: {status:#x}");
        // An event, as the stop that was asked for, is no signal.
        if status >> 16 == 0 { libc::WSTOPSIG(status) as usize } else { 0 }
    }

    /// None: one has ended.
    fn call(&self) -> Option<Call> {
        const ENTRY: u8 = 1;
        // `struct ptrace_syscall_info`, whose first byte says what follows.
        let mut info = [0_u64; 11];
        // SAFETY: the kernel writes at most as many bytes as it is given.
        let read = unsafe {
            libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, self.0, size_of_val(&info), info.as_mut_ptr())
        };
        assert!(read > 0, "{}", std::io::Error::last_os_error());
        let [what, _, _, number, arguments @ ..] = info;
        let arguments = arguments[..6].try_into().unwrap();
        (what.to_ne_bytes()[0] == ENTRY).then_some(Call { number: number as i64, arguments })
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // SAFETY: it takes no address. It fails if the process has been killed.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, null_mut::<u8>(), 0_usize) };
    }
}
