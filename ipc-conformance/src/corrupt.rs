//! What a channel does after it was found corrupt.

use crate::{Verdict, stage::Stage};
use ipc_core::{Buffer, Channel, Endpoint, Error, Options, Result};
use std::time::Duration;

/// More messages than a channel of the smallest capacity takes.
const MANY: usize = 100_000;

/// Once a call has returned `Corrupt`, every later one does, although the memory is sound again.
///
/// The names that the tests print are `corrupt_for_good`. The crate of the mechanism says how its memory is spoilt; see
/// [`Suite::corrupted_by`](crate::Suite::corrupted_by).
///
/// Why: an end that has lost its place in a ring cannot find it again.
///
/// A failing channel goes on, and delivers bytes that nobody sent.
pub fn for_good<C: Channel>(stage: &Stage, spoil: fn(&mut C::Endpoint), mend: fn(&mut C::Endpoint)) -> Verdict {
    let options = Options { capacity: Some(1), ..stage.options_within(Duration::from_millis(1)) };
    for found_by_recv in [true, false] {
        let (mut end, _peer) = stage.pair::<C>(&options)?;
        let mut buffer = vec![0; end.max_message().min(1 << 20)];
        spoil(&mut end);
        let found = if found_by_recv {
            end.recv(&mut buffer).map(drop)
        } else {
            (0..MANY).try_for_each(|_| end.send(&[1; 64]))
        };
        is_corrupt(if found_by_recv { "the first recv" } else { "sends into a spoilt channel" }, found)?;
        mend(&mut end);
        for _ in 0..2 {
            is_corrupt("recv", end.recv(&mut buffer).map(drop))?;
            is_corrupt("send", end.send(&[1; 64]))?;
            is_corrupt("send of nothing", end.send(&[]))?;
            is_corrupt("send_buffer", end.send_buffer(&mut Buffer::new(64)))?;
            is_corrupt("recv_buffer", end.recv_buffer(&mut Buffer::new(buffer.len())).map(drop))?;
            end.set_timeout(Some(Duration::from_millis(2))).map_err(|error| format!("set_timeout: {error}"))?;
        }
    }
    Ok(())
}

fn is_corrupt(what: &str, result: Result<()>) -> Verdict {
    match result {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => Err(format!("{what}: {other:?}, not Corrupt")),
    }
}
