//! The top of the file, and the tables that stand there once.

use super::{BrokerText, Defaults, QueueKeys, StageKeys, seconds};
use crate::config::elements::{
    Address, HostNames, Named, Patterns, Pause, PipelineName, Size, SocketMode, SocketPath, Tables, Word,
    part, table,
};
use crate::config::pipeline::DeadLetters;
use crate::dead_letter::{Store, WhenFull};

/// Bytes of dead letters: more than any disk of these days.
const MAX_LETTER_BYTES: u64 = 1 << 50;

table! {
    /// A pipeline file.
    FileKeys = "a pipeline file" {
        /// The pipeline's name. Default: the file's name without `.toml`.
        name: Option<PipelineName> = None;
        /// Files with further `stages` and `queues`: paths that start at this file's folder, wildcards in the last name.
        /// Paths in such a file start at its own folder.
        include: Patterns = Vec::new(), also "includes" "imports" "files";
        /// The longest time that a stop drains the queues.
        drain_timeout: Pause = seconds(30), also "drain" "shutdown_timeout";
        /// Defaults for the keys of all stages. A stage's own keys override them.
        defaults: Defaults = StageKeys::default(), also "default";
        /// The stages, each under its name: `[stages.NAME]`.
        stages: Named<StageKeys> = Named::default(), also "stage" "steps" "processes" "program" "programs" "tasks" "workers" "services" "jobs" "sources" "transforms" "sinks";
        /// The queues that need more than the defaults, each under its name: `[queues.NAME]`.
        queues: Named<QueueKeys> = Named::default(), also "queue" "channels";
        /// The broker that holds the shared queues: its address, or a table.
        broker: Option<BrokerText> = None, also "brokers" "redis" "broker_url";
        /// Where the running pipeline is inspected and controlled.
        control: ControlKeys = ControlKeys::default();
        /// Where metrics are served, for Prometheus.
        metrics: MetricsKeys = MetricsKeys::default();
        /// The limit of the file of dead letters.
        dead_letters: DeadLetterKeys = DeadLetterKeys::default(), also "dead_letter" "dlq";
    }
}

impl Tables for StageKeys {
    const KEY: &'static str = "stages";
    const VALUE_IS: Option<&'static str> = Some("command");
}

impl Tables for QueueKeys {
    const KEY: &'static str = "queues";
}

table! {
    /// `[control]`: where the running pipeline is inspected and controlled, and by whom.
    ControlKeys = "`control`" {
        /// Whether there is a control socket at all.
        enabled: bool = true, also "enable";
        /// The path of the control socket. Default: `NAME.sock` in the folder `mprun` of the runtime folder.
        socket: Option<SocketPath> = None, also "path";
        /// The group of the control socket, for a team. Its members can do everything that `socket_mode` lets them.
        socket_group: Option<Word> = None, also "group";
        /// The permissions of the control socket, in octal digits: who can write to it can do everything.
        socket_mode: SocketMode = 0o600, also "mode";
        /// An address on which the same API is served over TCP, and a page at `/`, such as `127.0.0.1:7070`. Every request
        /// needs a token; `mprun open` opens the page.
        listen: Option<Address> = None, also "address" "port" "page" "http";
        /// Names by which a reverse proxy in front of `listen` is reached, such as `["mprun.example.com"]`. IP addresses
        /// and `localhost` need no entry.
        hosts: HostNames = Vec::new(), also "host" "server_name" "allowed_hosts";
        /// A file that holds the token for everything, at least 16 characters. Default: a token is made in the state
        /// folder.
        token_file: Option<Word> = None, also "token";
        /// A file that holds the token for looking only: it changes nothing, and is enough for `/metrics`. Default: a token
        /// is made in the state folder.
        read_token_file: Option<Word> = None, also "read_token";
        /// Whether `listen` may be an address that other machines reach. It is plain HTTP: tokens and items can be read on
        /// the way.
        allow_plain: bool = false, also "insecure";
    }
}

table! {
    /// `[metrics]`.
    MetricsKeys = "`metrics`" {
        /// The address on which metrics are served, such as `127.0.0.1:9464`. Every client that can reach it can read
        /// them.
        listen: Option<Address> = None, also "address" "port";
    }
}

table! {
    /// `[dead_letters]`: how many are kept.
    DeadLetterKeys = "`dead_letters`" {
        /// Whether there is a file of them at all. Without it, an item that has failed for good is counted and logged, and is
        /// gone.
        keep: bool = true, also "enabled" "store" "save";
        /// The largest size of the file.
        max_size: Size<MAX_LETTER_BYTES> = Store::MAX_SIZE, also "size" "max_bytes" "limit";
        /// What happens to a new dead letter when the file is full: its item stays leased ("block"), or the oldest
        /// letters are dropped ("drop-old").
        when_full: WhenFull = WhenFull::Block, also "on_full" "overflow" "policy";
    }
}

part! { DeadLetterKeys => DeadLetters { keep, max_size, when_full } }
