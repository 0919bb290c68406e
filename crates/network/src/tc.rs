//! Traffic control by rtnetlink(7): the place for filters, the filter that redirects, the rate.

use std::io;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption,
    TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror,
    TcMirrorActionType, TcOption, TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use crate::netlink::Netlink;
use crate::scan::qdiscs;
use crate::view::Qdisc;

/// The place of our filters, after those that others add without saying where (at most 0xc000).
const PRIORITY: u32 = 0xff00;
/// `ETH_P_ALL` (linux/if_ether.h), every protocol, in the order of the network.
const EVERY_PROTOCOL: u32 = (libc::ETH_P_ALL as u16).to_be() as u32;
/// The handle of our rate limit, by which it is known again: "vc".
const RATE: TcHandle = TcHandle {
    major: 0x7663,
    minor: 0,
};
/// Filters on the way in hang from here, with an `ingress` and with a `clsact` alike.
const WAY_IN: TcHandle = TcHandle {
    major: u16::MAX,
    minor: TcHandle::MIN_INGRESS,
};
const ADD: u16 = NLM_F_CREATE | NLM_F_EXCL;

fn message(link: u32) -> io::Result<TcMessage> {
    let index = i32::try_from(link).map_err(io::Error::other)?;
    Ok(TcMessage::with_index(index))
}

fn kind(kind: &str) -> TcAttribute {
    TcAttribute::Kind(kind.to_owned())
}

/// Makes the place for filters on the way in.
pub(crate) fn add_ingress(netlink: &Netlink, link: u32) -> io::Result<()> {
    let mut message = message(link)?;
    message.header.parent = TcHandle::INGRESS;
    message.header.handle.major = u16::MAX;
    message.attributes = vec![kind("ingress")];
    netlink.change(RouteNetlinkMessage::NewQueueDiscipline(message), ADD)
}

/// Removes it, unless somebody has filters there.
pub(crate) fn remove_ingress(netlink: &Netlink, link: u32) -> io::Result<()> {
    let ours = |qdisc: &Qdisc| qdisc.kind == "ingress";
    if !find(netlink, link, TcHandle::INGRESS)?.is_some_and(|qdisc| ours(&qdisc)) {
        return Ok(());
    }
    if !netlink
        .list(&RouteNetlinkMessage::GetTrafficFilter(filters(link)?))?
        .is_empty()
    {
        return Ok(());
    }
    let mut message = message(link)?;
    message.header.parent = TcHandle::INGRESS;
    message.header.handle.major = u16::MAX;
    netlink.change(RouteNetlinkMessage::DelQueueDiscipline(message), 0)
}

fn find(netlink: &Netlink, link: u32, parent: TcHandle) -> io::Result<Option<Qdisc>> {
    let here = |qdisc: &Qdisc| qdisc.link == link && qdisc.parent == u32::from(parent);
    Ok(qdiscs(netlink)?.into_iter().find(here))
}

fn filters(link: u32) -> io::Result<TcMessage> {
    let mut message = message(link)?;
    message.header.parent = WAY_IN;
    Ok(message)
}

fn our_filter(link: u32) -> io::Result<TcMessage> {
    let mut message = filters(link)?;
    message.header.info = (PRIORITY << 16) | EVERY_PROTOCOL;
    Ok(message)
}

/// Sends every frame that comes in on one link out on another.
pub(crate) fn add_redirect(netlink: &Netlink, from: u32, to: u32) -> io::Result<()> {
    let mut message = our_filter(from)?;
    let mut everything = TcU32Selector::default();
    everything.flags = TcU32SelectorFlags::Terminal;
    everything.nkeys = 1;
    everything.keys = vec![TcU32Key::default()];
    message.attributes = vec![
        kind(TcFilterU32::KIND),
        TcAttribute::Options(vec![
            TcOption::U32(TcFilterU32Option::Selector(everything)),
            TcOption::U32(TcFilterU32Option::Action(vec![redirect(to)])),
        ]),
    ];
    netlink.change(RouteNetlinkMessage::NewTrafficFilter(message), ADD)
}

