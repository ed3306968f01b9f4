//! One automaton for all names, so that judging a name is one step per byte, however many names there are.
//!
//! It is that of Aho and Corasick, over the letters and digits that names are compared by; all else is stepped over.
//! A name begins with a mark, so that *whole* and *begins* are found like any other occurrence. What is found on the
//! way is collected as bits; the last state tells what the name is as a whole and how it ends.

use std::collections::VecDeque;

use super::fields::Role;
use super::mask::What;

/// What is stepped over: all ASCII that is no letter or digit.
const SKIPPED: u8 = 0;
/// What is in no name.
const OTHER: u8 = 1;
/// The mark before the first letter.
const MARK: u8 = 2;
/// Letters and digits come after these.
const FIRST: u8 = 3;
const CLASSES: usize = FIRST as usize + 36;

/// Where in a name it counts, and what it says there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// The whole name makes the value sensitive.
    Whole(What),
    /// The whole name says something together with others.
    WholeRole(Role),
    /// It counts wherever it occurs; the rule that stands first wins.
    Within(What),
    Begins(What),
    Ends(What),
    EndsRole(Role),
    /// A name that ends so tells about a secret without being one, unless it is sensitive as a whole.
    Harmless,
}

#[derive(Debug)]
pub(super) struct Names {
    classes: [u8; 256],
    next: Vec<[u16; CLASSES]>,
    /// What occurs where a state is reached, as bits of `occurring`.
    occurs: Vec<u64>,
    occurring: Vec<What>,
    ends: Vec<End>,
    begin: u16,
}

/// What a name says that ends in a state.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    whole: Option<What>,
    whole_role: Option<Role>,
    what: Option<What>,
    role: Option<Role>,
    harmless: bool,
}

impl Names {
    /// Names are lower-case letters and digits.
    pub(super) fn new(rules: &[(&str, Rule)]) -> Self {
        let mut names = Self {
            classes: classes(),
            next: vec![[0; CLASSES]],
            occurs: vec![0],
            occurring: Vec::new(),
            ends: vec![End::default()],
            begin: 0,
        };
        names.begin = names.grow(0, MARK);
        rules.iter().for_each(|(name, rule)| names.add(name, *rule));
        names.link();
        names
    }

    /// What the name is, and its role.
    pub(super) fn judge(&self, name: &[u8]) -> (Option<What>, Role) {
        let (mut state, mut occurred) = (usize::from(self.begin), 0);
        for &byte in name {
            state = usize::from(self.next[state][usize::from(self.classes[usize::from(byte)])]);
            occurred |= self.occurs[state];
        }
        let end = self.ends[state];
        let occurring = || {
            let found = !end.harmless && occurred != 0;
            found.then(|| self.occurring.get(occurred.trailing_zeros() as usize).copied()).flatten()
        };
        let what = end.whole.or_else(occurring).or(end.what);
        (what, end.whole_role.or(end.role).unwrap_or_default())
    }

    fn add(&mut self, name: &str, rule: Rule) {
        let anchored = matches!(rule, Rule::Whole(_) | Rule::WholeRole(_) | Rule::Begins(_));
        let mut state = if anchored { self.begin } else { 0 };
        for byte in name.bytes() {
            state = self.grow(state, self.classes[usize::from(byte)]);
        }
        let end = &mut self.ends[usize::from(state)];
        match rule {
            Rule::Whole(what) => end.whole = Some(what),
            Rule::WholeRole(role) => end.whole_role = Some(role),
            Rule::Ends(what) => end.what = Some(what),
            Rule::EndsRole(role) => end.role = Some(role),
            Rule::Harmless => end.harmless = true,
            Rule::Within(what) | Rule::Begins(what) => {
                self.occurs[usize::from(state)] |= 1 << self.occurring.len();
                self.occurring.push(what);
            }
        }
    }

    /// The state after `class`, made if there is none.
    fn grow(&mut self, state: u16, class: u8) -> u16 {
        let next = self.next[usize::from(state)][usize::from(class)];
        if next != 0 {
            return next;
        }
        let made = self.next.len() as u16;
        self.next.push([0; CLASSES]);
        self.occurs.push(0);
        self.ends.push(End::default());
        self.next[usize::from(state)][usize::from(class)] = made;
        made
    }

    /// Completes the table, breadth first: where a state does not go on, the longest end of it that does.
    fn link(&mut self) {
        let mut queue = VecDeque::from([(0_u16, 0_u16)]);
        while let Some((state, shorter)) = queue.pop_front() {
            let (at, from) = (usize::from(state), usize::from(shorter));
            if at != from {
                self.occurs[at] |= self.occurs[from];
                let (end, inherited) = (self.ends[at], self.ends[from]);
                self.ends[at].what = end.what.or(inherited.what);
                self.ends[at].role = end.role.or(inherited.role);
                self.ends[at].harmless |= inherited.harmless;
            }
            for class in usize::from(OTHER)..CLASSES {
                let (next, fallback) = (self.next[at][class], self.next[from][class]);
                if next == 0 {
                    self.next[at][class] = if at == from { 0 } else { fallback };
                } else {
                    queue.push_back((next, if at == from { 0 } else { fallback }));
                }
            }
            self.next[at][usize::from(SKIPPED)] = state;
        }
    }
}

/// A byte as it is compared: without case.
fn classes() -> [u8; 256] {
    let mut classes = [OTHER; 256];
    for byte in 0..128_u8 {
        classes[usize::from(byte)] = match byte.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => FIRST + letter - b'a',
            digit @ b'0'..=b'9' => FIRST + 26 + digit - b'0',
            _ => SKIPPED,
        };
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_count() {
        let names = Names::new(&[
            ("pin", Rule::Whole(What::Password)),
            ("secret", Rule::Within(What::Secret)),
            ("cret", Rule::Within(What::Token)),
            ("iban", Rule::Begins(What::Iban)),
            ("otp", Rule::Ends(What::Cvc)),
            ("card", Rule::EndsRole(Role::Card)),
            ("name", Rule::WholeRole(Role::Name)),
            ("type", Rule::Harmless),
        ]);
        for (name, what, role) in [
            ("", None, Role::None),
            ("P-i_n", Some(What::Password), Role::None),
            ("pins", None, Role::None),
            ("opin", None, Role::None),
            ("my_seCret_x", Some(What::Secret), Role::None),
            ("sesecret", Some(What::Secret), Role::None),
            ("concrete", Some(What::Token), Role::None),
            ("sec€ret", None, Role::None),
            ("secret_type", None, Role::None),
            ("ibans", Some(What::Iban), Role::None),
            ("minibank", None, Role::None),
            ("sms_otp", Some(What::Cvc), Role::None),
            ("otps", None, Role::None),
            ("giftCard", None, Role::Card),
            ("name", None, Role::Name),
            ("names", None, Role::None),
        ] {
            assert_eq!(names.judge(name.as_bytes()), (what, role), "{name}");
        }
    }
}
