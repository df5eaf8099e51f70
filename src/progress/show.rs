//! The thread that looks and draws.

use super::bars::{self, Bars};
use super::estimate::{Estimate, Reading};
use super::{Form, lines};
use crate::logging;
use crate::status::Snapshot;
use log::{Level, log};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Asks how things are; `None`: the run is over.
pub type Ask = Box<dyn Fn() -> Option<Snapshot> + Send>;

/// Progress is shown until this is dropped.
#[derive(Debug)]
pub struct Show {
    /// `None`: none are to be drawn any more.
    bars: Arc<Mutex<Option<Bars>>>,
}

impl Show {
    /// Begins.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub fn start(form: Form, ask: Ask) -> io::Result<Show> {
        let bars = (form == Form::Bars).then(Bars::new);
        if let Some(bars) = &bars {
            logging::draw_curtain(Some(Box::new(bars.curtain())));
        }
        let shared = Arc::new(Mutex::new(bars));
        let show = Show { bars: Arc::clone(&shared) };
        thread::Builder::new().name("progress".to_owned()).spawn(move || match form {
            Form::Bars => draw(&shared, &ask),
            Form::Lines(first) => tell(first, &ask),
        })?;
        Ok(show)
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        // The thread may wait for an answer that never comes: it is not waited for, but can't draw any more.
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bars) = bars {
            bars.clear();
            logging::draw_curtain(None);
        }
    }
}

fn draw(bars: &Mutex<Option<Bars>>, ask: &Ask) {
    let mut estimate = Estimate::new();
    while let Some(snapshot) = ask() {
        let readings: Vec<Reading> = estimate.look(snapshot);
        match bars.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(bars) => bars.draw(&readings),
            None => return,
        }
        thread::sleep(bars::EVERY);
    }
}

fn tell(first: Duration, ask: &Ask) {
    let (start, mut estimate) = (Instant::now(), Estimate::new());
    let mut due = Duration::ZERO;
    // The first look only starts the clock.
    while let Some(snapshot) = ask() {
        let readings = estimate.look(snapshot);
        if due >= first {
            log!(target: "mprun", Level::Info, "{}", lines::line(&readings));
        }
        due = lines::next(due);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