fn redirect(to: u32) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = to;
    let parameters = TcActionMirrorOption::Parms(mirror);
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(parameters)]),
    ];
    action
}

/// Removes the filter that redirects.
pub(crate) fn remove_redirect(netlink: &Netlink, from: u32) -> io::Result<()> {
    if find(netlink, from, TcHandle::INGRESS)?.is_none() {
        return Ok(());
    }
    let request = RouteNetlinkMessage::DelTrafficFilter(our_filter(from)?);
    match netlink.change(request, 0) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => Ok(()),
        result => result,
    }
}

/// Holds back what goes out on a link to so many bytes a second.
pub(crate) fn add_rate(netlink: &Netlink, link: u32, rate: u64, mtu: u32) -> io::Result<()> {
    let mut message = message(link)?;
    message.header.parent = TcHandle::ROOT;
    message.header.handle = RATE;
    message.attributes = vec![
        kind("tbf"),
        TcAttribute::Other(DefaultNla::new(OPTIONS, token_bucket(rate, mtu))),
    ];
    netlink.change(RouteNetlinkMessage::NewQueueDiscipline(message), ADD)
}

/// Removes our rate limit, after which the link has what the kernel gives it.
pub(crate) fn remove_rate(netlink: &Netlink, link: u32) -> io::Result<()> {
    let ours = |qdisc: &Qdisc| qdisc.kind == "tbf" && qdisc.handle == u32::from(RATE);
    if !find(netlink, link, TcHandle::ROOT)?.is_some_and(|qdisc| ours(&qdisc)) {
        return Ok(());
    }
    let mut message = message(link)?;
    message.header.parent = TcHandle::ROOT;
    message.header.handle = RATE;
    netlink.change(RouteNetlinkMessage::DelQueueDiscipline(message), 0)
}

/// `TCA_OPTIONS` (linux/rtnetlink.h).
const OPTIONS: u16 = 2;

/// The options of tc-tbf(8), as of linux/pkt_sched.h: ten milliseconds, but some packets at least,
/// may pass at once, and a tenth of a second may wait.
fn token_bucket(rate: u64, mtu: u32) -> Vec<u8> {
    const PARAMETERS: u16 = 1;
    const RATE_64: u16 = 4;
    const BURST: u16 = 6;
    let cut = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    let burst = cut(rate / 100)
        .max(2 * mtu.saturating_add(64))
        .max(16 << 10);
    let limit = burst.saturating_add(cut(rate / 10).max(128 << 10));
    // `tc_ratespec` with the link layer Ethernet, for which the kernel computes times itself.
    let mut parameters = vec![0, 1, 0, 0, 0, 0, 0, 0];
    parameters.extend(cut(rate).to_ne_bytes());
    // No peak rate.
    parameters.extend([0; 12]);
    parameters.extend(limit.to_ne_bytes());
    // Both are zero: the burst is told in bytes below.
    parameters.extend([0; 8]);
    let mut options = attribute(PARAMETERS, &parameters);
    options.extend(attribute(BURST, &burst.to_ne_bytes()));
    if rate > u64::from(u32::MAX) {
        options.extend(attribute(RATE_64, &rate.to_ne_bytes()));
    }
    options
}

/// An attribute of netlink(7), whose value has a multiple of four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_bucket_in_bytes() {
        let options = token_bucket(1_000_000, 1500);
        assert_eq!(options.len(), 40 + 8);
        let word = |at: usize| u32::from_ne_bytes(options[at..at + 4].try_into().unwrap());
        assert_eq!(word(4 + 8), 1_000_000);
        // 16 KiB at once, and a tenth of a second or 128 KiB in the queue.
        assert_eq!(word(44), 16 << 10);
        assert_eq!(word(4 + 24), (16 << 10) + (128 << 10));
    }

    #[test]
    fn a_fast_rate_has_more_than_32_bits() {
        let options = token_bucket(10_000_000_000, 9000);
        assert_eq!(options.len(), 40 + 8 + 12);
        assert_eq!(options[4 + 8..4 + 12], u32::MAX.to_ne_bytes());
        assert_eq!(options[52..60], 10_000_000_000_u64.to_ne_bytes());
    }
}
