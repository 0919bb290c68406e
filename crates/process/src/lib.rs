#![doc = include_str!("../README.md")]

mod child;
mod error;
mod exit;
mod hook;
mod identity;
mod input;
mod launcher;
mod mark;
mod memory;
mod procfs;
mod program;
mod readable;
mod sys;
mod tail;
mod terminal;
mod thread;
mod usage;
mod watch;

pub use child::Child;
pub use error::{Error, ErrorKind};
pub use exit::Exit;
pub use hook::{Hook, HookCall, run_hook};
pub use identity::{Identity, kill_and_wait};
pub use input::Input;
pub use launcher::{Launcher, Stream};
pub use mark::{Mark, NONCE_VARIABLE, TAG_VARIABLE, find_by_nonce};
pub use memory::ProgramCode;
pub use program::{Search, find_program};
pub use readable::Readable;
pub use rustix::process::Signal;
pub use tail::OutputTail;
pub use terminal::{ignore_terminal_signals, take_terminal};
pub use thread::{enter_network_namespace, on_thread, on_thread_blocking};
pub use usage::Usage;
pub use watch::Watch;
