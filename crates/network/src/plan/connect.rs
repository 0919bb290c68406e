//! How one interface is connected: its model, and the changes in their order.

use virtcontainers_types::MacAddress;

use super::select::Chosen;
use super::{Connection, Endpoint, EndpointKind, physical};
use crate::effect::{Effect, LinkRef, StaticNeighbor};
use crate::view::Qdisc;
use crate::{Config, Error, ErrorKind, Model, View};

/// The parents of queueing disciplines (linux/pkt_sched.h): `TC_H_ROOT`, `TC_H_INGRESS`.
const ROOT: u32 = 0xffff_ffff;
const INGRESS: u32 = 0xffff_fff1;
/// `NUD_PERMANENT` (linux/neighbour.h).
const PERMANENT: u16 = 0x80;

/// Plans one interface of all that are chosen.
pub(super) fn connect(
    view: &View,
    config: &Config,
    chosen: &Chosen<'_>,
    all: &[Chosen<'_>],
    notes: &mut Vec<String>,
) -> Result<Endpoint, Error> {
    let mut work = Work::new(view, config, chosen);
    let connection = match chosen.kind {
        EndpointKind::Physical => work.physical(all, notes)?,
        EndpointKind::VhostUser => work.vhost_user(),
        EndpointKind::MacVtap => work.opened(),
        kind => match work.model(kind, notes) {
            Model::MacVtap => work.macvtap(),
            Model::Bridged => work.bridged(),
            Model::TcFilter | Model::None => work.tcfilter(notes),
        },
    };
    work.shape(&connection)?;
    Ok(Endpoint {
        index: chosen.link.index,
        name: chosen.link.name.clone(),
        kind: chosen.kind,
        mac: chosen.mac,
        mtu: chosen.link.mtu,
        queues: config.queues.get(),
        vhost: config.vhost && connection.is_ours(),
        connection,
        effects: work.effects,
    })
}

/// The changes for one interface as they come together.
struct Work<'a> {
    view: &'a View,
    config: &'a Config,
    chosen: &'a Chosen<'a>,
    interface: LinkRef,
    effects: Vec<Effect>,
}

impl<'a> Work<'a> {
    fn new(view: &'a View, config: &'a Config, chosen: &'a Chosen<'a>) -> Self {
        let interface = LinkRef {
            name: chosen.link.name.clone(),
            index: Some(chosen.link.index),
        };
        let mut effects = Vec::new();
        if !chosen.link.up {
            let link = interface.clone();
            effects.push(Effect::Up { link });
        }
        Self {
            view,
            config,
            chosen,
            interface,
            effects,
        }
    }

    fn model(&self, kind: EndpointKind, notes: &mut Vec<String>) -> Model {
        let model = self.config.model;
        if model == Model::TcFilter || kind.takes_every_model() {
            return model;
        }
        notes.push(format!(
            "the interface {} is connected by traffic filters, since it is {kind}",
            self.chosen.link.name
        ));
        Model::TcFilter
    }

    fn name(&self, prefix: &str) -> String {
        format!("{prefix}{}_vc", self.chosen.link.index)
    }

    fn tap(&mut self) -> LinkRef {
        let name = self.name("tap");
        self.effects.push(Effect::Tap {
            name: name.clone(),
            mtu: self.chosen.link.mtu,
            queues: self.config.queues.get(),
        });
        LinkRef::made(&name)
    }

    fn tcfilter(&mut self, notes: &mut Vec<String>) -> Connection {
        let tap = self.tap();
        let interface = self.interface.clone();
        let others = self.qdiscs(INGRESS).next();
        match others {
            Some(qdisc) => notes.push(format!(
                "the interface {} has filters of somebody else ({}), which see what comes in first",
                interface.name, qdisc.kind
            )),
            None => {
                self.queued();
                self.effects.push(Effect::Ingress {
                    link: interface.clone(),
                });
            }
        }
        self.effects.extend([
            Effect::Ingress { link: tap.clone() },
            Effect::Redirect {
                from: tap.clone(),
                to: interface.clone(),
            },
            Effect::Redirect {
                from: interface,
                to: tap.clone(),
            },
        ]);
        Connection::Tap { name: tap.name }
    }

    fn macvtap(&mut self) -> Connection {
        let name = self.name("mvt");
        self.effects.push(Effect::MacVtap {
            name: name.clone(),
            on: self.interface.clone(),
        });
        Connection::MacVtap { name }
    }

