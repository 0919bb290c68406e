//! Calls that go wrong on demand.

use ttrpc::Code;

/// What happens to the calls of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// They are answered with an error.
    Answer(Code, String),
    /// They get no answer, as when a handler of kata-agent panics.
    Silence,
    /// The connection ends.
    Disconnect,
}
