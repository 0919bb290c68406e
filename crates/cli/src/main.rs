//! vc, the command line.

fn main() {}
