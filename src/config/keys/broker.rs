//! `broker = "…"`, or `[broker]`.

use serde_json::{Value, json};
use std::path::PathBuf;

use super::seconds;
use crate::config::diagnostic::Report;
use crate::config::document::{Content, Node};
use crate::config::elements::{
    At, BrokerAddress, Count, Element, Period, Setting, Word, part, read_table, table,
};
use crate::config::pipeline::BrokerAccess;

table! {
    /// `[broker]`.
    BrokerKeys = "`broker`" {
        /// The address of the broker. Redis: `redis://HOST:PORT`, `rediss://` with TLS; user, password and the number of a
        /// database as in `redis://USER:PASSWORD@HOST:6379/0`. NATS JetStream: `nats://HOST:PORT`, `tls://` with TLS; a token as
        /// in `nats://TOKEN@HOST`; several servers of a cluster with commas between, the user in the first one.
        url: Option<BrokerAddress> = None, also "address" "host" "server" "uri";
        /// A file with the password, or `USER:PASSWORD`, in its first line. For NATS also a token, or a user's credentials (`.creds`).
        credentials_file: Option<Word<PathBuf>> = None, also "password_file" "credentials" "auth";
        /// A file with the certificate authority of the server, as PEM. Default: those of this machine.
        tls_ca: Option<Word<PathBuf>> = None, also "ca" "ca_file" "cafile" "tls_ca_file";
        /// What the names of its keys (NATS: its stream) in the broker begin with: pipelines of one name can share a server.
        prefix: Word = "mprun".to_owned(), also "namespace" "key_prefix";
        /// How long the items that a machine has taken stay its own without a word from it.
        ack_wait: Period = seconds(30), also "visibility_timeout" "lease" "lease_time" "idle";
        /// Run on settings of the broker under which it may lose items.
        allow_loss: bool = false;
        /// NATS: servers of a cluster that each keep what is in the queues (1, 3 or 5), when the stream is made.
        stream_replicas: Count<1, 5, u8> = 1, also "replicas" "num_replicas";
    }
}

part! { BrokerKeys => BrokerAccess { credentials_file, tls_ca, prefix, ack_wait, allow_loss, stream_replicas } }

/// An address, or a table.
pub(crate) struct BrokerText;

impl Element for BrokerText {
    type Output = BrokerKeys;

    fn read(node: &Node, report: &mut Report) -> Option<BrokerKeys> {
        if let Content::Table(_) = &node.content {
            return read_table(node, report);
        }
        let url = <Option<BrokerAddress>>::read(node, report)?;
        let at = At::new(&node.span, node);
        Some(BrokerKeys { url: Setting { value: url, at: Some(at) }, ..BrokerKeys::default() })
    }

    fn accepted() -> String {
        format!("{}, or {}", BrokerAddress::accepted(), BrokerKeys::accepted())
    }

    fn schema() -> Value {
        json!({ "anyOf": [BrokerAddress::schema(), BrokerKeys::schema()] })
    }

    fn written(keys: &BrokerKeys) -> Value {
        BrokerKeys::written(keys)
    }
}
