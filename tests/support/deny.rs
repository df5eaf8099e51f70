//! System calls that fail for a process and all that it starts, as an old kernel or a sandbox makes them fail.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// A system call that is to fail.
#[derive(Clone, Copy, Debug)]
pub struct Denied {
    pub call: libc::c_long,
    /// Fails only where the argument of this number has one of these bits set.
    pub only: Option<(u32, u32)>,
    pub errno: i32,
}

/// It fails so, whatever its arguments.
pub fn with(errno: i32, call: libc::c_long) -> Denied {
    Denied { call, only: None, errno }
}

/// The command that is started fails at these.
pub fn deny(command: &mut Command, denied: &[Denied]) {
    let filter = filter(denied);
    // SAFETY: two system calls, with a program that was made before.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let installed = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0;
            if installed { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

/// For each call: the number is loaded, compared, and the rest skipped if it is another one.
fn filter(denied: &[Denied]) -> Vec<libc::sock_filter> {
    let load = |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value);
    let jump =
        |code, k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | code | libc::BPF_K) as u16, jt, jf, k };
    let mut filter = Vec::new();
    for Denied { call, only, errno } in denied {
        let refusal = answer(libc::SECCOMP_RET_ERRNO | *errno as u32);
        filter.push(load(std::mem::offset_of!(libc::seccomp_data, nr)));
        match only {
            None => filter.extend([jump(libc::BPF_JEQ, *call as u32, 0, 1), refusal]),
            Some((argument, bits)) => {
                let at = std::mem::offset_of!(libc::seccomp_data, args) + 8 * *argument as usize;
                filter.extend([
                    jump(libc::BPF_JEQ, *call as u32, 0, 3),
                    load(at),
                    jump(libc::BPF_JSET, *bits, 0, 1),
                    refusal,
                ]);
            }
        }
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
