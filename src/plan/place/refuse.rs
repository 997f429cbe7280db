//! The filters: what refuses a container on a host, in numbers and in words.
//!
//! They are Swarm's (ready, resources, constraints, platform, host ports, most per host) with Nomad's rule that all that
//! fails is said and not the first only, and ours: cluster, sites, classes, image policy, pools apart, a site's limit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::base::text;
use crate::model::explain::{Filter, Refused};
use crate::model::holdings::Has;
use crate::model::host::{Duty, HostView, Need, Seen};
use crate::plan::place::Ask;
use crate::plan::place::books::{Books, Class, Node, is_untried};
use crate::plan::place::constraint::{arch_word, os_word, value};
use crate::plan::place::terms::Terms;

/// The reason of a host whose engine has not said yet who it is.
pub(super) const NOT_YET: &str = "has not answered yet";

/// The reason of a host that has not been asked yet for what others have made there.
pub(super) const NOT_ASKED: &str = "has not said yet which networks and volumes it has";

/// One reason; numbers that differ from host to host are `u64`, so that hosts can be grouped without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    NotYet,
    Unreachable,
    Cordoned,
    Draining,
    Drained,
    Cluster,
    Pinned,
    MovesAway,
    Asked,
    Site,
    Platform,
    /// The constraint's place in the list.
    Constraint(usize),
    ImageBanned,
    ImageNotAllowed,
    ImageAbsent,
    /// The place in the list of what others must have made there.
    Lacks(usize),
    /// The same of what the host was not asked for yet, …
    NotAsked(usize),
    /// … or did not tell.
    NotTold(usize),
    Class,
    Cpu(u64),
    Memory(u64),
    Pids(u64),
    Disk(u64),
    Bandwidth(u64),
    /// The port's place in the list.
    Port(usize),
    MaxPerHost(u64),
    /// The pool's place in the list.
    Apart(usize),
    SiteLimit(u32),
}

type Sink<'s> = &'s mut dyn FnMut(Why) -> ControlFlow<()>;

/// What is equal for all hosts of a class: cluster, site, platform, constraints, image policy, what others have made, class.
fn of_class(books: &Books, terms: &Terms, host: &HostView, sink: Sink<'_>) -> ControlFlow<()> {
    for (at, test) in terms.tests.iter().enumerate() {
        if !test.is_of_one_host() && !test.holds(host) {
            sink(Why::Constraint(at))?;
        }
    }
    but_constraints(books, terms, host, sink)
}

