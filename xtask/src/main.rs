//! The build tool of this workspace.

fn main() {}
