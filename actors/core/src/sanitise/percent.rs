//! Percent-encoding within text: a word is decoded, and what is found in it is found where it stands encoded.

/// How far before and behind a `%` a word is looked at, in bytes.
const MAX_REACH: usize = 512;

/// A decoded word, and where each of its bytes stands.
pub(super) struct Word {
    pub(super) text: Vec<u8>,
    places: Vec<usize>,
    end: usize,
}

impl Word {
    /// The word round the `%` at `at`.
    pub(super) fn around(text: &[u8], at: usize, floor: usize) -> Self {
        let start = at - text[floor..at].iter().rev().take(MAX_REACH).take_while(in_word).count();
        let end = at + text[at..].iter().take(MAX_REACH).take_while(in_word).count();
        let mut word = Self { text: Vec::with_capacity(end - start), places: Vec::new(), end };
        let mut place = start;
        while place < end {
            let (byte, length) = match text[place..end] {
                [b'%', high, low, ..] => match encoded(high, low) {
                    Some(byte) => (byte, 3),
                    None => (b'%', 1),
                },
                [byte, ..] => (byte, 1),
                [] => break,
            };
            word.text.push(byte);
            word.places.push(place);
            place += length;
        }
        word
    }

    /// Where the byte at `index` of the decoded word stands; where the word ends, if there is none.
    pub(super) fn place(&self, index: usize) -> usize {
        self.places.get(index).copied().unwrap_or(self.end)
    }

    pub(super) const fn end(&self) -> usize {
        self.end
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what iterators ask for")]
fn in_word(byte: &&u8) -> bool {
    **byte > b' ' && !matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | 0x7f)
}

/// The byte that `%` and these digits stand for.
pub(super) fn encoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_knows_where_its_bytes_stand() {
        let word = Word::around(b"to a%40b%zz.co ok", 4, 0);
        assert_eq!(word.text, b"a@b%zz.co");
        assert_eq!((word.place(1), word.place(2), word.place(9), word.end()), (4, 7, 14, 14));
    }
}
