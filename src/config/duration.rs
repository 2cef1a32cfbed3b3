//! Durations on the command line.

use std::time::Duration;

use humantime::{DurationError, parse_duration};

/// A longer duration is cut to a century, so that no sum of a time and a duration overflows.
const MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A duration such as `1m 30s`.
///
/// # Errors
/// The text is no duration.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    match parse_duration(text) {
        // It has the same error for a fraction of a nanosecond.
        Err(DurationError::NumberOverflow) if !text.contains('.') => Ok(MAX),
        parsed => Ok(parsed?.min(MAX)),
    }
}

/// A duration that becomes a timeout of the server's, which counts whole milliseconds and takes 0 for no limit.
///
/// # Errors
/// The text is no duration, or one below a millisecond.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(1) {
        return Err("at least 1ms".into());
    }
    Ok(duration.min(Duration::from_millis(i32::MAX.unsigned_abs().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_duration_is_cut_to_a_century() {
        for text in ["500000000000years", "999999999999years", "99999999999999999999s"] {
            assert_eq!(duration(text), Ok(MAX), "{text}");
        }
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("0.5ns").is_err());
        assert!(duration("soon").is_err());
    }

    #[test]
    fn a_timeout_is_at_least_a_millisecond_and_at_most_what_the_server_can_hold() {
        for text in ["0s", "900us", "999999ns"] {
            assert_eq!(timeout(text), Err("at least 1ms".into()), "{text}");
        }
        assert_eq!(timeout("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(timeout("500000000000years"), Ok(Duration::from_millis(2_147_483_647)));
    }
}
