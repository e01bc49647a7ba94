//! Single values of the file, as text: what they say, or why they cannot be read.

use std::time::Duration;

use contracts::caravan::options::v1::{Access, RateClass};

use super::RouteRate;

/// `public`, `signed_in`, `services`, `scope:NAME`; every other word is a role. No word admits nobody.
pub(super) fn access<'w>(words: impl IntoIterator<Item = &'w str>) -> Access {
    let mut access = Access::default();
    for word in words {
        match word {
            "public" => access.public = true,
            "signed_in" => access.signed_in = true,
            "services" => access.services = true,
            word => match word.strip_prefix("scope:") {
                Some(scope) => access.scopes.push(scope.to_owned()),
                None => access.roles.push(word.to_owned()),
            },
        }
    }
    access
}

pub(super) fn route_rate(text: &str) -> Result<RouteRate, String> {
    Ok(RouteRate::Class(match text {
        "read" => RateClass::Read,
        "write" => RateClass::Write,
        "heavy" => RateClass::Heavy,
        "strict" => RateClass::Strict,
        "unlimited" => RateClass::Unlimited,
        _ => {
            let classes = "read, write, heavy, strict, unlimited";
            let rate = text
                .parse()
                .map_err(|what| format!("{what}, nor one of {classes}"))?;
            return Ok(RouteRate::Own(rate));
        }
    }))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is no time like 500ms, 30s or 5m"))
}

/// A time that timers can repeat.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() {
        return Err(format!("`{text}` is no time between two things"));
    }
    Ok(time)
}

/// `4096`, `64KiB`, `4MiB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let fault = || format!("`{text}` is no size like 4096, 64KiB or 4MiB");
    let (number, unit) = match text.trim() {
        text if text.ends_with("KiB") => (&text[..text.len() - 3], 1024),
        text if text.ends_with("MiB") => (&text[..text.len() - 3], 1024 * 1024),
        text => (text, 1),
    };
    let number: usize = number.trim().parse().map_err(|_| fault())?;
    number.checked_mul(unit).ok_or_else(fault)
}

/// hyper needs room for the first line and one header.
pub(super) fn header_bytes(text: &str) -> Result<usize, String> {
    const LEAST_BYTES: usize = 8 * 1024;
    match bytes(text)? {
        bytes if bytes < LEAST_BYTES || u32::try_from(bytes).is_err() => {
            Err(format!("`{text}`: at least {LEAST_BYTES} bytes are needed"))
        }
        bytes => Ok(bytes),
    }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` is no number from 1 on")),
    }
}
