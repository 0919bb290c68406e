//! What an answer of the agent, or the lack of one, means: the only place where the texts of
//! kata-agent and of the ttrpc crate are read, because they give nothing else to go by.

use std::fmt;

use ttrpc::Code;
use virtcontainers_agent_proto::text;
use virtcontainers_types::ErrorKind;

/// The longest text kept of an agent's answer, in bytes.
const MAX_TEXT: usize = 4096;

/// A call that was sent did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The agent answered with an error.
    Status { code: i32, message: String },
    /// The connection ended.
    Lost(String),
    /// The deadline of the call passed.
    Late,
    /// The bytes received, or the frame to be sent, are not of the protocol.
    Malformed(String),
}

impl Fault {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Status { code, message } => kind_of_status(*code, message),
            Self::Lost(_) => ErrorKind::Gone,
            Self::Late => ErrorKind::Timeout,
            Self::Malformed(_) => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Status { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The program to run is missing.
    pub(crate) fn is_program_not_found(&self) -> bool {
        self.message().is_some_and(text::is_program_not_found)
    }

    /// The error means that a stream or process has ended: a look-up that finds nothing any more,
    /// or the input/output error of a hung-up terminal. An agent cannot tell these from faults of
    /// its own, so those are taken for the end, too.
    pub(crate) fn is_end_of_stream(&self) -> bool {
        let ends = [Code::INVALID_ARGUMENT, Code::NOT_FOUND, Code::INTERNAL];
        self.code()
            .is_some_and(|code| ends.iter().any(|end| *end as i32 == code))
    }

    /// The link to configure is not there yet.
    pub(crate) fn is_link_not_found(&self) -> bool {
        self.message()
            .is_some_and(|text| text.contains("Link not found"))
    }
}

fn kind_of_status(code: i32, message: &str) -> ErrorKind {
    let is = |wanted: Code| wanted as i32 == code;
    let says = |part: &str| {
        let first = message.lines().next().unwrap_or_default();
        first.to_ascii_lowercase().contains(part)
    };
    if is(Code::UNIMPLEMENTED)
        || is(Code::NOT_FOUND) && says(" is not supported")
        || is(Code::INVALID_ARGUMENT) && says("service does not exist")
    {
        ErrorKind::Unsupported
    } else if is(Code::NOT_FOUND)
        || is(Code::INVALID_ARGUMENT) && says("invalid container id")
        || is(Code::INTERNAL)
            && (says("invalid container id") || text::is_program_not_found(message))
    {
        ErrorKind::NotFound
    } else if is(Code::ALREADY_EXISTS) || is(Code::INTERNAL) && says("already exists") {
        ErrorKind::AlreadyExists
    } else if is(Code::INVALID_ARGUMENT) || is(Code::OUT_OF_RANGE) {
        ErrorKind::Invalid
    } else if is(Code::PERMISSION_DENIED) || is(Code::UNAUTHENTICATED) {
        ErrorKind::Denied
    } else if is(Code::DEADLINE_EXCEEDED) {
        ErrorKind::Timeout
    } else if is(Code::FAILED_PRECONDITION) || is(Code::UNAVAILABLE) {
        ErrorKind::WrongState
    } else if is(Code::RESOURCE_EXHAUSTED) {
        ErrorKind::Busy
    } else {
        ErrorKind::Internal
    }
}

impl From<ttrpc::Error> for Fault {
    fn from(error: ttrpc::Error) -> Self {
        match error {
            ttrpc::Error::RpcStatus(status) => Self::Status {
                code: status.code.value(),
                message: printable(&status.message),
            },
            ttrpc::Error::Socket(text) => Self::Lost(text),
            ttrpc::Error::LocalClosed | ttrpc::Error::RemoteClosed | ttrpc::Error::Eof => {
                Self::Lost("the agent closed it".to_owned())
            }
            ttrpc::Error::Nix(errno) => Self::Lost(errno.to_string()),
            ttrpc::Error::Others(text) if text.contains("deadline elapsed") => Self::Late,
            // The queue to the writer of a connection that ended is closed.
            ttrpc::Error::Others(text)
                if text.contains("channel closed") || text.contains("writer task dropped") =>
            {
                Self::Lost(text)
            }
            ttrpc::Error::Others(text) => Self::Malformed(text),
        }
    }
}

/// What a guest said, made safe to show: bounded, control characters replaced.
fn printable(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let safe = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text[..end].chars().map(safe).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, message } => {
                let first = message.lines().find(|line| !line.is_empty());
                write!(f, "the agent answered with code {code}")?;
                first.map_or(Ok(()), |line| write!(f, ": {line}"))
            }
            Self::Lost(reason) => write!(f, "the connection to the agent ended: {reason}"),
            Self::Late => f.write_str("the agent did not answer before the deadline"),
            Self::Malformed(reason) => write!(f, "malformed message: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: Code, message: &str) -> Fault {
        ttrpc::error::get_rpc_status(code, message).into()
    }

