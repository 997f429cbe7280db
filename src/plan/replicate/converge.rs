//! Registries that are only maps, changed at random and compared over lines that fail at random: in the end all hold the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::base::clock::Millis;
use crate::base::ids::RegistryName;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::Deletes;
use crate::model::replication::known::{Answer, Choice, Intent, Known, Side};
use crate::plan::replicate::conflict::{Step, choices, steps};
use crate::plan::replicate::deletes::{Around, Candidate, DeleteLimits, Listing, plan};
use crate::plan::replicate::difference::{Deed, Sight, Way, decide};

/// What happens while one line is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// That side does not answer.
    Down(Side),
    /// That side lists nothing, and means it.
    Empty(Side),
    /// The core ends before, or after, its n-th write of this run.
    Killed {
        at: u8,
        written: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push { node: usize, tag: u8 },
    Delete { node: usize, tag: u8 },
    Compare { line: usize, trouble: Trouble, choice: Option<u8>, accept: bool },
}

#[derive(Clone, Copy, Debug)]
struct Wire {
    from: usize,
    to: usize,
    two_way: bool,
}

#[derive(Default)]
struct Fleet {
    nodes: Vec<BTreeMap<Tag, Digest>>,
    lines: Vec<(Option<Wire>, BTreeMap<Tag, Known>)>,
    now: i64,
    pushes: u32,
    writes: usize,
    answers: usize,
    /// Pushed, and neither pushed over, nor deleted, nor turned down by an answer.
    alive: BTreeSet<Digest>,
    deleted: BTreeSet<(Tag, Digest)>,
    touched: BTreeMap<Tag, BTreeSet<usize>>,
    any_deleted: BTreeSet<Tag>,
    foreign: BTreeSet<Digest>,
}

const LIMITS: DeleteLimits = DeleteLimits { cap: 2, grace_ms: 0, shrink_percent: 100, shrink_min: 0 };

fn name(tag: u8) -> Tag {
    format!("t{tag}").parse().unwrap()
}

impl Fleet {
    fn new(wires: &[Wire]) -> Fleet {
        let keep: (Tag, Digest) = ("keep".parse().unwrap(), Digest::of(b"keep"));
        let nodes = vec![BTreeMap::from([keep]); wires.len() + 1];
        let lines = wires.iter().map(|w| (Some(*w), BTreeMap::new())).collect();
        let mut fleet = Fleet { nodes, lines, ..Fleet::default() };
        (0..wires.len()).for_each(|line| fleet.compare(line, Trouble::None, None, false));
        fleet
    }

    fn is_master(&self, node: usize) -> bool {
        self.lines.iter().flat_map(|(w, _)| w).all(|w| w.two_way || w.to != node)
    }

    fn forget(&mut self, digest: Option<&Digest>) {
        if let Some(digest) = digest {
            self.alive.remove(digest);
        }
    }

    /// A core ended as it wrote this, and has not looked since: who deletes it before anybody knows that it arrived makes it look
    /// as if it had never arrived. It is written again (and may be deleted again).
    fn is_unconfirmed(&self, tag: &Tag, digest: &Digest) -> bool {
        self.lines.iter().any(|(_, memory)| {
            let intent = memory.get(tag).and_then(|known| known.intent.as_ref());
            intent.is_some_and(|i| i.digest == *digest)
        })
    }

    fn act(&mut self, op: Op) {
        self.now += 1;
        match op {
            Op::Push { node, tag } => {
                let node = node % self.nodes.len();
                self.pushes += 1;
                let digest = Digest::of(&self.pushes.to_be_bytes());
                let old = self.nodes[node].insert(name(tag), digest.clone());
                if self.is_master(node) {
                    self.forget(old.as_ref());
                    self.alive.insert(digest);
                    self.touched.entry(name(tag)).or_default().insert(node);
                } else {
                    self.foreign.insert(digest);
                }
            }
            Op::Delete { node, tag } => {
                let node = node % self.nodes.len();
                let Some(old) = self.nodes[node].remove(&name(tag)) else { return };
                if self.is_master(node) {
                    self.forget(Some(&old));
                    if !self.is_unconfirmed(&name(tag), &old) {
                        self.deleted.insert((name(tag), old));
                    }
                    self.any_deleted.insert(name(tag));
                    self.touched.entry(name(tag)).or_default().insert(node);
                }
            }
            Op::Compare { line, trouble, choice, accept } => {
                self.compare(line % self.lines.len(), trouble, choice, accept);
            }
        }
    }