    fn bridged(&mut self) -> Connection {
        let bridge = self.name("br");
        let mtu = self.chosen.link.mtu;
        self.effects.push(Effect::Bridge {
            name: bridge.clone(),
            mtu,
        });
        let tap = self.tap();
        let ports = [self.interface.clone(), tap.clone()];
        // A bridge keeps for the host what is for a port's own address, and the guest has this one.
        self.effects.push(Effect::Mac {
            link: self.interface.clone(),
            from: self.chosen.mac,
            to: another(self.chosen.mac),
            neighbors: self.neighbors(),
        });
        self.effects.extend(ports.map(|link| Effect::Port {
            link,
            bridge: bridge.clone(),
        }));
        Connection::Tap { name: tap.name }
    }

    /// A macvtap that is there only has to be opened.
    fn opened(&self) -> Connection {
        Connection::MacVtap {
            name: self.chosen.link.name.clone(),
        }
    }

    /// The guest takes it up itself.
    fn physical(
        &mut self,
        all: &[Chosen<'_>],
        notes: &mut Vec<String>,
    ) -> Result<Connection, Error> {
        let (connection, effects) = physical::connect(self.view, self.chosen, all, notes)?;
        self.effects = effects;
        Ok(connection)
    }

    fn vhost_user(&mut self) -> Connection {
        self.effects.clear();
        let socket = self.config.vhost_user.get(&self.chosen.link.name);
        Connection::VhostUser {
            socket: socket.cloned().unwrap_or_default(),
        }
    }

    fn shape(&mut self, connection: &Connection) -> Result<(), Error> {
        let name = &self.chosen.link.name;
        let refuse = |kind, why: &str| {
            let message = format!("cannot limit the rate of the interface {name}: {why}");
            Err(Error::new(kind, message))
        };
        let limit = self.config.limit_of(name);
        if limit.inbound == Some(0) || limit.outbound == Some(0) {
            return refuse(
                ErrorKind::Invalid,
                "nothing would pass; leave the limit out",
            );
        }
        let mtu = self.chosen.link.mtu;
        match (connection, limit.inbound, limit.outbound) {
            (_, None, None) => return Ok(()),
            (Connection::Vfio { .. } | Connection::VhostUser { .. }, _, _) => {
                return refuse(
                    ErrorKind::Unsupported,
                    "its frames do not pass this host's kernel",
                );
            }
            (Connection::MacVtap { .. }, Some(_), _) => {
                let why = "what comes in through a macvtap passes no queue; use tcfilter";
                return refuse(ErrorKind::Unsupported, why);
            }
            (Connection::Tap { name }, Some(rate), _) => {
                let link = LinkRef::made(name);
                self.effects.push(Effect::Shape { link, rate, mtu });
            }
            (Connection::MacVtap { .. }, None, _) | (Connection::Tap { .. }, None, _) => {}
        }
        if let Some(rate) = limit.outbound {
            if let Some(other) = self.qdiscs(ROOT).find(|qdisc| qdisc.handle != 0) {
                let why = format!("somebody else limits it already ({})", other.kind);
                return refuse(ErrorKind::Unsupported, &why);
            }
            self.queued();
            let link = self.interface.clone();
            self.effects.push(Effect::Shape { link, rate, mtu });
        }
        Ok(())
    }

    /// Before the interface's first queueing discipline: the kernel gives it a queue then when it has
    /// none (`qdisc_create` in net/sched/sch_api.c), and does not take it back.
    fn queued(&mut self) {
        let link = self.interface.clone();
        let queue = Effect::Queue { link };
        if self.chosen.link.tx_queue == Some(0) && !self.effects.contains(&queue) {
            self.effects.push(queue);
        }
    }

    fn qdiscs(&self, parent: u32) -> impl Iterator<Item = &'a Qdisc> {
        let index = self.chosen.link.index;
        let all = self.view.qdiscs.iter();
        all.filter(move |qdisc| qdisc.link == index && qdisc.parent == parent)
    }

    fn neighbors(&self) -> Vec<StaticNeighbor> {
        let index = self.chosen.link.index;
        let all = self.view.neighbors.iter();
        all.filter(|one| one.link == index && one.state & PERMANENT != 0)
            .filter_map(|one| {
                Some(StaticNeighbor {
                    address: one.address,
                    mac: one.mac?,
                    flags: one.flags,
                })
            })
            .collect()
    }
}

/// A hardware address that nobody else gave, and always the same for the same one: locally
/// administered, unicast.
pub(super) fn another(mac: MacAddress) -> MacAddress {
    let [first, rest @ ..] = mac.0;
    let [b, c, d, e, f] = rest.map(|byte| !byte);
    MacAddress([(!first | 0x02) & 0xfe, b, c, d, e, f])
}
