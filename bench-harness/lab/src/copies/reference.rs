//! Whether a message is passed by reference: whether the receiver sees what is written into the payload after it has been sent;
//! and whether each call does so that is said not to copy.
//!
//! The tracer changes a byte while the message is on its way. A receiver that finds its message damaged has got a reference; one
//! that finds it intact has got a value. The messages before and after it, which nobody touches, must be intact.
//!
//! It does so twice. Where the sender has produced the message, in its buffer or in the slot that it was lent, the change tells
//! how the whole message was passed. Right behind a call that is said to take a reference, in the memory or the file that it took
//! it to, the change tells whether the call is as the rule has it: kernels can change that. A call that is not confirmed
//! counts as a copy.

use super::{
    Unmeasured,
    counts::{Counts, LineOf},
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

/// A kind of call whose rule rests on a reference, and what was found of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The calls.
    pub of: LineOf,
    /// Payload bytes that they moved.
    pub bytes: u64,
    /// Whether a change behind such a call arrived; `None` where the channel does not hold a message, so that there is no moment
    /// for one.
    pub confirmed: Option<bool>,
}

/// Tries every kind of call in `counts` whose rule rests on a reference, each with a message of its own.
///
/// # Errors
/// [`Unmeasured`].
pub fn try_claims(pair: &mut LockStep, counts: &[Counts; 2]) -> Result<Vec<Claim>, Unmeasured> {
    let mut claims = Vec::new();
    for role in [SENDER, RECEIVER] {
        for (of, bytes) in counts[role].claims() {
            let confirmed = if pair.fits() { is_reference(pair, role, of)? } else { None };
            claims.push(Claim { of, bytes, confirmed });
        }
    }
    Ok(claims)
}

/// Whether the next message arrives changed if the byte is changed right behind the call of the kind `of` that `role` makes for
/// it: not so, too, where there is nothing to change. `None` where the channel did not hold the message.
fn is_reference(pair: &mut LockStep, role: usize, of: LineOf) -> Result<Option<bool>, Unmeasured> {
    let trace = watch::trace(pair.number(), pair.size());
    pair.tracer().change_behind(role, of, Some(trace));
    pair.send()?;
    let arrived = !pair.receive()?;
    let changed = pair.tracer().take_changed().is_some();
    pair.run(1)?;
    Ok(pair.fits().then_some(changed && arrived))
}
