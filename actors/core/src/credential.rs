//! The credential of an integration while it changes.
//!
//! A [`Rotation`] holds the secret that new calls use and, for a while after a change, the one before it. A call that
//! is refused with 401 asks for something else than what it used: the current one if that has changed meanwhile,
//! then, within [`PREVIOUS_FOR`] of a change, the previous one: providers take a moment to accept a new secret, and
//! operators to install it there. Whether the source is worth reading again is decided here too: a flood of 401 must
//! not become a flood of reads.

use std::time::Duration;

use crate::time::Mono;

/// How long after a change the previous secret may still be tried.
pub const PREVIOUS_FOR: Duration = Duration::from_secs(10 * 60);
/// How often, at most, a source is read because of refusals.
pub const READ_EVERY: Duration = Duration::from_secs(1);

/// A secret, and the one before it.
#[derive(Clone, Debug)]
pub struct Rotation<T> {
    current: T,
    previous: Option<(T, Mono)>,
    read_at: Option<Mono>,
}

impl<T: Clone + PartialEq> Rotation<T> {
    /// Begins with this one.
    pub const fn new(current: T) -> Self {
        Self { current, previous: None, read_at: None }
    }

    /// The one that new calls use.
    pub const fn current(&self) -> &T {
        &self.current
    }

    /// Whether the source is to be read because `used` was refused; counts as a reading if so. Not if there is a
    /// newer one already, or it was read a moment ago.
    pub fn reads(&mut self, used: &T, now: Mono) -> bool {
        let worth_it = *used == self.current && self.read_at.is_none_or(|at| now.since(at) >= READ_EVERY);
        if worth_it {
            self.read_at = Some(now);
        }
        worth_it
    }

    /// Takes what the source gives now; whether it is another one.
    pub fn read(&mut self, found: T, now: Mono) -> bool {
        let changed = found != self.current;
        if changed {
            self.previous = Some((std::mem::replace(&mut self.current, found), now));
        }
        changed
    }

    /// What to try, once, instead of what was refused.
    pub fn instead_of(&self, used: &T, now: Mono) -> Option<&T> {
        if *used != self.current {
            return Some(&self.current);
        }
        let (previous, changed) = self.previous.as_ref()?;
        (now.since(*changed) < PREVIOUS_FOR && previous != used).then_some(previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Mono {
        Mono::from_origin(Duration::from_secs(secs))
    }

    #[test]
    fn a_changed_secret_is_tried_and_becomes_the_current_one() {
        let mut rotation = Rotation::new("old");
        assert_eq!(rotation.instead_of(&"old", at(0)), None, "nothing has changed");
        assert!(rotation.read("new", at(1)));
        assert_eq!(rotation.instead_of(&"old", at(1)), Some(&"new"));
        assert_eq!(rotation.current(), &"new");
        assert!(!rotation.read("new", at(2)));
    }

    #[test]
    fn the_previous_one_is_tried_while_a_rotation_is_young() {
        let mut rotation = Rotation::new("old");
        rotation.read("new", at(10));
        assert_eq!(rotation.instead_of(&"new", at(11)), Some(&"old"));
        let over = at(10) + PREVIOUS_FOR;
        assert_eq!(rotation.instead_of(&"new", over), None);
        assert_eq!(rotation.instead_of(&"old", over), Some(&"new"), "the current one always");
        rotation.read("old", at(20));
        assert_eq!(rotation.instead_of(&"old", at(21)), Some(&"new"), "rolled back");
    }

    #[test]
    fn a_flood_of_refusals_reads_once_a_second() {
        let mut rotation = Rotation::new("old");
        let millis = |millis| Mono::from_origin(Duration::from_millis(millis));
        let reads = (0..10_000).filter(|now| rotation.reads(&"old", millis(*now))).count();
        assert_eq!(reads, 10);
        rotation.read("new", millis(20_000));
        assert!(!rotation.reads(&"old", millis(30_000)), "a newer one is known");
        assert!(rotation.reads(&"new", millis(30_000)));
    }
}
