//! `mprun export kubernetes`: manifests that a cluster takes, and that say what the file says.

mod support;

use saphyr::{LoadableYamlNode, YamlOwned};
use std::env;
use std::path::PathBuf;
use std::process::Command;
use support::{Folder, Said, command};

/// The checker that `tests/run` installs.
fn checker() -> PathBuf {
    let cache = || {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"))
    };
    let named = env::var_os("MPRUN_TEST_KUBERNETES").map(PathBuf::from);
    named.unwrap_or_else(|| cache().join("mprun-tools/python/bin/kubernetes-validate"))
}

fn export(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (Said, Folder) {
    let folder = Folder::new();
    for (name, text) in files {
        folder.file(name, text);
    }
    let mut mprun = command(&folder);
    mprun.args(["export", "kubernetes", files[0].0, "--image", "shop:1"]).envs(variables.iter().copied());
    let output = mprun.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }, folder)
}

/// The documents, once the checker has taken them.
fn manifests(said: &Said, folder: &Folder) -> Vec<YamlOwned> {
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let file = folder.file("manifests.yaml", &said.stdout);
    let checker = checker();
    let checked = Command::new(&checker).arg("--strict").arg(file).output();
    let checked =
        checked.unwrap_or_else(|error| panic!("{}: {error}: tests/run installs it", checker.display()));
    assert!(checked.status.success(), "{}\n{}", String::from_utf8_lossy(&checked.stderr), said.stdout);
    YamlOwned::load_from_str(&said.stdout).unwrap()
}

fn kinds(manifests: &[YamlOwned]) -> Vec<(&str, &str)> {
    let text = YamlOwned::as_str;
    manifests
        .iter()
        .map(|one| (text(&one["kind"]).unwrap(), text(&one["metadata"]["name"]).unwrap()))
        .collect()
}

fn container(manifest: &YamlOwned) -> &YamlOwned {
    &manifest["spec"]["template"]["spec"]["containers"][0]
}

