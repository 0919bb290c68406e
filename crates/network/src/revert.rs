//! Taking a change back, whether it happened or not.

use std::io;

use crate::effect::{Effect, LinkRef};
use crate::netlink::Netlink;
use crate::thread::inside;
use crate::{Error, NamespaceId, link, tc};

/// Takes changes of one namespace back, in this order, to the end; the first failure is given.
/// Nothing is left of them when the namespace is gone.
pub(crate) fn revert(namespace: &NamespaceId, effects: &[Effect]) -> Result<(), Error> {
    let Some(opened) = namespace.open()? else {
        return Ok(());
    };
    inside(&opened, || {
        if !namespace.is_here()? {
            return Ok(());
        }
        let netlink = Netlink::open()
            .map_err(|source| Error::system("speak to the kernel in", &namespace.path, source))?;
        let undone = effects.iter().map(|effect| {
            take_back(effect, &netlink).map_err(|source| {
                let verb = format!("take back to {}", effect.verb());
                Error::link(&verb, effect.target(), source)
            })
        });
        undone.fold(Ok(()), Result::and)
    })
}

fn take_back(effect: &Effect, netlink: &Netlink) -> io::Result<()> {
    match effect {
        Effect::Tap { name, .. } => remove(netlink, name, "tun"),
        Effect::MacVtap { name, .. } => remove(netlink, name, "macvtap"),
        Effect::Bridge { name, .. } => remove(netlink, name, "bridge"),
        Effect::Up { link }
        | Effect::Port { link, .. }
        | Effect::Mac { link, .. }
        | Effect::Queue { link }
        | Effect::Ingress { link }
        | Effect::Redirect { from: link, .. }
        | Effect::Shape { link, .. } => match take_back_on(effect, link, netlink) {
            // It went while we were at it, and all with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            result => result,
        },
    }
}

/// Removes a link that we made, and no other one of its name.
fn remove(netlink: &Netlink, name: &str, kind: &str) -> io::Result<()> {
    match link::find(netlink, &LinkRef::made(name))? {
        Some(link) if link.kind == kind => link::remove(netlink, link.index).map(drop),
        _ => Ok(()),
    }
}

fn take_back_on(effect: &Effect, on: &LinkRef, netlink: &Netlink) -> io::Result<()> {
    let Some(found) = link::find(netlink, on)? else {
        return Ok(());
    };
    let index = found.index;
    match effect {
        Effect::Up { .. } if found.up => link::set_up(netlink, index, false),
        Effect::Port { bridge, .. } => {
            let bridge = link::find(netlink, &LinkRef::made(bridge))?;
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
        | Effect::Bridge { .. } => Ok(()),
    }
}
