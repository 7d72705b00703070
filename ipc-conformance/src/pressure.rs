//! Opening a channel where descriptors run out.
//!
//! At whichever call that happens, the error is `EMFILE`, and nothing is left. What stays in the kernel is found at the
//! end of the trial ([`ipc_core::leftovers`]).

use crate::{
    Suite, Verdict,
    security::{SOON, descriptors, made_by, options, words},
    stage::Stage,
    surroundings::set_soft_limit,
};
use ipc_core::{Channel, Error, Name, Options, Rendezvous, Result, objects};
use nix::{errno::Errno, sys::resource::Resource};

impl Suite {
    /// Starts a suite with the clause `few_descriptors`.
    ///
    /// [`Channel::pair`] returns an error with `EMFILE` where there are too few descriptors, however few. It leaves nothing.
    ///
    /// Why: the error comes in the middle, when some objects are made and others are not.
    ///
    /// A failing channel panics, or leaves a descriptor or an object.
    pub fn pressure<C: Channel + 'static>() -> Self {
        let check = |_: &Stage| with_few(|limited| limited(&mut || C::pair(&options(SOON)).map(drop)));
        Self::new(C::SPEC.name).staged("few_descriptors", || C::pair(&options(SOON)).map(drop), check)
    }

    /// Adds the same clause for [`Rendezvous::bind`] and [`Rendezvous::connect`]. The peer has all descriptors that it needs. `C` is
    /// the suite's channel once more.
    #[must_use]
    pub fn pressure_by_name<C: Rendezvous + 'static>(self) -> Self {
        assert_eq!(self.name, C::SPEC.name, "the suite is for another channel");
        self.staged("few_descriptors_to_bind", || Ok(()), |stage| meet_with_few::<C>(stage, C::bind, C::connect))
            .staged("few_descriptors_to_connect", || Ok(()), |stage| meet_with_few::<C>(stage, C::connect, C::bind))
    }
}

/// Runs something where there are few descriptors.
type Limited<'a> = dyn Fn(&mut dyn FnMut() -> Result<()>) -> Result<()> + 'a;

/// Makes the same attempt with room for one descriptor more each time, until it succeeds.
fn with_few(attempt: impl Fn(&Limited<'_>) -> Result<()>) -> Verdict {
    let (pid, before) = (std::process::id(), descriptors(std::process::id())?);
    // The three standard ones are open.
    for limit in 3..100 {
        let outcome = attempt(&|call| {
            let all = set_soft_limit(Resource::RLIMIT_NOFILE, limit)?;
            let outcome = call();
            set_soft_limit(Resource::RLIMIT_NOFILE, all)?;
            outcome
        });
        let (made, open) = (made_by(pid)?, descriptors(pid)?);
        if !made.is_empty() || open != before {
            return Err(format!(
                "at {limit} descriptors: {outcome:?}, but {made:?} and {open:?} (not {before:?}) are left"
            ));
        }
        match outcome {
            Ok(()) if limit > 3 => return Ok(()),
            Err(error) if error.errno() == Some(Errno::EMFILE) => {}
            other => return Err(format!("at {limit} descriptors: {other:?}")),
        }
    }
    Err("no number of descriptors was enough".into())
}

fn meet_with_few<C: Rendezvous>(
    stage: &Stage,
    here: fn(&Name, &Options) -> Result<C::Endpoint>,
    there: fn(&Name, &Options) -> Result<C::Endpoint>,
) -> Verdict {
    with_few(|limited| {
        let name = Name::unique();
        // How it fares does not matter: its end goes when this one fails.
        let mut peer = stage
            .fork("peer", || {
                let _end = there(&name, &options(SOON)).map_err(words);
                std::thread::sleep(SOON);
                Ok(())
            })
            .map_err(|why| Error::Unsupported { what: "fork", why })?;
        let outcome = limited(&mut || here(&name, &options(SOON)).map(drop));
        peer.kill()?;
        objects::sweep(false)?;
        outcome
    })
}
