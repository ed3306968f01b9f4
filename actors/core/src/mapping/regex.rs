//! How large a regular expression is.
//!
//! jaq's engine keeps a set of states and looks at all of them for each byte, so a search costs the product. How many
//! there are depends on the repetitions: `(a{100}){100}` is short, and ten thousand states.

/// The most states an expression may have.
pub(super) const MAX_STATES: usize = 2000;
/// What searches pay by, with the least first.
const TIERS: [(usize, &str); 4] = [(32, "32"), (128, "128"), (512, "512"), (MAX_STATES, "2000")];

/// The tier that `states` falls into, in digits.
pub(super) fn tier(states: usize) -> &'static str {
    TIERS.iter().find(|(most, _)| states <= *most).map_or("2000", |(_, digits)| digits)
}

/// About how many states an expression has: one for each character, times the repetitions around it.
pub(super) fn states(pattern: &str) -> usize {
    // Sums of the groups that are open, the innermost last, each with its last item.
    let mut groups = vec![(0_usize, 0_usize)];
    let mut characters = pattern.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        let item = match character {
            '\\' => {
                // `\p{Greek}` and the like are sets of many ranges.
                if matches!(characters.next(), Some('p' | 'P' | 'w' | 'W' | 'd' | 'D' | 's' | 'S')) {
                    8
                } else {
                    1
                }
            }
            '[' if !in_class => {
                in_class = true;
                2
            }
            ']' if in_class => {
                in_class = false;
                continue;
            }
            // Part of the class's one item.
            _ if in_class => {
                if let Some((sum, last)) = groups.last_mut() {
                    *sum = sum.saturating_add(1);
                    *last = last.saturating_add(1);
                }
                continue;
            }
            '(' => {
                groups.push((0, 0));
                continue;
            }
            ')' => groups.pop().map_or(0, |(sum, last)| sum.saturating_add(last)).max(1),
            '{' => {
                let times = repetitions(&mut characters);
                if let Some((_, last)) = groups.last_mut() {
                    *last = last.saturating_mul(times);
                }
                continue;
            }
            _ => 1,
        };
        if groups.is_empty() {
            groups.push((0, 0));
        }
        if let Some((sum, last)) = groups.last_mut() {
            *sum = sum.saturating_add(*last);
            *last = item;
        }
    }
    groups.into_iter().fold(0, |all, (sum, last)| all.saturating_add(sum).saturating_add(last))
}

/// The greatest number up to the closing brace.
fn repetitions(characters: &mut std::str::Chars<'_>) -> usize {
    let inside: String = characters.by_ref().take_while(|&character| character != '}').collect();
    inside.split(',').map(|number| number.trim().parse().unwrap_or(1)).max().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_multiply() {
        for (pattern, least, most) in [
            ("^ch_[0-9A-Za-z]+$", 5, 32),
            ("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", 100, 400),
            ("(a{100}){100}", 10_000, 11_000),
            ("((a{10}){10}){10}b{1,500}", 1_500, 1_700),
            ("a{,}b{x}\\{9999}", 2, 20),
            (")))((", 0, 8),
        ] {
            let states = states(pattern);
            assert!((least..=most).contains(&states), "{pattern}: {states}");
        }
        assert_eq!(tier(5), "32");
        assert_eq!(tier(MAX_STATES), "2000");
    }
}
