//! The same steps as mprun's by bare clients, item by item: one puts, one takes, puts what it made and ends what it took, one takes
//! and ends. Threads with a connection each, `side` of each kind.

use futures_util::StreamExt;
use redis::{Connection, cmd};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Until nothing comes any more.
const TAKE_TIMEOUT: Duration = Duration::from_millis(20);

/// Seconds until all items are through.
pub fn through(url: &str, items: u64, bytes: usize, side: u64) -> f64 {
    if url.starts_with("redis") {
        return hop(side, items, || Redis::open(url, bytes));
    }
    Nats::open(url, bytes).create_streams();
    hop(side, items, || Nats::open(url, bytes))
}

/// Its id and its fields.
type Entry = (String, Vec<Vec<u8>>);

trait Client {
    /// To `jobs`, or on to `done`.
    fn put(&mut self, queue: &'static str);
    /// `None`: there is none now.
    fn take(&mut self, queue: &'static str) -> Option<String>;
    fn end(&mut self, queue: &'static str, item: &str);
}

fn hop<C: Client>(side: u64, items: u64, open: impl Fn() -> C + Sync) -> f64 {
    let ended = AtomicU64::new(0);
    let is_over = || ended.load(Relaxed) >= items;
    let begun = Instant::now();
    thread::scope(|scope| {
        for n in 0..side {
            let (open, ended, is_over) = (&open, &ended, &is_over);
            scope.spawn(move || {
                let mut client = open();
                (n..items).step_by(side as usize).for_each(|_| client.put("jobs"));
            });
            scope.spawn(move || {
                let mut client = open();
                while !is_over() {
                    if let Some(item) = client.take("jobs") {
                        client.put("done");
                        client.end("jobs", &item);
                    }
                }
            });
            scope.spawn(move || {
                let mut client = open();
                while !is_over() {
                    if let Some(item) = client.take("done") {
                        client.end("done", &item);
                        ended.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

struct Redis {
    connection: Connection,
    item: Vec<u8>,
}

impl Redis {
    fn open(url: &str, bytes: usize) -> Redis {
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        for queue in ["jobs", "done"] {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(queue).arg("g").arg("0").arg("MKSTREAM");
            let _: Result<(), _> = create.query(&mut connection); // it may be there
        }
        Redis { connection, item: vec![b'x'; bytes] }
    }
}

impl Client for Redis {
    fn put(&mut self, queue: &'static str) {
        let mut add = cmd("XADD");
        add.arg(queue).arg("*").arg("item").arg(&self.item);
        let _: String = add.query(&mut self.connection).unwrap();
    }

    fn take(&mut self, queue: &'static str) -> Option<String> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg("g")
            .arg("c")
            .arg("COUNT")
            .arg(1)
            .arg("BLOCK")
            .arg(TAKE_TIMEOUT.as_millis() as u64);
        read.arg("STREAMS").arg(queue).arg(">");
        let found: Option<Vec<(String, Vec<Entry>)>> = read.query(&mut self.connection).unwrap();
        found?.into_iter().next()?.1.into_iter().next().map(|(id, _)| id)
    }

    fn end(&mut self, queue: &'static str, item: &str) {
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("XACK").arg(queue).arg("g").arg(item).cmd("XDEL").arg(queue).arg(item);
        let _: (u64, u64) = pipe.query(&mut self.connection).unwrap();
    }
}

/// Streams that keep what is not ended (`workqueue`), each with one consumer. What is put or ended is confirmed.
struct Nats {
    runtime: tokio::runtime::Runtime,
    client: async_nats::Client,
    item: bytes::Bytes,
    /// Where those come that were asked for. It ends with the connection: alone, it would want a runtime to end in.
    items: (String, ManuallyDrop<async_nats::Subscriber>),
}

impl Nats {
    fn open(url: &str, bytes: usize) -> Nats {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async_nats::connect(url)).unwrap();
        let inbox = client.new_inbox();
        let items = runtime.block_on(client.subscribe(inbox.clone())).unwrap();
        Nats { runtime, client, item: vec![b'x'; bytes].into(), items: (inbox, ManuallyDrop::new(items)) }
    }

    fn ask(&self, subject: String, request: bytes::Bytes) -> async_nats::Message {
        self.runtime.block_on(self.client.request(subject, request)).unwrap()
    }

    fn create_streams(&self) {
        for queue in ["jobs", "done"] {
            let stream = format!(
                r#"{{"name":"{queue}","subjects":["{queue}"],"retention":"workqueue","storage":"file"}}"#
            );
            self.ask(format!("$JS.API.STREAM.CREATE.{queue}"), stream.into());
            let consumer = format!(
                r#"{{"stream_name":"{queue}","config":{{"durable_name":"c","ack_policy":"explicit","max_ack_pending":10000}}}}"#
            );
            self.ask(format!("$JS.API.CONSUMER.DURABLE.CREATE.{queue}.c"), consumer.into());
        }
    }
}

impl Client for Nats {
    fn put(&mut self, queue: &'static str) {
        self.ask(queue.to_owned(), self.item.clone());
    }

    fn take(&mut self, queue: &'static str) -> Option<String> {
        let next = format!(r#"{{"batch":1,"expires":{}}}"#, TAKE_TIMEOUT.as_nanos());
        let Nats { runtime, client, items, .. } = self;
        let inbox = items.0.clone();
        // An item comes under the subject of its queue, so it is no answer to a request.
        let message = runtime.block_on(async {
            client
                .publish_with_reply(format!("$JS.API.CONSUMER.MSG.NEXT.{queue}.c"), inbox, next.into())
                .await
                .unwrap();
            items.1.next().await.unwrap()
        });
        message.reply.filter(|_| message.status.is_none()).map(|reply| reply.to_string())
    }

    fn end(&mut self, _: &'static str, item: &str) {
        self.ask(item.to_owned(), "+ACK".into());
    }
}
