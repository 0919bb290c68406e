//! Real machines: QEMU and the vsock helper as they are installed, with a guest of a few bytes, so
//! that no kernel has to be built for it. `cargo xtask setup` installs both programs. Where a program has to misbehave, a
//! script takes its place.

mod fixture;
mod guest;

mod confinement;
mod endings;
mod leftovers;
mod lifecycle;
mod network;
mod refusals;
mod schema;
mod scripted;
