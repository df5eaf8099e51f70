//! Whatever stands in a pipeline file: it is read, or refused with a message.

use std::fs;
use std::path::PathBuf;

use mprun::Registry;
use mprun::config::{self, LoadOptions};
use proptest::prelude::*;

/// Loads a text and renders all there is to say about it.
fn load(name: &str, bytes: &[u8], sets: Vec<String>) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.toml", std::process::id()));
    fs::write(&path, bytes).expect("write the file");
    let options = LoadOptions { sets, stages: None, ..LoadOptions::default() };
    let report = match config::load(&path, &options, &Registry::builtin()) {
        Ok(loaded) => loaded.warnings,
        Err(report) if report.faults() == 0 => return Err("refused without a fault".into()),
        Err(report) => report,
    };
    let _ = (report.render(true), report.render(false));
    fs::remove_file(&path).expect("remove the file");
    Ok(())
}

/// Pieces of pipeline files, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "[stages.a]\n",
        "[stages.b]\n",
        "[[stages]]\n",
        "[queues.q]\n",
        "[defaults]\n",
        "[stages",
        "use = ",
        "with = ",
        "input = ",
        "output = ",
        "processes = ",
        "sleep = ",
        "capacity = ",
        "max_item = ",
        "backoff = ",
        "\"count\"\n",
        "\"filter\"\n",
        "\"q\"\n",
        "[\"q\", \"r\"]\n",
        "{ min = 0 }\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "${",
        "}",
        "$$",
        "${A:-1}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "\\",
        "\\u0000",
        "0",
        "-1",
        "99999999999999999999",
        "1e400",
        "nan",
        "inf",
        "0x",
        "2026-11-24",
        "true",
        "\"10s\"",
        "\"64KiB\"",
        "\u{feff}",
        "é",
        "数字",
        "\u{1b}[2J",
        "\u{202e}",
        "\u{0}",
        "a.b.c = 1\n",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[ -~\n]{0,20}"]
}

#[test]
fn a_value_nested_a_hundred_thousand_deep_is_refused() {
    for deep in ["{a.".to_owned() + &"a.".repeat(60_000) + "a=1}", "[".repeat(100_000), "{a=".repeat(40_000)]
    {
        assert_eq!(load("deep", format!("a = {deep}").as_bytes(), vec![]), Ok(()));
        assert_eq!(load("deep", b"[stages.a]", vec![format!("stages.a.with={deep}")]), Ok(()));
    }
}

#[test]
fn a_megabyte_of_junk_is_not_searched_to_its_end() {
    let queues: String = (0..30_000).map(|at| format!("[queues.q{at}]\nsize = 1\n")).collect();
    for junk in ["x\n".repeat(500_000), "a = 1\n".repeat(150_000), "[a\n".repeat(300_000), queues] {
        assert_eq!(load("junk", junk.as_bytes(), vec![]), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_pipeline_files_do_no_harm(pieces in prop::collection::vec(piece(), 0..60)) {
        prop_assert_eq!(load("pieces", pieces.concat().as_bytes(), vec![]), Ok(()));
    }

    #[test]
    fn broken_sets_do_no_harm(pieces in prop::collection::vec(piece(), 0..8)) {
        let good = b"[stages.a]\nuse = \"count\"\noutput = \"q\"\n[stages.b]\nuse = \"discard\"\ninput = \"q\"\n";
        let set = pieces.concat();
        let sets = vec![set.clone(), format!("stages.a.{set}"), format!("stages.a.sleep={set}")];
        prop_assert_eq!(load("sets", good, sets), Ok(()));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(load("bytes", &bytes, vec![]), Ok(()));
    }

    #[test]
    fn a_good_file_with_one_change_does_no_harm(at in any::<prop::sample::Index>(), change in piece(), cut in 0usize..9) {
        let mut text = include_str!("../src/cli/starter.toml").to_owned();
        // The starter is ASCII.
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.replace_range(start..end, &change);
        prop_assert_eq!(load("change", text.as_bytes(), vec![]), Ok(()));
    }
}
