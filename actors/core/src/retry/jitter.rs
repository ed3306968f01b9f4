//! Randomness for waits, from a seed: the same seed gives the same waits, so a day of trouble can be replayed.

/// A small generator of even random numbers (SplitMix64, by Steele, Lea and Flood). Not for secrets.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A generator whose whole sequence follows from `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, even in 0 ≤ x < 1.
    pub fn next_unit(&mut self) -> f64 {
        // As many bits as a double holds; a power of two divides them exactly.
        const BITS: u32 = 53;
        (self.next() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first outputs of the authors' reference implementation for this seed.
        let mut jitter = Jitter::seeded(1_234_567);
        assert_eq!(jitter.next(), 6_457_827_717_110_365_317);
        assert_eq!(jitter.next(), 3_203_168_211_198_807_973);
        assert_eq!(jitter.next(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn units_are_even_between_zero_and_one() {
        let mut jitter = Jitter::seeded(7);
        let mut tenths = [0_u32; 10];
        for _ in 0..100_000 {
            let unit = jitter.next_unit();
            assert!((0.0..1.0).contains(&unit));
            tenths[(unit * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (9_500..10_500).contains(count)), "{tenths:?}");
    }
}
