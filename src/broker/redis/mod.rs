//! Shared queues in Redis Streams, one script a request (`scripts/`). Each file's head says what holds before and after it.

mod answer;
mod connect;
mod inventory;
mod keys;
mod letters;
mod request;
mod scripts;
mod server;
mod visit;

use super::{
    Access, Broker, Commit, Fault, Full, Heard, Joined, Judged, Layout, Lease, Ledger, Letter, Membership,
    Progress, Registered, RunOrder, Sequence, SharedQueue, SharedStage, Woken,
};
use crate::model::Machines;
use connect::Entered;
pub use inventory::Inventory;
use redis::{PushInfo, PushKind, RedisError, ScriptInvocation, Value};
use std::time::Duration;
pub use visit::Visitor;

/// The cause of a dead letter that no machine wrote.
const ALL_DIED: &str = "every machine that had it died";

/// A machine's membership of a run on one connection. A broken connection makes a new one.
pub struct Redis {
    at: Entered,
    layout: Layout,
    machine: String,
    life: String,
}

impl Redis {
    /// Connects, looks at the server's settings, and joins the run.
    pub async fn join(access: &Access, layout: &Layout, who: &Membership) -> Result<Redis, Fault> {
        let at = connect::enter(access, layout, who).await?;
        let (machine, life) = (who.machine.clone(), who.life.clone());
        Ok(Redis { at, layout: layout.clone(), machine, life })
    }

    /// Looks at the server without joining a run. What its settings don't protect from.
    pub async fn examine(access: &Access, layout: &Layout, allow_loss: bool) -> Result<Vec<String>, Fault> {
        connect::examine(access, layout, allow_loss).await
    }

    /// Under which name the broker keeps what a stage says: its position, and whether it has ended.
    fn place(&self, stage: &SharedStage) -> String {
        stage.place(&self.machine, &self.life)
    }

    fn consumer(&self) -> String {
        format!("{}:{}", self.machine, self.life)
    }

    async fn invoke(&self, script: &ScriptInvocation<'_>) -> Result<Value, RedisError> {
        script.invoke_async(&mut self.at.connection.clone()).await
    }

    async fn ask(&self, script: &ScriptInvocation<'_>) -> Result<Value, Fault> {
        self.invoke(script).await.map_err(|error| answer::fault(&error))
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Fault> {
        command.query_async(&mut self.at.connection.clone()).await.map_err(|error| answer::fault(&error))
    }

    fn woken_by(&self, push: &PushInfo) -> Option<Woken> {
        match (&push.kind, &push.data[..]) {
            (PushKind::Disconnection, _) => Some(Woken::Away),
            (PushKind::Message, [Value::BulkString(channel), Value::BulkString(what)]) => {
                let queue = self.at.keys.of_channel(channel)?;
                Some(if what == b"writers_wait" { Woken::Room(queue) } else { Woken::Items(queue) })
            }
            _ => None,
        }
    }
}

impl Broker for Redis {
    fn joined(&self) -> &Joined {
        &self.at.joined
    }

    async fn take(&self, queue: SharedQueue, n: usize, look_for_expired: bool) -> Result<Vec<Lease>, Fault> {
        let keys = self.at.keys.queue(queue);
        let mut script = self.at.scripts.take.prepare_invoke();
        script.key(&keys.stream).key(&keys.about).key(&keys.attempts).key(&keys.letters);
        script.key(self.at.keys.machines()).key(self.at.keys.run());
        script
            .arg(&self.machine)
            .arg(&self.life)
            .arg(n)
            .arg(u8::from(look_for_expired))
            .arg(self.layout.max_deliveries)
            .arg(ALL_DIED);
        answer::leases(self.ask(&script).await?)
    }

    async fn extend(&self, queue: SharedQueue, leases: &[Sequence]) -> Result<Vec<Sequence>, Fault> {
        let mut script = self.at.scripts.extend.prepare_invoke();
        script.key(&self.at.keys.queue(queue).stream).arg(self.consumer());
        for lease in leases {
            script.arg(lease.to_string());
        }
        answer::sequences(self.ask(&script).await?)
    }

    async fn commit(&self, stage: &SharedStage, commits: &[Commit]) -> Result<Judged, Fault> {
        let queues = request::queues_of(commits);
        let mut script = self.at.scripts.commit.prepare_invoke();
        request::add_keys(&mut script, &self.at.keys, &queues);
        script.arg(&self.machine).arg(&self.life).arg(&stage.name).arg(self.place(stage));
        request::add_commits(&mut script, commits, &queues);
        match self.invoke(&script).await {
            Ok(value) => answer::judged(value, &queues),
            Err(error) if answer::is_out_of_memory(&error) => {
                Ok(Judged { full: Some(Full::Memory), ..Judged::default() })
            }
            Err(error) => Err(answer::fault(&error)),
        }
    }

    async fn give_back(&self, queue: SharedQueue, leases: &[(Sequence, u32)]) -> Result<(), Fault> {
        let keys = self.at.keys.queue(queue);
        let mut script = self.at.scripts.give_back.prepare_invoke();
        script.key(&keys.stream).key(&keys.about).key(&keys.attempts).arg(self.consumer());
        for (lease, attempts) in leases {
            script.arg(lease.to_string()).arg(attempts);
        }
        self.ask(&script).await.map(drop)
    }

