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
/// What a state takes in the table: where each class leads, and then the rank of what occurs.
const ROW: usize = CLASSES + 1;
/// The rank of what is nothing.
const NOTHING: u16 = u16::MAX;

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
    /// A row for each state. A state is known by where its row begins.
    table: Vec<u16>,
    /// What occurs, by rank: the lowest wins.
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
        let mut names =
            Self { classes: classes(), table: Vec::new(), occurring: Vec::new(), ends: Vec::new(), begin: 0 };
        names.make();
        names.begin = names.grow(0, MARK);
        rules.iter().for_each(|(name, rule)| names.add(name, *rule));
        names.link();
        names
    }

    /// What the name is, and its role.
    pub(super) fn judge(&self, name: &[u8]) -> (Option<What>, Role) {
        let (mut state, mut rank) = (usize::from(self.begin), NOTHING);
        for &byte in name {
            state = usize::from(self.table[state + usize::from(self.classes[usize::from(byte)])]);
            rank = rank.min(self.table[state + CLASSES]);
        }
        let end = self.ends[state / ROW];
        let occurring = || if end.harmless { None } else { self.occurring.get(usize::from(rank)).copied() };
        let what = end.whole.or_else(occurring).or(end.what);
        (what, end.whole_role.or(end.role).unwrap_or_default())
    }

    fn add(&mut self, name: &str, rule: Rule) {
        let anchored = matches!(rule, Rule::Whole(_) | Rule::WholeRole(_) | Rule::Begins(_));
        let mut state = if anchored { self.begin } else { 0 };
        for byte in name.bytes() {
            state = self.grow(state, self.classes[usize::from(byte)]);
        }
        let end = &mut self.ends[usize::from(state) / ROW];
        match rule {
            Rule::Whole(what) => end.whole = Some(what),
            Rule::WholeRole(role) => end.whole_role = Some(role),
            Rule::Ends(what) => end.what = Some(what),
            Rule::EndsRole(role) => end.role = Some(role),
            Rule::Harmless => end.harmless = true,
            Rule::Within(what) | Rule::Begins(what) => {
                let rank = &mut self.table[usize::from(state) + CLASSES];
                *rank = (*rank).min(self.occurring.len() as u16);
                self.occurring.push(what);
            }
        }
    }

    /// A new state.
    fn make(&mut self) -> u16 {
        // There are some hundred: their rows are far from filling what a state can be.
        let made = self.table.len() as u16;
        self.table.resize(self.table.len() + CLASSES, 0);
        self.table.push(NOTHING);
        self.ends.push(End::default());
        made
    }

    /// The state after `class`, made if there is none.
    fn grow(&mut self, state: u16, class: u8) -> u16 {
        let place = usize::from(state) + usize::from(class);
        if self.table[place] == 0 {
            self.table[place] = self.make();
        }
        self.table[place]
    }

    /// Completes the table, breadth first: where a state does not go on, the longest end of it that does.
    fn link(&mut self) {
        let mut queue = VecDeque::from([(0, 0)]);
        while let Some((at, shorter)) = queue.pop_front() {
            let is_root = at == 0;
            if !is_root {
                self.table[at + CLASSES] = self.table[at + CLASSES].min(self.table[shorter + CLASSES]);
                let inherited = self.ends[shorter / ROW];
                let end = &mut self.ends[at / ROW];
                end.what = end.what.or(inherited.what);
                end.role = end.role.or(inherited.role);
                end.harmless |= inherited.harmless;
            }
            for class in usize::from(OTHER)..CLASSES {
                let fallback = if is_root { 0 } else { self.table[shorter + class] };
                match self.table[at + class] {
                    0 => self.table[at + class] = fallback,
                    next => queue.push_back((usize::from(next), usize::from(fallback))),
                }
            }
            self.table[at + usize::from(SKIPPED)] = at as u16;
        }
    }
}

#[cfg(test)]
impl Names {
    /// Whether every state could be told apart.
    pub(super) fn is_small(&self) -> bool {
        self.table.len() <= usize::from(u16::MAX)
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
