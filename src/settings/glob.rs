//! Patterns of names, in which `*` stands for any characters, none included.

/// Whether `name` is one that `pattern` stands for.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The earliest place of each part in between leaves the most for those behind it.
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("list_charges", "list_charges"),
            ("list_*", "list_charges"),
            ("list_*", "list_"),
            ("*", "anything"),
            ("*", ""),
            ("*_charge", "create_charge"),
            ("*a*b*", "xaxbx"),
            ("a*b*b", "abbb"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("list_charges", "list_charges_all"),
            ("list_*", "list"),
            ("*_charge", "charge"),
            ("a*b*b", "ab"),
            ("a*a", "a"),
            ("", "a"),
            ("l?st", "list"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
