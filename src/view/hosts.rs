//! Hosts as rows: whether they answer, what is reserved and used of them, what still fits; all of them as one total.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, PoolId, SiteName};
use crate::base::text;
use crate::model::host::{Duty, HostState, HostView, Need, Seen};
use crate::model::placement::LossRule;
use crate::model::site::MassLoss;
use crate::model::world::{SlotStatus, World};
use crate::view::pools::Used;
use crate::view::units::{self, Grade};
use crate::view::uses::Uses;

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    /// Which.
    pub id: HostId,
    /// Its site.
    pub site: Option<SiteName>,
    /// How it is reached, sanitised.
    pub address: String,
    /// Its state in one or two words, with its age where it does not answer.
    pub state: String,
    /// Why it does not, in one sentence.
    pub why: Option<String>,
    /// How it stands.
    pub grade: Grade,
    /// Containers of this install on record there.
    pub ours: u32,
    /// All containers, as last listed.
    pub total: u32,
    /// What our containers have reserved.
    pub reserved: Need,
    /// What it has; zero is unknown.
    pub capacity: Need,
    /// Measured use of the sampled containers.
    pub used: Used,
    /// Its class, sanitised.
    pub class: String,
    /// Engine version, sanitised.
    pub version: String,
}

impl HostRow {
    /// What is not reserved of it.
    pub fn rest(&self) -> Need {
        rest(&self.capacity, &self.reserved)
    }
}

/// A site of which every host is lost: one line instead of one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct LostSite {
    /// Which.
    pub name: SiteName,
    /// Its hosts.
    pub hosts: u32,
    /// Containers of ours on record there.
    pub containers: u32,
    /// Since when.
    pub since: Millis,
}

impl LostSite {
    /// All of it in one sentence.
    pub fn sentence(&self, now: Millis) -> String {
        format!(
            "site {}: all {} lost {}, {} there",
            self.name,
            text::count(u64::from(self.hosts), "host"),
            units::ago(now.since(self.since)),
            text::count(u64::from(self.containers), "container")
        )
    }
}

/// A line of the view.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A host.
    Host(HostRow),
    /// A site that is lost as a whole.
    Site(LostSite),
}

/// How hosts are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What needs a person first, then by name.
    #[default]
    Problems,
    /// By name.
    Name,
    /// The largest reserved share first.
    Fullest,
}

impl Order {
    /// The order after this one, and its name.
    pub fn next(self) -> (Order, &'static str) {
        match self {
            Order::Problems => (Order::Name, "by name"),
            Order::Name => (Order::Fullest, "fullest first"),
            Order::Fullest => (Order::Problems, "problems first"),
        }
    }
}

/// The lines of the view. A site that is lost as a whole is one line unless it is in `unfolded`.
pub fn items(
    world: &World,
    now: Millis,
    uses: &Uses,
    order: Order,
    unfolded: &BTreeSet<SiteName>,
) -> Vec<Item> {
    let mut sites: BTreeMap<SiteName, LostSite> = BTreeMap::new();
    for (name, site) in world.sites.iter().filter(|(_, s)| s.hosts > 1) {
        if let Some(since) = site.lost {
            let row = LostSite { name: name.clone(), hosts: site.hosts, containers: 0, since };
            sites.insert(name.clone(), row);
        }
    }
    let mut rows = Vec::with_capacity(world.hosts.len());
    for host in world.hosts.values() {
        let lost = host.record.site.as_ref().and_then(|s| sites.get_mut(s));
        let folded = lost.as_ref().is_some_and(|s| !unfolded.contains(&s.name));
        if let Some(site) = lost {
            site.containers += host.taken.containers;
        }
        if !folded {
            rows.push(row(host, now, uses.of(&host.config.id)));
        }
    }
    sort(&mut rows, order);
    let sites = sites.into_values().map(Item::Site);
    sites.chain(rows.into_iter().map(Item::Host)).collect()
}

fn sort(rows: &mut [HostRow], order: Order) {
    match order {
        Order::Name => {}
        Order::Problems => rows.sort_by_key(|r| {
            let problem = r.grade.is_problem();
            (!problem, Reverse(problem.then_some(r.grade)))
        }),
        Order::Fullest => rows.sort_by_key(|r| Reverse(share(&r.reserved, &r.capacity))),
    }
}

/// The larger of the CPU and the memory share, in thousandths.
pub fn share(part: &Need, of: &Need) -> u64 {
    let one = |part: u64, of: u64| part.saturating_mul(1000).checked_div(of).unwrap_or(0);
    one(part.cpu_milli, of.cpu_milli).max(one(part.memory, of.memory))
}

