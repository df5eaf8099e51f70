//! A small HTTP server that does what a test wants, also what no good server does, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request that has come, whole.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How many came before it.
    pub number: usize,
    /// How many connections came before its own.
    pub connection: usize,
    pub head: String,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    pub fn key(&self) -> String {
        self.header("idempotency-key").unwrap_or_default()
    }
}

pub enum Reply {
    /// These bytes; the connection stays.
    Say(String),
    /// These bytes; the connection ends.
    Last(String),
    /// These bytes, and again and again the others, as fast as they are read.
    Endless(String, &'static str),
    /// Nothing; the connection stays.
    Silence,
    /// These bytes, and a byte now and then.
    Drip(String),
}

impl Reply {
    pub fn ok() -> Reply {
        Reply::status("200 OK")
    }

    pub fn status(status: &str) -> Reply {
        Reply::Say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))
    }

    pub fn body(status: &str, body: &str) -> Reply {
        Reply::Say(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }
}

pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::at(TcpListener::bind("127.0.0.1:0").unwrap(), reply)
    }

    pub fn at(listener: TcpListener, reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let port = listener.local_addr().unwrap().port();
        let (asked, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, over, reply) = (asked.clone(), is_over.clone(), Arc::new(reply));
        thread::spawn(move || {
            let connections = AtomicUsize::new(0);
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let (all, over, reply) = (all.clone(), over.clone(), reply.clone());
                let connection = connections.fetch_add(1, SeqCst);
                thread::spawn(move || serve(stream, connection, &all, &over, &*reply));
            }
        });
        Server { port, asked, is_over }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/in", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    stream: TcpStream,
    connection: usize,
    all: &Mutex<Vec<Asked>>,
    is_over: &AtomicBool,
    reply: &dyn Fn(&Asked) -> Reply,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((head, body)) = request(&mut reader) {
        let asked = {
            let mut all = all.lock().unwrap();
            let asked = Asked { number: all.len(), connection, head, body };
            all.push(asked.clone());
            asked
        };
        let going_on = match reply(&asked) {
            Reply::Say(text) => writer.write_all(text.as_bytes()).is_ok(),
            Reply::Last(text) => {
                let _ = writer.write_all(text.as_bytes());
                false
            }
            Reply::Endless(text, more) => {
                let mut said = writer.write_all(text.as_bytes()).is_ok();
                while said && !is_over.load(SeqCst) {
                    said = writer.write_all(more.as_bytes()).is_ok();
                }
                false
            }
            Reply::Silence => {
                while !is_over.load(SeqCst) {
                    thread::sleep(Duration::from_millis(20));
                }
                false
            }
            Reply::Drip(text) => {
                let mut said = writer.write_all(text.as_bytes()).is_ok();
                while said && !is_over.load(SeqCst) {
                    thread::sleep(Duration::from_millis(20));
                    said = writer.write_all(b"x").is_ok();
                }
                false
            }
        };
        if !going_on || is_over.load(SeqCst) {
            return;
        }
    }
}

/// `None`: the client has gone.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[before..].trim().is_empty() {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}
