//! The address of a client, which proxies in front may know better than the connection does.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bits by which an IPv4 address is longer as an IPv6 address.
const MAPPED_BITS: u8 = 96;

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        mapped(address) & self.mask == self.address
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is no address or range like 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| fault())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let (longest, before) = match address {
            IpAddr::V4(_) => (32, MAPPED_BITS),
            IpAddr::V6(_) => (128, 0),
        };
        let bits = bits.unwrap_or(longest);
        if bits > longest {
            return Err(fault());
        }
        let mask = u128::MAX
            .checked_shl(128 - u32::from(before + bits))
            .unwrap_or(0);
        let address = mapped(address);
        if address & !mask != 0 {
            return Err(format!("`{text}` has bits beyond its length"));
        }
        Ok(Self { address, mask })
    }
}

/// IPv4 addresses as IPv6, so that one comparison serves both.
fn mapped(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

/// Whether an address is in one of these ranges.
pub fn is_in(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Who sent a request: the peer, or what trusted proxies say of it. `X-Forwarded-For` is read from its end, as far as it
/// was written by trusted ones; what stands before that anybody may have made up.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| is_in(address, trusted);
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(client) {
        return client;
    }
    for value in headers.get_all(FORWARDED_FOR).iter().rev() {
        for entry in value.to_str().unwrap_or_default().rsplit(',') {
            let Ok(address) = entry.trim().parse::<IpAddr>() else {
                return client;
            };
            client = address.to_canonical();
            if !is_trusted(client) {
                return client;
            }
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.7.9", "192.168.7.9", "192.168.7.8"),
            ("0.0.0.0/0", "1.2.3.4", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::"),
            ("::/0", "8.8.8.8", ""),
        ] {
            let network: Network = network.parse().expect("a range");
            assert!(
                network.contains(inside.parse().expect("an address")),
                "{network:?}"
            );
            if let Ok(outside) = outside.parse() {
                assert!(!network.contains(outside), "{network:?}");
            }
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/129",
            "example.com",
            "10.0.0.0/x",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_trusted_proxies_say_who_sent_it() {
        let trusted = ["10.0.0.0/8".parse().expect("a range")];
        for (peer, forwarded, client) in [
            ("9.9.9.9", &["1.1.1.1"][..], "9.9.9.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1,10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("::ffff:10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append(FORWARDED_FOR, value.parse().expect("a header"));
            }
            let peer = peer.parse().expect("an address");
            let found = super::client(peer, &headers, &trusted);
            assert_eq!(found.to_string(), client, "{forwarded:?}");
            assert_eq!(super::client(peer, &headers, &[]), peer.to_canonical());
        }
    }
}
