//! The two processes of a pair.

/// One of the two processes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Starts each round, holds the clock and reports the figures.
    Initiator,
    /// Answers the initiator.
    Responder,
}

impl Role {
    /// Both roles, in the order of their numbers.
    pub const ALL: [Role; 2] = [Role::Initiator, Role::Responder];

    /// The name that messages use for the process, for instance if it dies.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Initiator => "initiator",
            Role::Responder => "responder",
        }
    }
}