/// A ready host that would perhaps take the pool, once it has been asked what others have made there: those that were asked
/// first must not get everything.
pub(super) fn to_be_asked(books: &Books, terms: &Terms) -> Option<u32> {
    if terms.externals.is_empty() || books.banned.contains_key(&terms.image) {
        return None;
    }
    let mut ready = books.classes.iter().filter_map(|class| Some((class, class.ready.first()?.2)));
    let waits = |class: &Class| {
        let mut waits = false;
        let others = of_class(books, terms, &class.sample, &mut |why| match why {
            Why::NotAsked(_) => {
                waits = true;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        });
        waits && others.is_continue()
    };
    ready.find(|(class, _)| waits(class)).map(|(_, host)| host)
}

/// The classes that have hosts and that nothing refuses which their hosts share.
pub(super) fn open_classes(books: &Books, terms: &Terms) -> Vec<bool> {
    let is_banned = books.banned.contains_key(&terms.image);
    let mut open: Vec<bool> = books.classes.iter().map(|class| class.hosts > 0 && !is_banned).collect();
    for test in terms.tests.iter().filter(|test| !test.is_of_one_host()) {
        let Some(column) = books.column(&test.constraint.attribute) else { continue };
        let verdicts = column.verdicts(test);
        for (open, at) in open.iter_mut().zip(&column.of_class) {
            *open &= verdicts[*at as usize];
        }
    }
    let limited = books.sites.values().any(|site| !site.limits.images.is_empty());
    let asks = !terms.placement.sites.is_empty()
        || terms.platform.is_some()
        || terms.class.is_some()
        || !terms.externals.is_empty();
    for (open, class) in open.iter_mut().zip(&books.classes) {
        *open &= class.cluster.as_ref().is_none_or(|cluster| *cluster == terms.id.cluster);
        if *open && (limited || asks) {
            let check = but_constraints(books, terms, &class.sample, &mut |_| ControlFlow::Break(()));
            *open = check.is_continue();
        }
    }
    open
}

fn but_constraints(books: &Books, terms: &Terms, host: &HostView, sink: Sink<'_>) -> ControlFlow<()> {
    let (placement, record) = (&terms.placement, &host.record);
    if record.cluster.as_ref().is_some_and(|c| *c != terms.id.cluster) {
        sink(Why::Cluster)?;
    }
    if !placement.sites.is_empty() && record.site.as_ref().is_none_or(|s| !placement.sites.contains(s)) {
        sink(Why::Site)?;
    }
    if let Some((os, arch)) = &terms.platform {
        let other_os = !host.facts.os.raw().is_empty() && os_word(host.facts.os.raw()) != os;
        let have = host.facts.arch.raw();
        let other_arch = !have.is_empty() && arch.as_ref().is_some_and(|a| *a != arch_word(have));
        if other_os || other_arch {
            sink(Why::Platform)?;
        }
    }
    if let Some(site) = record.site.as_ref().and_then(|s| books.sites.get(s)) {
        let patterns = &site.limits.images;
        if !patterns.is_empty() && !patterns.iter().any(|p| like(p, &terms.image)) {
            sink(Why::ImageNotAllowed)?;
        }
    }
    for (at, external) in terms.externals.iter().enumerate() {
        match host.holdings.has(external) {
            Has::Yes => {}
            Has::No => sink(Why::Lacks(at))?,
            Has::NotAsked => sink(Why::NotAsked(at))?,
            Has::NotTold(_) => sink(Why::NotTold(at))?,
        }
    }
    if terms.class.is_some() && host.class() != terms.class {
        sink(Why::Class)?;
    }
    ControlFlow::Continue(())
}

/// What differs from host to host: capacity, ports, other containers, its name.
pub(super) fn of_host(books: &Books, terms: &Terms, ix: u32, sink: Sink<'_>) -> ControlFlow<()> {
    let node = books.node(ix);
    let Some(view) = &node.view else { return sink(Why::NotYet) };
    if !terms.hosts.is_empty() && !terms.hosts.contains(&node.id) {
        sink(Why::Pinned)?;
    }
    for (at, test) in terms.tests.iter().enumerate() {
        if test.is_of_one_host() && !test.holds(view) {
            sink(Why::Constraint(at))?;
        }
    }
    let absent = |view: &HostView| view.images.as_ref().is_some_and(|i| !i.contains_key(&terms.image));
    if terms.placement.image_must_be_there && absent(view) {
        sink(Why::ImageAbsent)?;
    }
    resources(node, &terms.shape.need, sink)?;
    for (at, port) in terms.shape.ports.iter().enumerate() {
        if node.port_taken(port) {
            sink(Why::Port(at))?;
        }
    }
    if let Some(most) = terms.placement.max_per_host {
        let there = books.of_pool(terms.pool, ix);
        if there >= most {
            sink(Why::MaxPerHost(u64::from(there)))?;
        }
    }
    for (at, pool) in terms.apart.iter().enumerate() {
        if books.of_pool(*pool, ix) > 0 {
            sink(Why::Apart(at))?;
        }
    }
    ControlFlow::Continue(())
}

fn resources(node: &Node, need: &Need, sink: Sink<'_>) -> ControlFlow<()> {
    let (cap, taken) = (&node.cap, &node.taken.need);
    let kinds: [(fn(u64) -> Why, u64, u64, u64); 5] = [
        (Why::Cpu, need.cpu_milli, cap.cpu_milli, taken.cpu_milli),
        (Why::Memory, need.memory, cap.memory, taken.memory),
        (Why::Pids, need.pids, cap.pids, taken.pids),
        (Why::Disk, need.disk, cap.disk, taken.disk),
        (Why::Bandwidth, need.bandwidth, cap.bandwidth, taken.bandwidth),
    ];
    for (why, need, cap, taken) in kinds {
        if need > 0 && cap > 0 && taken.saturating_add(need) > cap {
            sink(why(cap.saturating_sub(taken)))?;
        }
    }
    ControlFlow::Continue(())
}

/// What refuses every container of ours, or this ask only.
pub(super) fn of_ask(view: &HostView, ask: &Ask<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    match &view.seen {
        _ if is_untried(view) => sink(Why::NotYet)?,
        Seen::At(_) => {}
        Seen::Never { .. } | Seen::Lost { .. } => sink(Why::Unreachable)?,
    }
    match &view.record.duty {
        Duty::Active => {}
        Duty::Cordoned { .. } => sink(Why::Cordoned)?,
        Duty::Draining { .. } => sink(Why::Draining)?,
        Duty::Drained { .. } => sink(Why::Drained)?,
    }
    if ask.not_on == Some(&view.config.id) {
        sink(Why::MovesAway)?;
    }
    if ask.only.is_some_and(|only| *only != view.config.id) {
        sink(Why::Asked)?;
    }
    ControlFlow::Continue(())
}

/// All that refuses a host, in the order of the filters, or only the first.
pub(super) fn reasons(books: &Books, terms: &Terms, ask: &Ask<'_>, ix: u32, first: bool) -> Vec<Why> {
    let mut out = Vec::new();
    let Some(view) = &books.node(ix).view else { return vec![Why::NotYet] };
    let mut sink = |why| {
        out.push(why);
        if first { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut all = || {
        of_ask(view, ask, &mut sink)?;
        if books.banned.contains_key(&terms.image) {
            sink(Why::ImageBanned)?;
        }
        of_class(books, terms, view, &mut sink)?;
        of_host(books, terms, ix, &mut sink)?;
        match books.site_full(books.class(books.node(ix).class).site) {
            Some(limit) => sink(Why::SiteLimit(limit)),
            None => ControlFlow::Continue(()),
        }
    };
    let _ = all();
    out.sort_by_key(|why| why.filter());
    out
}

/// True when nothing of a host itself refuses it; its class has been looked at before.
pub(super) fn fits(books: &Books, terms: &Terms, ix: u32) -> bool {
    of_host(books, terms, ix, &mut |_| ControlFlow::Break(())).is_continue()
}

/// Whether a pattern with `*` (any text) means a text.
fn like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or("");
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

fn cores(milli: u64) -> String {
    format!("{}", milli as f64 / 1000.0)
}

impl Why {
    pub fn filter(self) -> Filter {
        match self {
            Why::NotYet | Why::Unreachable | Why::Cordoned | Why::Draining | Why::Drained => Filter::Ready,
            Why::Cluster | Why::Pinned | Why::MovesAway | Why::Asked => Filter::Pinned,
            Why::Site => Filter::Site,
            Why::Platform => Filter::Platform,
            Why::Constraint(_) => Filter::Constraint,
            Why::ImageBanned | Why::ImageNotAllowed | Why::ImageAbsent => Filter::Image,
            Why::Lacks(_) | Why::NotAsked(_) | Why::NotTold(_) => Filter::External,
            Why::Class => Filter::Class,
            Why::Cpu(_) => Filter::Cpu,
            Why::Memory(_) => Filter::Memory,
            Why::Pids(_) => Filter::Pids,
            Why::Disk(_) => Filter::Disk,
            Why::Bandwidth(_) => Filter::Bandwidth,
            Why::Port(_) => Filter::Port,
            Why::MaxPerHost(_) => Filter::MaxPerHost,
            Why::Apart(_) => Filter::Apart,
            Why::SiteLimit(_) => Filter::SiteLimit,
        }
    }

    /// Without what differs from host to host.
    fn grouped(self) -> Why {
        match self {
            Why::Cpu(_) => Why::Cpu(0),
            Why::Memory(_) => Why::Memory(0),
            Why::Pids(_) => Why::Pids(0),
            Why::Disk(_) => Why::Disk(0),
            Why::Bandwidth(_) => Why::Bandwidth(0),
            Why::MaxPerHost(_) => Why::MaxPerHost(0),
            other => other,
        }
    }

    /// The reason of many hosts together.
    fn of_many(self, books: &Books, terms: &Terms, ask: &Ask<'_>, sample: &HostView) -> String {
        let need = &terms.shape.need;
        match self {
            Why::Unreachable => "not reachable".into(),
            Why::Cordoned => "cordoned".into(),
            Why::Draining => "being drained".into(),
            Why::Drained => "drained".into(),
            Why::Cluster => "of other clusters".into(),
            Why::Site => "not at its sites".into(),
            Why::Platform => format!("not {}", terms.placement.platform.as_deref().unwrap_or_default()),
            Why::Constraint(at) => format!("not {}", terms.tests[at].constraint),
            Why::Lacks(at) => {
                let external = &terms.externals[at];
                let (sort, name) = (external.sort.word(), text::safe(&external.name));
                format!("have no {sort} {name:?}: docker {sort} create {name}")
            }
            Why::Class => format!("not of class {}", terms.class.as_deref().unwrap_or_default()),
            Why::Cpu(_) => format!("cpu: {} needed", cores(need.cpu_milli)),
            Why::Memory(_) => format!("memory: {} needed", text::bytes(need.memory)),
            Why::Pids(_) => format!("processes: {} needed", need.pids),
            Why::Disk(_) => format!("disk: {} needed", text::bytes(need.disk)),
            Why::Bandwidth(_) => format!("bandwidth: {} bit/s needed", need.bandwidth),
            Why::MaxPerHost(_) => {
                format!("hold {} of it, the most", terms.placement.max_per_host.unwrap_or(0))
            }
            other => other.of_one(books, terms, ask, sample),
        }
    }

    /// The reason of one host, with its numbers.
    pub fn of_one(self, books: &Books, terms: &Terms, ask: &Ask<'_>, view: &HostView) -> String {
        let record = &view.record;
        let short = |left: u64, unit: fn(u64) -> String| {
            let many = self.of_many(books, terms, ask, view);
            format!("{many}, {} not reserved", unit(left))
        };
        match self {
            Why::NotYet => NOT_YET.into(),
            Why::Unreachable => match &view.seen {
                Seen::Never { why: Some(why) } | Seen::Lost { why, .. } => format!("is not reachable: {why}"),
                _ => "is not reachable".into(),
            },
            Why::Cordoned | Why::Draining | Why::Drained => match &record.duty {
                Duty::Cordoned { by, .. } => format!("is cordoned by {by}"),
                Duty::Draining { by, .. } => format!("is being drained by {by}"),
                Duty::Drained { by, .. } => format!("was drained by {by}"),
                Duty::Active => "takes containers".into(),
            },
            Why::Cluster => match &record.cluster {
                Some(cluster) => format!("takes pools of cluster {cluster} only"),
                None => "takes pools of another cluster only".into(),
            },
            Why::Pinned => "the pool is pinned to other hosts".into(),
            Why::MovesAway => "it moves away from there".into(),
            Why::Asked => "it is asked for another host".into(),
            Why::Site => match &record.site {
                Some(site) => format!("is at site {site}, which is not one of the pool's"),
                None => "belongs to no site, and the pool asks for some".into(),
            },
            Why::Platform => {
                let want = terms.placement.platform.as_deref().unwrap_or_default();
                let arch = text::safe(view.facts.arch.raw()).into_owned();
                format!("is {}/{}, the image is for {want}", os_word(view.facts.os.raw()), arch_word(&arch))
            }
            Why::Constraint(at) => {
                let constraint = &terms.tests[at].constraint;
                match value(&constraint.attribute, view) {
                    Some(have) => format!("{constraint} does not hold: it is {}", text::safe(&have)),
                    None => format!("{constraint} does not hold: it has none"),
                }
            }
            Why::ImageBanned | Why::ImageNotAllowed | Why::ImageAbsent => self.of_image(books, terms, view),
            Why::Lacks(_) | Why::NotAsked(_) | Why::NotTold(_) => self.of_external(terms, view),
            Why::Class => format!("is not of class {}", terms.class.as_deref().unwrap_or_default()),
            Why::Cpu(left) => short(left, cores),
            Why::Memory(left) | Why::Disk(left) => short(left, text::bytes),
            Why::Pids(left) => short(left, |n| n.to_string()),
            Why::Bandwidth(left) => short(left, |n| format!("{n} bit/s")),
            Why::Port(at) => {
                let (protocol, port) = &terms.shape.ports[at];
                format!("port {port}/{protocol} is taken there by one of our containers")
            }
            Why::MaxPerHost(there) => {
                let most = terms.placement.max_per_host.unwrap_or(0);
                format!("holds {there} of the pool, at most {most} are allowed")
            }
            Why::Apart(at) => format!("holds {}, which must stay apart", name_of(books, terms, at)),
            Why::SiteLimit(limit) => format!(
                "site {} holds {limit} containers, its limit",
                record.site.as_ref().map_or("", |s| s.as_str())
            ),
        }
    }

    /// The reason that lies in the image.
    fn of_image(self, books: &Books, terms: &Terms, view: &HostView) -> String {
        match self {
            Why::ImageBanned => {
                let why = books.banned.get(&terms.image).map_or("", String::as_str);
                format!("the rules for images do not let {} run: {why}", terms.image)
            }
            Why::ImageNotAllowed => format!(
                "site {} does not allow the image {}",
                view.record.site.as_ref().map_or("", |s| s.as_str()),
                terms.image
            ),
            _ => format!("the image {} is not there and may not be pulled", terms.image),
        }
    }

    /// The reason that lies in what others must have made there.
    fn of_external(self, terms: &Terms, view: &HostView) -> String {
        match self {
            Why::Lacks(at) => {
                let external = &terms.externals[at];
                let (sort, name) = (external.sort.word(), text::safe(&external.name));
                format!("has no {sort} {name:?}, make it there: docker {sort} create {name}")
            }
            Why::NotTold(at) => {
                let external = &terms.externals[at];
                let why = view.holdings.faults.get(&external.sort).map_or("no answer", String::as_str);
                format!("does not say which {}s it has: {}", external.sort.word(), text::safe(why))
            }
            _ => NOT_ASKED.into(),
        }
    }

    /// The reason as the model has it.
    pub fn refused(self, books: &Books, terms: &Terms, ask: &Ask<'_>, view: &HostView) -> Refused {
        Refused { filter: self.filter(), why: self.of_one(books, terms, ask, view) }
    }
}

fn name_of(books: &Books, terms: &Terms, at: usize) -> String {
    let pool = terms.apart.get(at).copied().unwrap_or(u32::MAX);
    books.pool_name(pool).map_or_else(|| "another pool".to_owned(), ToString::to_string)
}

/// Hosts that are named one by one in a sentence, at most.
const NAMED: usize = 5;

/// The sentence for "no host": what refuses first on each host, with the number of hosts.
pub(super) fn sentence(books: &Books, terms: &Terms, ask: &Ask<'_>) -> String {
    if books.known.is_empty() {
        return "no host is known: add one with `longshore hosts add NAME ADDRESS`".into();
    }
    let mut groups: BTreeMap<Why, (u32, u32, Why)> = BTreeMap::new();
    for ix in books.known.values() {
        let Some(why) = reasons(books, terms, ask, *ix, true).first().copied() else { continue };
        groups.entry(why.grouped()).or_insert((0, *ix, why)).0 += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(why, (hosts, ..))| (std::cmp::Reverse(*hosts), *why));
    let (mut parts, mut more) = (Vec::new(), 0);
    for (why, (hosts, ix, full)) in groups {
        let node = books.node(ix);
        let Some(view) = &node.view else { continue };
        match hosts {
            _ if parts.len() > NAMED => more += hosts,
            1 => parts.push(format!("{}: {}", node.id, full.of_one(books, terms, ask, view))),
            _ => parts.push(format!("{hosts} hosts: {}", why.of_many(books, terms, ask, view))),
        }
    }
    if more > 0 {
        parts.push(format!("{more} more: other reasons"));
    }
    format!("no host can take it ({})", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_any_text_by_a_star() {
        for (pattern, text, is) in [
            ("app:1", "app:1", true),
            ("app:*", "app:2", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("app:1*", "app:", false),
            ("*/ok/*", "host/ok/app:1", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(like(pattern, text), is, "{pattern} {text}");
        }
    }
}
