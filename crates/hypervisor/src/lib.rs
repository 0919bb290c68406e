//! The port through which virtual machine monitors are driven.
