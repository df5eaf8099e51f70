//! `mprun import`: what the files of other tools come to, and that it is a good pipeline file.
//!
//! The files of `tests/import` have the shapes that files of public projects have. Keys of services may be keys or comments
//! here: that is for the version of mprun to say.

mod support;

use std::fs;
use std::process::Output;
use support::{Folder, Run, Said, command, project, wait_until};

/// The folder with the files, and what one of them came to.
fn import(arguments: &[&str]) -> (Folder, Said) {
    let folder = Folder::new();
    copy(&project().join("tests/import"), folder.path());
    fs::rename(folder.path().join("env"), folder.path().join(".env")).unwrap();
    let output = mprun(&folder, &[&["import"], arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let said = Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    (folder, said)
}

fn mprun(folder: &Folder, arguments: &[&str]) -> Output {
    let mut mprun = command(folder);
    mprun
        .args(arguments)
        .env("API_PORT", "8001")
        .env("CHECK_EVERY", "5s")
        .env("HOME", "/home/me")
        .env("DB_PASSWORD", "x")
        .output()
        .unwrap()
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The file must be good; its stages, each with its lines.
#[track_caller]
fn good(arguments: &[&str]) -> (String, impl Fn(&str) -> Vec<String> + use<>) {
    let (folder, said) = import(arguments);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    folder.file("pipeline.toml", &said.stdout);
    let check = mprun(&folder, &["check", "--syntax", "pipeline.toml"]);
    assert!(check.status.success(), "{}\n{}", String::from_utf8_lossy(&check.stderr), said.stdout);
    let text = said.stdout.clone();
    let section = move |name: &str| {
        let lines = text.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
        lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    (said.stdout, section)
}

/// Each of these lines is there. `KEY… | COMMENT…`: the key, or that it was left out.
#[track_caller]
fn has(lines: &[String], wanted: &[&str]) {
    for want in wanted {
        let forms: Vec<&str> = want.split(" | ").collect();
        let is_there = lines.iter().any(|line| forms.iter().any(|form| line.starts_with(form)));
        assert!(is_there, "no line {want:?} in\n{}", lines.join("\n"));
    }
}

#[test]
fn a_procfile_with_its_variables() {
    let (text, section) = good(&["procfile"]);
    assert!(text.contains("# not carried over: this line has no name (it is no `NAME: COMMAND`)"), "{text}");
    has(&section("defaults"), &["env_file = \".env\"", "restart = \"always\"", "on_give_up = \"continue\""]);
    let web = ["command = \"bin/server -p $${PORT:-3000} -e production\"", "env = { PORT = \"4000\" }"];
    has(&section("stages.web"), &web);
    has(
        &section("stages.worker"),
        &["command = \"QUEUE=mails,orders exec bin/jobs\"", "env = { PORT = \"4100\" }"],
    );
    let find = r#"command = ["/bin/sh", "-c", "find tmp -name '*.old' -exec rm {{}} \\;"]"#;
    has(&section("stages.clean_up"), &[find]);
    has(&section("stages.release"), &["enabled = false", "restart = \"never\""]);
}

#[test]
fn supervised_programs_with_a_pool_and_included_files() {
    let (text, section) = good(&["supervisord", "services.conf"]);
    for note in ["[unix_http_server]", "[rpcinterface:supervisor]", "[group:shop]"] {
        assert!(text.contains(&format!("\n# not carried over: {note} (")), "{note} in\n{text}");
    }
    assert!(!text.contains("files ="), "{text}");
    let here =
        text.lines().find_map(|line| line.strip_prefix("# From ")?.strip_suffix("/services.d/beat.conf."));
    has(
        &section("defaults"),
        &[
            &format!("env = {{ LANG = \"C.UTF-8\", ROOT = {:?} }}", here.unwrap()),
            "umask = \"027\"",
            "# not carried over: user=shop (",
        ],
    );
    has(
        &section("stages.api"),
        &[
            r#"command = ["sh", "-fc", "exec /usr/bin/env python3 -m http.server $1 --bind 127.0.0.1", "sh", "${API_PORT}"]"#,
            "cwd = \"/srv/shop\"",
            "restart = \"always\"",
            "backoff = { reset_after = \"5s\" }",
            "give_up = { restarts = 8 }",
            "stop_signal = \"QUIT\" | # not carried over: stopsignal=QUIT (",
            "stop_timeout = \"30s\"",
            "user = \"www-data\"",
            "stdout = \"log\" | # not carried over: stdout_logfile=",
            "log_file = { path = \"/var/log/shop/api.log\", max_size = \"1MiB\", keep = 3 }",
            r#"env = { A = "1,2", B = "x y", HOME_BIN = "${HOME}/bin" }"#,
            "# not carried over: priority=10 (",
        ],
    );
    has(
        &section("stages.pool"),
        &[
            r#"command = ["/srv/shop/bin/work", "--id={worker}", "--percent", "50%", "{{}}"]"#,
            "processes = 4",
            "success_codes = [0, 2]",
        ],
    );
    assert!(!section("stages.pool").iter().any(|line| line.contains("log") || line.starts_with("restart")));
    for stage in ["stages.mails", "stages.old"] {
        has(&section(stage), &["enabled = false"]);
    }
    has(&section("stages.quiet"), &["autostart = false"]);
    has(
        &section("stages.beat"),
        &["# not carried over: command=", "command = [\"false\"]", "enabled = false"],
    );
    has(
        &section("stages.quiet"),
        &[
            "restart = \"never\"",
            "stdout = \"null\" | # not carried over: stdout_logfile=NONE (",
            "log_file = { path = \"/var/log/quiet.err\", max_size = \"50MiB\", keep = 10 }",
            "# not carried over: colour=red (",
        ],
    );
}

#[test]
fn services_of_containers_as_far_as_the_file_knows_their_programs() {
    let (text, section) = good(&["compose"]);
    for note in ["volumes: db", "networks: back"] {
        assert!(text.contains(&format!("\n# not carried over: {note}\n")), "{note} in\n{text}");
    }
    has(
        &section("stages.db"),
        &[
            "# not carried over: image: some/database:16-alpine (",
            "enabled = false",
            "env = { DB_PASSWORD = \"${DB_PASSWORD}\" }",
            "health = { command = \"db-ready -U $${DB_USER:-app}\", every = \"5s\"",
            "restart = \"always\"",
        ],
    );
    has(
        &section("stages.cache"),
        &[
            r#"command = ["cache-server", "--appendonly", "yes", "--pass", "${CACHE_PASSWORD:-}"]"#,
            "ready = { command = \"cache-client ping\", timeout = \"120s\" }",
        ],
    );
    has(
        &section("stages.web_app"),
        &[
            r#"command = ["server", "app:main", "-b", "0.0.0.0:${PORT:-4000}"]"#,
            "env_file = \"app.env\"",
            r#"env = { DATABASE_URL = "db://app:${DB_PASSWORD:-}@db/app", N = "3", TZ = "Europe/Berlin", DEBUG = "false" }"#,
            "after = [\"cache\"]",
            "# not carried over: depends_on: db (",
            "stop_signal = \"QUIT\" | # not carried over: stop_signal: SIGQUIT (",
            "stop_timeout = \"1m30s\"",
            "processes = 3",
            "restart = \"on-failure\"",
            "give_up = { restarts = 3, within = \"120s\" }",
            "backoff = { initial = \"5s\", max = \"5s\" }",
            "# not carried over: ports: [8000:8000] (",
            "# not carried over: deploy: resources: ",
        ],
    );
    has(
        &section("stages.jobs"),
        &[
            r#"command = ["/bin/sh", "-c", "echo \"begins\"\nexec work --all\n"]"#,
            "env = { A = \"1\" }",
            "enabled = false",
            "give_up = { restarts = 5, within = \"1d\" }",
            "# not carried over: user: 1000:1000 (",
            "# not carried over: working_dir: /app (",
        ],
    );
    has(&section("stages.options"), &["# not carried over: image: some/store (", "enabled = false"]);
}

#[test]
fn what_is_no_such_file_is_told_with_its_line() {
    for (arguments, code, said) in [
        (&["compose", "Procfile"][..], 2, "error: Procfile"),
        (&["supervisord", "compose.yaml"], 2, "try `mprun import compose compose.yaml`"),
        (&["supervisord", "Procfile"], 2, "a setting before the first `[section]`"),
        (&["procfile", "services.conf"], 2, "try `mprun import supervisord services.conf`"),
        (&["compose", "nowhere.yaml"], 2, "error: there is no file nowhere.yaml"),
        (&["procfile", "."], 2, "error: . is a folder, not a file"),
        (&["procfile", "-"], 2, "error: standard input is empty"),
        (&["supervisord"], 2, "required"),
        (&["procfle"], 2, "procfile"),
    ] {
        let output = import(arguments).1;
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.stderr);
        assert!(output.stdout.is_empty() && output.stderr.contains(said), "{arguments:?}: {}", output.stderr);
    }
}

#[test]
fn included_programs_are_those_that_supervisord_has() {
    let folder = Folder::new();
    folder.file(
        "s.conf",
        "[supervisord]\nenvironment=PORT=\"80\",TOOL=\"serve --all\"\n[include]\nfiles=conf.d/*.conf\n[program-default]\na=b\n\
         [program:web]\ncommand=old\numask=027\n[program:all]\ncommand=%(ENV_TOOL)s %(ENV_PORT)s %(ENV_ADDRESS)s\n\
         environment=PORT=\"1%(ENV_PORT)s\"\n",
    );
    folder.file(
        "conf.d/web.conf",
        "[program:web]\ncommand=%(here)s/run %(ENV_MORE)s '%(ENV_MORE)s' \"a  %(ENV_MORE)s b\" x%(ENV_MORE)s\ndirectory=%(here)s\n",
    );
    let output = mprun(&folder, &["import", "supervisord", "s.conf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let here = folder.path().join("conf.d").display().to_string();
    for line in [
        &format!(
            "command = [\"sh\", \"-fc\", \"exec {here}/run $1 \\\"$2\\\" \\\"$3\\\" \\\"$4\\\"\", \"sh\", \"${{MORE}}\", \"${{MORE}}\", \"a  ${{MORE}} b\", \"x${{MORE}}\"]\numask = \"027\"\ncwd = \"{here}\"\n"
        ),
        "command = [\"sh\", \"-fc\", \"exec serve --all 180 $1\", \"sh\", \"${ADDRESS}\"]\n",
        "# not carried over: [program-default] (supervisord has no such section",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(text.matches("[stages.").count(), 2, "{text}");
}

#[test]
fn services_whose_names_become_the_same_wait_for_the_right_one() {
    let folder = Folder::new();
    let services = "services:\n  a.b:\n    command: one\n  a_b:\n    command: two\n  c:\n    command: three\n    depends_on: [a_b]\n";
    folder.file("c.yaml", services);
    let output = mprun(&folder, &["import", "compose", "c.yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[stages.a_b_2]\ncommand = [\"two\"]\n"), "{text}");
    assert!(text.contains("after = [\"a_b_2\"]\n"), "{text}");
}

#[test]
fn a_file_of_services_that_are_all_off_has_one_that_is_on() {
    let folder = Folder::new();
    folder.file("compose.yaml", "services:\n  a: {image: x}\n  b: {image: y}\n");
    let output = mprun(&folder, &["import", "compose"]);
    folder.file("pipeline.toml", &String::from_utf8(output.stdout).unwrap());
    assert!(mprun(&folder, &["check", "--syntax", "pipeline.toml"]).status.success());
}

/// The first block of this kind in a page, from a heading or sentence on.
fn block<'a>(page: &'a str, kind: &str, behind: &str) -> &'a str {
    let page = &page[page.find(behind).unwrap()..];
    let start = page.find(&format!("```{kind}\n")).unwrap() + kind.len() + 4;
    &page[start..start + page[start..].find("```").unwrap()]
}

#[test]
fn the_page_about_moving_over_is_true_and_its_file_runs() {
    let page = fs::read_to_string(project().join("docs/from-supervisord.md")).unwrap();
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join("public")).unwrap();
    folder.file("services.conf", block(&page, "ini", "# From supervisord"));
    let here = folder.path().to_str().unwrap();
    // The lines of the page, as they stand there, and all that they print.
    let (_, lines) = page.split_once("```console\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let (typed, printed): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with("$ "));
    let typed: Vec<String> = typed.iter().map(|line| line[2..].replace("/srv/shop", here)).collect();
    let script = typed.join("\n").replace("mprun ", &format!("{} ", support::binary()));
    let said =
        std::process::Command::new("bash").args(["-ec", &format!("exec 2>&1\n{script}")]).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).replace(here, "/srv/shop");
    assert!(said.status.success() && text == format!("{}\n", printed.join("\n")), "{said:?}");
    let imported = fs::read_to_string(folder.path().join("shop.toml")).unwrap();
    assert_eq!(imported.replace(here, "/srv/shop"), block(&page, "toml", "It writes\nthis one"));

    let (before, _) = imported.split_once("[stages.worker]").unwrap();
    folder.file("pipeline.toml", &format!("{before}{}", block(&page, "toml", "What is left is one comment")));
    let mut mprun = command(&folder);
    mprun.args(["run", "pipeline.toml"]).env("WEB_PORT", "0");
    let mut run = Run::of(folder, mprun);
    let said = |line: &str| wait_until(line, || run.lines().iter().any(|said| said == line).then_some(()));
    ["worker 0 of mails", "worker 1 of mails", "worker 2 of mails", "synced"].into_iter().for_each(said);
    run.wait_for_log("Serving HTTP on 127.0.0.1");
    wait_until("the same in its log file", || {
        let log = fs::read_to_string(run.folder.path().join("log/web.log")).unwrap_or_default();
        log.contains("Serving HTTP on 127.0.0.1").then_some(())
    });
    assert!(!run.lines().iter().any(|line| line.contains(':')), "the clock's lines go nowhere");

    let killed = |stage: &str| wait_until(stage, || run.workers(stage).first().copied());
    support::process::kill(killed("web"), libc::SIGKILL);
    wait_until("the web service once more", || {
        (run.stderr().matches("Serving HTTP on 127.0.0.1").count() == 2).then_some(())
    });
    run.tell(&["scale", "worker=4"]);
    said("worker 3 of mails");
    run.tell(&["stop"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_line_of_xargs_or_parallel_becomes_a_file_that_runs() {
    for (tool, line, lines, note) in [
        ("xargs", "xargs -d '\\n' -n2 -t echo x", vec!["x a b", "x c d"], "not carried over: -t"),
        ("xargs", "xargs -0 -I@ -P1 echo '@ @'", vec!["a", "b", "c", "d", " a", "b", "c", "d"], "mprun do"),
        (
            "parallel",
            "parallel -k --tag --halt now,fail=1 --nice 3 'echo {#} | cat' ::: p 'q r'",
            vec!["p\t1", "q r\t2"],
            "nice = 3",
        ),
    ] {
        let folder = Folder::new();
        let printed = command(&folder).args(["import", tool, line]).output().unwrap();
        let text = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.status.success() && text.contains(note), "{line}: {text}");
        folder.file("pipeline.toml", &text);
        let mut run = command(&folder);
        let input = std::fs::File::open(folder.file("input", "a\nb\nc\nd\n")).unwrap();
        let ran = run.args(["run", "pipeline.toml"]).stdin(input).output().unwrap();
        let stdout = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(stdout.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), lines, "{line}");
    }
}

#[test]
fn words_of_a_shell_that_come_to_none_are_no_item() {
    let run = |line: &str| {
        let folder = Folder::new();
        folder.file("empty", "");
        folder.file("lines", "a\n\n \nb\n");
        let printed = command(&folder).args(["import", "parallel", line]).output().unwrap();
        assert!(printed.status.success(), "{line}: {}", String::from_utf8_lossy(&printed.stderr));
        folder.file("pipeline.toml", &String::from_utf8(printed.stdout).unwrap());
        let ran = command(&folder).args(["run", "pipeline.toml"]).env_remove("UNSET").output().unwrap();
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    for words in ["$(cat empty)", "`cat empty`", "$UNSET", "${UNSET}", "$UNSET $(cat empty)"] {
        for line in
            [format!("parallel echo rm old/{{}} ::: {words}"), format!("parallel -n2 echo {{1}} ::: {words}")]
        {
            assert_eq!(run(&line), "", "{line}");
        }
    }
    assert_eq!(run("parallel -k echo x{} ::: $(cat empty) 'a b' $UNSET c"), "xa b\nxc\n");
    assert_eq!(run("parallel -k -r echo x{} :::: lines"), "xa\nxb\n");
    assert_eq!(run("cat lines empty | parallel -k -r echo x{}"), "xa\nxb\n");
}

#[test]
fn a_line_end_in_the_variables_of_a_procfile_stays_one() {
    let folder = Folder::new();
    folder.file(".env", "A=\"a\\nb\"\nB='a\\nb'\nC=plain\nD=\"plain\"\nAPI_KEY=\"a\\nb\"\n");
    folder.file("Procfile", "web: serve\n");
    let said = mprun(&folder, &["import", "procfile"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("env_file = \".env\"\n"), "{text}");
    assert!(text.contains("# not carried over: .env: API_KEY (a Procfile's tools and mprun read"), "{text}");
    assert!(text.contains("env = { A = \"a\\nb\" }\n"), "{text}");
}

#[test]
fn settings_mean_the_same_on_both_sides() {
    let (folder, _) = import(&["procfile"]);
    let of = |kind: &str, name: &str, file: &str| {
        folder.file(name, file);
        let output = mprun(&folder, &["import", kind, name]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    };
    let text = of(
        "supervisord",
        "s.conf",
        "[supervisord]\ndirectory=/srv\n[include]\nfiles=none/*.conf\n[program:pool]\n\
         command=serve 127.0.0.1:80%(process_num)02d\nnumprocs=4\nautostart=%(ENV_ON)s\nautorestart=%(ENV_X)s\n\
         directory=~/pool\nenvironment=A=\"1\",N=\"%(process_num)d\"\nstopsignal=2\n",
    );
    for line in [
        "cwd = \"/srv\"\n",
        "backoff = { initial = \"1s\", reset_after = \"1s\" }\n",
        "give_up = { within = \"1d\" }\n",
        "# not carried over: files=none/*.conf (there is no such file on this machine)\n",
        "command = [\"serve\", \"127.0.0.1:800{worker}\"]\n",
        "autostart = \"${ON}\"\n",
        "# not carried over: autorestart=%(ENV_X)s (neither true nor false)\n",
        "cwd = \"${HOME}/pool\"\n",
        "# not carried over: environment: N (a worker's number can't stand here)\nenv = { A = \"1\" }\n",
        "stop_signal = \"INT\"\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = of(
        "supervisord",
        "r.conf",
        "[program:often]\ncommand=a\nstartretries=20\nstartsecs=60\n[program:long]\ncommand=a\nstartretries=5000\n\
         [program:never]\ncommand=a\nstartsecs=0\nstartretries=3\n[program:once]\ncommand=a\nautorestart=false\nstartsecs=0\n\
         [program:bad]\ncommand=a\nstartsecs=x\nstartretries=y\n",
    );
    for line in [
        "backoff = { reset_after = \"60s\" }\ngive_up = { restarts = 20 }\n",
        "[stages.long]\ncommand = [\"a\"]\ngive_up = { restarts = 5000, within = \"2d\" }\n",
        "# startsecs=0: each run is a good one there, however short, so it never gives up, and starts again at once.",
        "backoff = { max = \"1s\" }\ngive_up = { restarts = 1000000, within = \"1m\" }\n",
        "[stages.once]\ncommand = [\"a\"]\nrestart = \"never\"\n\n",
        "# not carried over: startsecs=x (no number)\n# not carried over: startretries=y (no number)\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = of(
        "compose",
        "r.yaml",
        "services:\n  often:\n    command: a\n    restart: on-failure:20\n  long:\n    command: a\n    restart: on-failure:2000\n",
    );
    for line in
        ["give_up = { restarts = 20, within = \"1d\" }\n", "give_up = { restarts = 2000, within = \"2d\" }\n"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let compose = "services:\n  web:\n    command: serve\n    stop_signal: 15\n    environment: {A: 1, B: '${C:+x}'}\n    \
                   depends_on: {job: {condition: service_completed_successfully}}\n  job:\n    command: migrate\n";
    let text = of("compose", "c.yaml", compose);
    for line in [
        "[defaults]\n# A program that gives up leaves the others alone.\non_give_up = \"continue\"\n# As Docker: ",
        "give_up = { restarts = 1000000 }\nbackoff = { max = \"1m\", reset_after = \"10s\" }\n",
        "# not carried over: environment: B (${C:+x} has no counterpart)\nenv = { A = \"1\" }\n",
        "# not carried over: depends_on: job: service_completed_successfully (`after` does not wait for an end",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("stop_signal"), "{text}");
    folder.file("there.env", "A=1\n");
    let optional = "services:\n  db:\n    command: serve\n  web:\n    command: serve\n    links: ['db:database', away]\n    env_file:\n\
                    \x20     - path: there.env\n        required: false\n      - path: away.env\n        required: false\n\
                    \x20   depends_on: {db: {condition: service_healthy}}\n    healthcheck: {test: 'true', start_interval: 2s}\n";
    let text = of("compose", "o.yaml", optional);
    for line in [
        "after = [\"db\"]\n",
        "env_file = \"there.env\"\n",
        "# not carried over: env_file: away.env (required: false, and it is not there; here an `env_file` must be)\n",
        "# not carried over: depends_on: away (`after` names stages that run)\n",
        "# not carried over: depends_on: db: service_healthy (its check is the image's own: give that stage a `ready`)\n",
        "# not carried over: healthcheck: {test: true, start_interval: 2s} (`health` ends what is unhealthy, and restart = \"never\"",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let healthy = "services:\n  db:\n    command: serve {worker}\n    restart: always\n    healthcheck: {test: 'true', interval: 1m0.5s, timeout: 5x}\n\
                   \x20 web:\n    command: serve\n    depends_on: {db: {condition: service_healthy}}\n";
    let text = of("compose", "h.yaml", healthy);
    for line in [
        "command = [\"serve\", \"{{worker}}\"]\n",
        "health = { command = \"true\", every = \"60500ms\" }\n",
        "# not carried over: healthcheck: timeout: 5x (it is no time)\n",
        "# not carried over: depends_on: db: service_healthy (if that stage gives up, this one is started all the same)\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let extends = "services:\n  base:\n    command: serve\n    env_file: [a.env, b.env]\n    environment: {A: 1, B: 2}\n\
                   \x20 web:\n    extends: base\n    environment: [B=3]\n    env_file: c.env\n\
                   \x20   healthcheck: {test: 'true', interval: 10s, retries: 5, start_period: 5s, start_interval: 2s}\n\
                   \x20 far:\n    extends: {file: o.yaml, service: web}\n    command: far\n\
                   \x20 none:\n    command: none\n    deploy: {replicas: 0}\n\
                   \x20 off:\n    command: off ${A:+b}\n\
                   \x20 last:\n    command: last\n    restart: always\n    depends_on: [none, off, web]\n    healthcheck: {test: 'true', interval: $T}\n";
    let text = of("compose", "e.yaml", extends);
    for line in [
        "env = { A = \"1\", B = \"2\" }\nenv_file = [\"a.env\", \"b.env\"]\n",
        "command = [\"serve\"]\nenv = { A = \"1\", B = \"3\" }\nenv_file = [\"a.env\", \"b.env\", \"c.env\"]\n",
        "ready = { command = \"true\", every = \"2s\", timeout = \"55s\" }\n",
        "# not carried over: extends: {file: o.yaml, service: web} (that service stands in another file",
        "[stages.none]\ncommand = [\"none\"]\nrestart = \"never\"\nenabled = false\n",
        "# not carried over: depends_on: none, off (`after` names stages that run)\nafter = [\"web\"]\n",
        "health = { command = \"true\", every = \"${T}\" }\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let old = "version: '2'\nweb:\n  image: web\n  command: serve\n";
    let text = of("compose", "old.yaml", old);
    assert!(text.contains("[stages.web]") && !text.contains("[stages.version]"), "{text}");
    let text = of(
        "supervisord",
        "n.conf",
        "[program:one]\ncommand=serve 80%(process_num)02d\nnumprocs_start=7\n\
         [program:two]\ncommand=serve 80%(process_num)02d\nnumprocs=2\nnumprocs_start=9\nprocess_name=%(process_num)d\n\
         [program:plain]\ncommand=serve\nnumprocs=2\nnumprocs_start=1\nprocess_name=%(process_num)d\n",
    );
    for line in [
        "[stages.one]\ncommand = [\"serve\", \"8007\"]\n",
        "[stages.two_9]\ncommand = [\"serve\", \"8009\"]\n",
        "[stages.two_10]\ncommand = [\"serve\", \"8010\"]\n",
        "[stages.plain]\ncommand = [\"serve\"]\nprocesses = 2\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = of("compose", "i.yaml", "services:\n  i:\n    command: init\n    stop_signal: SIGRTMIN+3\n");
    assert!(text.contains("stop_signal = \"RTMIN+3\"\n"), "{text}");
    let text = of("procfile", "P", "worker.1: a\nlong: b \\\n  --c\n");
    assert!(text.contains("worker.1: a (a name has letters, digits, `_` and `-`)"), "{text}");
    assert!(text.contains("# It ends in a backslash, but a Procfile has no continued lines"), "{text}");
    let text = of("procfile", "docker-compose.yml", compose);
    assert!(text.contains("try `mprun import compose docker-compose.yml`"), "{text}");
}

#[test]
fn the_variables_of_a_compose_file_have_the_values_of_the_env_file_beside_it() {
    let folder = Folder::new();
    let compose = "services:\n  web:\n    command: sh -c 'echo on ${PORT} with $$HOME_PAGE, $$LEVEL' $OPTIONS ${MODE:+m} ${TOKEN:?set it}\n\
                   \x20   environment: [LEVEL, 'HOME_PAGE=${SITE-none}/x', DB_PASSWORD, OTHER]\n";
    folder.file("at/compose.yaml", compose);
    folder.file(
        "at/.env",
        "PORT=8000\nexport LEVEL=info  # how much\nSITE='http://example.org'\nDB_PASSWORD=hunter2\nOPTIONS=-a 'b c'\nMODE=\nTOKEN=t0k\n",
    );
    let output = command(&folder).args(["import", "compose", "at/compose.yaml"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "# Values of .env are written here: LEVEL, OPTIONS, PORT, SITE. The environment goes before them where a variable has them as its default.\n",
        "# In .env, but not written here, as it may be a secret, or can't be a default: DB_PASSWORD, TOKEN. Set it in the environment before a run.\n",
        "command = [\"sh\", \"-c\", \"echo on ${PORT:-8000} with $$HOME_PAGE, $$LEVEL\", \"-a\", \"b c\", \"${TOKEN}\"]\n",
        "env = { LEVEL = \"${LEVEL:-info}\", HOME_PAGE = \"${SITE:-http://example.org}/x\", DB_PASSWORD = \"${DB_PASSWORD}\" }\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("hunter2") && !text.contains("t0k"), "{text}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("the variable `TOKEN` is not set") && said.contains("`DB_PASSWORD` is not set"),
        "{said}"
    );
    folder.file("pipeline.toml", &text);
    let run = |port: Option<&str>| {
        let mut run = command(&folder);
        run.args(["-q", "run", "pipeline.toml"]).env("DB_PASSWORD", "x").env("TOKEN", "x").env_remove("PORT");
        run.envs(port.map(|port| ("PORT", port)));
        String::from_utf8(run.output().unwrap().stdout).unwrap()
    };
    assert_eq!(run(None), "on 8000 with http://example.org/x, info\n");
    assert_eq!(
        run(Some("9")),
        "on 9 with http://example.org/x, info\n",
        "the environment goes before the file"
    );
    // A file that Compose would refuse is named, and the rest is carried over.
    folder.file("at/.env", "PORT=1\nno line\n");
    let output = command(&folder).args(["import", "compose", "at/compose.yaml"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("# not carried over: at/.env:2: expected NAME=value\n"), "{text}");
    assert!(text.contains("env = { HOME_PAGE = \"${SITE:-none}/x\" }\n"), "{text}");
}

/// Compose and mprun have different grammars of such files: a comment behind a value, variables, and what is in quotes.
#[test]
fn what_compose_reads_in_a_file_of_variables_in_another_way_is_written_out() {
    let folder = Folder::new();
    folder.file(
        "at/compose.yaml",
        "services:\n  web:\n    command: [sh, -c, 'echo $$HOST $$URL $$SAME $$OWN']\n    env_file: web.env\n    environment: {OWN: mine}\n\
         \x20 bad:\n    command: bad\n    env_file: bad.env\n",
    );
    folder.file(
        "at/web.env",
        "HOST=db   # the host\nURL=http://${HOST}/x\nSAME=1\nOWN=a # b\nDB_PASSWORD=x # y\n",
    );
    folder.file("at/bad.env", "BARE\nPORT=80\n");
    folder.file("at/compose.override.yml", "services: {}\n");
    let output = command(&folder).args(["import", "compose", "at/compose.yaml"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "# not carried over: compose.override.yml, which `docker compose` reads with this file. `docker compose config` writes both as one: import that.\n",
        "env_file = \"web.env\"\n",
        "env = { OWN = \"mine\", HOST = \"db\", URL = \"http://db/x\" }\n",
        "# not carried over: web.env: DB_PASSWORD (Compose and mprun read its line in different ways",
        "# not carried over: env_file: bad.env (mprun does not read its line 1: expected NAME=value",
        "env = { PORT = \"80\" }\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("x # y"), "{text}");
    folder.file("at/pipeline.toml", &text.replace("[stages.bad]", "[stages.bad]\nenabled = false"));
    let run = command(&folder).args(["-q", "run", "at/pipeline.toml"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "db http://db/x 1 mine\n", "{text}");
}

/// Of files in the shapes that public projects have; `UPDATE_GOLDEN=1` writes what they come to.
#[test]
fn whole_files_come_to_what_is_written_down() {
    let golden = project().join("tests/import/public");
    let mut names: Vec<String> = fs::read_dir(&golden)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| [".yaml", ".conf", ".procfile"].iter().any(|end| name.ends_with(end)));
    names.sort();
    assert_eq!(names.len(), 10);
    for name in names {
        let folder = Folder::new();
        copy(&golden, folder.path());
        fs::rename(folder.path().join("dot.env"), folder.path().join(".env")).unwrap();
        let kind = match name.rsplit('.').next() {
            Some("yaml") => "compose",
            Some("conf") => "supervisord",
            _ => "procfile",
        };
        let mut import = command(&folder);
        import.args(["import", kind, &name]).env("PORT", "1").env("LOG_DIR", "/l").env("DB_PASSWORD", "x");
        let output = import.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        folder.file("pipeline.toml", &text);
        let check = command(&folder)
            .args(["check", "--syntax", "pipeline.toml"])
            .env("PORT", "1")
            .env("LOG_DIR", "/l")
            .env("DB_PASSWORD", "x")
            .output()
            .unwrap();
        assert!(check.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&check.stderr));
        let text = text.replace(folder.path().to_str().unwrap(), "/here");
        let written = golden.join(format!("{name}.toml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&written, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&written).unwrap_or_default(), "{name}");
    }
}