    fn sights(&self, wire: Wire, tag: &Tag, trouble: Trouble) -> (Sight, Sight) {
        let of = |side: Side| {
            let node = if side == Side::Source { wire.from } else { wire.to };
            match (trouble, self.nodes[node].get(tag)) {
                (Trouble::Down(down), _) if down == side => Sight::Unknown("down".into()),
                (Trouble::Empty(empty), _) if empty == side => Sight::Absent,
                (_, Some(digest)) => Sight::There(digest.clone()),
                (_, None) => Sight::Absent,
            }
        };
        (of(Side::Source), of(Side::Target))
    }

    /// One run over one line, as an engine would do it. Nothing is kept of what the run knew but the memory.
    fn compare(&mut self, line: usize, trouble: Trouble, choice: Option<u8>, accept: bool) {
        let (Some(wire), mut memory) = (self.lines[line].0, std::mem::take(&mut self.lines[line].1)) else {
            return;
        };
        let before = self.writes;
        let _ = self.run(wire, &mut memory, trouble, choice, accept, before);
        self.lines[line].1 = memory;
    }

    fn run(
        &mut self,
        wire: Wire,
        memory: &mut BTreeMap<Tag, Known>,
        trouble: Trouble,
        choice: Option<u8>,
        accept: bool,
        before: usize,
    ) -> Option<()> {
        let way = Way { two_way: wire.two_way, deletes: Deletes::Review };
        let held = [wire.from, wire.to].map(|n| self.nodes[n].keys().cloned().collect::<Vec<_>>());
        let tags: BTreeSet<Tag> = held.into_iter().flatten().chain(memory.keys().cloned()).collect();
        let mut candidates = Vec::new();
        for tag in tags {
            let (source, target) = self.sights(wire, &tag, trouble);
            let known = memory.entry(tag.clone()).or_default();
            *known = known.learn(&source, &target, Millis(self.now));
            let verdict = decide(way, &source, &target, known);
            // A registry is asked for the tag itself before it is written: a list that lies moves nothing.
            if self.sights(wire, &tag, Trouble::None) != (source.clone(), target.clone()) {
                if let (Deed::Propose { at, digest }, Some(_)) = (&verdict.deed, known.gone_since) {
                    candidates.push(self.candidate(&tag, *at, digest, known));
                }
                continue;
            }
            match verdict.deed {
                Deed::Nothing => {}
                Deed::Write { to, digest } => {
                    self.write(wire, memory, &tag, to, &digest, trouble, before)?;
                }
                Deed::Propose { at, digest } => candidates.push(self.candidate(&tag, at, &digest, known)),
                Deed::Ask => {
                    if let Some(n) = choice {
                        self.answer(wire, memory, &tag, n, trouble, before)?;
                    }
                }
            }
        }
        if accept {
            self.delete(wire, memory, &candidates, trouble);
        }
        Some(())
    }

    fn candidate(&self, tag: &Tag, at: Side, digest: &Digest, known: &Known) -> Candidate {
        let repository: Repository = "feed/web".parse().unwrap();
        Candidate { repository, tag: tag.clone(), at, digest: digest.clone(), gone_since: known.gone_since }
    }

