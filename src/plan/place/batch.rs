//! Choosing for many containers of one pool: what was worked out for one is kept for the next.
//!
//! Hosts are ranked like in Swarm's scheduler (orchestration research 4.5): a tree of domains, in each the branch with the
//! fewest of the pool, then the host with the fewest, then the site with the fewest, then the best score. Constraints and fixed scores are worked out once
//! for hosts that are equal (a class); inside a class hosts lie in order of fullness, and a bounded number of them that fit
//! are scored (Nomad's limit, 4.4). So a choice does not look at every host, yet "none" is said only when all were tried.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::host::HostView;
use crate::model::placement::Strategy;
use crate::plan::place::books::{Books, Node, Order, number};
use crate::plan::place::contest::{Branch, Contest};
use crate::plan::place::refuse::{self, fits};
use crate::plan::place::score::{self, Packing, Strongest};
use crate::plan::place::sorted::Layout;
use crate::plan::place::terms::Terms;

/// Hosts of one class that are scored for one choice, at most.
const SCORED: usize = 8;

/// The same when they are to be filled: which of the full ones it fits best is worth a longer look.
const SCORED_TO_FILL: usize = 64;

/// How good a candidate is, the least first: containers of the pool on it, score, tie. A class that was not looked at yet
/// has a key that none of its hosts can beat, and no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub of_pool: u32,
    badness: u64,
    tie: u64,
    order: u64,
    pub host: Option<u32>,
}

/// A class of hosts as this pool sees it.
pub(super) struct Member {
    pub branch: usize,
    /// Nothing that all of its hosts share refuses the pool.
    pub open: bool,
    /// Scores that all of its hosts share.
    fixed: f64,
    after: (f64, f64),
    tie: u64,
    key: Option<Key>,
    /// Hosts without the pool before this place were tried and do not fit.
    from: Option<Order>,
    /// All hosts without the pool were tried.
    tried: bool,
    /// Hosts that hold some of the pool, by how many.
    holders: BTreeSet<(u32, Order)>,
}

/// What is kept from one choice to the next.
pub(super) struct Batch {
    pub terms: Terms,
    /// Why no host takes it, once that has been found out.
    pub failure: Option<String>,
    /// A ready host that has to be asked first what others have made there.
    pub to_be_asked: Option<u32>,
    pub members: Vec<Member>,
    pub branches: Vec<Branch>,
    /// Containers of the pool by domain.
    pub counts: Vec<u32>,
    /// Hosts that must not be chosen now.
    pub skip: [Option<u32>; 2],
    /// The image is somewhere.
    pub image: bool,
    /// The strongest hosts, for comparison.
    pub strongest: Strongest,
    packing: Packing,
    /// The domains.
    pub layout: Arc<Layout>,
    /// Which branch is the best.
    pub contest: Contest,
}

/// What a host was before it was counted anew.
pub(super) struct Before {
    pub order: Order,
    pub of_pool: u32,
}

impl Batch {
    pub fn new(books: &Books, terms: Terms) -> Batch {
        let layout = books.layout(&terms).unwrap_or_else(|| Arc::new(books.lay_out(&[])));
        let image = books.images.contains_key(&terms.image);
        // Only who fills hosts compares them with a mean one.
        let by_size = if terms.strategy == Strategy::Binpack { books.hosts_by_size() } else { Vec::new() };
        let mut batch = Batch {
            failure: None,
            to_be_asked: refuse::to_be_asked(books, &terms),
            members: Vec::new(),
            branches: Vec::new(),
            counts: vec![0; layout.domains.len()],
            skip: [None; 2],
            image,
            strongest: books.strengths().0,
            packing: Packing::new(books, &terms.shape.need, &by_size),
            contest: Contest::new(layout.paths.len(), terms.spread.len()),
            layout,
            terms,
        };
        batch.members = batch.fresh_members(books);
        batch.count_holders(books);
        let mut queues = vec![Vec::new(); batch.layout.paths.len()];
        for class in 0..number(books.classes.len()) {
            let key = batch.bound(books, class);
            let member = &mut batch.members[class as usize];
            member.key = key;
            if let Some(key) = key {
                queues[member.branch].push((key, class));
            }
        }
        batch.branches = queues.into_iter().map(Branch::new).collect();
        batch.contest.begin(&batch.branches, &batch.layout, &batch.counts);
        batch
    }

    fn fresh_members(&self, books: &Books) -> Vec<Member> {
        let terms = &self.terms;
        let open = refuse::open_classes(books, terms);
        let wishes = wishes(books, terms);
        let after: Vec<_> = books.sizes.iter().map(|size| score::after(size, &terms.shape.need)).collect();
        let each = books.classes.iter().zip(books.strengths().1).zip(open).zip(wishes).enumerate();
        each.map(|(at, (((class, strength), open), wish))| Member {
            branch: self.layout.of_class[at] as usize,
            open,
            fixed: wish + score::class_fit(terms.core, *strength),
            after: after[class.size as usize],
            tie: score::mix(terms.hash ^ class.hash),
            key: None,
            from: None,
            tried: false,
            holders: BTreeSet::new(),
        })
        .collect()
    }

