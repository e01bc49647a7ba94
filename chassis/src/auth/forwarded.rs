//! What a sidecar tells of the caller's certificate: `x-forwarded-client-cert`, as Envoy and Istio write it.

use http::{HeaderMap, HeaderName};

const HEADER: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The id in the certificate of the nearest caller; `None` where the header is missing, given twice or says several.
///
/// The header has an element for each hop, parted by `,`, the nearest last; an element has `Key=value` pairs, parted by `;`,
/// with values in quotes where they hold one of these marks.
pub(super) fn id(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HEADER).iter();
    let text = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let nearest = unquoted(text, ',').last()?;
    let mut ids = unquoted(nearest, ';').filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        key.eq_ignore_ascii_case("URI").then_some(value)
    });
    let id = ids.next()?;
    // What is in quotes holds marks that no id of ours has.
    (ids.next().is_none() && !id.contains('"')).then_some(id)
}

/// The parts between `mark`s that are in no quotes.
fn unquoted(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            _ => return c == mark && !in_quotes,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(header: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, header.parse().unwrap());
        id(&headers).map(str::to_owned)
    }

    #[test]
    fn the_nearest_callers_id_counts() {
        let saga = Some("spiffe://cluster.local/ns/shop/sa/saga".to_owned());
        let one = "By=spiffe://cluster.local/ns/shop/sa/ordering;Hash=abc;\
                   Subject=\"\";URI=spiffe://cluster.local/ns/shop/sa/saga";
        assert_eq!(id_of(one), saga);
        let other = "URI=spiffe://cluster.local/ns/shop/sa/payment";
        assert_eq!(id_of(&format!("{other},{one}")), saga);
        let forged =
            format!("{one};Subject=\"CN=a,URI=spiffe://cluster.local/ns/shop/sa/admin;\\\",\"");
        assert_eq!(id_of(&forged), saga);
    }

    #[test]
    fn what_is_unclear_is_nobody() {
        for header in [
            "",
            "Hash=abc",
            "URI=a;URI=b",
            "URI=a,Hash=abc",
            "URI=\"a,b\"",
            "Subject=\"URI=a",
        ] {
            assert_eq!(id_of(header), None, "{header}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, "URI=a".parse().unwrap());
        twice.append(HEADER, "URI=b".parse().unwrap());
        assert_eq!(id(&twice), None);
    }
}