/// What is left of `all`.
fn rest(all: &Need, taken: &Need) -> Need {
    Need {
        cpu_milli: all.cpu_milli.saturating_sub(taken.cpu_milli),
        memory: all.memory.saturating_sub(taken.memory),
        pids: all.pids.saturating_sub(taken.pids),
        disk: all.disk.saturating_sub(taken.disk),
        bandwidth: all.bandwidth.saturating_sub(taken.bandwidth),
    }
}

fn row(host: &HostView, now: Millis, used: Used) -> HostRow {
    let (grade, state, why) = stands(host, now);
    HostRow {
        id: host.config.id.clone(),
        site: host.record.site.clone(),
        address: text::safe(&host.config.address).into_owned(),
        state,
        why,
        grade,
        ours: host.taken.containers,
        total: u32::try_from(host.containers.len()).unwrap_or(u32::MAX),
        reserved: host.taken.need,
        capacity: host.capacity(),
        used,
        class: host.class().map_or_else(|| "-".to_owned(), |c| text::safe(&c).into_owned()),
        version: host.facts.version.safe().into_owned(),
    }
}

/// How a host stands: grade, its state in words, and the reason.
pub fn stands(host: &HostView, now: Millis) -> (Grade, String, Option<String>) {
    let state = host.state_at(now);
    let (seen, aged, why) = seen(&host.seen, now);
    if why.is_some() {
        return (seen, aged, why);
    }
    let (grade, why) = match (state, &host.record.duty) {
        (HostState::Joining | HostState::Draining, _) => (Grade::Busy, None),
        (HostState::Cordoned, Duty::Cordoned { by, at }) | (HostState::Drained, Duty::Drained { by, at }) => {
            let since = units::ago(now.since(*at));
            (Grade::Off, Some(format!("by {}, {since}: takes no new containers", text::safe(by))))
        }
        _ => (Grade::Ok, None),
    };
    (grade, state.word().to_owned(), why)
}

/// How much a host's view can be trusted: grade, a word, and the reason.
pub fn seen(seen: &Seen, now: Millis) -> (Grade, String, Option<String>) {
    match seen {
        Seen::Never { why: None } => (Grade::Busy, "joining".to_owned(), None),
        Seen::Never { why: Some(why) } => {
            (Grade::Bad, "never seen".to_owned(), Some(text::safe(why).into_owned()))
        }
        Seen::At(_) => (Grade::Ok, "ok".to_owned(), None),
        Seen::Lost { last, why, .. } => {
            let silent = now.since(*last);
            let word = if silent >= crate::model::host::LOST_AFTER_MS { "lost" } else { "silent" };
            (Grade::Lost, format!("{word} {}", units::age(silent)), Some(text::safe(why).into_owned()))
        }
    }
}

/// All hosts as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Total {
    /// How many are in each state.
    pub states: BTreeMap<HostState, u32>,
    /// What those that are not lost have.
    pub capacity: Need,
    /// What is reserved of it.
    pub reserved: Need,
    /// What is used of it, as far as it is measured.
    pub used: Used,
    /// The largest container that still fits on one ready host, and which host that is.
    pub largest: Option<(HostId, Need)>,
}

/// Adds all hosts up.
pub fn total(world: &World, now: Millis, uses: &Uses) -> Total {
    let mut t = Total::default();
    for host in world.hosts.values() {
        let state = host.state_at(now);
        *t.states.entry(state).or_default() += 1;
        if state == HostState::Lost {
            continue;
        }
        let (all, taken, used) = (host.capacity(), host.taken.need, uses.of(&host.config.id));
        t.capacity.cpu_milli += all.cpu_milli;
        t.capacity.memory += all.memory;
        t.reserved.cpu_milli += taken.cpu_milli;
        t.reserved.memory += taken.memory;
        t.used.cpu_milli += used.cpu_milli;
        t.used.memory += used.memory;
        t.used.measured += used.measured;
    }
    t.largest = largest(world, now, &t.capacity);
    t
}

/// The largest container that still fits on one ready host: that with the most of what is scarcer there, CPU and memory
/// weighed as the whole fleet has them.
fn largest(world: &World, now: Millis, fleet: &Need) -> Option<(HostId, Need)> {
    let ready = world.hosts.values().filter(|h| h.state_at(now) == HostState::Ready);
    let rests = ready.map(|h| (h, rest(&h.capacity(), &h.taken.need)));
    let size = |r: &Need| {
        // Products instead of quotients: no rounding, and no division by what is not known.
        let cpu = u128::from(r.cpu_milli) * u128::from(fleet.memory);
        let memory = u128::from(r.memory) * u128::from(fleet.cpu_milli);
        (cpu.min(memory), cpu.max(memory))
    };
    let best =
        rests.max_by(|(a, x), (b, y)| size(x).cmp(&size(y)).then_with(|| b.config.id.cmp(&a.config.id)))?;
    (best.1.cpu_milli > 0 && best.1.memory > 0).then(|| (best.0.config.id.clone(), best.1))
}

