//! Which addresses may be called for somebody who is not trusted.
//!
//! An address that came over the network may name a service that only this machine reaches: a database, the metadata of
//! a cloud, the next user's notebook. Such an address is called only where its host is public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::provider::ProviderError;

/// Whether an address is reachable by everybody: not loopback, private, link-local, shared, documentation, multicast or
/// reserved.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| embedded_v4(v6)) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let protocol = a == 192 && b == 0 && c == 0;
    let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation();
    !(special || shared || benchmark || protocol || a == 0 || a >= 224)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let first = v6.segments()[0];
    // Global unicast, without documentation (2001:db8::/32).
    (first & 0xe000) == 0x2000 && !(first == 0x2001 && v6.segments()[1] == 0x0db8)
}

/// The IPv4 address inside a translated (64:ff9b::/96) or 6to4 (2002::/16) one.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Looks the host of an address up and refuses it unless all its addresses are public.
///
/// # Errors
/// `Config` for a host that is not public, `Connect` for one that is not found.
pub async fn require_public(uri: &Uri) -> Result<(), ProviderError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let found = tokio::net::lookup_host((host, port)).await;
    let found =
        found.map_err(|error| ProviderError::Connect { endpoint: host.to_owned(), cause: error.to_string() })?;
    for address in found {
        if !is_public(address.ip()) {
            return Err(ProviderError::Config(format!(
                "`{host}` is not a public address: it is called only where the configuration of this process names it"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_reaches() {
        let check = |address: &str, expected: bool| {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        };
        for public in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"] {
            check(public, true);
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            check(private, false);
        }
    }

    #[tokio::test]
    async fn private_hosts_are_refused() {
        for address in
            ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]:9/x", "https://169.254.169.254/latest"]
        {
            let refused = require_public(&address.parse().unwrap()).await;
            assert!(matches!(refused, Err(ProviderError::Config(_))), "{address}: {refused:?}");
        }
        require_public(&"http://8.8.8.8/".parse().unwrap()).await.unwrap();
    }
}
