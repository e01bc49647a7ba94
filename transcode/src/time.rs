//! Text forms of `google.protobuf.Timestamp` and `google.protobuf.Duration`.

use crate::text;

/// 0001-01-01T00:00:00Z, in seconds since 1970.
const MIN_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, in seconds since 1970.
const MAX_SECONDS: i64 = 253_402_300_799;
/// About 10,000 years.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;
const NANOS_PER_SECOND: i32 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds and nanoseconds, of a point in time or of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

/// Writes RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second; false where it is out of range.
pub(crate) fn put_timestamp(out: &mut Vec<u8>, time: Time) -> bool {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&time.seconds)
        || !(0..NANOS_PER_SECOND).contains(&time.nanos)
    {
        return false;
    }
    let (days, second) = (
        time.seconds.div_euclid(SECONDS_PER_DAY),
        time.seconds.rem_euclid(SECONDS_PER_DAY),
    );
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00";
    let mut pair = |at: usize, value: i64| {
        text[at] += (value / 10) as u8;
        text[at + 1] += (value % 10) as u8;
    };
    pair(0, year / 100);
    pair(2, year % 100);
    pair(5, month);
    pair(8, day);
    pair(11, second / 3_600);
    pair(14, second / 60 % 60);
    pair(17, second % 60);
    out.extend_from_slice(&text);
    put_fraction(out, time.nanos);
    out.push(b'Z');
    true
}

/// Reads RFC 3339 with any offset and up to 9 digits of a second.
pub(crate) fn timestamp(text: &str) -> Option<Time> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b'-', 2)?;
    let day = after(&mut rest, b'-', 2)?;
    let hour = after(&mut rest, b'T', 2)?;
    let minute = after(&mut rest, b':', 2)?;
    let second = after(&mut rest, b':', 2)?;
    let nanos = fraction(&mut rest)?;
    let offset = match rest {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), tail @ ..] => {
            rest = tail;
            let hours = digits(&mut rest, 2)?;
            let minutes = after(&mut rest, b':', 2)?;
            if hours > 23 || minutes > 59 || !rest.is_empty() {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let sane = (1..=9_999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second
            - offset;
    (sane && (MIN_SECONDS..=MAX_SECONDS).contains(&seconds)).then_some(Time { seconds, nanos })
}

/// Writes seconds with 0, 3, 6 or 9 decimals and an `s`; false where it is out of range.
pub(crate) fn put_duration(out: &mut Vec<u8>, span: Time) -> bool {
    if !(-MAX_DURATION_SECONDS..=MAX_DURATION_SECONDS).contains(&span.seconds)
        || span.nanos.abs() >= NANOS_PER_SECOND
        || (span.seconds < 0 && span.nanos > 0)
        || (span.seconds > 0 && span.nanos < 0)
    {
        return false;
    }
    if span.seconds < 0 || span.nanos < 0 {
        out.push(b'-');
    }
    text::put_integer(out, span.seconds.unsigned_abs());
    put_fraction(out, span.nanos.abs());
    out.push(b's');
    true
}

/// Reads `-1.5s`; up to 9 decimals.
pub(crate) fn duration(text: &str) -> Option<Time> {
    let mut rest = text.strip_suffix('s')?.as_bytes();
    let negative = rest.first() == Some(&b'-');
    if negative {
        rest = &rest[1..];
    }
    let whole = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=12).contains(&whole) {
        return None;
    }
    let seconds = digits(&mut rest, whole)?;
    let nanos = fraction(&mut rest)?;
    if !rest.is_empty() || seconds > MAX_DURATION_SECONDS {
        return None;
    }
    let sign = if negative { -1 } else { 1 };
    Some(Time {
        seconds: seconds * i64::from(sign),
        nanos: nanos * sign,
    })
}

/// The last `width` digits.
fn put_digits(out: &mut Vec<u8>, value: u32, width: usize) {
    let mut digits = [b'0'; 9];
    let digits = &mut digits[..width];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(digits);
}

fn put_fraction(out: &mut Vec<u8>, nanos: i32) {
    let (value, width) = match nanos {
        0 => return,
        nanos if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
        nanos if nanos % 1_000 == 0 => (nanos / 1_000, 6),
        nanos => (nanos, 9),
    };
    out.push(b'.');
    put_digits(out, value.unsigned_abs(), width);
}

fn digits(rest: &mut &[u8], width: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(width)?;
    *rest = tail;
    head.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

fn after(rest: &mut &[u8], mark: u8, width: usize) -> Option<i64> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    if *first == mark {
        digits(rest, width)
    } else {
        None
    }
}

/// An optional `.` with 1 to 9 digits, as nanoseconds.
fn fraction(rest: &mut &[u8]) -> Option<i32> {
    let Some((b'.', tail)) = rest.split_first() else {
        return Some(0);
    };
    let width = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&width) {
        return None;
    }
    *rest = tail;
    let value = digits(rest, width)? as i32;
    Some(value * 10i32.pow(9 - width as u32))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant's algorithm: years begin in March, so leap days come last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_and_write() {
        for (json, seconds, nanos, canonical) in [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            (
                "2026-11-20T12:34:56.5Z",
                1_795_178_096,
                500_000_000,
                "2026-11-20T12:34:56.500Z",
            ),
            (
                "2000-02-29T23:59:59.000001+01:30",
                951_863_399,
                1_000,
                "2000-02-29T22:29:59.000001Z",
            ),
            (
                "0001-01-01T00:00:00Z",
                MIN_SECONDS,
                0,
                "0001-01-01T00:00:00Z",
            ),
            (
                "9999-12-31T23:59:59.999999999Z",
                MAX_SECONDS,
                999_999_999,
                "9999-12-31T23:59:59.999999999Z",
            ),
        ] {
            let time = timestamp(json).expect(json);
            assert_eq!(time, Time { seconds, nanos }, "{json}");
            let mut out = Vec::new();
            assert!(put_timestamp(&mut out, time));
            assert_eq!(String::from_utf8(out).expect("UTF-8"), canonical);
        }
    }

    #[test]
    fn bad_timestamps_are_refused() {
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T12:34:56",
            "2026-11-20t12:34:56Z",
            "2026-11-20T12:34:56z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+00:01",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000001Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zx",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        let mut out = Vec::new();
        for (seconds, nanos) in [
            (MIN_SECONDS - 1, 0),
            (MAX_SECONDS + 1, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(!put_timestamp(&mut out, Time { seconds, nanos }));
        }
    }

    #[test]
    fn durations_read_and_write() {
        for (json, seconds, nanos, canonical) in [
            ("0s", 0, 0, "0s"),
            ("1.5s", 1, 500_000_000, "1.500s"),
            ("-1.000000001s", -1, -1, "-1.000000001s"),
            ("-0.5s", 0, -500_000_000, "-0.500s"),
            ("315576000000s", MAX_DURATION_SECONDS, 0, "315576000000s"),
        ] {
            let span = duration(json).expect(json);
            assert_eq!(span, Time { seconds, nanos }, "{json}");
            let mut out = Vec::new();
            assert!(put_duration(&mut out, span));
            assert_eq!(String::from_utf8(out).expect("UTF-8"), canonical);
        }
        for text in [
            "",
            "s",
            "1",
            "1.s",
            ".5s",
            "+1s",
            "1 s",
            "315576000001s",
            "1.0000000001s",
            "--1s",
            "1m",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_turns_back() {
        for days in (-719_162..2_932_896).step_by(97) {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
