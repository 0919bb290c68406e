//! Hypervisors without virtual machines: they keep the state of their machines and enforce the order
//! of calls, so that the layers above can be tested without one.

mod devices;
mod power;
mod process;
mod program;
mod value;

pub use power::Power;
pub use process::{FAKE_MACHINE, FakeMachineSetup, ProcessBackend, REPORTS_VARIABLE};
pub use program::fake_machine;
pub use value::{FakeBackend, FakeMachine};
