//! When a program gives up. Other tools count the starts that fail one after the other, whatever the pauses between them; here
//! they are counted within a time, which has to be longer than that many pauses.

use crate::cli::toml_text::text;

/// Restarts that no program comes to within a minute: a stage with as many never gives up.
pub(super) const NEVER: &str = "1000000";
/// `within`, where nothing asks for more.
pub(super) const WITHIN: &str = "1d";

const DAY: u64 = 24 * 3600;
/// The longest time that a pipeline file takes.
const MAX_DAYS: u64 = 3660;

/// A longer `within` than [`WITHIN`], if `restarts` do not fit into that. `longest`: the seconds from one to the next.
pub(super) fn longer_within(restarts: u64, longest: u64) -> Option<String> {
    // The one that is too many counts, too.
    let days = restarts.saturating_add(1).saturating_mul(longest).div_ceil(DAY);
    (days > 1).then(|| text(&format!("{}d", days.min(MAX_DAYS))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_restarts_as_a_file_has_fit_into_the_time() {
        for (restarts, longest, within) in [
            (20, 31, None),
            (2786, 31, None),
            (2787, 31, Some("\"2d\"")),
            (0, DAY + 1, Some("\"2d\"")),
            (u64::MAX, 31, Some("\"3660d\"")),
        ] {
            assert_eq!(longer_within(restarts, longest).as_deref(), within, "{restarts}");
        }
    }
}
