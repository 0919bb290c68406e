#![doc = include_str!("../README.md")]

mod boot;
mod codec;
mod error;
mod file;
mod lease;
mod ledger;
mod lock;
mod memory;
mod record;
mod store;
mod stored;

pub use boot::BootId;
pub use error::{Error, ErrorKind};
pub use file::FileStore;
pub use lease::{Backing, Claim, Lease, LeaseMode, Salvage};
pub use ledger::{Entries, Ledger, Lines};
pub use lock::Holder;
pub use memory::MemoryStore;
pub use record::{Blob, ContainerRecord, FORMAT, Record, Summary};
pub use store::Store;
pub use stored::Stored;
