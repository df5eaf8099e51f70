use super::*;
use std::sync::Mutex;
use std::time::Instant;

/// What the handler got.
type Seen = Arc<Mutex<Vec<(PathBuf, What)>>>;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mprun-file-watch-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

fn watch() -> (FileWatch, Seen) {
    let seen = Seen::default();
    let to = Arc::clone(&seen);
    let handler = move |path: &Path, what| to.lock().unwrap().push((path.to_owned(), what));
    (FileWatch::new("the files of a test are", handler), seen)
}

#[track_caller]
fn wait_for(seen: &Seen, path: &Path, what: What) {
    let start = Instant::now();
    while !seen.lock().unwrap().contains(&(path.to_owned(), what)) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what:?} of {path:?} in {:?}",
            seen.lock().unwrap()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    seen.lock().unwrap().clear();
}

#[test]
fn what_happens_in_a_folder_is_told_by_its_kind() {
    let folder = folder("kinds");
    let (mut files, seen) = watch();
    assert_eq!(files.watch(&folder).unwrap(), How::Notified);
    let (a, b) = (folder.join("a"), folder.join("b"));
    std::fs::write(&a, "x").unwrap();
    wait_for(&seen, &a, What::Appeared);
    std::fs::write(&a, "y").unwrap();
    wait_for(&seen, &a, What::Content);
    std::fs::rename(&a, &b).unwrap();
    wait_for(&seen, &a, What::MovedAway);
    std::fs::remove_file(&b).unwrap();
    wait_for(&seen, &b, What::Removed);
    std::fs::remove_dir(&folder).unwrap();
    wait_for(&seen, &folder, What::Removed);
}

#[test]
fn a_folder_that_took_the_name_of_a_watched_one_can_be_watched() {
    let folder = folder("replaced");
    let inner = folder.join("inner");
    let (mut files, seen) = watch();
    for _ in 0..3 {
        std::fs::create_dir(&inner).unwrap();
        files.watch(&inner).unwrap();
        std::fs::write(inner.join("a"), "x").unwrap();
        wait_for(&seen, &inner.join("a"), What::Appeared);
        std::fs::rename(&inner, folder.join("old")).unwrap();
        wait_for(&seen, &inner, What::MovedAway);
        std::fs::remove_dir_all(folder.join("old")).unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn reading_tells_nothing() {
    let folder = folder("reading");
    std::fs::write(folder.join("a"), "x").unwrap();
    let (mut files, seen) = watch();
    files.watch(&folder).unwrap();
    std::fs::read(folder.join("a")).unwrap();
    std::fs::write(folder.join("b"), "x").unwrap();
    wait_for(&seen, &folder.join("b"), What::Appeared);
    assert!(!seen.lock().unwrap().iter().any(|(path, _)| path.ends_with("a")));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_not_there_is_an_error_and_no_watch() {
    let (mut files, _seen) = watch();
    assert_eq!(files.watch(Path::new("/not/there")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(!files.is_polling());
}

#[test]
fn used_up_limits_are_told_with_the_name_of_their_setting() {
    let limit = |code| cause(&notify::Error::io(io::Error::from_raw_os_error(code)));
    assert!(limit(libc::EMFILE).contains("fs.inotify.max_user_instances"));
    assert!(limit(libc::ENOSPC).contains("fs.inotify.max_user_watches"));
    assert!(cause(&notify::Error::new(ErrorKind::MaxFilesWatch)).contains("fs.inotify.max_user_watches"));
}

/// Root may read everything: so as another user, which the thread of the kernel's events inherits.
#[test]
fn what_is_in_a_folder_that_may_not_be_listed_is_looked_at() {
    use nix::unistd::{Uid, geteuid, setfsuid};
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("unlisted");
    let file = folder.join("a");
    std::fs::write(&file, "x").unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o111)).unwrap();
    let (folder_there, file_there) = (folder.clone(), file.clone());
    let how = std::thread::spawn(move || {
        if geteuid().is_root() {
            setfsuid(Uid::from_raw(65534));
        }
        let (mut files, seen) = watch();
        let how = files.watch(&folder_there).unwrap();
        files.watch_if_notified(&folder_there);
        assert!(!files.is_polling(), "a folder that may be left out is left out");
        files.watch(&folder_there).unwrap();
        assert!(files.is_polling());
        files.poll(&file_there).unwrap();
        (how, files, seen)
    });
    let (how, _files, seen) = how.join().unwrap();
    assert_eq!(how, How::Polled);
    std::fs::write(&file, "y").unwrap();
    let start = Instant::now();
    while seen.lock().unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
