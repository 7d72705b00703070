//! Pipes (pipe(7)) behind the [`Channel`](ipc_core::Channel) trait.

mod pipe;

pub use pipe::Pipe;
