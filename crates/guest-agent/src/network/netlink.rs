//! A conversation with the kernel's routing, and the links it knows.

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use tokio::task::JoinHandle;

use crate::status::{Doing as _, Failure, Result};

/// A netlink socket for one request of the host; it is closed when dropped.
pub(super) struct Netlink {
    pub(super) handle: Handle,
    pump: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Netlink {
    /// # Errors
    /// INTERNAL when the kernel gives no socket.
    pub(super) fn open() -> Result<Self> {
        let (connection, handle, _) =
            rtnetlink::new_connection().doing(|| "open netlink".to_owned())?;
        Ok(Self {
            handle,
            pump: tokio::spawn(connection),
        })
    }

    /// All links.
    ///
    /// # Errors
    /// INTERNAL when the kernel does not tell.
    pub(super) async fn links(&self) -> Result<Vec<Link>> {
        let messages: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| failed("list links", error))?;
        Ok(messages.iter().map(Link::from).collect())
    }
}

/// The index of a link by name.
///
/// # Errors
/// INTERNAL "Link not found", on which hosts try again.
pub(super) fn index(links: &[Link], name: &str) -> Result<u32> {
    let link = links.iter().find(|link| link.name == name);
    link.map(|link| link.index).ok_or_else(|| not_found(name))
}

/// What matters of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mac: Vec<u8>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) no_arp: bool,
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: Vec::new(),
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            no_arp: flags.contains(LinkFlags::Noarp),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac.clone_from(mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                _ => {}
            }
        }
        link
    }
}

/// Stock runtimes look for these words and try again.
pub(super) fn not_found(wanted: &str) -> Failure {
    Failure::internal(format!("Link not found ({wanted})"))
}

/// The kernel's refusal, in its own words. A link that went away meanwhile is one that is not
/// found.
pub(super) fn failed(what: impl std::fmt::Display, error: rtnetlink::Error) -> Failure {
    let why = match &error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    };
    if errno(&error) == Some(libc::ENODEV) {
        return not_found("it has gone meanwhile").within(what);
    }
    Failure::internal(format!("{what}: {why}"))
}

/// The number of the kernel's refusal, if it is one.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}
