//! The pages of files that this program has mapped as its code: its own, and its libraries'.

use libc::{c_int, c_void};

/// Lets go of all code and constants: what is needed again comes back from the system's cache of the file, and what only the
/// start needed does not. What is ever written, if only by the loader, is in other segments and stays: no 64-bit system
/// loads objects with relocations in their code.
pub(crate) fn release() {
    // SAFETY: the callback has the type that is asked for and no data of its own.
    unsafe { libc::dl_iterate_phdr(Some(release_object), std::ptr::null_mut()) };
}

/// The program, or one of its libraries.
unsafe extern "C" fn release_object(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the loader passes its description of the object, whose headers stay where they are as long as it is loaded.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let constant = |flags| flags & libc::PF_W == 0;
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && constant(header.p_flags)) {
        let start = (base + header.p_vaddr as usize) & !(page - 1);
        let end = base + header.p_vaddr as usize + header.p_filesz as usize;
        // SAFETY: a segment that nothing writes to: each page reads as before once it is read again. Where
        // the system refuses, nothing has changed.
        unsafe { libc::madvise(start as *mut c_void, end.saturating_sub(start), libc::MADV_DONTNEED) };
    }
    0 // the next one
}
