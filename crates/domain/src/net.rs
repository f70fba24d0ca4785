//! Ranges of network addresses, which of them are not of the public Internet, and addresses as people may read them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address, or all addresses that begin with the same bits: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpRange {
    first: IpAddr,
    bits: u8,
}

/// A text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address or range: expected such as 10.1.2.3, 10.0.0.0/8 or fd00::/8")]
pub struct InvalidRange(String);

impl IpRange {
    /// Whether the address is one of the range. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => same_start(first.to_bits(), address.to_bits(), bits),
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                bits == 0 || (first.to_bits() ^ address.to_bits()) >> (128 - bits) == 0
            }
            _ => false,
        }
    }
}

fn same_start(a: u32, b: u32, bits: u32) -> bool {
    bits == 0 || (a ^ b) >> (32 - bits) == 0
}

impl FromStr for IpRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRange(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_| invalid())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse::<u8>).map_err(|_| invalid())?;
        if bits > most { Err(invalid()) } else { Ok(Self { first, bits }) }
    }
}

impl TryFrom<String> for IpRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IpRange> for String {
    fn from(range: IpRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Whether an address belongs to the public Internet: not to this machine, its networks, or the ranges that are kept
/// for other uses (IANA's special-purpose registries). IPv4 addresses inside IPv6 ones count as what they are inside.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    /// Beginning and number of bits.
    const SPECIAL: [([u8; 4], u32); 16] = [
        ([0, 0, 0, 0], 8),       // this network
        ([10, 0, 0, 0], 8),      // private
        ([100, 64, 0, 0], 10),   // carriers
        ([127, 0, 0, 0], 8),     // loopback
        ([169, 254, 0, 0], 16),  // link-local: metadata of clouds
        ([172, 16, 0, 0], 12),   // private
        ([192, 0, 0, 0], 24),    // protocols
        ([192, 0, 2, 0], 24),    // documentation
        ([192, 31, 196, 0], 24), // AS112
        ([192, 88, 99, 0], 24),  // relays of 6to4
        ([192, 168, 0, 0], 16),  // private
        ([198, 18, 0, 0], 15),   // benchmarks
        ([198, 51, 100, 0], 24), // documentation
        ([203, 0, 113, 0], 24),  // documentation
        ([224, 0, 0, 0], 4),     // multicast
        ([240, 0, 0, 0], 4),     // reserved, broadcast
    ];
    !SPECIAL.iter().any(|(first, bits)| same_start(u32::from_be_bytes(*first), address.to_bits(), *bits))
}

/// Only 2000::/3 is given out, and some of it is kept.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_given_out = a & 0xE000 == 0x2000;
    let is_protocol = a == 0x2001 && b < 0x0200;
    let is_documentation = (a == 0x2001 && b == 0x0DB8) || (a == 0x3FFF && b < 0x1000);
    is_given_out && !is_protocol && !is_documentation
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, translated (NAT64) or tunnelled (6to4).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |s: [u16; 8]| Ipv4Addr::from_bits((u32::from(s[6]) << 16) | u32::from(s[7]));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        s @ ([0, 0, 0, 0, 0, 0 | 0xFFFF, ..] | [0, 0, 0, 0, 0xFFFF, 0, ..] | [0x64, 0xFF9B, 0, 0, 0, 0, ..]) => {
            Some(last(s))
        }
        [0x2002, high, low, ..] => Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))),
        _ => None,
    }
}

/// An address as people may read it: without the user and password before its host, and without its query, which may hold
/// secrets, too.
pub fn shown_address(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or_default();
    if let Some(mut parsed) = url::Url::parse(address).ok().filter(url::Url::has_host) {
        if parsed.username().is_empty() && parsed.password().is_none() {
            return plain.to_owned();
        }
        if parsed.set_username("").is_ok() && parsed.set_password(None).is_ok() {
            parsed.set_query(None);
            parsed.set_fragment(None);
            let shown = String::from(parsed);
            // Without a path, an address is parsed as if it ended with a slash.
            return if plain.ends_with('/') { shown } else { shown.trim_end_matches('/').to_owned() };
        }
    }
    // What is no address may have a password all the same, or be none because of characters in it.
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        _ => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_begins_alike() {
        let check = |range: &str, address: &str, expected: bool| {
            let range: IpRange = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), expected, "{range} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.1.1", true);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "::2", false);
        check("::/0", "2001:db8::1", true);
        check("fd00::/8", "fdff::1", true);
        check("fd00::/8", "fe80::1", false);
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<IpRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        let check = |expected: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
            }
        };
        check(true, &["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]);
        check(true, &["64:ff9b::8.8.8.8", "2002:0808:0808::1", "2a00:1450::1"]);
        check(
            false,
            &["0.0.0.0", "10.0.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "172.16.0.1", "172.31.255.255"],
        );
        check(false, &["192.168.1.1", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1"]);
        check(false, &["::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "2001::1", "3fff::1"]);
        check(false, &["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1"]);
        check(false, &["64:ff9b:1::1", "2002:7f00:0001::1", "2002:c0a8:0101::", "::ffff:0:10.0.0.1"]);
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        let check = |address: &str, expected: &str| assert_eq!(shown_address(address), expected, "{address}");
        check("http://127.0.0.1:5000", "http://127.0.0.1:5000");
        check("https://mlflow.example.com/team@x/", "https://mlflow.example.com/team@x/");
        check("http://ana:s3cretPW@127.0.0.1:1", "http://127.0.0.1:1");
        check("https://s3cret@mlflow.example.com/team/", "https://mlflow.example.com/team/");
        check("http://:s3cret@h/a?key=s3cret#x", "http://h/a");
        check("http://h/a?key=s3cret", "http://h/a");
        check("postgresql://ana:s3cret@h/mlflow", "postgresql://h/mlflow");
        check("http://ana:s3/cr?e#t@h:1", "http://h:1");
        check("ana:s3cret@h:1", "h:1");
        check("./mlruns", "./mlruns");
        check("", "");
    }
}
