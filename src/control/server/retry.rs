//! Dead letters that get another chance: each is put back into its queue, and only then crossed out.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | before the put | the letter | nothing happened |
//! | between the put and the crossing out | the item in its queue, and the letter | a queue in memory is gone with the supervisor; one that is kept remembers the letter, and asked again it only says so |
//! | while crossing out | a letter whose first byte is gone | that byte is what counts |

use super::Desk;
use super::connection::ask;
use crate::control::protocol::{Put, Reason, Refused, Request, Retried, Retry};
use crate::dead_letter;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Puts back all that are named, in the order of the file.
pub async fn retry(desk: &Desk, wanted: Retry) -> Result<Retried, Refused> {
    let _turn = desk.retries.lock().await;
    let keys: BTreeSet<String> = wanted.keys.into_iter().collect();
    let mut retried = Retried::default();
    let letters = aside(&desk.dead_letters, dead_letter::read).await?;
    let mut found = 0;
    for letter in letters.into_iter().filter(|letter| keys.contains(&letter.key())) {
        found += 1;
        if letter.text.queue.is_empty() {
            let why = "it was too long to be an item, and only its beginning is here: raise `max_item`, and read it again";
            retried.refused.push(format!("{}: {why}", letter.line));
            continue;
        }
        let put = Put { queue: letter.text.queue.clone(), item: letter.bytes(), key: letter.number };
        match ask(desk, Request::Put(put), false).await {
            Ok(_) => {
                aside(&desk.dead_letters, move |path| dead_letter::cross_out(path, &letter)).await?;
                retried.put += 1;
            }
            Err(refused) => {
                let line = letter.line;
                retried.refused.push(format!("{line}: {}", refused.error));
            }
        }
    }
    retried.missing = (keys.len() - found.min(keys.len())) as u64;
    Ok(retried)
}

/// On a thread of its own: whoever holds the file's lock must not hold up the others who ask.
async fn aside<T: Send + 'static>(
    path: &Path,
    act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let path = path.to_owned();
    let shown = path.display().to_string();
    let failed = move |error: &dyn std::fmt::Display| Refused {
        reason: Reason::Failed,
        error: format!("{shown}: {error}"),
    };
    match tokio::task::spawn_blocking(move || act(&path)).await {
        Ok(result) => result.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
