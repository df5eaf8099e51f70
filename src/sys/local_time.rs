//! A moment in the words of strftime(3), in the local time zone (`TZ`, else the machine's).

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::time::SystemTime;

/// The longest text, in bytes.
const MAX_BYTES: usize = 512;

/// The time zone is looked up once.
static ZONE: Once = Once::new();

/// The moment as `format` says. `None`: there is no such text, or it would be longer than 512 bytes.
pub(crate) fn format(format: &str, at: SystemTime) -> Option<String> {
    let seconds = match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok()?,
        Err(before) => -i64::try_from(before.duration().as_secs()).ok()?,
    };
    // A byte before: an empty text and one that does not fit are both 0 bytes long.
    let format = CString::new(format!(" {format}")).ok()?;
    // SAFETY: reads the environment, which nothing here changes while threads run.
    ZONE.call_once(|| unsafe { tzset() });
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let seconds = seconds as libc::time_t;
    // SAFETY: both point to live values of their types.
    if unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) }.is_null() {
        return None;
    }
    let mut text = [0u8; MAX_BYTES + 1];
    // SAFETY: writes at most the length that it is given; the format ends with a zero; `localtime_r` has filled the parts.
    let length =
        unsafe { libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), parts.as_ptr()) };
    let text = text.get(1..length).filter(|_| length > 0)?;
    String::from_utf8(text.to_vec()).ok()
}

unsafe extern "C" {
    fn tzset();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_is_told_as_the_format_says() {
        // In the middle of a year, so that every time zone agrees on it.
        let june = SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_500_000);
        assert_eq!(format("%Y/%%-é", june).as_deref(), Some("2026/%-é"));
        assert_eq!(format("", june).as_deref(), Some(""));
        assert_eq!(format(&"x".repeat(MAX_BYTES), june), None);
        let same_day = format("%Y-%m-%d", june).unwrap();
        assert_eq!(format("%F", june), Some(same_day));
    }

    #[test]
    fn a_moment_before_1970_is_one_too() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(200 * 86400);
        assert_eq!(format("%Y", before).as_deref(), Some("1969"));
    }
}
