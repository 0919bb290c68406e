//! What a simulated process does: a script.

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error. With a terminal it is the same as standard output.
    Stderr,
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Write(Output, Vec<u8>),
    /// So many bytes of a repeated pattern.
    Flood(Output, u64),
    /// Copies input to output until the input is closed.
    Cat,
    /// Waits for the end of the input.
    Drain,
    /// Waits for a signal.
    Block,
}

/// A script for a simulated process. It writes through pipes of 64 KiB, so that it blocks, as a
/// real process does, when nobody reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) status: i32,
    pub(super) ignored: Vec<u32>,
    /// The init process died between creation and start.
    pub(super) dies_early: bool,
}

impl Program {
    /// A program that ends at once with status 0.
    pub fn new() -> Self {
        Self::default()
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Writes to standard output.
    pub fn stdout(self, text: impl AsRef<[u8]>) -> Self {
        self.step(Step::Write(Output::Stdout, text.as_ref().to_vec()))
    }

    /// Writes to standard error.
    pub fn stderr(self, text: impl AsRef<[u8]>) -> Self {
        self.step(Step::Write(Output::Stderr, text.as_ref().to_vec()))
    }

    /// Writes many bytes: byte `n` is `n % 251`.
    pub fn flood(self, output: Output, bytes: u64) -> Self {
        self.step(Step::Flood(output, bytes))
    }

    /// Copies standard input to standard output until it is closed.
    pub fn cat(self) -> Self {
        self.step(Step::Cat)
    }

    /// Reads standard input until it is closed.
    pub fn drain(self) -> Self {
        self.step(Step::Drain)
    }

    /// Waits until a signal ends it.
    pub fn block(self) -> Self {
        self.step(Step::Block)
    }

    /// Ignores a signal (other than SIGKILL).
    pub fn ignore(mut self, signal: u32) -> Self {
        self.ignored.push(signal);
        self
    }

    /// Dies after it was created, before it can be started.
    pub fn dies_before_start(mut self) -> Self {
        self.dies_early = true;
        self
    }

    /// Ends with a status.
    pub fn exit(mut self, status: i32) -> Self {
        self.status = status;
        self
    }
}
