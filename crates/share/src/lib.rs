//! The directory tree that a sandbox shares with its guest.