impl Total {
    /// Two lines for the head of the view, for so many columns.
    pub fn lines(&self, columns: usize) -> [String; 2] {
        let used =
            |used: String| if self.used.measured > 0 { format!(", {used} used") } else { String::new() };
        let (capacity, reserved) = (&self.capacity, &self.reserved);
        let cpu = format!(
            "CPU {} of {} cores reserved ({})",
            units::cores(reserved.cpu_milli),
            capacity.cpu_milli / 1000,
            units::percent(reserved.cpu_milli, capacity.cpu_milli)
        );
        let memory = format!(
            "memory {} of {} ({})",
            text::bytes(reserved.memory),
            text::bytes(capacity.memory),
            units::percent(reserved.memory, capacity.memory)
        );
        let long = format!(
            "{cpu}{} · {memory}{}",
            used(units::cores(self.used.cpu_milli)),
            used(units::memory(self.used.memory))
        );
        let first = [long, format!("{cpu} · {memory}")].into_iter().find(|l| text::width(l) <= columns);
        let first = first.unwrap_or_else(|| {
            format!(
                "reserved {}/{} cores, {}/{} memory",
                units::cores(reserved.cpu_milli),
                capacity.cpu_milli / 1000,
                text::bytes(reserved.memory),
                text::bytes(capacity.memory)
            )
        });
        let states: Vec<String> =
            self.states.iter().map(|(state, n)| format!("{n} {}", state.word())).collect();
        let fits = |what: &str| {
            let fits = self.largest.as_ref();
            fits.map(|(host, need)| {
                format!(
                    "{what}: {} cores {} on {host}",
                    units::cores(need.cpu_milli),
                    text::bytes(need.memory)
                )
            })
        };
        let long: Vec<String> =
            states.iter().cloned().chain(fits("largest container that still fits")).collect();
        let second = match long.join(" · ") {
            long if text::width(&long) <= columns => long,
            // What does not stand elsewhere on the screen comes first where not all of it has room.
            _ => fits("still fits").into_iter().chain(states).collect::<Vec<_>>().join(" · "),
        };
        [first, second]
    }
}

/// What a host holds of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The pool.
    pub pool: PoolId,
    /// How many.
    pub count: u32,
    /// Its rule ties them to the host: they move only by force.
    pub tied: bool,
}

/// What a host holds of each pool of ours. Looks at every slot: for a question, not for a frame.
pub fn held(world: &World, host: &HostId) -> Vec<Held> {
    let on = |view: &crate::model::world::PoolView| {
        let here = view.slots.iter().filter(|s| {
            s.host.as_ref() == Some(host) && !matches!(s.status, SlotStatus::Stopping | SlotStatus::Finished)
        });
        let count = u32::try_from(here.count()).unwrap_or(u32::MAX);
        let tied = matches!(view.pool.spec.loss_rule(), LossRule::Wait | LossRule::Never);
        (count > 0).then(|| Held { pool: view.pool.id.clone(), count, tied })
    };
    world.pools.values().filter_map(|view| on(view)).collect()
}

/// The question that very many lost hosts put, in one sentence with its answer: the key, and unless it must be `short` the
/// command line.
pub fn mass_loss(loss: &MassLoss, short: bool) -> String {
    let sites: Vec<&str> = loss.sites.iter().map(SiteName::as_str).take(3).collect();
    let more = loss.sites.len().saturating_sub(sites.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let of = match sites.len() {
        0 => String::new(),
        1 => format!(" (site {})", sites[0]),
        _ => format!(" (sites {}{more})", sites.join(", ")),
    };
    let target = sites.first().map_or_else(|| "HOST".to_owned(), |s| format!("--site {s}"));
    let command = if short { String::new() } else { format!(", or longshore hosts give-up {target}") };
    format!(
        "{} of {} hosts vanished together{of}: {} NOT replaced until you say so: R in the hosts view{command}",
        loss.lost,
        loss.of,
        match loss.containers {
            1 => "1 container is".to_owned(),
            n => format!("{n} containers are"),
        }
    )
}

#[cfg(test)]
mod tests;
