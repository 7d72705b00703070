//! Runs one forked pair: pin, prefault, barrier, measure, report, reap.
//!
//! Both roles run in children. This process only supervises them, with a deadline. Each child reports over a pipe of its own,
//! never over the channel under test. The channel's ends stay open here until both children are reaped. Dropping them then
//! removes what a killed child could not remove.

use crate::{
    oom,
    role::Role,
    sample::{Job, Sample},
    worker::{self, PairError, Post},
    workload::{
        self, Stage,
        driver::{self, Driver},
    },
};
use ipc_core::{Channel, Endpoint, Error, Framing, Options, Reliability, Spec, process::Schedule, shared::SharedPage};
use std::time::Duration;

/// The deadline of a pair: a hundred times what the slowest needs.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Forks a pair over `C`, measures `job` and reaps both children. Measures again if the pair was stopped meanwhile.
///
/// # Errors [`PairError`]. In any case both children are reaped and the kernel objects are gone.
pub fn run<C: Channel, K: Driver<Endpoint = C::Endpoint>>(job: &Job) -> Result<Sample, PairError> {
    let (outcome, stopped) = worker::unstopped(|| once::<C, K>(job));
    outcome.map(|sample| Sample { stopped, schedule: Schedule::current(), ..sample })
}

fn once<C: Channel, K: Driver<Endpoint = C::Endpoint>>(job: &Job) -> Result<Sample, PairError> {
    oom::check_room(C::SPEC.name, ring_bytes(&C::SPEC, job.size)).map_err(PairError::Channel)?;
    let options = Options { wait: job.wait, max_message: Some(driver::longest(job.size)), ..Options::default() };
    let ends = C::pair(&options).map_err(PairError::Channel)?;
    ipc_core::transfer::check_len(job.size, ends.0.max_message()).map_err(PairError::Channel)?;
    if C::SPEC.reliability == Reliability::Lossy && job.size < size_of::<u64>() {
        let why = format!("{} bytes do not hold a message's number, by which losses are told: use 8 or more", job.size);
        return Err(PairError::Channel(Error::Unsupported { what: "size", why }));
    }
    let page = SharedPage::new().map_err(PairError::Process)?;

    // The ends are closed after both children are reaped.
    let mut ends = Some(ends);
    let posts = Role::ALL.map(|role| Post::of(role.name(), job.cpus, role as usize));
    let samples = worker::crew(&posts, job.deadline, |member| {
        let (initiator, responder) = ends.take().expect("each child runs once");
        let role = Role::ALL[member];
        let end = match role {
            Role::Initiator => initiator,
            Role::Responder => responder,
        };
        converse::<C, K>(job, &page, role, end)
    });
    Ok(samples?.into_iter().reduce(Sample::with_responder).expect("two children report"))
}

/// The bytes of ring memory that a pair takes for messages of `size` bytes, in both directions.
fn ring_bytes(spec: &Spec, size: usize) -> u64 {
    2 * (spec.ring_messages * driver::longest(size)) as u64
}

/// A child's part, up to its sample.
fn converse<C: Channel, K: Driver<Endpoint = C::Endpoint>>(
    job: &Job,
    page: &SharedPage,
    role: Role,
    end: C::Endpoint,
) -> ipc_core::Result<Sample> {
    let mut driver = K::new(end, job.size, C::SPEC.framing == Framing::Message);
    let mut stage = Stage::new(page, role, C::SPEC, job.size);
    if let Some(part) = job.slow_by {
        stage.slow_down(part, job.takes_turns());
    }
    let played = workload::play(job.pattern, &mut stage, &mut driver, job.budget, job.probes());
    if played.is_err() {
        // Do not close the end here. The other process would fail as a consequence, perhaps before this one has reported the
        // cause. The supervisor's copies close what the end held.
        std::mem::forget(driver);
    }
    let mut sample = played?;
    let cpu = job.cpus.map(|cpus| cpus[role as usize]);
    sample.migrated = cpu.is_some() && nix::sched::sched_getcpu().ok() != cpu;
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_take_memory_and_other_channels_do_not() {
        let ring = Spec { ring_messages: 8, ..Spec::new("ring", "a ring") };
        assert!(ring_bytes(&ring, 1 << 20) >= 16 << 20);
        assert_eq!(ring_bytes(&Spec::new("pipe", "a pipe"), 1 << 20), 0);
    }
}
