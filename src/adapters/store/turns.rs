//! Whose turn it is: of runs that are due, which are executed first.

/// The priorities, by rank.
const RANKS: [i64; 3] = [0, 1, 2];
/// Each so many turns the lowest rank goes first, so that it never starves.
const LOWEST_FIRST: usize = 8;

/// The ranks, in the order in which they are served at this turn.
pub(super) fn ranks(turn: usize) -> [i64; 3] {
    let mut ranks = RANKS;
    if turn % LOWEST_FIRST == LOWEST_FIRST - 1 {
        ranks.reverse();
    }
    ranks
}

/// One of each lane, then the next of each; which lane goes first changes with each turn.
pub(super) fn one_of_each<T>(mut lanes: Vec<Vec<T>>, turn: usize) -> Vec<T> {
    // Whose runs all wait for their time has no turn to lose.
    lanes.retain(|lane| !lane.is_empty());
    let first = turn.checked_rem(lanes.len()).unwrap_or(0);
    lanes.rotate_left(first);
    let mut lanes: Vec<_> = lanes.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lanes.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns_however_long_they_are() {
        let lanes = || vec![vec!["a1", "a2", "a3"], vec!["b1"], vec!["c1", "c2"]];
        assert_eq!(one_of_each(lanes(), 0), ["a1", "b1", "c1", "a2", "c2", "a3"]);
        assert_eq!(one_of_each(lanes(), 2), ["c1", "a1", "b1", "c2", "a2", "a3"]);
        assert_eq!(
            one_of_each(vec![vec![], vec!["b1"], vec!["c1"]], 1),
            ["c1", "b1"],
            "who waits has no turn"
        );
        assert!(one_of_each(Vec::<Vec<u8>>::new(), 3).is_empty());
    }

    #[test]
    fn the_lowest_priority_goes_first_now_and_then() {
        let first: Vec<i64> = (0..8).map(|turn| ranks(turn)[0]).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 0, 0, 2]);
    }
}