    #[test]
    fn answers_of_a_real_kata_agent_are_sorted() {
        use ErrorKind::*;
        for (code, message, kind) in [
            (Code::NOT_FOUND, "InvalidExecId", NotFound),
            (
                Code::INTERNAL,
                "Invalid container id\n\nStack backtrace:\n",
                NotFound,
            ),
            (Code::INTERNAL, "Invalid container id nosuch", NotFound),
            (Code::INVALID_ARGUMENT, "\"invalid container id\"", NotFound),
            (Code::UNIMPLEMENTED, "NoSuchMethod method", Unsupported),
            (
                Code::INVALID_ARGUMENT,
                "grpc.Nope service does not exist",
                Unsupported,
            ),
            (
                Code::NOT_FOUND,
                "/grpc.AgentService/SetPolicy is not supported",
                Unsupported,
            ),
            (
                Code::INTERNAL,
                "the file nosuchprogram was not found\n\n",
                NotFound,
            ),
            (Code::INTERNAL, "exec_id 'x' already exists", AlreadyExists),
            (
                Code::PERMISSION_DENIED,
                "CreateContainerRequest is blocked",
                Denied,
            ),
            (Code::DEADLINE_EXCEEDED, "timeout", Timeout),
            (Code::UNAVAILABLE, "no tty", WrongState),
            (Code::INTERNAL, "mount failed", Internal),
        ] {
            assert_eq!(status(code, message).kind(), kind, "{message}");
        }
    }

    #[test]
    fn a_missing_program_is_told_from_other_faults() {
        let missing = "the file x was not found\n\nStack backtrace";
        assert!(status(Code::INTERNAL, missing).is_program_not_found());
        assert!(!status(Code::INTERNAL, "mount failed").is_program_not_found());
    }

    #[test]
    fn the_text_of_a_guest_is_bounded_and_printable() {
        let long = format!("a\u{1b}[2J{}", "ü".repeat(MAX_TEXT));
        let fault = status(Code::INTERNAL, &long);
        let text = fault.message().unwrap();
        assert!(text.len() <= MAX_TEXT + 2 && !text.contains('\u{1b}'));
        assert!(
            fault
                .to_string()
                .starts_with("the agent answered with code 13: a")
        );
    }

    #[test]
    fn a_lost_connection_and_a_late_answer_are_not_answers() {
        assert_eq!(
            Fault::from(ttrpc::Error::RemoteClosed).kind(),
            ErrorKind::Gone
        );
        let late = ttrpc::Error::Others("Request deadline elapsed".to_owned());
        assert_eq!(Fault::from(late).kind(), ErrorKind::Timeout);
        let queue = "reserve channel capacity failed: channel closed".to_owned();
        assert_eq!(
            Fault::from(ttrpc::Error::Others(queue)).kind(),
            ErrorKind::Gone
        );
        assert!(!Fault::from(ttrpc::Error::Eof).is_end_of_stream());
    }
}
