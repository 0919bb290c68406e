//! Messages and service stubs of the guest agent protocol.
