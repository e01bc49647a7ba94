//! The time, as rows keep it and as messages say it: microseconds, so that both engines keep it exactly.

use std::time::SystemTime;

use time::OffsetDateTime;

/// Now, cut to whole microseconds.
pub fn now() -> OffsetDateTime {
    from_us(now_us())
}

/// Now, in microseconds since 1970.
pub fn now_us() -> i64 {
    to_us(OffsetDateTime::now_utc())
}

/// A time in microseconds since 1970.
pub fn to_us(time: OffsetDateTime) -> i64 {
    (time.unix_timestamp_nanos() / 1_000) as i64
}

/// The time that is `us` microseconds after 1970.
pub fn from_us(us: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time as messages carry it.
pub fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    SystemTime::from(time).into()
}

/// The time that a message carries, cut to whole microseconds; `None` where it is out of range.
pub fn from_timestamp(timestamp: &prost_types::Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos.div_euclid(1_000) * 1_000).ok()
}

/// A time in microseconds since 1970 as messages carry it.
pub fn timestamp_us(us: i64) -> prost_types::Timestamp {
    timestamp(from_us(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_survive_the_way_through_a_row() {
        let now = now();
        assert_eq!(from_us(to_us(now)), now);
        assert_eq!(from_timestamp(&timestamp(now)), Some(now));
    }
}
