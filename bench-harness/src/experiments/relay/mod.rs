//! Carries a file into another file over each way there is, and counts what that costs.
//!
//! This is the example by which textbooks compare mechanisms: a process reads a file and sends it, another receives and
//! writes it; pipes and queues are said to copy four times on the way, shared memory twice. [`carry_all`] carries one source
//! by every [`FileCopy`] in turn, over and over, compares every byte afterwards, and makes a
//! [`RelayRow`](bench_record::rows::RelayRow) of each.
//!
//! [`Files`] are the source and the destination, a [`Crew`] is the one or two processes of a relay.

use bench_record::file_copy::FileCopy;

mod crew;
mod files;
mod measure;
mod sys;
mod traced;
mod ways;

pub use crew::{Carried, Crew, Load};
pub use files::Files;
pub use measure::{Outcome, Plan, carry_all, carry_by, carry_once};
pub use traced::{Traced, Uncounted, trace_once};
