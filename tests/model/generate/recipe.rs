//! Random bytes, read as choices.

/// How many choices one recipe holds. Those beyond are the plainest.
pub const LENGTH: usize = 40;

pub type Bytes = [u8; LENGTH];

/// A recipe that is being read.
#[derive(Debug, Clone)]
pub struct Recipe<'r> {
    bytes: std::slice::Iter<'r, u8>,
}

impl<'r> Recipe<'r> {
    pub fn new(bytes: &'r [u8]) -> Self {
        Self {
            bytes: bytes.iter(),
        }
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// From 0 to `end`, without it.
    pub fn below(&mut self, end: usize) -> usize {
        if end > 256 {
            usize::from(self.short()) % end
        } else {
            usize::from(self.byte()) % end.max(1)
        }
    }

    /// Seldom, and never where the recipe says 0.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
