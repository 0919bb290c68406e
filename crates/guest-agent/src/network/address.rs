//! Addresses of a link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use futures_util::TryStreamExt as _;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope,
};
use virtcontainers_agent_proto::types::{IPAddress, IPFamily};

use super::netlink::{Netlink, errno, failed};
use super::parse::Prefix;
use crate::status::Result;

/// Where the kernel has IPv6, if it has it.
const V6: &str = "/proc/sys/net/ipv6";

/// The addresses of all links.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(super) async fn all(netlink: &Netlink) -> Result<Vec<AddressMessage>> {
    let addresses = netlink.handle.address().get().execute();
    let listed: std::result::Result<_, _> = addresses.try_collect().await;
    listed.map_err(|error| failed("list addresses", error))
}

/// The addresses of one link.
///
/// # Errors
/// INTERNAL when the kernel does not tell.
pub(super) async fn on(netlink: &Netlink, index: u32) -> Result<Vec<AddressMessage>> {
    let mut addresses = all(netlink).await?;
    addresses.retain(|message| message.header.index == index);
    Ok(addresses)
}

/// The link's own address: where there is a peer, `IFA_LOCAL` has it.
pub(super) fn prefix_of(message: &AddressMessage) -> Option<Prefix> {
    let mut address: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(any) => address = address.or(Some(*any)),
            _ => {}
        }
    }
    address.map(|address| Prefix {
        address,
        length: message.header.prefix_len,
    })
}

/// An address in the protocol's form.
pub(super) fn describe(prefix: Prefix) -> IPAddress {
    let family = if prefix.address.is_ipv4() {
        IPFamily::v4
    } else {
        IPFamily::v6
    };
    IPAddress {
        family: family.into(),
        address: prefix.address.to_string(),
        mask: prefix.length.to_string(),
        ..IPAddress::default()
    }
}

/// An address in the kernel's form. One of IPv6 works at once: the host has it already, and its
/// kernel has asked whether anybody else does; without the flag, this one would ask again for a
/// second, during which nothing can be sent.
pub(super) fn message(index: u32, prefix: Prefix) -> AddressMessage {
    match prefix.address {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(address, prefix.length)
            .build(),
        IpAddr::V6(address) => {
            let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
                .index(index)
                .address(address, prefix.length)
                .build();
            message.header.flags |= AddressHeaderFlags::Nodad;
            message
        }
    }
}

/// Keeps the kernel from looking for others with the addresses that it gives to a link by itself,
/// which takes it a second and more after the link has come up. They are made of the hardware
/// address, and the host's interface with the same one has looked.
pub(super) fn skip_detection(name: &str) {
    let file = Path::new(V6).join("conf").join(name).join("accept_dad");
    match std::fs::write(&file, "0") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            log::warn!("write {}: {error}", file.display());
        }
        Ok(()) | Err(_) => {}
    }
}

/// Gives a link the wanted addresses and takes away other global ones.
///
/// # Errors
/// INTERNAL for what the kernel refuses. Some are changed then.
pub(super) async fn replace(
    netlink: &Netlink,
    index: u32,
    wanted: &[AddressMessage],
) -> Result<()> {
    let now = on(netlink, index).await?;
    let stale = now
        .iter()
        .filter(|message| message.header.scope == AddressScope::Universe && !has(wanted, message));
    // Of IPv6, a link has an address only once, so one whose length changes goes first. The others
    // go last: with its last address, a link loses its routes.
    let (first, last): (Vec<_>, Vec<_>) = stale.partition(|message| {
        let address = prefix_of(message).map(|prefix| prefix.address);
        let mut wanted = wanted.iter().filter_map(prefix_of);
        wanted.any(|prefix| Some(prefix.address) == address)
    });
    for message in &first {
        remove(netlink, message).await?;
    }
    add_missing(netlink, wanted, &now).await?;
    for message in &last {
        remove(netlink, message).await?;
    }
    if first.is_empty() && last.is_empty() {
        return Ok(());
    }
    // With a primary address of IPv4 go the secondary ones, which may be among the wanted.
    add_missing(netlink, wanted, &on(netlink, index).await?).await
}

fn has(messages: &[AddressMessage], message: &AddressMessage) -> bool {
    messages
        .iter()
        .any(|one| prefix_of(one) == prefix_of(message))
}

/// Adds those of the wanted that are not among those there now.
pub(super) async fn add_missing(
    netlink: &Netlink,
    wanted: &[AddressMessage],
    now: &[AddressMessage],
) -> Result<()> {
    let v6 = Path::new(V6).exists();
    for message in wanted.iter().filter(|message| !has(now, message)) {
        let Some(Prefix { address, length }) = prefix_of(message) else {
            continue;
        };
        if address.is_ipv6() && !v6 {
            log::warn!("address {address} is left out: this kernel has no IPv6");
            continue;
        }
        let addresses = netlink.handle.address();
        let mut request = addresses.add(message.header.index, address, length);
        *request.message_mut() = message.clone();
        let added = request.replace().execute().await;
        added.map_err(|error| failed(format!("add address {address}/{length}"), error))?;
    }
    Ok(())
}

/// One that has gone already is fine.
async fn remove(netlink: &Netlink, message: &AddressMessage) -> Result<()> {
    let request = netlink.handle.address().del(message.clone());
    match request.execute().await {
        Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => Ok(()),
        done => done.map_err(|error| failed("remove an address", error)),
    }
}
