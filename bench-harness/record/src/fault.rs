//! Faults that can strike one process of a pair.

use crate::named;

/// A process of a running transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The process that sends numbered messages.
    Sender,
    /// The process that checks the numbered messages.
    Receiver,
}

named! {
    /// A fault, and whom it strikes.
    "fault" Fault {
        /// `SIGKILL` to the sender at a random point of the transfer.
        KillSender = "kill-sender",
        /// `SIGKILL` to the receiver.
        KillReceiver = "kill-receiver",
        /// The sender drops its end in mid-stream and lives on.
        CloseSender = "close-sender",
        /// The receiver drops its end in mid-stream and lives on.
        CloseReceiver = "close-receiver",
        /// `SIGSTOP` and, some milliseconds later, `SIGCONT` to the sender.
        StopSender = "stop-sender",
        /// `SIGSTOP` and, some milliseconds later, `SIGCONT` to the receiver.
        StopReceiver = "stop-receiver",
        /// `SIGKILL` to the process that binds a name, before, while or just after its peer connects.
        KillBinder = "kill-binder",
    }
}

/// The effect of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// `SIGKILL`.
    Kill,
    /// A clean close.
    Close,
    /// `SIGSTOP`, `SIGCONT`.
    Stop,
}

impl Fault {
    /// The effect of the fault, and its target in a running transfer. `KillBinder` has no target: the binder is killed
    /// before there is a transfer.
    pub const fn strikes(self) -> (Blow, Option<Party>) {
        match self {
            Self::KillSender => (Blow::Kill, Some(Party::Sender)),
            Self::KillReceiver => (Blow::Kill, Some(Party::Receiver)),
            Self::CloseSender => (Blow::Close, Some(Party::Sender)),
            Self::CloseReceiver => (Blow::Close, Some(Party::Receiver)),
            Self::StopSender => (Blow::Stop, Some(Party::Sender)),
            Self::StopReceiver => (Blow::Stop, Some(Party::Receiver)),
            Self::KillBinder => (Blow::Kill, None),
        }
    }

    /// The number of trials of this fault for one mechanism. The `kills` asked for are split between sender and
    /// receiver; every other fault gets an eighth of them.
    pub const fn trials(self, kills: u32) -> u32 {
        match self {
            Self::KillSender => kills / 2,
            Self::KillReceiver => kills - kills / 2,
            _ => kills.div_ceil(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kills_asked_for_are_made() {
        for kills in [1, 2, 3, 50, 72] {
            assert_eq!(Fault::KillSender.trials(kills) + Fault::KillReceiver.trials(kills), kills);
            assert!(Fault::StopSender.trials(kills) >= 1);
        }
    }

    #[test]
    fn names_are_read_back() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(*fault));
        }
        assert!("kill".parse::<Fault>().unwrap_err().contains("'kill'"));
    }
}
