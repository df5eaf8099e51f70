use super::*;
use std::collections::BTreeMap;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mprun-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn log(&self, max_size: u64, max_age: Option<Duration>, keep: u32) -> LogFile {
        LogFile { path: self.0.join("deep/a.log"), max_size, max_age, keep }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(writer: usize, n: usize) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} INFO  w[{writer}] {n}\n")
}

#[test]
fn many_writers_rotate_one_file_and_no_line_is_lost_or_torn() {
    let folder = Folder::new("many");
    let spec = folder.log(20_000, None, 1000);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let spec = spec.clone();
            std::thread::spawn(move || {
                let mut appender = Appender::new(spec);
                (0..5000).for_each(|n| appender.append(line(writer, n).as_bytes()).unwrap());
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let files = (0..).map(|n| spec.generation(n)).take_while(|path| path.exists());
    let mut count = 0;
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() < 20_000 + 5 * 8192, "{} is {} bytes long", path.display(), text.len());
        for line in text.lines() {
            *seen.entry(line.split_once("INFO").unwrap().1.to_owned()).or_default() += 1;
        }
        count += 1;
    }
    assert!(count > 10, "{count} files");
    assert_eq!(seen.len(), 20_000);
    assert!(seen.values().all(|&times| times == 1));
}

#[test]
fn only_so_many_old_files_are_kept() {
    let folder = Folder::new("keep");
    let spec = folder.log(5000, None, 2);
    let mut appender = Appender::new(spec.clone());
    (0..2000).for_each(|n| appender.append(line(0, n).as_bytes()).unwrap());
    let exist: Vec<bool> = (0..4).map(|n| spec.generation(n).exists()).collect();
    assert_eq!(exist, [true, true, true, false]);
    let none = folder.log(5000, None, 0);
    let mut appender = Appender::new(none.clone());
    (0..2000).for_each(|n| appender.append(line(0, n).as_bytes()).unwrap());
    assert!(fs::metadata(&none.path).unwrap().len() <= 5000 + STRIDE);
}

#[test]
fn a_file_whose_first_line_is_too_old_is_rotated_also_after_a_restart() {
    let folder = Folder::new("age");
    let spec = folder.log(1 << 20, Some(Duration::from_secs(3600)), 3);
    let mut appender = Appender::new(spec.clone());
    appender.append(b"2020-01-01T00:00:00.000Z INFO  a[0] old\n").unwrap();
    let mut after_a_restart = Appender::new(spec.clone());
    after_a_restart.append(line(0, 1).as_bytes()).unwrap();
    assert!(fs::read_to_string(spec.generation(1)).unwrap().contains("old"));
    assert!(!fs::read_to_string(&spec.path).unwrap().contains("old"));
    // The first writer has the old file open, and finds out.
    (0..200).for_each(|n| appender.append(line(0, n).as_bytes()).unwrap());
    assert!(
        fs::read_to_string(&spec.path).unwrap().contains("a[0]")
            || fs::read_to_string(&spec.path).unwrap().contains("w[0] 199")
    );
}

#[test]
fn a_file_that_somebody_else_has_moved_away_is_made_anew() {
    let folder = Folder::new("moved");
    let spec = folder.log(1 << 20, None, 1);
    let mut appender = Appender::new(spec.clone());
    appender.append(line(0, 0).as_bytes()).unwrap();
    fs::rename(&spec.path, spec.path.with_extension("away")).unwrap();
    (1..200).for_each(|n| appender.append(line(0, n).as_bytes()).unwrap());
    assert!(fs::read_to_string(&spec.path).unwrap().ends_with("w[0] 199\n"));
}
