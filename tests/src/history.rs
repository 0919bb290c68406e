//! What happened to one sandbox, told by all who acted on it, and whether it could have happened.
//!
//! Actors write a line into one file for whatever they begin and end, and for each record that they
//! read, write or remove meanwhile. [`Timeline`] puts the records in the order of their generations,
//! [`check`] then asks of each line whether the promises of the API allow it.

mod check;
mod journal;
mod legal;
mod line;
mod timeline;

pub use check::{Findings, Promise, check};
pub use journal::{Journal, now};
pub use line::{Call, Ending, Event, INCARNATION, Line, Seen, Verb};
pub use timeline::{Life, Timeline, Write};
