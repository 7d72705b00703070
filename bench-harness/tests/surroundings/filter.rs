//! A seccomp filter that refuses one system call.

use ipc_core::{Error, Result};
use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::env::consts::ARCH;

/// What becomes of a call.
#[derive(Clone, Copy)]
pub enum Fate {
    Fails(Errno),
    Kills,
}

/// Refuses the call of this number, with this first argument where one is given, to this process and its children.
pub fn refuse(call: i64, argument: Option<u64>, fate: Fate) -> impl FnOnce() -> Result<()> + Send + 'static {
    move || {
        let unsupported = |why: String| Error::Unsupported { what: "a seccomp filter", why };
        let equals = |value| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
        let rules = argument.map(|value| equals(value).and_then(|condition| SeccompRule::new(vec![condition])));
        let rules = rules.into_iter().collect::<std::result::Result<Vec<_>, _>>();
        let action = match fate {
            Fate::Fails(errno) => SeccompAction::Errno(errno as u32),
            Fate::Kills => SeccompAction::KillProcess,
        };
        let filter = || -> std::result::Result<BpfProgram, seccompiler::BackendError> {
            SeccompFilter::new([(call, rules?)].into(), SeccompAction::Allow, action, ARCH.try_into()?)?.try_into()
        };
        apply_filter(&filter().map_err(|e| unsupported(e.to_string()))?).map_err(|e| unsupported(e.to_string()))
    }
}
