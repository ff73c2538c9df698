//! Durations and points in time as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Milliseconds since the epoch, now; the unit of every time in the API.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Milliseconds of a duration that somebody wrote: `30d`, `12h`, `1h30m`; a day has 24 hours.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let span = text.parse::<jiff::Span>().ok();
    let total = span.and_then(|span| {
        span.total((jiff::Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours())).ok()
    });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in that range")]
    let millis = total.filter(|&millis| (0.0..1e15).contains(&millis)).map(|millis| millis as u64);
    millis.ok_or_else(|| "use a duration such as 30d, 12h or 90m".to_owned())
}

/// A duration in at most two units: `0.4s`, `59s`, `3m07s`, `2h05m`, `4d03h`.
///
/// Tenths only below ten seconds, where they tell something. A negative duration (two clocks) shows as `0.0s`.
pub(crate) fn short(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A point in time in the user's zone: `2026-11-21 10:15:00.250`.
pub(crate) fn local_time(milliseconds: i64) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => milliseconds.to_string(),
    }
}

/// A point in time in UTC as RFC 3339 with milliseconds, for output that programs may read.
pub(crate) fn rfc3339(milliseconds: i64) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => milliseconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_at_most_two_units() {
        let cases = [
            (-5, "0.0s"),
            (0, "0.0s"),
            (449, "0.4s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (187_000, "3m07s"),
            (7_500_000, "2h05m"),
            (86_400_000, "1d00h"),
            (356_400_000, "4d03h"),
        ];
        for (milliseconds, want) in cases {
            assert_eq!(short(milliseconds), want, "{milliseconds} ms");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, want) in [
            ("30d", Some(2_592_000_000)),
            ("12h", Some(43_200_000)),
            ("1h30m", Some(5_400_000)),
            ("2s", Some(2000)),
            ("0s", Some(0)),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
        for text in ["", "soon", "30", "-3d", "1mo"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_times_are_rfc_3339() {
        assert_eq!(rfc3339(1_795_255_200_007), "2026-11-21T10:00:00.007Z");
    }
}
