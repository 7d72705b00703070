//! Where descriptors run out. What buffers over `net.core.wmem_max` give is in `datagram.rs`.

use ipc_core::conformance::{Suite, run};
use ipc_socket::{Tcp, TcpZerocopy, Udp, UnixDgram, UnixSeqpacket, UnixStream};

fn main() {
    run([
        Suite::pressed::<UnixStream>().pressed_by_name::<UnixStream>(),
        Suite::pressed::<UnixDgram>().pressed_by_name::<UnixDgram>(),
        Suite::pressed::<UnixSeqpacket>().pressed_by_name::<UnixSeqpacket>(),
        Suite::pressed::<Tcp>().pressed_by_name::<Tcp>(),
        Suite::pressed::<TcpZerocopy>().pressed_by_name::<TcpZerocopy>(),
        Suite::pressed::<Udp>().pressed_by_name::<Udp>(),
    ]);
}
