//! Chance that repeats itself: numbers drawn from the scenario's seed and from what they are for.

use serde::{Deserialize, Serialize};

use crate::base::ids::Seeded;

/// A range of lengths or sizes, both ends included; written `[least, most]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// One value of the range.
    pub fn pick(self, chance: &mut Seeded) -> u64 {
        let Span(least, most) = self;
        least.saturating_add(chance.below(most.saturating_sub(least).saturating_add(1)))
    }
}

/// A source of numbers for one purpose: the same parts give the same numbers.
pub(super) fn chance(parts: &[u64]) -> Seeded {
    let mut state = 0x5eed_u64;
    for part in parts {
        state = Seeded::new(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64();
    }
    Seeded::new(state)
}

/// A number for a text (FNV-1a, 64 bits), the same in every run.
pub(super) fn number_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// True in `per_mille` of a thousand cases.
pub(super) fn happens(chance: &mut Seeded, per_mille: u32) -> bool {
    chance.below(1000) < u64::from(per_mille)
}

/// `digits` hexadecimal digits.
pub(super) fn hex(chance: &mut Seeded, digits: usize) -> String {
    let mut out = String::with_capacity(digits + 16);
    while out.len() < digits {
        out.push_str(&format!("{:016x}", chance.next_u64()));
    }
    out.truncate(digits);
    out
}
