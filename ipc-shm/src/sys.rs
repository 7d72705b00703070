//! The system call that `nix` does not wrap.

#![allow(unsafe_code)]

/// Lets the process `by` and its descendants read the memory of this process. By default Yama lets only its ancestors
/// (`Documentation/admin-guide/LSM/Yama.rst`). Without Yama the call does nothing. The last call of a process holds.
/// System call: `prctl(PR_SET_PTRACER)`.
pub fn let_read(by: u32) {
    // SAFETY: PR_SET_PTRACER takes a number.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::from(by), 0, 0, 0) };
}
