//! Where descriptors run out. What buffers over `net.core.wmem_max` give is in `datagram.rs`.

use ipc_conformance::{Suite, run_all};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};

fn main() {
    run_all([
        Suite::pressure::<UnixStream>().pressure_by_name::<UnixStream>(),
        Suite::pressure::<UnixDgram>().pressure_by_name::<UnixDgram>(),
        Suite::pressure::<UnixSeqpacket>().pressure_by_name::<UnixSeqpacket>(),
        Suite::pressure::<Tcp>().pressure_by_name::<Tcp>(),
        Suite::pressure::<TcpZerocopy>().pressure_by_name::<TcpZerocopy>(),
        Suite::pressure::<Udp>().pressure_by_name::<Udp>(),
    ]);
}
