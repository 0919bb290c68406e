//! Faults at numbered points: decorators around store, backend and agents, which fail, cancel or kill
//! at the k-th effect, so that a test can go through all of them.

mod agent;
mod backend;
mod connector;
mod machine;
mod points;
mod store;

pub use backend::FaultBackend;
pub use connector::FaultConnector;
pub use points::{Blow, Points};
pub use store::FaultStore;
