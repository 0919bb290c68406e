//! Taking a change back, whether it happened or not.

use std::io;

use crate::effect::{Effect, LinkRef};
use crate::link::find;
use crate::netlink::Netlink;
use crate::scan::links;
use crate::sysfs::Sysfs;
use crate::thread::inside;
use crate::view::Link;
use crate::{Error, NamespaceId, link, removal, tc, vfio};

/// Takes changes of one namespace back to the end, and those of devices whose interfaces were in it:
/// first the links that we made, all at once, then the rest in this order. The first failure is given.
/// Nothing is left of links when the namespace is gone.
pub(crate) fn revert(
    namespace: &NamespaceId,
    effects: &[Effect],
    sysfs: &Sysfs<'_>,
) -> Result<(), Error> {
    let (of_devices, of_links): (Vec<_>, Vec<_>) =
        effects.iter().partition(|effect| effect.is_of_device());
    let opened = namespace.open()?;
    let links = opened.as_ref().map(|opened| {
        inside(opened, || match namespace.is_here()? {
            true => revert_links(namespace, &of_links).map(|()| true),
            false => Ok(false),
        })
    });
    // Another namespace may have come to the same path.
    let opened = opened.filter(|_| !matches!(links, Some(Ok(false))));
    let mut result = links.unwrap_or(Ok(false)).map(drop);
    for effect in of_devices {
        result = result.and(vfio::take_back(effect, sysfs, opened.as_ref()));
    }
    result
}

/// In the namespace.
fn revert_links(namespace: &NamespaceId, effects: &[&Effect]) -> Result<(), Error> {
    if effects.is_empty() {
        return Ok(());
    }
    let failed = |source| Error::system("speak to the kernel in", &namespace.path, source);
    let netlink = Netlink::open().map_err(failed)?;
    let mut there = links(&netlink).map_err(failed)?;
    let made: Vec<_> = effects.iter().filter_map(|one| made(one, &there)).collect();
    let mut result = Ok(());
    if !made.is_empty() {
        let names: Vec<_> = made.iter().map(|link| &*link.name).collect();
        result = removal::remove(made.iter().map(|link| link.index).collect())
            .map_err(|source| Error::link("remove", &names.join(", "), source));
        // Those below them are free now.
        there = links(&netlink).map_err(failed)?;
    }
    let undone = effects.iter().map(|effect| {
        take_back(effect, &there, &netlink).map_err(|source| {
            let verb = format!("take back to {}", effect.verb());
            Error::link(&verb, effect.target(), source)
        })
    });
    undone.fold(result, Result::and)
}

/// The link that the effect made, and no other one of its name.
fn made<'a>(effect: &Effect, there: &'a [Link]) -> Option<&'a Link> {
    let (name, kind) = match effect {
        Effect::Tap { name, .. } => (name, "tun"),
        Effect::MacVtap { name, .. } => (name, "macvtap"),
        Effect::Bridge { name, .. } => (name, "bridge"),
        _ => return None,
    };
    there
        .iter()
        .find(|link| link.name == *name && link.kind == kind)
}

fn take_back(effect: &Effect, there: &[Link], netlink: &Netlink) -> io::Result<()> {
    match effect {
        Effect::Tap { .. }
        | Effect::MacVtap { .. }
        | Effect::Bridge { .. }
        | Effect::TakeDevice { .. }
        | Effect::ReserveDevice { .. }
        | Effect::GiveDevice { .. } => Ok(()),
        Effect::Up { link }
        | Effect::Port { link, .. }
        | Effect::Mac { link, .. }
        | Effect::Queue { link }
        | Effect::Ingress { link }
        | Effect::Redirect { from: link, .. }
        | Effect::Shape { link, .. } => match find(there, link) {
            None => Ok(()),
            Some(found) => match take_back_on(effect, found, there, netlink) {
                // It went while we were at it, and all with it.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
                result => result,
            },
        },
    }
}

fn take_back_on(
    effect: &Effect,
    found: &Link,
    there: &[Link],
    netlink: &Netlink,
) -> io::Result<()> {
    let index = found.index;
    match effect {
        Effect::Up { .. } if found.up => link::set_up(netlink, index, false),
        Effect::Port { bridge, .. } => {
            let bridge = find(there, &LinkRef::made(bridge));
            match bridge.is_some_and(|bridge| found.master == Some(bridge.index)) {
                true => link::set_bridge(netlink, index, 0),
                false => Ok(()),
            }
        }
        Effect::Mac {
            from,
            to,
            neighbors,
            ..
        } => {
            // Anything else is what somebody made of it since.
            if found.mac != Some(*from) && found.mac != Some(*to) {
                return Ok(());
            }
            if found.mac == Some(*to) {
                link::set_mac(netlink, index, *from)?;
            }
            for neighbor in neighbors {
                link::add_neighbor(netlink, index, neighbor)?;
            }
            Ok(())
        }
        // Anything else is what somebody made of it since.
        Effect::Queue { .. } if found.tx_queue == Some(link::USUAL_QUEUE) => {
            link::set_queue(netlink, index, 0)
        }
        Effect::Ingress { .. } => tc::remove_ingress(netlink, index),
        Effect::Redirect { .. } => tc::remove_redirect(netlink, index),
        Effect::Shape { .. } => tc::remove_rate(netlink, index),
        Effect::Up { .. }
        | Effect::Queue { .. }
        | Effect::Tap { .. }
        | Effect::MacVtap { .. }
        | Effect::Bridge { .. }
        | Effect::TakeDevice { .. }
        | Effect::ReserveDevice { .. }
        | Effect::GiveDevice { .. } => Ok(()),
    }
}
