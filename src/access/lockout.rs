//! Locks out addresses that send wrong keys.
//!
//! An address that has sent [`TRIES`] wrong keys within [`WITHIN`] is not listened to for [`LOCKED_FOR`], be its next
//! key right or wrong. Of IPv6, a whole /64 counts as one address: whoever has one of it has all of it. What is
//! remembered is bounded: where too many addresses fail at once, the longest ago forgotten is forgotten first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use causeway_core::time::Mono;

/// Wrong keys after which an address is locked out.
const TRIES: u32 = 10;
/// The time in which they are counted.
const WITHIN: Duration = Duration::from_secs(60);
/// How long an address is locked out.
const LOCKED_FOR: Duration = Duration::from_secs(60);
/// The most addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

/// Which addresses have sent wrong keys.
#[derive(Debug, Default)]
pub struct Lockout(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// When the count is forgotten.
    until: Mono,
}

impl Lockout {
    /// How long the address is not listened to.
    pub fn locked_for(&self, now: Mono, address: IpAddr) -> Option<Duration> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failures.get(&network(address))?;
        let left = known.until.since(now);
        (known.count >= TRIES && !left.is_zero()).then_some(left)
    }

    /// The address has sent a wrong key.
    pub fn failed(&self, now: Mono, address: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&address) {
            failures.retain(|_, known| known.until > now);
            let oldest = failures.iter().min_by_key(|(_, known)| known.until).map(|(address, _)| *address);
            if failures.len() >= MAX_ADDRESSES
                && let Some(oldest) = oldest
            {
                failures.remove(&oldest);
            }
        }
        let known = failures.entry(address).or_insert(Failures { count: 0, until: now });
        if known.until <= now {
            *known = Failures { count: 0, until: now + WITHIN };
        }
        known.count += 1;
        if known.count == TRIES {
            known.until = now + LOCKED_FOR;
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_origin(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_wrong_keys_in_a_minute_lock_an_address_out_for_one() {
        let (lockout, attacker) = (Lockout::default(), address("192.0.2.1"));
        (0..9).for_each(|second| lockout.failed(at(second), attacker));
        assert_eq!(lockout.locked_for(at(9), attacker), None);
        lockout.failed(at(9), attacker);
        assert_eq!(lockout.locked_for(at(10), attacker), Some(Duration::from_secs(59)));
        assert_eq!(lockout.locked_for(at(10), address("192.0.2.2")), None);
        assert_eq!(lockout.locked_for(at(69), attacker), None);
        lockout.failed(at(70), attacker);
        assert_eq!(lockout.locked_for(at(70), attacker), None, "it starts anew");
    }

    #[test]
    fn slips_over_a_long_time_lock_nobody_out() {
        let (lockout, person) = (Lockout::default(), address("192.0.2.1"));
        for slip in 0..100 {
            lockout.failed(at(slip * 10), person);
            assert_eq!(lockout.locked_for(at(slip * 10), person), None, "{slip}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_that_of_ipv4() {
        let lockout = Lockout::default();
        for n in 0..u64::from(TRIES) {
            lockout.failed(at(n), address(&format!("2001:db8::{n}")));
            lockout.failed(at(n), address(if n % 2 == 0 { "10.0.0.1" } else { "::ffff:10.0.0.1" }));
        }
        assert!(lockout.locked_for(at(10), address("2001:db8::ffff")).is_some());
        assert!(lockout.locked_for(at(10), address("2001:db8:0:1::1")).is_none());
        assert!(lockout.locked_for(at(10), address("10.0.0.1")).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let lockout = Lockout::default();
        for n in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            lockout.failed(at(1), IpAddr::V4((0x0a00_0000 + n).into()));
        }
        assert_eq!(lockout.0.lock().unwrap().len(), MAX_ADDRESSES);
    }
}
