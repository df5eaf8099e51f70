//! Which file systems change without the kernel of this machine knowing.

use nix::errno::Errno;
use nix::sys::statfs::{FsType, statfs};
use std::io;
use std::path::Path;

/// By the number that `statfs` tells. FUSE is among them: what stands behind it, the kernel can't know.
const REMOTE: [(FsType, &str); 13] = [
    (FsType(0x6969), "NFS"),
    (FsType(0x517b), "SMB"),
    (FsType(0xff53_4d42), "CIFS"),
    (FsType(0xfe53_4d42), "SMB2"),
    (FsType(0x6573_5546), "FUSE"),
    (FsType(0x0102_1997), "9p"),
    (FsType(0x00c3_6400), "Ceph"),
    (FsType(0x5346_414f), "AFS"),
    (FsType(0x7375_7245), "Coda"),
    (FsType(0x7461_636f), "OCFS2"),
    (FsType(0x0116_1970), "GFS2"),
    (FsType(0x0bd0_0bd0), "Lustre"),
    (FsType(0x786f_4256), "vboxsf"),
];

/// The name of the remote file system that the path is on, if it is on one.
pub(super) fn remote(path: &Path) -> io::Result<Option<&'static str>> {
    match statfs(path) {
        Ok(about) => {
            let found = REMOTE.iter().find(|(kind, _)| *kind == about.filesystem_type());
            Ok(found.map(|(_, name)| *name))
        }
        // It is for the watch to fail, or not.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EOVERFLOW) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
