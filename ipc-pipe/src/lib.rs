//! Pipes (pipe(7)) behind the [`Channel`](ipc_core::Channel) trait.
//!
//! [`Pipe`] copies a message into the kernel and out again. [`Vmsplice`] and [`Splice`] let the pipe refer to the sender's pages,
//! which leaves one copy: private memory and the pages of a file. The three differ in how bytes get in; they come out by read(2).

mod lent_end;
mod pipe;
mod pool;
mod splice;
mod vmsplice;

pub use lent_end::LentEnd;
pub use pipe::Pipe;
pub use splice::Splice;
pub use vmsplice::Vmsplice;
