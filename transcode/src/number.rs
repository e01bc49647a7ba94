//! Numbers from decimal text, exactly or not at all.

/// An integer as sign and magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer {
    pub(crate) negative: bool,
    pub(crate) magnitude: u64,
}

impl Integer {
    pub(crate) fn signed(self) -> Option<i64> {
        if self.negative {
            0i64.checked_sub_unsigned(self.magnitude)
        } else {
            i64::try_from(self.magnitude).ok()
        }
    }

    pub(crate) fn unsigned(self) -> Option<u64> {
        (!self.negative || self.magnitude == 0).then_some(self.magnitude)
    }
}

pub(crate) const NOT_A_NUMBER: &str = "must be a number";
const NOT_INTEGRAL: &str = "must be an integer";
pub(crate) const OUT_OF_RANGE: &str = "is out of range";

/// Parts of a number that follows JSON's grammar.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Reads an integer; `1.0`, `1e3` and `120e-1` are integers too.
pub(crate) fn integer(text: &str) -> Result<Integer, &'static str> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // All but a few are plain digits that fit.
    if (1..=19).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits[0] != b'0' || digits.len() == 1)
    {
        let magnitude = digits
            .iter()
            .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        return Ok(Integer {
            negative,
            magnitude,
        });
    }
    exact(&parts(bytes).ok_or("must be an integer")?)
}

fn exact(parts: &Parts<'_>) -> Result<Integer, &'static str> {
    let significant = parts.whole.len() + parts.fraction.len();
    let digits = || parts.whole.iter().chain(parts.fraction);
    // Digits that stand before the point once the exponent has moved it.
    let point = parts.whole.len() as i64 + parts.exponent;
    let mut magnitude = 0u64;
    for (index, digit) in digits().enumerate() {
        let digit = u64::from(digit - b'0');
        if (index as i64) < point {
            magnitude = magnitude
                .checked_mul(10)
                .and_then(|sum| sum.checked_add(digit))
                .ok_or(OUT_OF_RANGE)?;
        } else if digit != 0 {
            return Err(NOT_INTEGRAL);
        }
    }
    for _ in significant as i64..point {
        if magnitude == 0 {
            break;
        }
        magnitude = magnitude.checked_mul(10).ok_or(OUT_OF_RANGE)?;
    }
    Ok(Integer {
        negative: parts.negative,
        magnitude,
    })
}

/// Reads a double; refused where it overflows.
pub(crate) fn double(text: &str) -> Result<f64, &'static str> {
    parts(text.as_bytes()).ok_or(NOT_A_NUMBER)?;
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(OUT_OF_RANGE),
    }
}

/// Reads a float, rounded once.
pub(crate) fn float(text: &str) -> Result<f32, &'static str> {
    parts(text.as_bytes()).ok_or(NOT_A_NUMBER)?;
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(OUT_OF_RANGE),
    }
}

/// Length of the number at the start of `bytes` by JSON's grammar; `None` where there is none.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    let mut position = usize::from(bytes.first() == Some(&b'-'));
    let digits = |from: usize| {
        let run = bytes.get(from..).unwrap_or_default();
        run.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    match digits(position) {
        0 => return None,
        _ if bytes[position] == b'0' => position += 1, // A number does not begin with 0 digits.
        run => position += run,
    }
    if bytes.get(position) == Some(&b'.') {
        match digits(position + 1) {
            0 => return None,
            run => position += 1 + run,
        }
    }
    if matches!(bytes.get(position), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(position + 1), Some(b'+' | b'-')));
        match digits(position + 1 + sign) {
            0 => return None,
            run => position += 1 + sign + run,
        }
    }
    Some(position)
}

fn parts(bytes: &[u8]) -> Option<Parts<'_>> {
    if length(bytes)? != bytes.len() {
        return None;
    }
    let negative = bytes[0] == b'-';
    let bytes = &bytes[usize::from(negative)..];
    let (mantissa, exponent) = match bytes.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&bytes[..at], saturating_exponent(&bytes[at + 1..])),
        None => (bytes, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    Some(Parts {
        negative,
        whole,
        fraction,
        exponent,
    })
}

/// Exponents beyond this make every number 0 or too large: nothing is lost by stopping here.
const MAX_EXPONENT: i64 = 1 << 40;

fn saturating_exponent(bytes: &[u8]) -> i64 {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let size = digits.iter().fold(0i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT)
    });
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_or_refused() {
        for (text, value) in [
            ("0", 0i128),
            ("-0", 0),
            ("7", 7),
            ("9223372036854775807", i128::from(i64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1.0", 1),
            ("1e3", 1_000),
            ("1.25e2", 125),
            ("120e-1", 12),
            ("-1.5E+1", -15),
            ("0e999999999999999999999", 0),
            ("9007199254740993", 9_007_199_254_740_993),
            ("100000000000000000.0e1", 1_000_000_000_000_000_000),
        ] {
            let found = integer(text).expect(text);
            let signed = i128::from(found.magnitude) * if found.negative { -1 } else { 1 };
            assert_eq!(signed, value, "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "0x1",
            " 1",
            "1 ",
            "1.5",
            "1e-1",
            "1e19999999999",
            "18446744073709551616",
            "NaN",
            "1_000",
            "٣",
        ] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn signs_are_kept_apart() {
        let minus_one = integer("-1").expect("an integer");
        assert_eq!(minus_one.signed(), Some(-1));
        assert_eq!(minus_one.unsigned(), None);
        assert_eq!(integer("-0").expect("an integer").unsigned(), Some(0));
        assert_eq!(
            integer("9223372036854775808").expect("an integer").signed(),
            None
        );
    }

    #[test]
    fn floats_do_not_overflow_silently() {
        assert_eq!(double("1.5e3"), Ok(1500.0));
        assert_eq!(float("16777217"), Ok(16_777_216.0));
        assert_eq!(double("1e400"), Err(OUT_OF_RANGE));
        assert_eq!(float("1e39"), Err(OUT_OF_RANGE));
        assert_eq!(double("inf"), Err(NOT_A_NUMBER));
    }
}
