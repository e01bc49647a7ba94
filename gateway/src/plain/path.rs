//! Paths as every server behind might read them, so that nobody comes past the rules of a prefix by writing it otherwise.

/// The segments of a path: percent-encoding undone, backslashes and repeated slashes taken for one slash, and parameters
/// (`;...`) left out. `None` where a segment is `.` or `..`, or what is encoded is no text.
pub(super) fn segments(path: &str) -> Option<Vec<Box<str>>> {
    let decoded = decoded(path.as_bytes())?;
    let decoded = String::from_utf8(decoded).ok()?;
    let plain = |part: &str| -> Box<str> { part.split(';').next().unwrap_or_default().into() };
    let parts = decoded.split(['/', '\\']).map(plain);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let goes_up = |part: &str| matches!(part, "." | "..");
    (!parts.iter().any(|part| goes_up(part))).then_some(parts)
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high * 16 + low) as u8);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_the_same_however_it_is_written() {
        for path in [
            "/shop/admin",
            "/shop/admin/",
            "//shop///admin",
            "/shop/%61dmin",
            "/shop%2fadmin",
            "/shop%5Cadmin",
            "/shop;v=1/admin;x=%2e%2e",
            "/;/shop/admin",
        ] {
            let found = segments(path).expect(path);
            let expected: [Box<str>; 2] = ["shop".into(), "admin".into()];
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(segments("/"), Some(Vec::new()));
        for path in [
            "/shop/../admin",
            "/shop/%2e%2E/admin",
            "/shop/.%2e;x/admin",
            "/shop/..%2fadmin",
            "/shop/./admin",
            "/shop/%",
            "/shop/%4",
            "/shop/%zz",
            "/shop/%ff",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
    }
}
