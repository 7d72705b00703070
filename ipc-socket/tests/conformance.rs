//! Every clause of the contract on every variant of this crate.

use ipc_conformance::{Suite, run_all};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};

fn main() {
    run_all([
        Suite::of::<UnixStream>().rendezvous::<UnixStream>(),
        Suite::of::<UnixDgram>().rendezvous::<UnixDgram>(),
        Suite::of::<UnixSeqpacket>().rendezvous::<UnixSeqpacket>(),
        Suite::of::<Tcp>().rendezvous::<Tcp>(),
        Suite::of::<TcpZerocopy>().send_in_place::<TcpZerocopy>().rendezvous::<TcpZerocopy>(),
        Suite::of::<Udp>().rendezvous::<Udp>(),
    ]);
}
