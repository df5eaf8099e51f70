//! An address that can't be had at first. It is tried again for as long as the file wants it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) const LISTEN_RETRY_DELAY: Duration = Duration::from_secs(5);

/// A copy of the listener of such an address, once it is there. The supervisor takes it from here to the others.
#[derive(Clone, Debug, Default)]
pub(super) struct LateListener(Arc<Mutex<Option<TcpListener>>>);

impl LateListener {
    pub(super) fn take(&self) -> Option<TcpListener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn set(&self, listener: Option<TcpListener>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Once it can be had.
pub(super) async fn listen_later(address: SocketAddr) -> TcpListener {
    loop {
        tokio::time::sleep(LISTEN_RETRY_DELAY).await;
        if let Ok(listener) = listen(address) {
            return listener;
        }
    }
}
