//! Whether a message is passed by reference: whether the receiver sees what is written into the payload after it has been sent.
//!
//! The tracer changes a byte where the sender has produced the message, in its buffer or in the slot that it was lent, while the
//! message lies in the channel. A receiver that finds its message damaged has got a reference; one that finds it intact has
//! got a value. The messages before and after it, which nobody touches, must be intact.

use super::{
    Unmeasured,
    lockstep::{LockStep, RECEIVER, SENDER},
    memory, watch,
};
use ipc_core::Error;
use nix::sys::ptrace;

/// How a message was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    /// Whether a change after it had been sent arrived.
    pub by_reference: bool,
    /// Whether sender and receiver had the message at the same place of the same shared object.
    pub same_place: bool,
}

/// Moves three messages and changes the second; `None` where the channel does not hold a message, so that there is no moment
/// between sending and receiving it.
///
/// # Errors
/// [`Unmeasured`].
pub fn find(pair: &mut LockStep) -> Result<Option<Passing>, Unmeasured> {
    pair.run(1)?;
    if !pair.fits() {
        return Ok(None);
    }
    pair.send()?;
    if !pair.fits() {
        pair.receive_intact()?;
        return Ok(None);
    }
    let sender = (pair.tracer().pid(SENDER), pair.place(SENDER));
    let byte = (sender.1 + watch::offset(pair.size()) as u64) as ptrace::AddressType;
    let change = ptrace::read(sender.0, byte).and_then(|word| ptrace::write(sender.0, byte, word ^ 0xff));
    change.map_err(|errno| Unmeasured::Channel(Error::os("ptrace", errno)))?;
    let by_reference = !pair.receive()?;
    let receiver = (pair.tracer().pid(RECEIVER), pair.place(RECEIVER));
    let same_place = memory::is_same_place([sender, receiver]).map_err(Unmeasured::Channel)?;
    pair.run(1)?;
    Ok(Some(Passing { by_reference, same_place }))
}