    fn count_holders(&mut self, books: &Books) {
        let Some(pool) = books.pools.get(self.terms.pool as usize) else { return };
        for (host, times) in &pool.on {
            let node = books.node(*host);
            if node.view.is_none() {
                continue;
            }
            self.add(node.class, *times, true);
            if node.ready && self.terms.by_host {
                let order = self.walk(node.order(*host));
                self.members[node.class as usize].holders.insert((*times, order));
            }
        }
    }

    fn add(&mut self, class: u32, times: u32, more: bool) {
        let branch = self.members[class as usize].branch;
        for at in &self.layout.paths[branch] {
            let count = &mut self.counts[*at];
            *count = if more { *count + times } else { count.saturating_sub(times) };
        }
    }

    /// A host's place in the order in which this strategy looks at them: the emptiest first, or the fullest.
    fn walk(&self, order: Order) -> Order {
        // Turned round twice it is what it was.
        if self.terms.strategy == Strategy::Binpack { order } else { (!order.0, !order.1, !order.2) }
    }

    /// A host has been counted anew.
    pub fn touch(&mut self, books: &Books, pool: u32, host: u32, before: &Before) {
        self.failure = None;
        let node = books.node(host);
        if node.view.is_none() {
            return;
        }
        let (old, now) = (before.of_pool, books.of_pool(self.terms.pool, host));
        if pool == self.terms.pool && old != now {
            self.add(node.class, old.abs_diff(now), now > old);
            let branch = self.members[node.class as usize].branch;
            for at in &self.layout.paths[branch] {
                let (_, first, last) = self.layout.domains[*at];
                for end in [first, last] {
                    self.contest.again(end as usize, &self.branches, &self.layout, &self.counts);
                }
            }
        }
        if !node.ready {
            return;
        }
        let (was, order) = (self.walk(before.order), self.walk(node.order(host)));
        let by_host = self.terms.by_host;
        let member = &mut self.members[node.class as usize];
        member.holders.remove(&(old, was));
        if by_host && now > 0 {
            member.holders.insert((now, order));
        } else {
            member.tried = false;
            member.from = member.from.map(|from| from.min(order));
        }
        self.requeue(books, node.class);
        let site = books.class(node.class).site;
        if books.is_limited(site) {
            // The site may have become full, or free again, for all of its hosts.
            let full = books.site_full(site).is_some();
            let other = |(at, m): (usize, &Member)| {
                (m.open && books.classes[at].site == site && m.key.is_some() == full).then_some(number(at))
            };
            let others: Vec<u32> = self.members.iter().enumerate().filter_map(other).collect();
            others.into_iter().for_each(|class| self.requeue(books, class));
        }
    }

    /// Puts a class back where its best host may be at best.
    pub fn requeue(&mut self, books: &Books, class: u32) {
        let key = self.bound(books, class);
        self.set_key(class, key);
    }

    fn set_key(&mut self, class: u32, key: Option<Key>) {
        let member = &mut self.members[class as usize];
        if member.key == key {
            return;
        }
        member.key = key;
        let (branch, members) = (member.branch, &self.members);
        let is_now = |(key, class): &(Key, u32)| members[*class as usize].key == Some(*key);
        if self.branches[branch].put(key.map(|key| (key, class)), is_now) {
            self.contest.again(branch, &self.branches, &self.layout, &self.counts);
        }
    }

    fn bound(&self, books: &Books, class: u32) -> Option<Key> {
        let member = &self.members[class as usize];
        if !member.open {
            return None;
        }
        let class = books.class(class);
        let (first, last) = class.ends?;
        let best = if self.terms.strategy == Strategy::Binpack { first } else { last };
        let (of_pool, order) = if !member.tried && class.ready.len() > member.holders.len() {
            (0, member.from.unwrap_or_else(|| self.walk(best)))
        } else {
            *member.holders.first()?
        };
        let sum = score::from_bits(self.walk(order).0);
        let best = match self.terms.strategy {
            Strategy::Binpack => 1.0,
            Strategy::Spread | Strategy::Random => score::best_fullness(sum, member.after),
        };
        let total = best + member.fixed + f64::from(u8::from(self.image));
        Some(Key { of_pool, badness: score::bits(-total), tie: member.tie, order: 0, host: None })
    }

    pub fn key_of(&self, of_pool: u32, node: &Node, member: &Member, ix: u32) -> Key {
        let fullness = self.by_strategy(node, member.after);
        let image = if self.image && self.has_image(node) { 1.0 } else { 0.0 };
        let total = fullness + member.fixed + image;
        Key {
            of_pool,
            badness: score::bits(-total),
            tie: member.tie,
            order: self.walk(node.order(ix)).1,
            host: Some(ix),
        }
    }

