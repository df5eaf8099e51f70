//! Links that open the page once, for some minutes.

use super::access::Right;
use super::token::random;
use std::io;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// For a link to be followed.
pub(super) const VALID: Duration = Duration::from_secs(600);
/// Of those that wait; the oldest goes first.
const MOST: usize = 16;

/// Codes that were not used yet, oldest first.
#[derive(Default)]
pub(super) struct Links(Vec<(String, Right, Instant)>);

impl Links {
    /// A new code.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn add(&mut self, right: Right, now: Instant) -> io::Result<String> {
        let code = random()?;
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((code.clone(), right, now));
        Ok(code)
    }

    /// What the code is good for; it is good no longer.
    pub(super) fn take(&mut self, code: &str, now: Instant) -> Right {
        self.0.retain(|(_, _, made)| now.saturating_duration_since(*made) < VALID);
        let is_it = |known: &String| bool::from(known.as_bytes().ct_eq(code.as_bytes()));
        match self.0.iter().position(|(known, _, _)| is_it(known)) {
            Some(at) => self.0.remove(at).1,
            None => Right::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_some_minutes() {
        let (mut links, now) = (Links::default(), Instant::now());
        let code = links.add(Right::All, now).unwrap();
        assert_eq!(links.take(&code[1..], now), Right::Nothing);
        assert_eq!(links.take(&code, now), Right::All);
        assert_eq!(links.take(&code, now), Right::Nothing, "a second time");
        let code = links.add(Right::Look, now).unwrap();
        assert_eq!(links.take(&code, now + VALID), Right::Nothing, "too late");
        let codes: Vec<String> = (0..=MOST).map(|_| links.add(Right::Look, now).unwrap()).collect();
        assert_eq!(links.take(&codes[0], now), Right::Nothing, "too many");
        assert_eq!(links.take(&codes[1], now), Right::Look);
    }
}
