//! A user-space switch as far as QEMU needs one before its guest has a driver: it listens, and answers
//! what the protocol asks (docs/interop/vhost-user.rst of QEMU). It carries no frame.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

/// Requests with an answer of eight bytes.
const GET_FEATURES: u32 = 1;
const GET_PROTOCOL_FEATURES: u32 = 15;
const GET_QUEUE_NUM: u32 = 17;
/// Several queues, and that there is a protocol to speak of.
const FEATURES: u64 = (1 << 32) | (1 << 30) | (1 << 22);
/// Several queues.
const PROTOCOL_FEATURES: u64 = 1;
const QUEUES: u64 = 4;
/// Version 1, and that this is an answer.
const ANSWER: u32 = 5;

/// Listens until the test's process ends, for one client.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) socket: PathBuf,
    ended: Receiver<()>,
}

impl Switch {
    pub(super) fn new(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let (end, ended) = channel();
        std::thread::spawn(move || {
            let (client, _) = listener.accept().expect("a client");
            // It hangs up, orderly or not.
            drop(serve(client));
            drop(end);
        });
        let socket = socket.to_owned();
        Self { socket, ended }
    }

    /// Returns when the client has hung up.
    pub(super) fn until_left(&self) {
        let end = self.ended.recv();
        assert!(end.is_err(), "nothing is ever sent");
    }
}

fn serve(mut client: UnixStream) -> io::Result<()> {
    loop {
        let mut header = [0; 12];
        client.read_exact(&mut header)?;
        let word = |at: usize| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let (request, size) = (word(0), word(8));
        let mut payload = vec![0; usize::try_from(size).expect("few bytes")];
        client.read_exact(&mut payload)?;
        let value = match request {
            GET_FEATURES => FEATURES,
            GET_PROTOCOL_FEATURES => PROTOCOL_FEATURES,
            GET_QUEUE_NUM => QUEUES,
            _ => continue,
        };
        let mut answer = Vec::new();
        for word in [request, ANSWER, 8] {
            answer.extend(word.to_le_bytes());
        }
        answer.extend(value.to_le_bytes());
        client.write_all(&answer)?;
    }
}