    /// None when the core ended.
    fn write(
        &mut self,
        wire: Wire,
        memory: &mut BTreeMap<Tag, Known>,
        tag: &Tag,
        to: Side,
        digest: &Digest,
        trouble: Trouble,
        before: usize,
    ) -> Option<()> {
        let is_last = matches!(trouble, Trouble::Killed { at, .. } if self.writes - before == at as usize);
        memory.entry(tag.clone()).or_default().intent = Some(Intent { to, digest: digest.clone() });
        if is_last && matches!(trouble, Trouble::Killed { written: false, .. }) {
            return None;
        }
        let node = if to == Side::Source { wire.from } else { wire.to };
        self.nodes[node].insert(tag.clone(), digest.clone());
        self.writes += 1;
        if is_last {
            return None;
        }
        let (source, target) = self.sights(wire, tag, Trouble::None);
        let known = memory.entry(tag.clone()).or_default();
        *known = known.learn(&source, &target, Millis(self.now));
        Some(())
    }

    fn answer(
        &mut self,
        wire: Wire,
        memory: &mut BTreeMap<Tag, Known>,
        tag: &Tag,
        n: u8,
        trouble: Trouble,
        before: usize,
    ) -> Option<()> {
        let (source, target) = self.sights(wire, tag, trouble);
        let all = choices(&source, &target);
        let Some(choice) = all.get(n as usize % all.len().max(1)).copied() else { return Some(()) };
        let (source, target) = (source.digest().cloned(), target.digest().cloned());
        let loser = match choice {
            Choice::SourceWins => target.as_ref(),
            Choice::TargetWins => source.as_ref(),
            Choice::KeepBoth => None,
        };
        self.forget(loser);
        self.answers += 1;
        let answer = Answer { choice, source, target };
        let target_name: RegistryName = format!("r{}", wire.to).parse().unwrap();
        let steps = steps(&answer, tag, &target_name, |t| self.sights(wire, t, Trouble::None)).unwrap();
        for step in steps {
            match step {
                Step::Write { to, tag, digest } => {
                    self.write(wire, memory, &tag, to, &digest, trouble, before)?;
                }
                Step::Name { at, tag, digest } => {
                    if matches!(trouble, Trouble::Killed { at, .. } if self.writes - before == at as usize) {
                        return None;
                    }
                    let node = if at == Side::Source { wire.from } else { wire.to };
                    self.nodes[node].insert(tag, digest);
                    self.writes += 1;
                }
                Step::Delete { at, tag, digest } => {
                    let node = if at == Side::Source { wire.from } else { wire.to };
                    assert_eq!(self.nodes[node].remove(&tag), Some(digest));
                    self.writes += 1;
                }
            }
        }
        Some(())
    }

    fn delete(
        &mut self,
        wire: Wire,
        memory: &mut BTreeMap<Tag, Known>,
        candidates: &[Candidate],
        trouble: Trouble,
    ) {
        let repository: Repository = "feed/web".parse().unwrap();
        let count = |n: usize| u32::try_from(n).unwrap();
        let listings = [Side::Source, Side::Target].map(|side| {
            let known = memory.iter().filter(|(_, k)| k.last.is_some());
            let found = known.clone().filter(|(tag, _)| {
                let (source, target) = self.sights(wire, tag, trouble);
                matches!(if side == Side::Source { source } else { target }, Sight::There(_))
            });
            let found =
                if trouble == Trouble::Down(side) { Err("down".into()) } else { Ok(count(found.count())) };
            ((repository.clone(), side), Listing { known: count(known.count()), found })
        });
        let around = |_: &Candidate| Around { tags_alone: true, ..Around::default() };
        let plan = plan(candidates, &listings.into(), around, &LIMITS, Millis(self.now));
        if let Trouble::Empty(side) = trouble {
            assert!(
                plan.items.iter().all(|i| i.at == side),
                "an empty list deletes nothing on the other side"
            );
        }
        for item in plan.items {
            // What is deleted is what was seen: by the listings of this run, and not by asking once more.
            let node = if item.at == Side::Source { wire.from } else { wire.to };
            assert_eq!(self.nodes[node].remove(&item.tag), Some(item.digest));
            self.writes += 1;
            let (source, target) = self.sights(wire, &item.tag, Trouble::None);
            let known = memory.entry(item.tag).or_default();
            *known = known.learn(&source, &target, Millis(self.now));
        }
    }

