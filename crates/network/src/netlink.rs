//! A conversation with the kernel by rtnetlink(7), blocking: one request, all of its answers.
//!
//! It is about the network namespace of the thread that opened it.

use std::cell::Cell;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// How often a list is asked for again that changed while it was read.
const ATTEMPTS: usize = 16;

/// A connection to the kernel.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

/// What the answers to a request come to.
struct Answers {
    messages: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

impl Netlink {
    /// Opens one.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: Cell::new(0),
        })
    }

    /// Asks for a list; again, if it changed meanwhile.
    pub(crate) fn list(
        &self,
        request: &RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..ATTEMPTS {
            let answers = self.ask(request.clone(), NLM_F_DUMP)?;
            if !answers.interrupted {
                return Ok(answers.messages);
            }
        }
        Err(io::Error::other("it changes faster than it can be read"))
    }

    /// Asks for one thing. Errors are the kernel's error numbers.
    pub(crate) fn get(&self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        Ok(self.ask(request, NLM_F_ACK)?.messages)
    }

    /// Asks for a change, with `NLM_F_*` flags of its own, and waits until it is made. Errors are
    /// the kernel's error numbers.
    pub(crate) fn change(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(request, NLM_F_ACK | flags).map(drop)
    }

    fn ask(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Answers> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Answers {
            messages: Vec::new(),
            interrupted: false,
        };
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if read(&datagram, sequence, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Reads the messages of one datagram; true when the last answer was among them.
fn read(datagram: &[u8], sequence: u32, answers: &mut Answers) -> io::Result<bool> {
    let mut rest = datagram;
    while rest.len() >= 4 {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        // Messages start at multiples of four bytes.
        let length = length.max(4).next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            continue;
        }
        answers.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answers.messages.push(inner),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Overrun(_) => return Err(io::ErrorKind::OutOfMemory.into()),
            _ => {}
        }
    }
    Ok(false)
}
