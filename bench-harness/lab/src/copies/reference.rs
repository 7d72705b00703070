//! Tests whether a message is passed by reference: whether the receiver sees a change to the payload after sending. Also tests
//! each call that is said not to copy.
//!
//! The tracer changes a byte while the message is on its way. If the receiver finds its message damaged, it got a reference. If
//! it finds the message intact, it got a value. The messages before and after are not changed and must be intact.
//!
//! There are two tests. The first changes the message where the sender produced it, in its buffer or in the slot that it was
//! lent. It tells how the whole message was passed. The second follows a call that is said to take a reference. It changes the
//! byte in the memory or the file that the call referred to, right after the call. It tells whether the call follows its rule,
//! which kernels can change. A call that is not confirmed counts as a copy.

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
    /// Whether a change after sending arrived.
    pub by_reference: bool,
    /// Whether sender and receiver had the message at the same position of the same shared object.
    pub same_place: bool,
}

/// Moves three messages and changes the second. `None` if the channel does not hold a message: then there is no moment between
/// sending and receiving.
///
/// # Errors [`Unmeasured`].
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

/// A kind of call whose rule rests on a reference, and the result of its test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The kind of call.
    pub of: LineOf,
    /// Payload bytes that the calls moved.
    pub bytes: u64,
    /// Whether a change right after such a call arrived. `None` if the channel does not hold a message: then there is no moment
    /// for a change.
    pub confirmed: Option<bool>,
}

/// Tests every kind of call in `counts` whose rule rests on a reference, each with a message of its own.
///
/// # Errors [`Unmeasured`].
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

/// Whether the next message arrives changed if the byte is changed right after the call of kind `of` that `role` makes for it.
/// `false` also if there is nothing to change. `None` if the channel did not hold the message.
fn is_reference(pair: &mut LockStep, role: usize, of: LineOf) -> Result<Option<bool>, Unmeasured> {
    let trace = watch::trace(pair.number(), pair.size());
    pair.tracer().change_behind(role, of, Some(trace));
    pair.send()?;
    let arrived = !pair.receive()?;
    let changed = pair.tracer().take_changed().is_some();
    pair.run(1)?;
    Ok(pair.fits().then_some(changed && arrived))
}