    /// Everything is well, all questions are answered and all deletions accepted, until nothing happens any more.
    fn rest(&mut self, choice: u8) {
        for round in 0..200 {
            let before = (self.writes, self.answers);
            self.now += 1;
            (0..self.lines.len()).for_each(|l| self.compare(l, Trouble::None, Some(choice), true));
            if (self.writes, self.answers) == before {
                return;
            }
            assert!(round < 199, "it does not come to rest: {:?}", self.nodes);
        }
    }
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let side = || prop_oneof![Just(Side::Source), Just(Side::Target)];
    prop_oneof![
        4 => Just(Trouble::None),
        1 => side().prop_map(Trouble::Down),
        1 => side().prop_map(Trouble::Empty),
        2 => (0..3u8, any::<bool>()).prop_map(|(at, written)| Trouble::Killed { at, written }),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let compare = (0..2usize, trouble(), prop::option::of(0..3u8), any::<bool>())
        .prop_map(|(line, trouble, choice, accept)| Op::Compare { line, trouble, choice, accept });
    let op = prop_oneof![
        3 => (0..3usize, 0..4u8).prop_map(|(node, tag)| Op::Push { node, tag }),
        2 => (0..3usize, 0..4u8).prop_map(|(node, tag)| Op::Delete { node, tag }),
        5 => compare,
    ];
    prop::collection::vec(op, 0..40)
}

const BOTH: Wire = Wire { from: 0, to: 1, two_way: true };

fn check(wires: &[Wire], ops: &[Op], choice: u8) {
    let mut fleet = Fleet::new(wires);
    ops.iter().for_each(|op| fleet.act(*op));
    let last: BTreeMap<Tag, Option<Digest>> = (0..4u8)
        .map(name)
        .filter_map(|t| {
            let at = fleet.touched.get(&t)?;
            let node = *at.first()?;
            (at.len() == 1).then(|| (t.clone(), fleet.nodes[node].get(&t).cloned()))
        })
        .collect();
    fleet.rest(choice);
    let first = &fleet.nodes[0];
    for (n, node) in fleet.nodes.iter().enumerate() {
        if fleet.is_master(n) {
            assert_eq!(node, first, "masters hold the same");
        } else {
            assert!(
                first.iter().all(|(t, d)| node.get(t) == Some(d)),
                "a branch has all that its source has"
            );
            let more = node.iter().filter(|(t, _)| !first.contains_key(*t));
            assert!(more.clone().all(|(_, d)| fleet.foreign.contains(d)), "a branch has no more: {more:?}");
        }
        let back = fleet.deleted.iter().find(|(t, d)| node.get(t) == Some(d));
        assert_eq!(back, None, "what was deleted is back");
        let lost: Vec<_> = fleet.alive.iter().filter(|d| !node.values().any(|v| v == *d)).collect();
        assert!(lost.is_empty(), "lost, though nobody deleted it: {lost:?} at {n}");
    }
    for (tag, digest) in last {
        assert_eq!(
            first.get(&tag),
            digest.as_ref(),
            "{tag} was changed on one side only, and is as it was left there"
        );
    }
    let changes = ops.iter().filter(|o| !matches!(o, Op::Compare { .. })).count();
    assert!(fleet.writes <= 3 * wires.len() * (changes + fleet.answers), "{} writes", fleet.writes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn two_masters_end_equal_and_lose_nothing_and_bring_nothing_back(ops in ops(), choice in 0..3u8) {
        check(&[BOTH], &ops, choice);
    }

    #[test]
    fn three_masters_in_a_row_do_so_too(ops in ops(), choice in 0..3u8) {
        check(&[BOTH, Wire { from: 1, to: 2, two_way: true }], &ops, choice);
    }

    #[test]
    fn a_branch_follows_two_masters(ops in ops(), choice in 0..3u8) {
        check(&[BOTH, Wire { from: 1, to: 2, two_way: false }], &ops, choice);
    }
}
