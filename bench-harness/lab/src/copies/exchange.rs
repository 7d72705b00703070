//! Moves the same messages without a tracer, so that other tools can count. One process holds both ends and sends and receives
//! in turn, so nothing waits.

use super::Unmeasured;
use crate::workload::driver::{self, Driver};
use ipc_core::{Channel, Endpoint, Error, Framing, Options, transfer::check_len};

/// Moves `messages` messages of `size` bytes over a fresh channel. Hangs if the channel does not hold a message.
///
/// # Errors [`Unmeasured`].
pub fn exchange<C: Channel, K: Driver<Endpoint = C::Endpoint>>(size: usize, messages: u64) -> Result<(), Unmeasured> {
    let options = Options { max_message: Some(driver::longest(size)), ..Options::default() };
    let (here, there) = C::pair(&options).map_err(Unmeasured::Channel)?;
    check_len(size, here.max_message()).map_err(Unmeasured::Channel)?;
    let boundaries = C::SPEC.framing == Framing::Message;
    let (mut sender, mut receiver) = (K::new(here, size, boundaries), K::new(there, size, boundaries));
    for number in 0..messages {
        sender.send(number).map_err(|error| Unmeasured::Failed("sender", error.to_string()))?;
        receiver.recv(number).map_err(|error| match error {
            Error::Corrupt { .. } => Unmeasured::WrongPayload(error),
            _ => Unmeasured::Failed("receiver", error.to_string()),
        })?;
    }
    Ok(())
}
