//! The two pipes between a link and its supervisor.

use super::driver::{Gone, Supervisor};
use super::request::{FINISH, LinkNews};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

pub(super) struct Pipes {
    orders: Receiver,
    news: File,
}

impl Pipes {
    /// `news` must not block: a supervisor that is stopped costs words, not leases.
    pub(super) fn new(orders: OwnedFd, news: OwnedFd) -> io::Result<Pipes> {
        Ok(Pipes { orders: Receiver::from_owned_fd(orders)?, news: File::from(news) })
    }
}

impl Supervisor for Pipes {
    async fn finish(&mut self) -> Result<(), Gone> {
        match self.orders.read_u8().await {
            Ok(FINISH) => Ok(()),
            Ok(_) | Err(_) => Err(Gone),
        }
    }

    fn tell(&mut self, news: LinkNews) {
        if let Ok(mut line) = serde_json::to_vec(&news) {
            line.push(b'\n');
            let _ = self.news.write(&line); // a line is shorter than what a pipe takes as a whole
        }
    }
}
