//! FIFOs (fifo(7)) behind the [`Channel`](ipc_core::Channel) trait.

mod fifo;

pub use fifo::Fifo;
