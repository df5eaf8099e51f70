use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mprun-claim-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn take(&self, name: &str, pid: u32, file: &str) -> Result<Claim, ClaimError> {
        Claim::take(
            &ClaimRequest {
                name,
                pid,
                file: file.as_ref(),
                socket: None,
                inherited: None,
                inherited_locks: &[],
            },
            std::slice::from_ref(&self.0),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_second_run_of_a_file_is_refused_with_the_pid_of_the_first() {
    let folder = Folder::new("twice");
    let first = folder.take("p", 1, "/a/p.toml").unwrap();
    match folder.take("p", 2, "/a/p.toml") {
        Err(ClaimError::Running(holder)) => assert_eq!(holder.pid, 1),
        other => panic!("{other:?}"),
    }
    drop(first);
    assert!(folder.take("p", 2, "/a/p.toml").is_ok());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "nothing stays behind");
}

#[test]
fn another_pipeline_of_the_same_name_gets_a_name_with_its_pid_and_runs_once_too() {
    let folder = Folder::new("namesake");
    let own = std::process::id();
    let first = folder.take("p", 1, "/a/p.toml").unwrap();
    let second = folder.take("p", own, "/b/p.toml").unwrap();
    let path = folder.0.join(format!("p-{own}.sock"));
    assert_eq!((&first.path, &second.path), (&folder.0.join("p.sock"), &path));
    match folder.take("p", 3, "/b/p.toml") {
        Err(ClaimError::Running(holder)) => assert_eq!(holder.pid, own),
        other => panic!("{other:?}"),
    }
    assert_eq!(known(std::slice::from_ref(&folder.0)).len(), 2);
}

#[test]
fn a_client_that_came_before_the_next_program_is_served_by_it() {
    let folder = Folder::new("inherited");
    let own = std::process::id();
    let mut before = folder.take("p", own, "/a/p.toml").unwrap();
    let listener = before.listener().unwrap();
    let client = std::os::unix::net::UnixStream::connect(&before.path).unwrap();
    // An exec frees the locks and removes nothing.
    before.held.clear();
    let path = before.path.clone();
    std::mem::forget(before);
    let request = ClaimRequest {
        name: "p",
        pid: own,
        file: "/a/p.toml".as_ref(),
        socket: None,
        inherited: Some(&listener),
        inherited_locks: &[],
    };
    let mut after = Claim::take(&request, std::slice::from_ref(&folder.0)).unwrap();
    assert_eq!(after.path, path);
    after.listener().unwrap().accept().expect("the client waits in the listener that was passed on");
    drop(client);
}

#[test]
fn two_pipelines_can_not_share_a_socket_of_their_own_choice() {
    let folder = Folder::new("shared");
    runtime_folder::prepare(&folder.0).unwrap();
    let path = folder.0.join("mine.sock");
    let take = |pid, file: &str| {
        let request = ClaimRequest {
            name: "p",
            pid,
            file: file.as_ref(),
            socket: Some(&path),
            inherited: None,
            inherited_locks: &[],
        };
        Claim::take(&request, &[folder.0.join("run")])
    };
    let first = take(1, "/a/p.toml").unwrap();
    assert_eq!(known(&[folder.0.join("run")])[0].socket, path, "it is found by its name all the same");
    assert!(matches!(take(2, "/b/p.toml"), Err(ClaimError::Taken(Holder { pid: 1, .. }))));
    assert!(matches!(take(2, "/a/p.toml"), Err(ClaimError::Running(Holder { pid: 1, .. }))));
    drop(first);
    assert!(take(2, "/b/p.toml").is_ok());
}

#[test]
fn what_a_dead_run_left_is_taken_over() {
    let folder = Folder::new("stale");
    runtime_folder::prepare(&folder.0).unwrap();
    drop(UnixListener::bind(folder.0.join("p.sock")).unwrap());
    let old = r#"{"name":"p","pid":1,"file":"/a/p.toml","socket":"/x"}"#;
    fs::write(folder.0.join("p.lock"), old).unwrap();
    fs::write(folder.0.join("q-7.lock"), old).unwrap();
    drop(UnixListener::bind(folder.0.join("q-7.sock")).unwrap());
    let claim = folder.take("p", 2, "/a/p.toml").unwrap();
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "what another one left is swept away");
    assert_eq!(fs::metadata(&claim.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::os::unix::net::UnixStream::connect(&claim.path).is_ok());
}

#[test]
fn a_file_in_the_way_is_no_socket_to_replace() {
    let folder = Folder::new("file");
    runtime_folder::prepare(&folder.0).unwrap();
    let path = folder.0.join("mine.sock");
    fs::write(&path, "precious").unwrap();
    let request = ClaimRequest {
        name: "p",
        pid: 1,
        file: "/a".as_ref(),
        socket: Some(&path),
        inherited: None,
        inherited_locks: &[],
    };
    let taken = Claim::take(&request, &[]);
    assert!(matches!(taken, Err(ClaimError::Failed(..))), "{taken:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

/// Of a supervisor that was killed a child may be left for a moment that has not executed anything yet.
#[test]
fn what_is_left_of_a_killed_run_is_waited_for() {
    let folder = Folder::new("breath");
    let no_process = u32::MAX;
    let mut killed = folder.take("p", no_process, "/a/p.toml").unwrap();
    let lock = folder.0.join("p.lock");
    let open = || {
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == lock)).count()
    };
    let next = std::thread::scope(|scope| {
        let next = scope.spawn(|| folder.take("p", 1, "/a/p.toml"));
        while open() < 2 && !next.is_finished() {
            std::thread::yield_now();
        }
        killed.held.clear();
        next.join().unwrap()
    });
    assert!(next.is_ok(), "{next:?}");
    std::mem::forget(killed); // the files are the next one's by now
}

#[test]
fn a_file_whose_name_is_no_utf_8_is_known_by_its_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new("bytes");
    let file = Path::new(std::ffi::OsStr::from_bytes(b"/a/\xff\n\".toml"));
    let request = ClaimRequest {
        name: "p",
        pid: std::process::id(),
        file,
        socket: None,
        inherited: None,
        inherited_locks: &[],
    };
    let claim = Claim::take(&request, std::slice::from_ref(&folder.0)).unwrap();
    assert_eq!(known(std::slice::from_ref(&folder.0))[0].file, file);
    drop(claim);
}
