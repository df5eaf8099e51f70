//! Words of a unit file: systemd takes `%`, `$`, quotes and backslashes for its own.

use std::fmt;
use std::path::{Path, PathBuf};

/// A unit file can't hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotExpressible(PathBuf);

impl fmt::Display for NotExpressible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.0;
        write!(
            f,
            "{path:?} can't be written into a unit file: it holds control characters or isn't UTF-8; rename it"
        )
    }
}

/// A path as one word of a command line.
pub(super) fn word(path: &Path) -> Result<String, NotExpressible> {
    let text = expressible(path)?.replace('%', "%%").replace('$', "$$");
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%$,:=".contains(c)) {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A path in a list of paths, which knows no variables.
pub(super) fn path(path: &Path) -> Result<String, NotExpressible> {
    Ok(word(path)?.replace("$$", "$"))
}

fn expressible(path: &Path) -> Result<&str, NotExpressible> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| NotExpressible(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_means_anything_else_to_systemd() {
        let spoken = |text: &str| word(Path::new(text)).unwrap();
        assert_eq!(spoken("/etc/mprun/a-b_1.toml"), "/etc/mprun/a-b_1.toml");
        assert_eq!(spoken("/a b/%i/$HOME"), "\"/a b/%%i/$$HOME\"");
        assert_eq!(spoken("/it's \"q\" \\"), "\"/it's \\\"q\\\" \\\\\"");
        assert!(word(Path::new("/a\nExecStartPre=/bin/rm")).is_err());
        assert_eq!(path(Path::new("/a$b")).unwrap(), "/a$b");
    }
}