fn words(list: &YamlOwned) -> Vec<&str> {
    list.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

const SHOP: &str = "broker = { url = \"redis://db:6379\", credentials_file = \"redis.password\" }\n\
    include = [\"conf.d/*.toml\"]\ndrain_timeout = \"1m\"\n[queues.jobs]\nshared = true\n[stages.read]\nuse = \"lines\"\n\
    with = { path = \"${INPUT:-/data/in.txt}\" }\noutput = \"jobs\"\n[stages.parse]\ncommand = [\"cat\"]\nmode = \"reply\"\n\
    input = \"jobs\"\noutput = \"done\"\nprocesses = \"${N}\"\nenv_file = \"/etc/parse.env\"\n";
const WRITE: &str = "[queues.done]\nshared = true\n[stages.write]\nuse = \"file\"\nwith = { path = \"out.txt\" }\ninput = \"done\"\n";

#[test]
fn each_group_of_stages_becomes_a_workload_of_its_own() {
    let (said, folder) = export(&[("shop.toml", SHOP), ("conf.d/write.toml", WRITE)], &[("N", "2")]);
    let manifests = manifests(&said, &folder);
    let claim = "PersistentVolumeClaim";
    let expected = [
        ("ConfigMap", "shop"),
        (claim, "shop-read-state"),
        ("Job", "shop-read"),
        ("Job", "shop-parse"),
        (claim, "shop-write-state"),
        ("Job", "shop-write"),
    ];
    assert_eq!(kinds(&manifests), expected);
    assert_eq!(manifests[0]["data"]["shop.toml"].as_str(), Some(SHOP));
    assert_eq!(manifests[0]["data"]["conf.d_write.toml"].as_str(), Some(WRITE));
    let pod = &manifests[3]["spec"]["template"]["spec"];
    assert_eq!(
        words(&container(&manifests[3])["args"]),
        ["run", "/etc/mprun/shop.toml", "--stages", "parse"]
    );
    assert_eq!(pod["terminationGracePeriodSeconds"].as_integer(), Some(75));
    for secret in
        ["--from-literal=N=", "--from-file=redis.password=", "--from-file=etc_parse.env=/etc/parse.env"]
    {
        assert!(said.stdout.contains(secret), "{secret}");
    }
    assert!(said.stderr.contains("the stage write writes out.txt"), "{}", said.stderr);
}

/// The volume of a pod that holds its state folder.
fn state(manifest: &YamlOwned) -> &YamlOwned {
    let volumes = manifest["spec"]["template"]["spec"]["volumes"].as_sequence().unwrap();
    volumes.iter().find(|volume| volume["name"].as_str() == Some("state")).unwrap()
}

/// A new machine would emit all items of `read` again, and the run would wait for the old one.
#[test]
fn a_pod_whose_machine_the_run_would_wait_for_has_its_state_on_a_claim() {
    let (said, folder) = export(&[("shop.toml", SHOP), ("conf.d/write.toml", WRITE)], &[("N", "2")]);
    let jobs = manifests(&said, &folder);
    let claim = |manifest| state(manifest)["persistentVolumeClaim"]["claimName"].as_str();
    assert_eq!((claim(&jobs[2]), claim(&jobs[5])), (Some("shop-read-state"), Some("shop-write-state")));
    assert!(state(&jobs[3])["emptyDir"].is_mapping(), "any machine can do the items of `parse`");
    let comments = [
        "# The claim holds the machine's id",
        "# As a new one it would begin anew with read, and the run would wait for the old one until `mprun forget`.\n",
        "# It cuts off what write has written of items that come again",
    ];
    comments.iter().for_each(|comment| assert!(said.stdout.contains(comment), "{}", said.stdout));
    // Without end there is one for each pod.
    let endless = format!("{SHOP}[stages.web]\ncommand = \"sleep 1\"\n");
    let (said, folder) = export(&[("shop.toml", &endless), ("conf.d/write.toml", WRITE)], &[("N", "2")]);
    let all = manifests(&said, &folder);
    let workloads: Vec<_> = kinds(&all).into_iter().filter(|(kind, _)| *kind != "Service").skip(1).collect();
    let expected = [
        ("StatefulSet", "shop-read"),
        ("Deployment", "shop-parse"),
        ("Deployment", "shop-web"),
        ("StatefulSet", "shop-write"),
    ];
    assert_eq!(workloads, expected);
    // A program that prints late says itself when it has ended.
    let stream = SHOP.replace("mode = \"reply\"", "mode = \"stream\"");
    let (said, folder) = export(&[("shop.toml", &stream), ("conf.d/write.toml", WRITE)], &[("N", "2")]);
    let claims = kinds(&manifests(&said, &folder))
        .into_iter()
        .filter(|(kind, _)| *kind == "PersistentVolumeClaim")
        .count();
    assert_eq!(claims, 3);
}

#[test]
fn a_source_that_works_on_one_machine_at_a_time_needs_no_claim_and_may_have_several_pods() {
    let text = SHOP
        .replace("output = \"jobs\"\n", "output = \"jobs\"\nmachines = \"one\"\n")
        .replace("\"${INPUT:-/data/in.txt}\"", "\"/mnt/in.txt\", path_is_shared = true");
    let (said, folder) = export(&[("shop.toml", &text), ("conf.d/write.toml", WRITE)], &[("N", "2")]);
    let all = manifests(&said, &folder);
    assert_eq!(kinds(&all)[1], ("Job", "shop-read"));
    assert!(state(&all[1])["emptyDir"].is_mapping());
    let comment = "# read: `parallelism`: any number of pods.\n# read (machines = \"one\") works in one pod at a time: the next pod continues \
                   from its position in the broker.\n";
    assert!(said.stdout.contains(comment), "{}", said.stdout);
}

#[test]
fn what_runs_without_end_is_a_deployment_and_what_keeps_its_queues_a_stateful_set() {
    let endless = "[metrics]\nlisten = \"0.0.0.0:9464\"\n[stages.tick]\nuse = \"tick\"\nwith = { every = \"1s\" }\noutput = \"q\"\n\
        [stages.end]\nuse = \"discard\"\ninput = \"q\"\n";
    let (said, folder) = export(&[("a b.toml", endless)], &[]);
    let all = manifests(&said, &folder);
    assert_eq!(kinds(&all), [("ConfigMap", "a-b"), ("Deployment", "a-b")]);
    assert_eq!(words(&container(&all[1])["args"]), ["run", "/etc/mprun/a b.toml"]);
    assert_eq!(all[1]["spec"]["strategy"]["type"].as_str(), Some("Recreate"));
    assert_eq!(container(&all[1])["ports"][0]["containerPort"].as_integer(), Some(9464));
    assert_eq!(
        words(&container(&all[1])["readinessProbe"]["exec"]["command"])[..3],
        ["mprun", "status", "--check"]
    );
    let (said, folder) = export(&[("kept.toml", &format!("{endless}[queues.q]\ndurable = true\n"))], &[]);
    assert_eq!(
        kinds(&manifests(&said, &folder)),
        [("ConfigMap", "kept"), ("Service", "kept"), ("StatefulSet", "kept")]
    );
}

#[test]
fn a_service_is_a_deployment_without_a_source() {
    let text = "[control]\nenabled = false\n[stages.web]\ncommand = \"sleep 1\"\n";
    let (said, folder) = export(&[("web.toml", text)], &[]);
    let all = manifests(&said, &folder);
    assert_eq!(kinds(&all), [("ConfigMap", "web"), ("Deployment", "web")]);
    assert!(!said.stdout.contains("Probe:"), "{}", said.stdout);
    assert!(said.stdout.contains("# web: `replicas`: any number of pods."), "{}", said.stdout);
}

#[test]
fn no_password_is_exported() {
    let text = |address: &str| {
        format!(
            "broker = \"{address}\"\n[queues.q]\nshared = true\n[stages.a]\nuse = \"count\"\noutput = \"q\"\n[stages.b]\n\
             use = \"discard\"\ninput = \"q\"\n"
        )
    };
    let (said, _) = export(&[("p.toml", &text("redis://:s3cret@db"))], &[]);
    assert!(
        said.code == Some(2) && said.stdout.is_empty() && said.stderr.contains("write a variable"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("s3cret"));
    let (said, _) = export(&[("p.toml", &text("redis://:${WORD:-s3cret}@db"))], &[]);
    assert_eq!(
        (said.code, said.stdout.as_str(), said.stderr.contains("it is the default of ${WORD}, so write")),
        (Some(2), "", true),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("s3cret"));
    // An empty default is none.
    let (said, folder) = export(&[("p.toml", &text("redis://:${WORD:-}@db"))], &[]);
    let all = manifests(&said, &folder);
    let variable = &container(&all[2])["env"][2];
    assert_eq!(variable["valueFrom"]["secretKeyRef"]["optional"].as_bool(), Some(true));
    let (said, folder) = export(&[("p.toml", &text("redis://:${WORD}@db"))], &[("WORD", "s3cret")]);
    assert!(
        !said.stdout.contains("s3cret") && said.stdout.contains("--from-literal=WORD=…"),
        "{}",
        said.stdout
    );
    let all = manifests(&said, &folder);
    let variable = &container(&all[2])["env"][2];
    assert_eq!(variable["valueFrom"]["secretKeyRef"]["key"].as_str(), Some("WORD"));
}

#[test]
fn a_file_with_faults_and_one_that_includes_from_elsewhere_are_refused() {
    let (said, _) = export(&[("p.toml", "[stages.a]\nuse = \"cuont\"\n")], &[]);
    assert!(
        said.code == Some(2) && said.stdout.is_empty() && said.stderr.contains("did you mean"),
        "{}",
        said.stderr
    );
    let (said, _) = export(
        &[
            ("x/p.toml", "include = [\"../more/*.toml\"]\n"),
            ("more/s.toml", "[stages.a]\ncommand = \"ls\"\n"),
        ],
        &[],
    );
    assert!(said.code == Some(2) && said.stderr.contains("outside of its folder"), "{}", said.stderr);
}
