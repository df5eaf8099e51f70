//! Shared queues in Redis Streams, one script a request (`scripts/`). Each file's head says what holds before and after it.

mod answer;
mod connect;
mod inventory;
mod keys;
mod letters;
mod request;
mod scripts;
mod server;
mod transaction;
mod types;
mod visit;

use super::{
    Access, Broker, Commit, Fault, Full, Heard, Joined, Judged, Layout, Lease, Ledger, Letter, Membership,
    Progress, Registered, RunOrder, Sequence, SharedQueue, SharedStage, Woken,
};
use crate::model::Machines;
use connect::Entered;
pub use inventory::Inventory;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, PushInfo, PushKind, Script, ScriptInvocation, ServerErrorKind, Value};
use scripts::{call, call_with};
use std::time::Duration;
use transaction::Transaction;
pub use visit::Visitor;

/// The cause of a dead letter that no machine wrote.
const ALL_DIED: &str = "every machine that had it died";

/// Of each stream, as the scripts have it.
const GROUP: &str = "mprun";

fn first_of(commits: &[Commit]) -> u64 {
    commits.first().map_or(0, |commit| commit.number)
}

/// All that was asked before on the connection is answered by then.
async fn ping(connection: &MultiplexedConnection) -> Result<(), Fault> {
    let answer = redis::cmd("PING").query_async(&mut connection.clone()).await;
    answer.map_err(|error| answer::fault(&error))
}

/// A machine's membership of a run on its connections. A broken one makes a new membership.
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

    async fn ask(&self, script: &ScriptInvocation<'_>) -> Result<Value, Fault> {
        let answer: Result<Value, _> = script.invoke_async(&mut self.at.connection.clone()).await;
        self.named(answer.map_err(|error| answer::fault(&error))).await
    }

    async fn named<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        types::named(result, &self.at.connection, &self.at.pipeline).await
    }

    /// The same for a call that is a command already.
    async fn call(&self, script: &Script, call: &Cmd) -> Result<Value, Fault> {
        let connection = &mut self.at.connection.clone();
        let mut answer = call.query_async(connection).await;
        if matches!(&answer, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            script.load_async(connection).await.map_err(|error| answer::fault(&error))?;
            answer = call.query_async(connection).await;
        }
        self.named(answer.map_err(|error| answer::fault(&error))).await
    }

    fn take_script(&self, queue: SharedQueue, n: usize, look_for_expired: bool, in_transaction: bool) -> Cmd {
        let keys = self.at.keys.queue(queue);
        let (machines, run) = (self.at.keys.machines(), self.at.keys.run());
        let of_script = [&keys.stream, &keys.about, &keys.attempts, &keys.letters, &machines, &run];
        let mut script = call(&self.at.scripts.take, &of_script.map(String::as_str));
        script.arg(&self.machine).arg(&self.life).arg(n).arg(u8::from(look_for_expired));
        script.arg(self.layout.max_deliveries).arg(ALL_DIED).arg(u8::from(in_transaction));
        script
    }

    fn commit_script(&self, stage: &SharedStage, queues: &[SharedQueue], size: (usize, usize)) -> Cmd {
        let keys = request::keys_of(&self.at.keys, queues);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut script = call_with(&self.at.scripts.commit, &keys, size);
        script.arg(&self.machine).arg(&self.life).arg(&stage.name).arg(self.place(stage));
        script
    }

    async fn commit_by_script(
        &self,
        stage: &SharedStage,
        commits: &[Commit],
        queues: &[SharedQueue],
    ) -> Result<Judged, Fault> {
        let mut script = self.commit_script(stage, queues, request::size_of(commits));
        request::add_commits(&mut script, first_of(commits), commits, queues, false);
        answer::judged(self.call(&self.at.scripts.commit, &script).await?, queues)
    }

    /// Long outputs go beside the script.
    async fn commit_apart(
        &self,
        stage: &SharedStage,
        commits: &[Commit],
        queues: &[SharedQueue],
    ) -> Result<Judged, Fault> {
        let (mut all, mut scripts) = (Transaction::new(), Vec::new());
        for part in request::parts(commits).map(|part| &commits[part]) {
            let apart = part.last().filter(|last| request::is_apart(last));
            let of_script = if apart.is_some() { &part[..part.len() - 1] } else { part };
            let mut script = self.commit_script(stage, queues, request::size_of(of_script));
            request::add_commits(&mut script, first_of(commits), part, queues, apart.is_some());
            scripts.push(all.add(script));
            apart
                .into_iter()
                .for_each(|commit| request::add_outputs(&mut all, &self.at.keys, &commit.outputs));
        }
        let answers = all.run(&mut self.at.connection.clone(), &self.at.scripts.commit).await;
        let answers = answers.map_err(|error| answer::fault(&error))?.into_iter().enumerate();
        let of_scripts = answers.filter(|(n, _)| scripts.contains(n)).map(|(_, answer)| answer);
        self.named(answer::judged_in_parts(of_scripts, queues)).await
    }

    async fn query<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Fault> {
        let answer: Result<T, _> = command.query_async(&mut self.at.connection.clone()).await;
        self.named(answer.map_err(|error| answer::fault(&error))).await
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
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(self.consumer());
        read.arg("COUNT").arg(n).arg("STREAMS").arg(&keys.open).arg(">");
        let mut all = Transaction::new();
        all.add(self.take_script(queue, n, look_for_expired, true));
        all.add(read);
        all.close(keys);
        let answers = all.run(&mut self.at.connection.clone(), &self.at.scripts.take).await;
        match answers.map_err(|error| answer::fault(&error)) {
            Ok(answers) => self.named(answer::taken(answers)).await,
            // A full memory takes no transaction.
            Err(Fault::Full(_)) => {
                let script = self.take_script(queue, n, look_for_expired, false);
                answer::taken(vec![self.call(&self.at.scripts.take, &script).await?])
            }
            Err(fault) => Err(fault),
        }
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
        if commits.iter().any(request::is_apart) {
            match self.commit_apart(stage, commits, &queues).await {
                // A full memory takes no transaction, but by a script alone what ends items.
                Err(Fault::Full(_)) => {}
                judged => return judged,
            }
        }
        match self.commit_by_script(stage, commits, &queues).await {
            Err(Fault::Full(_)) => Ok(Judged { full: Some(Full::Memory), ..Judged::default() }),
            judged => judged,
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
        script.key(self.at.keys.run());
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
        // Nothing else is asked on that connection, so nothing else would notice that it is cut.
        ping(&self.at.messages).await?;
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
            match self.woken_by(&push) {
                None => {}
                Some(Woken::Away) => return Woken::Away,
                // An answer from before the message comes before it: else a line would hear of room first, and then wait for it.
                Some(woken) => return ping(&self.at.connection).await.map_or(Woken::Away, |()| woken),
            }
        }
        Woken::Away
    }
}
