//! The two pipes between a link and its supervisor, and the files beside them.

use super::board::Board;
use super::driver::{Gone, Supervisor};
use super::overview::Looks;
use super::request::{LinkNews, LinkOrder};
use crate::status::Snapshot;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;

pub(super) struct Pipes {
    orders: Lines<BufReader<Receiver>>,
    news: File,
    board: Board,
    looks: Looks,
}

impl Pipes {
    /// `news` must not block: a supervisor that is stopped costs words, not leases.
    pub(super) fn new(orders: OwnedFd, news: OwnedFd, board: Board, looks: Looks) -> io::Result<Pipes> {
        let orders = BufReader::new(Receiver::from_owned_fd(orders)?).lines();
        Ok(Pipes { orders, news: File::from(news), board, looks })
    }
}

impl Supervisor for Pipes {
    async fn order(&mut self) -> Result<LinkOrder, Gone> {
        let line = self.orders.next_line().await.ok().flatten().ok_or(Gone)?;
        serde_json::from_str(&line).map_err(|_| Gone)
    }

    fn snapshot(&self) -> Option<Snapshot> {
        self.board.read()
    }

    fn look(&mut self) {
        self.looks.begin();
    }

    fn tell(&mut self, news: LinkNews) {
        if let Ok(mut line) = serde_json::to_vec(&news) {
            line.push(b'\n');
            let _ = self.news.write(&line); // a line is shorter than what a pipe takes as a whole
        }
    }
}
