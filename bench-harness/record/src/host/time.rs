//! Moments as RFC 3339 text in UTC.

use chrono::{DateTime, SecondsFormat, Utc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `moment` to the second, such as `2026-03-01T12:30:05Z`. A moment before 1970 is shown as the start of 1970.
pub fn rfc3339(moment: SystemTime) -> String {
    let seconds = i64::try_from(since_epoch(moment).as_secs()).ok();
    let moment = seconds.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
    moment.unwrap_or(DateTime::<Utc>::MAX_UTC).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The time since 1970-01-01T00:00:00Z. Zero for earlier moments.
pub fn since_epoch(moment: SystemTime) -> Duration {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default()
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
