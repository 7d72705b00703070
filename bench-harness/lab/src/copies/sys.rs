//! The few calls of the tracer that have no safe wrapper.

#![allow(unsafe_code)]

use nix::{
    errno::Errno,
    sys::{ptrace, signal::Signal},
    unistd::Pid,
};

/// Calls prctl(2) with an option that the kernel does not know. The kernel refuses the call, and a tracer sees it.
pub(super) fn unknown_prctl(option: i32, details: [u64; 4]) {
    let [a, b, c, d] = details;
    // SAFETY: the arguments are plain numbers, and the kernel has no use for an option that it does not know.
    unsafe { libc::syscall(libc::SYS_prctl, option, a, b, c, d) };
}

/// The position of a stopped thread relative to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Before a call: its number and arguments.
    Entry(i64, [u64; 6]),
    /// After a call: the value that it returned, or its errno.
    Exit(Result<u64, Errno>),
    /// In no call.
    Neither,
}

/// The position of the stopped thread `tid` (`PTRACE_GET_SYSCALL_INFO`, Linux 5.3).
///
/// # Errors Those of ptrace(2).
pub(super) fn at(tid: Pid) -> nix::Result<At> {
    let info = ptrace::syscall_info(tid)?;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that the kernel filled in this field.
            let entry = unsafe { info.u.entry };
            At::Entry(entry.nr.cast_signed(), entry.args)
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: `op` says that the kernel filled in this field.
            let exit = unsafe { info.u.exit };
            At::Exit(match exit.is_error {
                0 => Ok(exit.sval.cast_unsigned()),
                _ => Err(Errno::from_raw(i32::try_from(-exit.sval).unwrap_or(libc::EIO))),
            })
        }
        _ => At::Neither,
    })
}

/// The accesses to a watched byte that raise a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Writes.
    Writes,
    /// Reads and writes. The processor has no mode for reads alone.
    ReadsAndWrites,
}

pub(super) use registers::{is_watchpoint, take_hits, watch};

/// The replacement for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// The call of this number, with the same arguments.
    Call(i64),
    /// No call: the call returns this value.
    Result(i64),
}

/// Replaces the call before which the thread `tid` has stopped.
///
/// # Errors Those of ptrace(2). `ENOSYS` on another architecture.
#[cfg(target_arch = "x86_64")]
pub(super) fn replace_call(tid: Pid, instead: Instead) -> nix::Result<()> {
    use std::mem::offset_of;
    const NUMBER: usize = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, orig_rax);
    const RESULT: usize = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rax);
    match instead {
        Instead::Call(number) => ptrace::write_user(tid, NUMBER as ptrace::AddressType, number),
        Instead::Result(result) => {
            // Call number -1 does not exist, so the result register keeps its value.
            ptrace::write_user(tid, NUMBER as ptrace::AddressType, -1)?;
            ptrace::write_user(tid, RESULT as ptrace::AddressType, result)
        }
    }
}

/// Fails with `ENOSYS`: only x86-64 is supported.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn replace_call(_: Pid, _: Instead) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Sends `signal` to the thread `tid` of process `pid` alone (tgkill(2)).
///
/// # Errors `ESRCH` if the thread has ended.
pub(super) fn signal_thread(pid: Pid, tid: Pid, signal: Signal) -> nix::Result<()> {
    // SAFETY: tgkill takes three numbers.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid.as_raw(), tid.as_raw(), signal as i32) };
    Errno::result(sent).map(drop)
}

/// Accesses the debug registers of x86 (Intel SDM, volume 3, 19.2) through `PTRACE_POKEUSER`.
#[cfg(target_arch = "x86_64")]
mod registers {
    use super::{Pid, Watched, ptrace};
    use libc::c_long;
    use std::mem::offset_of;

    const STATUS: usize = 6;
    const CONTROL: usize = 7;

    fn register(index: usize) -> ptrace::AddressType {
        (offset_of!(libc::user, u_debugreg) + index * size_of::<u64>()) as ptrace::AddressType
    }

    /// Makes the stopped thread `tid` watch one byte at each of `addresses` that is not 0, and nothing else.
    ///
    /// # Errors Those of ptrace(2).
    pub fn watch(tid: Pid, addresses: &[u64; 4], access: Watched) -> nix::Result<()> {
        ptrace::write_user(tid, register(CONTROL), 0)?;
        ptrace::write_user(tid, register(STATUS), 0)?;
        let kind = match access {
            Watched::Writes => 0b01,
            Watched::ReadsAndWrites => 0b11,
        };
        let mut control = 0;
        for (index, &address) in addresses.iter().enumerate().filter(|(_, address)| **address != 0) {
            ptrace::write_user(tid, register(index), address as c_long)?;
            // The local enable bit. The access and a length of one byte (0b00) have four bits per register, from bit 16.
            control |= 1 << (2 * index) | kind << (16 + 4 * index);
        }
        if control == 0 { Ok(()) } else { ptrace::write_user(tid, register(CONTROL), control) }
    }

    /// The watched bytes that were accessed since the last look.
    pub fn take_hits(tid: Pid) -> [bool; 4] {
        let status = ptrace::read_user(tid, register(STATUS)).unwrap_or(0);
        if status & 0xf != 0 {
            let _ = ptrace::write_user(tid, register(STATUS), 0);
        }
        [0, 1, 2, 3].map(|index| status >> index & 1 == 1)
    }

    /// Whether the pending `SIGTRAP` of `tid` comes from a debug register.
    pub fn is_watchpoint(tid: Pid) -> bool {
        const TRAP_HWBKPT: i32 = 4;
        ptrace::getsiginfo(tid).is_ok_and(|info| info.si_code == TRAP_HWBKPT)
    }
}

/// On other architectures nothing can be watched.
#[cfg(not(target_arch = "x86_64"))]
mod registers {
    use super::{Errno, Pid, Watched};

    pub fn watch(_: Pid, addresses: &[u64; 4], _: Watched) -> nix::Result<()> {
        if *addresses == [0; 4] { Ok(()) } else { Err(Errno::ENOSYS) }
    }

    pub fn take_hits(_: Pid) -> [bool; 4] {
        [false; 4]
    }

    pub fn is_watchpoint(_: Pid) -> bool {
        false
    }
}
