//! Small pictures made of letters.

const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last `width` values as columns, the largest of them the highest.
pub(super) fn line<'v>(values: impl DoubleEndedIterator<Item = &'v f64> + Clone, width: usize) -> String {
    let last = values.rev().take(width);
    let most = last.clone().copied().fold(0.0, f64::max);
    let step = |value: &f64| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        STEPS[((share * 7.0).round() as usize).min(7)]
    };
    last.map(step).collect::<Vec<_>>().into_iter().rev().collect()
}

/// A bar of `width` columns, filled for a share of 0 ..= 1.
pub(super) fn bar(share: f64, width: usize) -> String {
    let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    // What isn't empty shows, and what isn't full, too.
    let filled = if share > 0.0 { filled.max(1) } else { 0 };
    let filled = if share < 1.0 { filled.min(width.saturating_sub(1)) } else { filled };
    "█".repeat(filled) + &"░".repeat(width - filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_values_are_at_the_right_and_the_largest_is_the_highest() {
        assert_eq!(line([9.0, 0.0, 3.5, 7.0].iter(), 3), "▁▅█");
        assert_eq!(line([0.0, 0.0].iter(), 5), "▁▁");
        assert_eq!(line([].iter(), 5), "");
    }

    #[test]
    fn a_bar_is_empty_or_full_only_if_it_is() {
        assert_eq!((bar(0.0, 4), bar(0.001, 4)), ("░░░░".into(), "█░░░".into()));
        assert_eq!((bar(0.5, 4), bar(0.999, 4), bar(1.0, 4)), ("██░░".into(), "███░".into(), "████".into()));
    }
}
