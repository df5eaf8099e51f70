//! The ways to a server: with TLS or without, each form of who asks, several addresses; and the words about a wrong one.

use crate::server::{SAFE, Server};
use crate::support::{Folder, binary, wait_until};
use data_encoding::BASE64URL_NOPAD;
use mprun::broker::BrokerKind;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// An authority of the test's own, and the certificate of a server at 127.0.0.1.
struct Certificates(Folder);

static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::new);

impl Certificates {
    fn new() -> Certificates {
        let made = Certificates(Folder::new());
        let names = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
        made.0.file("names", names);
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        made.openssl(
            &[&["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test"], &key[..]]
                .concat(),
        );
        made.openssl(
            &[&["req", "-keyout", "key.pem", "-out", "request", "-subj", "/CN=server"], &key[..]].concat(),
        );
        made.openssl(&[
            "x509",
            "-req",
            "-in",
            "request",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ]);
        made
    }

    fn openssl(&self, words: &[&str]) {
        let done = Command::new("openssl").current_dir(self.0.path()).args(words).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A server that takes TLS only: for NATS the words of its file.
    fn server(&self, kind: BrokerKind, more: &[&str]) -> Server {
        let [certificate, key, authority] = ["server.pem", "key.pem", "ca.pem"].map(|name| self.shown(name));
        match kind {
            BrokerKind::Redis => {
                let tls = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
                let files = [
                    "--tls-cert-file",
                    &certificate,
                    "--tls-key-file",
                    &key,
                    "--tls-ca-cert-file",
                    &authority,
                ];
                Server::start(&[SAFE, &tls, &files, more].concat())
            }
            BrokerKind::Nats => {
                let tls = format!("tls {{ cert_file: '{certificate}', key_file: '{key}' }}\n");
                Server::nats(&["-js"], &(tls + &more.join("\n")))
            }
        }
    }
}

/// A pipeline that puts ten items through a shared queue.
fn pipeline(url: &str, keys: &str) -> Folder {
    let folder = Folder::new();
    folder.file(
        "jobs.toml",
        &format!(
            "[broker]\nurl = \"{url}\"\n{keys}\n[queues.jobs]\nshared = true\n[stages.read]\nuse = \"count\"\n\
             with = {{ to = 10 }}\noutput = \"jobs\"\n[stages.write]\nuse = \"file\"\nwith = {{ path = 'out.txt' }}\n\
             input = \"jobs\"\n"
        ),
    );
    folder
}

fn mprun(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    // One that waits for a server is a failure of the test.
    let mut command = Command::new("timeout");
    command.args(["60", &binary()]);
    command.env("XDG_STATE_HOME", folder.join("state")).env("XDG_RUNTIME_DIR", folder.join("run"));
    std::fs::create_dir_all(folder.join("run")).unwrap();
    let Output { status, stdout, stderr } = command.current_dir(folder).args(words).output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn check(url: &str, keys: &str) -> (Option<i32>, String) {
    mprun(pipeline(url, keys).path(), &["check", "--online", "jobs.toml"])
}

fn tls_ca() -> String {
    format!("tls_ca = '{}'", CERTIFICATES.shown("ca.pem"))
}

/// All ten items come through.
fn works(url: &str, keys: &str) {
    let folder = pipeline(url, keys);
    let (code, said) = mprun(folder.path(), &["run", "jobs.toml"]);
    assert_eq!(code, Some(0), "{url}: {said}");
    let written = std::fs::read_to_string(folder.path().join("out.txt")).unwrap();
    assert_eq!(written.lines().count(), 10, "{url}: {said}");
}

#[test]
fn a_wrong_scheme_is_told_with_the_right_one_within_seconds() {
    let redis = Server::start(SAFE);
    let web = Server::free_port();
    let nats = Server::nats(&["-js"], &format!("http: 127.0.0.1:{web}"));
    let (redis_tls, nats_tls) =
        (CERTIFICATES.server(BrokerKind::Redis, &[]), CERTIFICATES.server(BrokerKind::Nats, &[]));
    let ca = &tls_ca();
    for (scheme, port, keys, expected) in [
        ("redis", nats.port, "", "is a NATS server: write `nats://HERE`"),
        ("rediss", nats.port, ca, "is a NATS server: write `nats://HERE`"),
        ("redis", nats_tls.port, "", "is a NATS server with TLS: write `tls://HERE`"),
        ("nats", redis.port, "", "is a Redis server: write `redis://HERE`"),
        ("tls", redis.port, ca, "is a Redis server: write `redis://HERE`"),
        ("redis", redis_tls.port, "", "speaks TLS: write `rediss://HERE`"),
        ("rediss", redis.port, ca, "speaks no TLS: write `redis://HERE`"),
        ("tls", nats.port, ca, "speaks no TLS: write `nats://HERE`"),
        ("nats", redis_tls.port, "", "write `rediss://HERE`"),
        ("redis", web, "", "is a web server"),
        ("nats", web, "", "is a web server"),
    ] {
        let place = format!("127.0.0.1:{port}");
        let url = format!("{scheme}://ann:s3cret@{place}");
        for verb in [&["check", "--online", "jobs.toml"][..], &["run", "jobs.toml"]] {
            let begun = Instant::now();
            let (code, said) = mprun(pipeline(&url, keys).path(), verb);
            assert_eq!(code, Some(2), "{url}: {said}");
            assert!(said.contains(&expected.replace("HERE", &place)), "{url}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{url}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn what_a_redis_refuses_for_good_is_an_error_at_the_start() {
    let start = |more: &[&str]| Server::start(&[SAFE, more].concat());
    let redis = start(&[]);
    assert_eq!(redis.ask("ACL SETUSER ann on >s3cret ~* &* +@all -select"), "+OK");
    let bus = Server::free_port().to_string();
    let cluster = start(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let lacks = |command| start(&["--rename-command", command, ""]);
    let (no_select, no_hello, no_xtrim) = (lacks("SELECT"), lacks("HELLO"), lacks("XTRIM"));
    for (url, expected) in [
        (format!("{}/99", redis.url()), "it has no database 99: write a number below its `databases` (16"),
        (format!("{}/1", redis.url_of("ann:s3cret")), "no permissions to run the 'select' command"),
        (format!("{}/1", cluster.url()), "it has no database 1:"),
        (format!("{}/1", no_select.url()), "the server has no command SELECT:"),
        (no_hello.url(), "the server has no command HELLO:"),
        (no_xtrim.url(), "the server has no command XTRIM:"),
    ] {
        for verb in [&["check", "--online", "jobs.toml"][..], &["run", "jobs.toml"]] {
            let (code, said) = mprun(pipeline(&url, "").path(), verb);
            assert!(code == Some(2) && said.contains(expected), "{url}: {said}");
            // How its process ended is no news before its last word.
            assert!(!said.contains("s3cret") && !said.contains("is gone"), "{said}");
        }
    }
    assert_eq!(check(&format!("{}/15", redis.url()), "").0, Some(0));
}

/// What it says to one client too many goes with the connection that it closes.
#[test]
fn a_redis_with_as_many_clients_as_it_takes_is_an_outage() {
    let redis = Server::start(&[SAFE, &["--maxclients", "1"]].concat());
    // The connection of whatever has looked whether the server is there may be open still.
    let _only = wait_until("the only connection", || {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).ok()?;
        (&answer == b"+PONG").then_some(stream)
    });
    let (code, said) = check(&redis.url(), "");
    assert!(code == Some(1) && said.contains("as many clients as it takes (`maxclients`)"), "{said}");
}

#[test]
fn a_server_with_tls_is_reached_under_its_authority_only() {
    let ca = &tls_ca();
    for (kind, scheme) in [(BrokerKind::Redis, "rediss"), (BrokerKind::Nats, "tls")] {
        let server = CERTIFICATES.server(kind, &[]);
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        works(&url, ca);
        let (code, said) = check(&url, "");
        assert!(code == Some(1) && said.contains("name the authority's file in `tls_ca`"), "{said}");
        // The certificate is of 127.0.0.1 alone.
        let (code, said) = check(&url.replace("127.0.0.1", "localhost"), ca);
        assert!(code == Some(1) && said.contains("not valid for name"), "{said}");
    }
}

#[test]
fn user_password_and_token_open_a_server_behind_tls() {
    let ca = &tls_ca();
    let folder = Folder::new();
    let acl = folder.file("users.acl", "user ann on >s3cret ~* &* +@all\nuser default off\n");
    let redis = CERTIFICATES.server(BrokerKind::Redis, &["--aclfile", acl.to_str().unwrap()]);
    let users = "authorization { user: ann, password: s3cret }";
    let (nats, token) = (
        CERTIFICATES.server(BrokerKind::Nats, &[users]),
        CERTIFICATES.server(BrokerKind::Nats, &["authorization { token: s3cret }"]),
    );
    for (scheme, server, user) in
        [("rediss", &redis, "ann:s3cret"), ("tls", &nats, "ann:s3cret"), ("tls", &token, "s3cret")]
    {
        let port = server.port;
        works(&format!("{scheme}://{user}@127.0.0.1:{port}"), ca);
        let (code, said) = check(&format!("{scheme}://{}@127.0.0.1:{port}", user.replace("s3", "wr0ng")), ca);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("refuses the user or the password") && !said.contains("wr0ng"), "{said}");
    }
}

/// A signed name, as `nsc` makes it.
fn signed(by: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let claims = json!({ "jti": "test", "iat": 1_700_000_000, "iss": by.public_key(), "name": "test",
        "sub": subject.public_key(), "nats": nats });
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
    let signature = by.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn credentials(name: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{name}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn a_file_of_credentials_opens_a_nats_server_of_an_operator() {
    let (operator, system, account, user) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_user());
    let account_of = |key: &KeyPair| {
        let limits = [
            "subs",
            "data",
            "payload",
            "imports",
            "exports",
            "conn",
            "leaf",
            "mem_storage",
            "disk_storage",
            "streams",
            "consumer",
        ];
        let mut limits: serde_json::Map<String, Value> =
            limits.iter().map(|&limit| (limit.to_owned(), json!(-1))).collect();
        limits.insert("wildcards".into(), json!(true));
        if key.public_key() == system.public_key() {
            for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
                limits.insert(limit.into(), json!(0));
            }
        }
        signed(&operator, key, &json!({ "limits": limits, "type": "account", "version": 2 }))
    };
    let settings = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {}: {}, {}: {} }}\n",
        signed(&operator, &operator, &json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        account_of(&system),
        account.public_key(),
        account_of(&account),
    );
    let server = Server::nats(&["-js"], &settings);
    let files = Folder::new();
    let name = |by: &KeyPair| {
        signed(by, &user, &json!({ "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 }))
    };
    let good = files.file("good.creds", &credentials(&name(&account), &user.seed().unwrap()));
    // Signed by an account that the operator does not have.
    let other =
        files.file("other.creds", &credentials(&name(&KeyPair::new_account()), &user.seed().unwrap()));
    let keys = |path: &Path| format!("credentials_file = '{}'", path.display());
    works(&server.url(), &keys(&good));
    for (path, words) in
        [(&other, "refuses the user or the password"), (&PathBuf::from("/dev/null"), "credentials_file")]
    {
        let (code, said) = check(&server.url(), &keys(path));
        assert!(code == Some(2) && said.contains(words), "{said}");
    }
}

/// Two servers that know each other.
fn cluster() -> [Server; 2] {
    let ports = [Server::free_port(), Server::free_port()];
    let server = |n: usize| {
        let settings = format!(
            "server_name: n{n}\ncluster {{ name: test, listen: 127.0.0.1:{}, routes: [nats://127.0.0.1:{}] }}\n",
            ports[n],
            ports[1 - n]
        );
        Server::nats(&["-js"], &settings)
    };
    [server(0), server(1)]
}

#[test]
fn of_several_addresses_one_that_answers_is_enough() {
    let [first, second] = cluster();
    let gone = Server::nats(&["-js"], "");
    let dead = gone.url();
    drop(gone);
    // JetStream of a cluster is there once its servers have found each other.
    wait_until("the cluster", || (check(&first.url(), "").0 == Some(0)).then_some(()));
    let all = format!("{dead},{},{}", first.url(), second.url());
    works(&all, "");
    // What the run has left is seen through the other server as well.
    let both = [&first, &second].map(|server| {
        let (code, said) = mprun(pipeline(&all, "").path(), &["shared", "list", &server.url()]);
        assert_eq!(code, Some(0), "{said}");
        said
    });
    assert!(both[0].contains("jobs") && both[0] == both[1], "{both:?}");
    let (code, said) = check(&format!("{dead},{dead}"), "");
    assert!(code == Some(1) && said.contains("can't be reached"), "{said}");
    // Redis is asked at one address: a cluster of it, or what stands before it, hands over by itself.
    let (code, said) = check("redis://a:6379,redis://b:6379", "");
    assert!(code == Some(2) && said.contains("Redis has one address here"), "{said}");
}
