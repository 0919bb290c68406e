//! Promises seen from outside, by processes that know nothing of each other: many act on one sandbox
//! at once, and any of them dies at any system call.

mod crowd;
mod deaths;
mod host;
mod real;
mod rig;
mod strace;
mod sweep;
