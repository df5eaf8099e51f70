//! The keys of a pipeline. All have one hash tag, so a cluster keeps them on one server, where a script can change them in one step.

use crate::broker::{Layout, SharedQueue};

pub(super) struct Keys {
    base: String,
    names: Vec<String>,
}

impl Keys {
    pub(super) fn new(layout: &Layout) -> Keys {
        let names = layout.queues.iter().map(|queue| queue.name.clone()).collect();
        Keys { base: format!("{{{}/{}}}", layout.prefix, layout.pipeline), names }
    }

    pub(super) fn pipeline(&self) -> String {
        format!("{}:pipeline", self.base)
    }

    pub(super) fn runs(&self) -> String {
        format!("{}:runs", self.base)
    }

    /// What the keys of a run begin with, before its number.
    pub(super) fn run_base(&self) -> String {
        format!("{}:", self.base)
    }

    /// A key that is there for a moment, to try the user's rights.
    pub(super) fn probe(&self) -> String {
        format!("{}:probe", self.base)
    }

    /// What is beside the runs, with its types as `TYPE` answers.
    pub(super) fn types(&self) -> [(String, &'static str); 2] {
        [(self.pipeline(), "hash"), (self.runs(), "set")]
    }

    pub(super) fn run(&self, run: u64) -> RunKeys {
        let base = format!("{}:{run}", self.base);
        let queues = self.names.iter().map(|name| QueueKeys::new(&base, name)).collect();
        RunKeys { base, queues }
    }
}

pub(super) struct RunKeys {
    base: String,
    queues: Vec<QueueKeys>,
}

impl RunKeys {
    /// Each key that scripts read, with its type.
    pub(super) fn types(&self) -> Vec<(String, &'static str)> {
        let own = [self.run(), self.machines(), self.lines(), self.positions(), self.claims()];
        let own = own.into_iter().map(|key| (key, "hash"));
        own.chain(self.queues.iter().flat_map(QueueKeys::types)).collect()
    }

    fn with(&self, end: &str) -> String {
        format!("{}:{end}", self.base)
    }

    pub(super) fn run(&self) -> String {
        self.with("run")
    }

    pub(super) fn machines(&self) -> String {
        self.with("machines")
    }

    pub(super) fn lines(&self) -> String {
        self.with("lines")
    }

    pub(super) fn positions(&self) -> String {
        self.with("positions")
    }

    pub(super) fn claims(&self) -> String {
        self.with("claims")
    }

    pub(super) fn seen(&self, machine: &str) -> String {
        self.with(&format!("seen:{machine}"))
    }

    /// Somebody looks at the run, while this key is there.
    pub(super) fn watched(&self) -> String {
        self.with("watched")
    }

    pub(super) fn queue(&self, queue: SharedQueue) -> &QueueKeys {
        &self.queues[usize::from(queue.0)]
    }

    pub(super) fn queues(&self) -> &[QueueKeys] {
        &self.queues
    }

    /// Of a queue that another file may have named.
    pub(super) fn named(&self, queue: &str) -> QueueKeys {
        QueueKeys::new(&self.base, queue)
    }

    /// The queue whose messages come on this channel.
    pub(super) fn of_channel(&self, channel: &[u8]) -> Option<SharedQueue> {
        let found = self.queues.iter().position(|queue| queue.about.as_bytes() == channel)?;
        Some(SharedQueue(found as u16))
    }
}

pub(super) struct QueueKeys {
    pub(super) stream: String,
    /// Its name while plain commands of a transaction may change it.
    pub(super) open: String,
    /// Settings, ledger, flags of those who wait, the seal; and the channel of its messages.
    pub(super) about: String,
    pub(super) letters: String,
    pub(super) attempts: String,
    pub(super) writers: String,
}

impl QueueKeys {
    fn types(&self) -> [(String, &'static str); 6] {
        let streams = [&self.stream, &self.open, &self.letters].map(|key| (key.clone(), "stream"));
        let hashes = [&self.about, &self.attempts, &self.writers].map(|key| (key.clone(), "hash"));
        let ([a, b, c], [d, e, f]) = (streams, hashes);
        [a, b, c, d, e, f]
    }

    fn new(base: &str, name: &str) -> QueueKeys {
        let of = |end: &str| format!("{base}:q:{name}{end}");
        QueueKeys {
            stream: of(""),
            open: of(":open"),
            about: of(":about"),
            letters: of(":letters"),
            attempts: of(":attempts"),
            writers: of(":writers"),
        }
    }
}
