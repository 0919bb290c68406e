//! This program as a supervisor of one sandbox.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use virtcontainers_runtime::{ErrorKind, StandIn, SupervisorProgram, SupervisorStart};
use virtcontainers_types::ExitStatus;

use crate::{Config, Error};

/// The hidden command by which the program becomes a supervisor.
const COMMAND: &str = "sandbox-supervisor";
/// The hidden command by which the program becomes a stand-in.
const STAND_IN: &str = "stand-in";
/// Environment variables that a supervisor needs to find what its creator found.
const ENVIRONMENT: [&str; 4] = ["HOME", "XDG_CACHE_HOME", "RUST_LOG", "RUST_BACKTRACE"];
/// A supervisor's threads copy streams and do little else.
const STACK: usize = 256 * 1024;
/// Threads that carry streams stay: ending and starting them would be work while idle.
const KEEP_THREADS: Duration = Duration::from_secs(365 * 24 * 3600);

/// How this program is started as a supervisor.
pub(crate) fn program(config: &Config) -> Result<SupervisorProgram, Error> {
    let failed = |what: &str| Error::new(ErrorKind::Internal, what);
    let program = std::env::current_exe()
        .map_err(|error| failed("cannot tell which program this is").because(error))?;
    let preamble = serde_json::to_value(config)
        .map_err(|error| failed("cannot hand the configuration on").because(error))?;
    let env = ENVIRONMENT
        .iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
        .collect();
    Ok(SupervisorProgram {
        program,
        args: vec![COMMAND.into()],
        stand_in: vec![STAND_IN.into()],
        env,
        preamble,
    })
}

/// Runs the supervisor, or the stand-in, and returns its exit code when the program was started as
/// one; `None` otherwise. That code is the status of the container, or of the process, that it
/// stands for. Call it first in `main`, before any thread or descriptor is made.
///
/// `log` sets up logging, if wanted; what is logged goes to the sandbox's `supervisor.log`.
pub fn run_if_supervisor(log: impl FnOnce()) -> Option<ExitCode> {
    let ended = match std::env::args_os().nth(1)?.to_str()? {
        COMMAND => {
            let start = SupervisorStart::take();
            log();
            start
                .and_then(|start| start.run(supervise))
                .map_err(Error::from)
                .flatten()
        }
        // Its standard error is the container's: it logs nothing.
        STAND_IN => stand_in(&std::env::args().nth(2)?),
        _ => return None,
    };
    Some(match ended {
        Ok(status) => ExitCode::from(status.code()),
        Err(error) => {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "supervisor");
            ExitCode::FAILURE
        }
    })
}

fn stand_in(view: &str) -> Result<ExitStatus, Error> {
    let stand_in = StandIn::take(view)?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot start the stand-in").because(error)
        })?;
    Ok(executor.block_on(stand_in.wait())?)
}

fn supervise(start: SupervisorStart) -> Result<ExitStatus, Error> {
    let config: Config = serde_json::from_value(start.preamble.clone()).map_err(|error| {
        Error::new(
            ErrorKind::Incompatible,
            "the creator's configuration cannot be understood",
        )
        .because(error)
    })?;
    let runtime = crate::runtime(&config)?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_stack_size(STACK)
        .thread_keep_alive(KEEP_THREADS)
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot start the supervisor").because(error)
        })?;
    let supervised = executor.block_on(runtime.supervise(start));
    // A thread may wait for input that never comes; it must not hold up the end.
    executor.shutdown_background();
    Ok(supervised?)
}
