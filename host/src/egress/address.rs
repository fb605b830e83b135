//! Which addresses are on the public internet.
//!
//! What is not is this machine, its network, or a way of writing such an address in another form. The ranges are those
//! of the IANA special-purpose address registries (RFC 6890 and its updates) that are not globally reachable, and the
//! forms of IPv6 that carry an IPv4 address: a connection to one of those would end wherever the machine's routes take
//! it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses: its first address, the bits that are fixed, and what it is, for a sentence.
type Range<A> = (A, u32, &'static str);

const V4: [Range<Ipv4Addr>; 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this machine"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address of a carrier's own network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address of a special purpose"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "an address of a special purpose"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "an address of a special purpose"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "an address of a special purpose"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "an address of a special purpose"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    // Multicast, what is reserved, and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3, "a multicast or reserved address"),
];

/// The ranges within 2000::/3, which is all that is public of IPv6, that are not.
const V6: [Range<Ipv6Addr>; 6] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "an address of a special purpose"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "an IPv4 address in another form (6to4)"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "an address of a special purpose"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation"),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, "an address of a special purpose"),
];

/// What kind of address this is, if it is not a public one.
pub(crate) fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            within(address.to_bits(), V4.iter().map(|(first, bits, is)| (first.to_bits(), bits, is)))
        }
        IpAddr::V6(address) => {
            if address.is_loopback() || address.is_unspecified() {
                return Some("a loopback address");
            }
            let first = address.segments()[0];
            match first {
                0x2000..=0x3fff => within_v6(address),
                0xfc00..=0xfdff => Some("a private address"),
                0xfe80..=0xfebf => Some("a link-local address"),
                0xff00..=0xffff => Some("a multicast or reserved address"),
                // IPv4-mapped, IPv4-compatible and NAT64 addresses among them.
                _ if address.to_ipv4().is_some() => Some("an IPv4 address in another form"),
                0x64 => Some("an IPv4 address in another form (NAT64)"),
                _ => Some("an address of a special purpose"),
            }
        }
    }
}

fn within_v6(address: Ipv6Addr) -> Option<&'static str> {
    let mut ranges = V6.iter();
    let found = ranges.find(|(first, bits, _)| (address.to_bits() ^ first.to_bits()).leading_zeros() >= *bits);
    found.map(|(_, _, is)| *is)
}

fn within<'a>(
    address: u32,
    mut ranges: impl Iterator<Item = (u32, &'a u32, &'a &'static str)>,
) -> Option<&'static str> {
    ranges.find(|(first, bits, _)| (address ^ first).leading_zeros() >= **bits).map(|(_, _, is)| *is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_known_in_every_form() {
        for (address, is) in [
            ("0.0.0.0", "this machine"),
            ("10.1.2.3", "private"),
            ("100.64.0.1", "carrier"),
            ("100.127.255.255", "carrier"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.170", "special"),
            ("192.0.2.1", "documentation"),
            ("192.168.0.1", "private"),
            ("198.19.0.1", "benchmarks"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.9", "documentation"),
            ("224.0.0.251", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "reserved"),
            ("::", "loopback"),
            ("::1", "loopback"),
            ("::ffff:8.8.8.8", "another form"),
            ("::ffff:127.0.0.1", "another form"),
            ("::7f00:1", "another form"),
            ("64:ff9b::7f00:1", "NAT64"),
            ("64:ff9b:1::1", "NAT64"),
            ("100::1", "special"),
            ("2001::1", "special"),
            ("2001:2::1", "special"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::1", "6to4"),
            ("3fff::1", "documentation"),
            ("5f00::1", "special"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "special"),
            ("ff02::1", "multicast"),
        ] {
            let found = not_public(address.parse().unwrap());
            assert!(found.is_some_and(|found| found.contains(is)), "{address}: {found:?}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.3.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(not_public(address.parse().unwrap()), None, "{address}");
        }
    }
}
