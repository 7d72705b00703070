//! Remembering that a channel is corrupt.

use crate::{Error, Result};

/// What an end has found wrong with its channel, if anything. From then on every call returns that error.
///
/// A ring whose positions were impossible once may look sound again, and nobody knows what was lost in between.
#[derive(Debug, Default)]
pub struct Corruption(Option<&'static str>);

impl Corruption {
    /// Checks that the channel is sound.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with what was found first.
    #[inline]
    pub fn check(&self) -> Result<()> {
        self.0.map_or(Ok(()), |what| Err(Error::Corrupt { what }))
    }

    /// Remembers a `result` that is [`Error::Corrupt`], and passes it on.
    ///
    /// # Errors
    /// As `result`.
    #[inline]
    pub fn keep<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(Error::Corrupt { what }) = result {
            self.0 = Some(what);
        }
        result
    }
}
