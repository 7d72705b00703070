//! Every clause of the contract.

fn main() {
    ipc_conformance::run::<c_packets::CPackets>()
}
