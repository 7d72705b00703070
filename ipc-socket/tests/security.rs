//! What strangers and careless neighbours find closed, on every variant of this crate.

use ipc_core::conformance::{Suite, run};
use ipc_socket::{Tcp, Udp, UnixDgram, UnixSeqpacket, UnixStream};

fn main() {
    run([
        Suite::private::<UnixStream>().against_intruders::<UnixStream>(),
        Suite::private::<UnixDgram>().against_intruders::<UnixDgram>(),
        Suite::private::<UnixSeqpacket>().against_intruders::<UnixSeqpacket>(),
        Suite::private::<Tcp>().against_intruders::<Tcp>(),
        Suite::private::<Udp>().against_intruders::<Udp>(),
    ]);
}
