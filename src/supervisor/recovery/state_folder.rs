//! The folder in which queues and dead letters outlive a run: refused where other users could put theirs into it.

use crate::supervisor::error::SetUpError;
use crate::sys::private_folder;
use std::fs;
use std::path::Path;

/// Checks the pipeline's own folder and the one above it, as far as they are there: what is not is made for this user
/// alone.
pub(crate) fn check(folder: &Path) -> Result<(), SetUpError> {
    let found = |path: &Path| fs::metadata(path).ok();
    if let Some(why) = found(folder).and_then(|found| private_folder::refusal(&found)) {
        return Err(refused(folder, &why));
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    match found(above).and_then(|found| private_folder::refusal_above(&found)) {
        Some(why) => Err(refused(above, &why)),
        None => Ok(()),
    }
}

fn refused(folder: &Path, why: &str) -> SetUpError {
    let path = folder.display();
    SetUpError::Refused(format!(
        "the state folder {path} is not safe: {why}. Another user could put queues there; make it yours alone \
         (`chown \"$USER\" {path}; chmod go-w {path}`), or let XDG_STATE_HOME name another folder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_that_others_may_write_is_refused_with_what_to_do() {
        let base = std::env::temp_dir().join(format!("mprun-state-{}", std::process::id()));
        let own = base.join("p");
        assert!(check(&own).is_ok(), "what is not there is made");
        fs::create_dir_all(&own).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&base, 0o755);
        for (above, below, word) in [
            (0o755, 0o755, None),
            (0o755, 0o777, Some("others may write there (mode 0777)")),
            (0o755, 0o1777, Some("others may write there (mode 1777)")),
            (0o755, 0o775, Some("others may write there (mode 0775)")),
            (0o777, 0o700, Some("others may replace what is in it (mode 0777)")),
            (0o1777, 0o700, None),
        ] {
            mode(&base, above);
            mode(&own, below);
            let said = check(&own).err().map(|error| error.to_string());
            assert_eq!(said.is_some(), word.is_some(), "{said:?}");
            assert!(said.is_none_or(|said| said.contains(word.unwrap()) && said.contains("chmod go-w")));
        }
        fs::remove_dir_all(base).unwrap();
    }
}