    async fn held(&self, queue: SharedQueue) -> Result<Vec<Sequence>, Fault> {
        let mut script = self.at.scripts.held.prepare_invoke();
        script.key(&self.at.keys.queue(queue).stream).arg(self.consumer());
        answer::sequences(self.ask(&script).await?)
    }

    async fn register(&self, queue: SharedQueue, stage: &SharedStage) -> Result<Registered, Fault> {
        let keys = self.at.keys.queue(queue);
        let mut script = self.at.scripts.register.prepare_invoke();
        script.key(&keys.about).key(&keys.writers).arg(self.place(stage));
        match answer::parsed::<String>(self.ask(&script).await?)?.as_str() {
            "open" => Ok(Registered::Open),
            "ended" => Ok(Registered::Ended),
            "sealed" => Ok(Registered::Sealed),
            other => Err(answer::unexpected(&Value::SimpleString(other.into()))),
        }
    }

    async fn progress(&self, queue: SharedQueue, before: &[SharedQueue]) -> Result<Progress, Fault> {
        let keys = self.at.keys.queue(queue);
        let mut script = self.at.scripts.ended.prepare_invoke();
        script.key(&keys.stream).key(&keys.about).key(&keys.writers);
        for keys in before.iter().map(|&queue| self.at.keys.queue(queue)) {
            script.key(&keys.stream).key(&keys.about);
        }
        match answer::parsed(self.ask(&script).await?)? {
            0 => Ok(Progress::Open),
            1 => Ok(Progress::Sealed),
            2 => Ok(Progress::Leased),
            3 => Ok(Progress::Finished),
            other => Err(answer::unexpected(&Value::Int(other))),
        }
    }

    async fn finish(&self) -> Result<bool, Fault> {
        let mut script = self.at.scripts.finish.prepare_invoke();
        script.key(self.at.keys.run());
        for queue in self.at.keys.queues() {
            script.key(&queue.stream).key(&queue.about);
        }
        answer::parsed(self.ask(&script).await?)
    }

    async fn claim(&self, stage: &SharedStage) -> Result<Option<Vec<u8>>, Fault> {
        let mut script = self.at.scripts.claim.prepare_invoke();
        script.key(self.at.keys.machines()).key(self.at.keys.claims()).key(self.at.keys.positions());
        let time = match stage.machines {
            Machines::All => 0,
            Machines::One => self.layout.ack_wait.as_millis() as u64,
        };
        script.arg(&self.machine).arg(&self.life).arg(self.place(stage)).arg(time);
        match self.ask(&script).await? {
            Value::BulkString(position) => Ok(Some(position)),
            Value::Int(0) => Ok(None),
            Value::Int(-1) => Err(Fault::Superseded),
            other => Err(answer::unexpected(&other)),
        }
    }

    async fn resign(&self, stage: &SharedStage) -> Result<(), Fault> {
        let mut script = self.at.scripts.resign.prepare_invoke();
        script.key(self.at.keys.claims());
        for queue in self.at.keys.queues() {
            script.key(&queue.about);
        }
        script.arg(self.consumer()).arg(self.place(stage));
        self.ask(&script).await.map(drop)
    }

    async fn letters(
        &self,
        queue: SharedQueue,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault> {
        let from = after.map_or("-".to_owned(), |sequence| format!("({sequence}"));
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.at.keys.queue(queue).letters).arg(from).arg("+").arg("COUNT").arg(n);
        answer::letters(self.query(&range).await?)
    }

    async fn ledger(&self, queue: SharedQueue) -> Result<Ledger, Fault> {
        let keys = self.at.keys.queue(queue);
        let mut script = self.at.scripts.audit.prepare_invoke();
        script.key(&keys.stream).key(&keys.about);
        let [put, done, dead, dropped, length, leased]: [u64; 6] = answer::parsed(self.ask(&script).await?)?;
        Ok(Ledger { put, done, dead, dropped, waiting: length - leased, leased })
    }

    async fn show(&self, snapshot: &[u8], time: Duration) -> Result<(), Fault> {
        let mut script = self.at.scripts.show.prepare_invoke();
        script.key(self.at.keys.machines()).key(self.at.keys.seen(&self.machine));
        script.arg(&self.machine).arg(&self.life).arg(snapshot).arg(time.as_millis() as u64);
        answer::unless_superseded(self.ask(&script).await?).map(drop)
    }

    async fn hear(&self) -> Result<Heard, Fault> {
        let mut script = self.at.scripts.hear.prepare_invoke();
        script.key(self.at.keys.machines()).key(self.at.keys.watched()).key(self.at.keys.run());
        script.arg(&self.machine).arg(&self.life);
        let (is_watched, order): (bool, String) =
            answer::parsed(answer::unless_superseded(self.ask(&script).await?)?)?;
        Ok(Heard { is_watched, order: RunOrder::named(&order) })
    }

    async fn leave(&self) -> Result<(), Fault> {
        let mut script = self.at.scripts.leave.prepare_invoke();
        script.key(self.at.keys.machines()).key(self.at.keys.claims());
        for queue in self.at.keys.queues() {
            script.key(&queue.stream).key(&queue.about).key(&queue.writers);
        }
        script.arg(&self.machine).arg(&self.life);
        self.ask(&script).await.map(drop)
    }

    async fn woken(&self) -> Woken {
        let mut pushed = self.at.pushed.lock().await;
        while let Some(push) = pushed.recv().await {
            if let Some(woken) = self.woken_by(&push) {
                return woken;
            }
        }
        Woken::Away
    }
}
