//! What stands for the library of C where no compiler made it: links that cannot be opened.

use ipc_core::{Error, Result};
use std::os::fd::BorrowedFd;

/// One end of a link. There is none.
pub enum Packets {}

impl Packets {
    /// Says why there is no link.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn open() -> Result<(Self, Self)> {
        Err(Error::Unsupported { what: "c-packets", why: env!("C_PACKETS_LEFT_OUT").to_owned() })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    pub fn max(&self) -> usize {
        match *self {}
    }

    pub fn send(&self, _: &[u8]) -> nix::Result<()> {
        match *self {}
    }

    pub fn recv(&self, _: &mut [u8]) -> nix::Result<usize> {
        match *self {}
    }
}
