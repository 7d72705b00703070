//! The one error type of every mechanism.

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What [`Channel`](crate::Channel) and [`Endpoint`](crate::Endpoint) calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. Callers match on the variant, and the text is for people.
///
/// ```
/// use ipc_core::{Channel, Endpoint, Error, Options};
/// use ipc_shm::Memfd;
///
/// let (mut a, _b) = Memfd::pair(&Options::default())?;
/// match a.send(&vec![0; 10 << 20]) {
///     Err(Error::TooLarge { len, max }) => assert!(len > max),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed for a reason that has no variant of its own.
    #[error("{call}: {source}{}", limit_of(*source))]
    Os {
        /// The call's name, as in section 2 of the manual.
        call: &'static str,
        /// Its errno.
        source: Errno,
    },
    /// A system call on the file at a path failed for a reason that has no variant of its own.
    #[error("{call} {}: {source}{}", path.display(), limit_of(*source))]
    At {
        /// The call's name.
        call: &'static str,
        /// The file at which the call failed.
        path: PathBuf,
        /// Its errno.
        source: Errno,
    },
    /// The message (or the receive buffer) does not fit. Nothing was transferred and the channel stays usable.
    #[error("a message of {len} bytes cannot pass: the limit is {max} bytes")]
    TooLarge {
        /// Length asked for, in bytes.
        len: usize,
        /// The longest that can pass, in bytes, as read from the running kernel or the channel's own size.
        max: usize,
    },
    /// The other end was closed or its process died. Everything that it had sent has been received.
    #[error("the peer is gone ({sign})")]
    PeerGone {
        /// How that showed.
        sign: Sign,
    },
    /// The deadline passed. The channel stays usable: see [`Endpoint::set_timeout`](crate::Endpoint::set_timeout).
    #[error("the deadline passed")]
    TimedOut,
    /// Shared memory, or a message of the peer, holds what no correct peer writes. The channel is unusable from here
    /// on: every later send and receive on this end returns the same error.
    #[error("corrupt: {what}")]
    Corrupt {
        /// What was found wrong.
        what: &'static str,
    },
    /// The name is taken by a living process, or by what may belong to one. What a dead process left does not count,
    /// if the [journal](crate::objects) shows that it is dead.
    #[error("{object} is taken: {why}")]
    Taken {
        /// What has the name.
        object: String,
        /// Who has it as far as that is known, and what to do.
        why: String,
    },
    /// The running system, or this mechanism, cannot do what was asked.
    #[error("{what}: {why}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
        /// Why it cannot be had, with the value and what would be right.
        why: String,
    },
}

/// The limit that an errno stands for, where this process has it (getrlimit(2)); else nothing.
fn limit_of(errno: Errno) -> String {
    let limit = || getrlimit(Resource::RLIMIT_FSIZE).map_or(RLIM_INFINITY, |(soft, _)| soft);
    match errno {
        Errno::EFBIG if limit() != RLIM_INFINITY => format!(": the limit on files is {} bytes (ulimit -f)", limit()),
        _ => String::new(),
    }
}

/// How a call learned that its peer is gone. It depends on what the call was doing at that moment. So only diagnostics
/// should tell the signs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sign {
    /// A call that reads returned nothing: nobody writes any more (read(2), recv(2)).
    EndOfFile,
    /// A call failed with `EPIPE`, `ECONNRESET`, `ECONNREFUSED`, `EIDRM` and the like.
    Errno(Errno),
    /// The socket beside the channel hung up (see [`liveness`](crate::liveness)).
    HangUp,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfFile => f.pad("end of file"),
            // The name, such as EPIPE.
            Self::Errno(errno) => f.pad(&format!("{errno:?}")),
            Self::HangUp => f.pad("hang-up"),
        }
    }
}

impl Error {
    /// Whether the peer is gone, however that showed.
    pub fn is_peer_gone(&self) -> bool {
        matches!(self, Self::PeerGone { .. })
    }

    /// The error number of the system call that failed, if one did.
    ///
    /// It is the same whether the call was on a [path](Error::At) or not, and whether the number means that the
    /// [peer is gone](Error::PeerGone) or not.
    ///
    /// ```
    /// use ipc_core::Error;
    /// use nix::errno::Errno;
    /// use std::path::Path;
    ///
    /// assert_eq!(Error::os("open", Errno::EMFILE).errno(), Some(Errno::EMFILE));
    /// assert_eq!(Error::at("open", Path::new("/tmp/x"), Errno::EMFILE).errno(), Some(Errno::EMFILE));
    /// assert_eq!(Error::os("write", Errno::EPIPE).errno(), Some(Errno::EPIPE));
    /// assert_eq!(Error::TimedOut.errno(), None);
    /// ```
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Os { source, .. } | Self::At { source, .. } => Some(*source),
            Self::PeerGone { sign: Sign::Errno(errno) } => Some(*errno),
            _ => None,
        }
    }

    /// An [`Error::Os`] of `call`; errnos that say the peer has gone become [`Error::PeerGone`].
    #[cold]
    pub fn os(call: &'static str, source: Errno) -> Self {
        match source {
            // write(2), send(2): reader closed. recv(2): connection reset. connected datagrams: nobody is bound.
            Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED | Errno::ENOTCONN => {
                Self::PeerGone { sign: Sign::Errno(source) }
            }
            // msgop(2): the queue was removed.
            Errno::EIDRM => Self::PeerGone { sign: Sign::Errno(source) },
            _ => Self::Os { call, source },
        }
    }

    /// An [`Error::At`] of `call` on the file at `path`.
    #[cold]
    pub fn at(call: &'static str, path: &Path, source: Errno) -> Self {
        Self::At { call, path: path.into(), source }
    }

    /// An [`Error::Os`] of `call` from the standard library's error.
    #[cold]
    pub fn io(call: &'static str, source: &std::io::Error) -> Self {
        Self::os(call, Errno::from_raw(source.raw_os_error().unwrap_or(libc::EIO)))
    }
}
