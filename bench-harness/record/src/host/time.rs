//! Moments as RFC 3339 text in UTC. Days become dates by counting in 400-year cycles of the Gregorian calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `moment` to the second, such as `2026-03-01T12:30:05Z`. A moment before 1970 is shown as its start.
pub fn rfc3339(moment: SystemTime) -> String {
    let seconds = since_epoch(moment).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The time since 1970-01-01T00:00:00Z, zero before it.
pub fn since_epoch(moment: SystemTime) -> Duration {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Year, month and day of the day that lies `days` after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    // 146,097 days are 400 years, so at most 399 years are left to count one by one.
    let (mut year, mut left) = (1970 + days / 146_097 * 400, days % 146_097);
    let mut length = 365 + u64::from(leap(year));
    while left >= length {
        left -= length;
        year += 1;
        length = 365 + u64::from(leap(year));
    }
    let mut month = 1;
    for mut days in [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if month == 2 && leap(year) {
            days = 29;
        }
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
