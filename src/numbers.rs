//! Numbers as people read them.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Seconds as a duration, in its two largest units.
pub(crate) fn time(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    let whole = seconds as u64;
    if whole >= 86_400 {
        return format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600);
    }
    if whole >= 3600 {
        return format!("{}h {}m", whole / 3600, whole % 3600 / 60);
    }
    if whole >= 60 {
        return format!("{}m {}s", whole / 60, whole % 60);
    }
    if seconds >= 1.0 {
        return format!("{seconds:.1}s");
    }
    format!("{:.0}ms", Duration::from_secs_f64(seconds).as_secs_f64() * 1e3)
}

/// A rate, as exactly as it can be read.
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        rate if rate >= 999_500.0 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 9_950.0 => format!("{:.1}k", rate / 1e3),
        rate if rate >= 99.5 => format!("{rate:.0}"),
        rate if rate > 0.0 => format!("{rate:.1}"),
        _ => "0".to_owned(),
    }
}

/// `1 item`, `2 items`, `2 tries`, `2 processes`, `2 keys`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    match what.strip_suffix('y') {
        _ if number == 1 => format!("1 {what}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{number} {stem}ies"),
        _ if what.ends_with('s') => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

/// `1 item is`, `2 items are`.
pub(crate) fn counted_are(number: u64, what: &str) -> String {
    format!("{} {}", counted(number, what), if number == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_exact_as_they_can_be_read() {
        let times: Vec<_> = [0.0015, 1.25, 61.0, 7300.0, 180_000.0, f64::NAN].into_iter().map(time).collect();
        assert_eq!(times, ["2ms", "1.2s", "1m 1s", "2h 1m", "2d 2h", "0ms"]);
        let counts = [(0, "try"), (1, "try"), (2, "try"), (1, "process"), (2, "process"), (2, "key")];
        let counts = counts.map(|(number, what)| counted(number, what));
        assert_eq!(counts, ["0 tries", "1 try", "2 tries", "1 process", "2 processes", "2 keys"]);
        assert_eq!([1, 2].map(|number| counted_are(number, "byte")), ["1 byte is", "2 bytes are"]);
        let rates: Vec<_> = [0.0, 0.25, 1234.5, 12_345.0, 2_500_000.0].into_iter().map(rate).collect();
        assert_eq!(rates, ["0", "0.2", "1234", "12.3k", "2.5M"]);
    }
}
