//! Every clause of the contract.

fn main() {
    ipc_conformance::run::<length_prefixed_pipe::LengthPrefixedPipe>()
}
