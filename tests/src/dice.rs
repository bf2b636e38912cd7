//! A deterministic source of choices.

/// Dice that fall the same way in every run; what they are made of is their first state, and must not be 0.
#[derive(Clone, Debug)]
pub struct Dice(pub u32);

impl Dice {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % bound
    }
}
