//! Random numbers for the length of pauses.

/// Throws numbers.
pub trait Dice: Send + Sync + 'static {
    /// A number, each as likely as any other.
    fn throw(&self) -> u32;
}

/// The dice of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDice;

impl Dice for SystemDice {
    /// A constant if the system has none: that only loses the jitter.
    fn throw(&self) -> u32 {
        getrandom::u32().unwrap_or(u32::MAX / 2)
    }
}
