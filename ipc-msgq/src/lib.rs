//! System V and POSIX message queues (sysvipc(7), mq_overview(7)) behind the [`Channel`](ipc_core::Channel) trait.

mod posix_mq;
mod sys;
mod sysv_msgq;

pub use posix_mq::{PosixMq, PosixMqEnd};
pub use sysv_msgq::{SysvMsgq, SysvMsgqEnd};
