//! What a caller chooses when opening a channel: how to wait, how long, how much may be in flight, by which name.

use crate::error::{Error, Result};
use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

/// How long `bind` and `connect` wait for a peer where [`Options::timeout`] is `None`.
pub const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(10);

/// What a call does while its message cannot move yet.
///
/// It is an option of every mechanism and not a property of some. A comparison of a ring that spins with a pipe that
/// sleeps compares the waiting, and not the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Wait {
    /// Sleep in the kernel until woken. Costs a wake-up, burns nothing.
    #[default]
    Block,
    /// Poll without ever sleeping: a non-blocking system call, or a load from shared memory. Burns a core.
    Spin,
    /// Poll for [`Options::spin`], then sleep.
    Hybrid,
}

impl Wait {
    /// Every strategy, in the order tables show them.
    pub const ALL: [Wait; 3] = [Wait::Block, Wait::Spin, Wait::Hybrid];

    /// The name used on the command line and in result files.
    pub const fn name(self) -> &'static str {
        match self {
            Wait::Block => "block",
            Wait::Spin => "spin",
            Wait::Hybrid => "hybrid",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Wait::ALL
            .into_iter()
            .find(|wait| wait.name() == text)
            .ok_or_else(|| format!("unknown wait strategy '{text}': use block, spin or hybrid"))
    }
}

/// How a channel is to be opened. The default blocks, has no deadline, and takes the mechanism's own sizes.
///
/// ```
/// use ipc_core::{Options, Wait};
/// use std::time::Duration;
///
/// let options = Options {
///     wait: Wait::Hybrid,
///     timeout: Some(Duration::from_secs(1)),
///     max_message: Some(64 << 10),
///     ..Options::default()
/// };
/// assert_eq!(options.spin, Duration::from_micros(50));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What calls do while they cannot proceed.
    pub wait: Wait,
    /// How long [`Wait::Hybrid`] polls before it sleeps. The default, 50 µs, is about one cross-core wake-up on an AMD
    /// EPYC virtual machine. Spinning for as long as the sleep would cost takes at most twice the time of the best
    /// choice. (Karlin et al., *Competitive randomized algorithms for non-uniform problems*, SODA 1990)
    pub spin: Duration,
    /// Deadline of every send and receive; see [`Endpoint::set_timeout`](crate::Endpoint::set_timeout). `None` waits
    /// for as long as the peer lives.
    pub timeout: Option<Duration>,
    /// The longest message that the channel must carry, in bytes. `None` is the mechanism's own limit. Mechanisms that
    /// reserve room for each message (POSIX queues, rings) are sized by it. A mechanism that cannot carry it fails to
    /// open with [`Error::TooLarge`].
    pub max_message: Option<usize>,
    /// The bytes that may be in flight in each direction. `None` is the mechanism's default, which
    /// [`Spec::limit`](crate::Spec::limit) names.
    pub capacity: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { wait: Wait::Block, spin: Duration::from_micros(50), timeout: None, max_message: None, capacity: None }
    }
}

impl Options {
    /// When a `bind` or `connect` that begins now gives up, however many steps it takes. A timeout beyond a year
    /// counts as a year.
    pub fn deadline(&self) -> Instant {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Instant::now() + self.timeout.unwrap_or(RENDEZVOUS_TIMEOUT).min(YEAR)
    }
}

/// A name by which two unrelated processes find each other: 1 to 64 characters of `[A-Za-z0-9_-]`.
///
/// Every mechanism maps it into a namespace of its own: a path, a queue name, a key. So the same name can be used with
/// several mechanisms at once.
///
/// ```
/// use ipc_core::Name;
///
/// assert_eq!(Name::new("clock-1")?.as_str(), "clock-1");
/// assert!(Name::new("a/b").is_err());
/// assert_ne!(Name::unique(), Name::unique());
/// # Ok::<(), ipc_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// The longest name, in bytes: `/proc/self/fd/N/NAME.MECHANISM` must fit a Unix socket path (108 bytes, unix(7)).
    pub const MAX: usize = 64;

    /// Makes `text` a name.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self> {
        let fits = (1..=Self::MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits && plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Unsupported { what: "name", why: format!("'{text}': use 1 to 64 of A-Z a-z 0-9 _ -") })
        }
    }

    /// A fresh name that carries the id of this process and 64 random bits.
    pub fn unique() -> Self {
        Self(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_timeout_has_a_deadline() {
        let options = Options { timeout: Some(Duration::MAX), ..Options::default() };
        assert!(options.deadline() > Instant::now() + Duration::from_secs(3600));
    }
}
