//! The two processes of a pair.

/// Which process of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Starts the round, holds the clock, reports the figures.
    Initiator,
    /// Answers.
    Responder,
}

impl Role {
    /// Both, by number.
    pub const ALL: [Role; 2] = [Role::Initiator, Role::Responder];

    /// The name shown where its process dies.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Initiator => "initiator",
            Role::Responder => "responder",
        }
    }
}
