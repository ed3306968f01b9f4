//! A line for one budget, and the one order in which calls stand in every line.

use std::collections::BTreeMap;

use crate::limits::LimitKey;
use crate::priority::Priority;

/// What a line stands for: one budget of one limit.
pub type Gate = (usize, LimitKey);

/// How far in front a call stands: before all others, or by its priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Due,
    High,
    Normal,
    Low,
}

impl From<Priority> for Rank {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::High,
            Priority::Normal => Self::Normal,
            Priority::Low => Self::Low,
        }
    }
}

/// A call's place in the one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) rank: Rank,
    pub(super) number: u64,
}

impl Turn {
    pub(super) const fn first_of(rank: Rank) -> Self {
        Self { rank, number: 0 }
    }
}

/// The calls that need one budget, and could not have it.
#[derive(Debug)]
pub(super) struct Line<K> {
    pub(super) members: BTreeMap<Turn, (K, u32)>,
    /// What the members need of it, by rank.
    tokens: [u64; 4],
}

impl<K: Copy> Line<K> {
    pub(super) const fn new() -> Self {
        Self { members: BTreeMap::new(), tokens: [0; 4] }
    }

    /// What those need who stand no further back than `rank`.
    pub(super) fn tokens_to(&self, rank: Rank) -> u64 {
        self.tokens.iter().take(rank as usize + 1).sum()
    }

    /// The first of one rank.
    pub(super) fn first_of(&self, rank: Rank) -> Option<K> {
        let from = self.members.range(Turn::first_of(rank)..).next();
        from.filter(|(turn, _)| turn.rank == rank).map(|(_, (call, _))| *call)
    }

    pub(super) fn first(&self) -> Option<(Turn, K)> {
        self.members.first_key_value().map(|(turn, (call, _))| (*turn, *call))
    }

    pub(super) fn insert(&mut self, turn: Turn, call: K, cost: u32) {
        if self.members.insert(turn, (call, cost)).is_none() {
            self.tokens[turn.rank as usize] += u64::from(cost);
        }
    }

    pub(super) fn remove(&mut self, turn: Turn) {
        if let Some((_, cost)) = self.members.remove(&turn) {
            self.tokens[turn.rank as usize] -= u64::from(cost);
        }
    }
}