    /// How good a host is by the strategy alone; one more container divides what is free by `after`.
    pub fn by_strategy(&self, node: &Node, after: (f64, f64)) -> f64 {
        match self.terms.strategy {
            Strategy::Binpack => {
                self.packing.score(&node.cap, node.weight, &self.terms.shape.need, node.taken.containers)
            }
            Strategy::Spread | Strategy::Random => {
                score::fullness(node.free.0 * after.0 + node.free.1 * after.1)
            }
        }
    }

    fn scored(&self) -> usize {
        if self.terms.strategy == Strategy::Binpack { SCORED_TO_FILL } else { SCORED }
    }

    pub fn has_image(&self, node: &Node) -> bool {
        let images = node.view.as_ref().and_then(|v| v.images.as_ref());
        images.is_some_and(|i| i.contains_key(&self.terms.image))
    }

    /// Looks for the best host of a class.
    pub fn look(&mut self, books: &Books, class: u32) {
        let key = if books.site_full(books.class(class).site).is_some() {
            None
        } else {
            self.without_pool(books, class).or_else(|| self.with_pool(books, class))
        };
        self.set_key(class, key);
    }

    /// The best of the hosts that hold none of the pool (of all, when that does not count).
    fn without_pool(&mut self, books: &Books, class: u32) -> Option<Key> {
        let (member, hosts) = (&self.members[class as usize], &books.class(class).ready);
        if member.tried || hosts.len() == member.holders.len() {
            return None;
        }
        let start = member.from.map(|from| self.walk(from));
        let walk: Box<dyn Iterator<Item = &Order>> = match (self.terms.strategy, start) {
            (Strategy::Binpack, Some(start)) => Box::new(hosts.range(start..)),
            (Strategy::Binpack, None) => Box::new(hosts.iter()),
            (_, Some(start)) => Box::new(hosts.range(..=start).rev()),
            (_, None) => Box::new(hosts.iter().rev()),
        };
        let (mut best, mut found, mut from, mut skipped) = (None, 0, None, false);
        for order in walk {
            let ix = order.2;
            if self.terms.by_host && books.of_pool(self.terms.pool, ix) > 0 {
                continue;
            }
            let skip = self.skip.contains(&Some(ix));
            if !skip && !fits(books, &self.terms, ix) {
                continue;
            }
            from = from.or(Some(self.walk(*order)));
            skipped |= skip;
            if skip {
                continue;
            }
            let key = self.key_of(0, books.node(ix), member, ix);
            best = best.into_iter().chain([key]).min();
            found += 1;
            if found == self.scored() {
                break;
            }
        }
        let member = &mut self.members[class as usize];
        member.tried = best.is_none() && !skipped;
        member.from = from.or(Some((u64::MAX, u64::MAX, u32::MAX)));
        best
    }

    /// The best of those that hold the fewest.
    fn with_pool(&mut self, books: &Books, class: u32) -> Option<Key> {
        let member = &self.members[class as usize];
        let (mut best, mut found, mut full): (Option<Key>, usize, Vec<(u32, Order)>) = (None, 0, Vec::new());
        for holder in &member.holders {
            let (times, order) = *holder;
            let ix = self.walk(order).2;
            if best.is_some_and(|b| b.of_pool < times) || found == self.scored() {
                break;
            }
            if self.skip.contains(&Some(ix)) {
                continue;
            }
            if !fits(books, &self.terms, ix) {
                full.push(*holder);
                continue;
            }
            let key = self.key_of(times, books.node(ix), member, ix);
            best = best.into_iter().chain([key]).min();
            found += 1;
        }
        let member = &mut self.members[class as usize];
        for holder in full {
            member.holders.remove(&holder);
        }
        best
    }
}

/// Nomad's affinity score: the weights of the wishes that come true, by all weights. `None` without wishes.
pub(super) fn wish(terms: &Terms, host: &HostView) -> Option<f64> {
    let all: i32 = terms.wishes.iter().map(|(_, weight)| weight.abs()).sum();
    let met: i32 = terms.wishes.iter().filter(|(test, _)| test.holds(host)).map(|(_, weight)| weight).sum();
    (all > 0).then(|| f64::from(met) / f64::from(all))
}

/// The same for every class.
fn wishes(books: &Books, terms: &Terms) -> Vec<f64> {
    let mut out = vec![0.0; books.classes.len()];
    let all: i32 = terms.wishes.iter().map(|(_, weight)| weight.abs()).sum();
    for (test, weight) in &terms.wishes {
        let Some(column) = books.column(&test.constraint.attribute) else { continue };
        let verdicts = column.verdicts(test);
        for (met, at) in out.iter_mut().zip(&column.of_class) {
            *met += f64::from(*weight) * f64::from(u8::from(verdicts[*at as usize]));
        }
    }
    out.iter_mut().for_each(|met| *met /= f64::from(all.max(1)));
    out
}
