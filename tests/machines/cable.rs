//! The cable between a machine and its broker: what it carries can be held, in one direction or both, or cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of bytes that come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Carries {
    All = 0,
    /// Nothing gets through, and nobody is told: what waits comes late.
    Nothing = 1,
    /// The machine is heard, and hears nothing.
    RequestsOnly = 2,
    /// A little at a time.
    Slowly = 3,
}

#[derive(Default)]
struct State {
    carries: AtomicU8,
    ends: Mutex<Vec<TcpStream>>,
    opened: AtomicU64,
    over: AtomicBool,
}

pub struct Cable {
    pub port: u16,
    state: Arc<State>,
}

impl Cable {
    pub fn to(server: u16) -> Cable {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if own.over.load(SeqCst) {
                    return;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                own.opened.fetch_add(1, SeqCst);
                own.ends.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let (near_reader, far_reader) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (there, back) = (Arc::clone(&own), Arc::clone(&own));
                thread::spawn(move || carry(near_reader, far, &there, Carries::RequestsOnly));
                thread::spawn(move || carry(far_reader, near, &back, Carries::All));
            }
        });
        Cable { port, state }
    }

    pub fn carry(&self, what: Carries) {
        self.state.carries.store(what as u8, SeqCst);
    }

    /// Connections end; a new one is possible at once.
    pub fn cut(&self) {
        for end in self.state.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// How many connections there were.
    pub fn opened(&self) -> u64 {
        self.state.opened.load(SeqCst)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.state.over.store(true, SeqCst);
        self.carry(Carries::All);
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// `also_in`: beside `All` and `Slowly`, this direction is carried in this state.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &State, also_in: Carries) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let mut rest = &bytes[..n];
        while !rest.is_empty() {
            let now = state.carries.load(SeqCst);
            let part = match now {
                _ if now == Carries::All as u8 || now == also_in as u8 => rest.len(),
                _ if now == Carries::Slowly as u8 => rest.len().min(200),
                _ => 0,
            };
            if part < rest.len() {
                thread::sleep(Duration::from_millis(2));
            }
            if to.write_all(&rest[..part]).is_err() {
                return;
            }
            rest = &rest[part..];
            if state.over.load(SeqCst) {
                return;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
