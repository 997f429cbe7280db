//! Properties of the pure planner: a small model applies its plans under random trouble; safety holds in each round, and
//! once all is calm exactly what is wanted runs.
#![expect(clippy::unwrap_used, reason = "tests say what failed by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{ContainerId, HostId, InstallId, PoolId};
use longshore::model::container::{Container, Health, Owner, State, Tag};
use longshore::model::desired::{Desired, Write};
use longshore::model::host::{HostConfig, HostFacts, HostSource, HostView, Seen};
use longshore::model::instance::{Instance, Phase};
use longshore::model::pool::{Pool, PoolSpec};
use longshore::plan::place::Room;
use longshore::plan::reconcile::{Input, Plan, reconcile};
use longshore::plan::restart::{Ended, after};
use longshore::plan::seen::Index;
use longshore::plan::shrink::chosen;
use longshore::plan::slot::Step;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Trouble {
    Scale(usize, u32),
    Down(usize),
    Lose(usize),
    Return(usize),
    Forget(usize),
    Know(usize),
    Exit(u16, i64),
    RemoveOutside(u16),
    Unhealthy(u16),
    NewRevision(usize),
    FailCreates(bool),
    ForgetAnswers(bool),
    Wait(u64),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    use Trouble::*;
    prop_oneof![
        4 => (0..2usize, 0..9u32).prop_map(|(p, n)| Scale(p, n)),
        1 => (0..2usize).prop_map(Down),
        1 => (0..3usize).prop_map(Lose),
        2 => (0..3usize).prop_map(Return),
        1 => (0..3usize).prop_map(Forget),
        1 => (0..3usize).prop_map(Know),
        2 => (any::<u16>(), prop_oneof![Just(0i64), Just(1), Just(137)]).prop_map(|(i, s)| Exit(i, s)),
        1 => any::<u16>().prop_map(RemoveOutside),
        1 => any::<u16>().prop_map(Unhealthy),
        1 => (0..2usize).prop_map(NewRevision),
        1 => any::<bool>().prop_map(FailCreates),
        1 => any::<bool>().prop_map(ForgetAnswers),
        2 => (0..400_000u64).prop_map(Wait),
    ]
}

struct Model {
    now: Millis,
    desired: Desired,
    hosts: BTreeMap<HostId, (bool, Vec<Container>)>,
    views: BTreeMap<HostId, Arc<HostView>>,
    known: BTreeSet<HostId>,
    fail_creates: bool,
    forget_answers: bool,
    made: u64,
}

fn host(i: usize) -> HostId {
    HostId::new(&format!("h{i}")).unwrap()
}

fn id(i: usize) -> PoolId {
    PoolId::new("feed", ["web", "cache"][i]).unwrap()
}

fn pool(i: usize, want: u32) -> Pool {
    let spec = PoolSpec { image: "app:1".into(), update_parallelism: 1, ..PoolSpec::default() };
    Pool {
        id: id(i),
        revision: 1,
        spec,
        want,
        version: 1,
        down: false,
        holes: Default::default(),
        hosts: vec![],
        last_scale: None,
    }
}

fn foreign(n: u64, owner: Owner) -> Container {
    Container {
        id: ContainerId::new(&format!("{n:064x}")),
        name: format!("c{n}").into(),
        image: "app:1".into(),
        state: State::Running,
        health: Health::None,
        exit: None,
        created: Millis(0),
        ports: vec![],
        address: None,
        owner,
    }
}

impl Model {
    fn new() -> Model {
        let mut desired = Desired { install: InstallId("0a1b2c3d".into()), next_op: 1, ..Desired::default() };
        (0..2).for_each(|i| desired.apply(&Write::PutPool(Box::new(pool(i, 2)))));
        let other_install = Tag {
            install: InstallId("ffffffff".into()),
            pool: id(0),
            slot: 1,
            generation: 1,
            revision: 1,
            op: Default::default(),
        };
        let strangers = vec![foreign(1, Owner::Nobody), foreign(2, Owner::Longshore(other_install))];
        let hosts =
            (0..3).map(|i| (host(i), (true, if i == 0 { strangers.clone() } else { vec![] }))).collect();
        let mut model = Model {
            now: Millis(1_000_000),
            desired,
            hosts,
            views: BTreeMap::new(),
            known: (0..3).map(host).collect(),
            fail_creates: false,
            forget_answers: false,
            made: 100,
        };
        model.observe();
        model
    }

    fn observe(&mut self) {
        self.views.retain(|id, _| self.known.contains(id));
        for (id, (up, containers)) in self.hosts.iter().filter(|(id, _)| self.known.contains(*id)) {
            let old = self.views.get(id).cloned();
            let mut view = old.map_or_else(
                || {
                    let address = format!("sim://{id}");
                    HostView::never(HostConfig {
                        id: id.clone(),
                        address,
                        tls_dir: None,
                        source: HostSource::Simulated,
                    })
                },
                |v| (*v).clone(),
            );
            if *up {
                let mut sorted = containers.clone();
                sorted.sort_by(|a, b| a.id.cmp(&b.id));
                let facts = HostFacts { engine_id: id.as_str().into(), ..HostFacts::default() };
                view = HostView {
                    seen: Seen::At(self.now),
                    containers: Arc::new(sorted),
                    facts: Arc::new(facts),
                    ..view
                };
            } else if let Seen::At(last) = view.seen {
                view.seen = Seen::Lost { last, since: self.now, why: "cut".into() };
            }
            self.views.insert(id.clone(), Arc::new(view));
        }
    }

    fn plan(&self) -> Plan {
        let (busy, leaving) = (BTreeMap::new(), BTreeSet::new());
        let input = Input {
            now: self.now,
            beginning: false,
            desired: &self.desired,
            hosts: &self.views,
            busy: &busy,
            leaving: &leaving,
        };
        reconcile(&input, &mut Room::new(input.desired, input.hosts))
    }

    fn ours(&self) -> Vec<(HostId, Container, Tag)> {
        let mut out = Vec::new();
        for (host, (_, containers)) in &self.hosts {
            for c in containers {
                if let Some(tag) = c.owner.ours(&self.desired.install) {
                    out.push((host.clone(), c.clone(), tag.clone()));
                }
            }
        }
        out
    }

    fn nth(&mut self, n: u16) -> Option<&mut Container> {
        let install = self.desired.install.clone();
        let mut all: Vec<&mut Container> = self
            .hosts
            .values_mut()
            .flat_map(|(_, c)| c)
            .filter(|c| c.owner.ours(&install).is_some())
            .collect();
        if all.is_empty() {
            None
        } else {
            let i = usize::from(n) % all.len();
            Some(all.swap_remove(i))
        }
    }

    fn befall(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Scale(p, n) => {
                let old = self
                    .desired
                    .pools
                    .get(&id(*p))
                    .cloned()
                    .unwrap_or_else(|| Pool { revision: 7, ..pool(*p, 0) });
                let index = Index::of(&self.desired.install, &self.views);
                let seen = index.pool(&old.id, &self.views);
                let going = chosen(&self.desired, &self.views, &seen, &old, *n);
                assert_eq!(going.len(), old.target().saturating_sub(*n) as usize);
                let holes = old.holes_at(*n, &going);
                assert!(going.iter().all(|slot| old.wants(*slot)), "{going:?}");
                let pool = Pool { want: *n, holes, down: false, ..old };
                assert!(!going.iter().any(|slot| pool.wants(*slot)), "{going:?} {pool:?}");
                assert_eq!(pool.slots().count(), *n as usize);
                self.desired.apply(&Write::PutPool(Box::new(pool)));
            }
            Trouble::Down(p) => {
                if let Some(old) = self.desired.pools.get(&id(*p)).cloned() {
                    self.desired.apply(&Write::PutPool(Box::new(Pool {
                        down: true,
                        holes: BTreeSet::new(),
                        ..old
                    })));
                }
            }
            Trouble::Lose(h) => self.hosts.get_mut(&host(*h)).unwrap().0 = false,
            Trouble::Return(h) => self.hosts.get_mut(&host(*h)).unwrap().0 = true,
            Trouble::Forget(h) => _ = self.known.remove(&host(*h)),
            Trouble::Know(h) => _ = self.known.insert(host(*h)),
            Trouble::Exit(n, status) => {
                if let Some(c) = self.nth(*n) {
                    (c.state, c.exit, c.health) = (State::Exited, Some(*status), Health::None);
                }
            }
            Trouble::RemoveOutside(n) => {
                if let Some(gone) = self.nth(*n).map(|c| c.id.clone()) {
                    self.hosts.values_mut().for_each(|(_, c)| c.retain(|c| c.id != gone));
                }
            }
            Trouble::Unhealthy(n) => {
                if let Some(c) = self.nth(*n).filter(|c| c.state == State::Running) {
                    c.health = Health::Unhealthy;
                }
            }
            Trouble::NewRevision(p) => {
                if let Some(old) = self.desired.pools.get(&id(*p)).cloned() {
                    self.desired.apply(&Write::PutPool(Box::new(Pool { revision: old.revision + 1, ..old })));
                }
            }
            Trouble::FailCreates(yes) => self.fail_creates = *yes,
            Trouble::ForgetAnswers(yes) => self.forget_answers = *yes,
            Trouble::Wait(ms) => self.now = self.now.plus(*ms),
        }
    }

    /// Checks a plan against the truth, then does what it says.
    fn carry_out(&mut self, plan: Plan) -> bool {
        let quiet = plan.steps.is_empty()
            && plan.removals.is_empty()
            && plan.updates.is_empty()
            && plan.forgotten.is_empty()
            && plan.gone.is_empty();
        let mut slots = BTreeSet::new();
        for step in &plan.steps {
            let Step::Create { instance, .. } = step else { continue };
            assert!(
                self.hosts[&instance.host].0 && self.known.contains(&instance.host),
                "made on a host that does not answer: {instance:?}"
            );
            assert!(slots.insert((instance.pool.clone(), instance.slot)), "two for one slot: {instance:?}");
            let pool = &self.desired.pools[&instance.pool];
            assert!(pool.wants(instance.slot), "more than wanted: {instance:?}");
            let alive = self.ours().into_iter().find(|(at, c, t)| {
                self.views.get(at).is_some_and(|v| v.is_live())
                    && c.state == State::Running
                    && t.pool == instance.pool
                    && t.slot == instance.slot
                    && !instance
                        .moved_from
                        .as_ref()
                        .is_some_and(|f| f.host == *at && f.generation == t.generation)
            });
            assert!(alive.is_none(), "made beside a running one: {instance:?} and {alive:?}");
        }
        for removal in &plan.removals {
            assert!(self.hosts[&removal.host].0, "removed on a host that does not answer: {removal:?}");
            let victim = self.hosts[&removal.host].1.iter().find(|c| c.id == removal.container).unwrap();
            assert!(victim.owner.ours(&self.desired.install).is_some(), "not ours: {removal:?}");
        }
        for (instance, _) in plan.updates {
            self.desired.apply(&Write::PutInstance(instance));
        }
        plan.forgotten
            .into_iter()
            .for_each(|(pool, slot)| self.desired.apply(&Write::DropInstance(pool, slot)));
        plan.gone.into_iter().for_each(|pool| self.desired.apply(&Write::DropPool(pool)));
        for removal in plan.removals {
            self.hosts.get_mut(&removal.host).unwrap().1.retain(|c| c.id != removal.container);
        }
        for step in plan.steps {
            self.step(step);
        }
        quiet
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Create { instance, .. } => {
                self.desired.apply(&Write::PutInstance(instance.clone()));
                let policy = self.desired.pools[&instance.pool].spec.restart.clone();
                if self.fail_creates {
                    let failed = after(&policy, &instance, &Ended::Failed, "no space".into(), self.now);
                    return self.desired.apply(&Write::PutInstance(failed));
                }
                let tag = instance.tag(&self.desired.install);
                let there = &mut self.hosts.get_mut(&instance.host).unwrap().1;
                match there.iter_mut().find(|c| c.owner == Owner::Longshore(tag.clone())) {
                    Some(same) => same.state = State::Running,
                    None => {
                        self.made += 1;
                        let made = foreign(self.made, Owner::Longshore(tag));
                        there.push(Container { created: self.now, ..made });
                    }
                }
                if !self.forget_answers {
                    let record = Instance { phase: Phase::Started, since: self.now, ..instance };
                    self.desired.apply(&Write::PutInstance(record));
                }
            }
            Step::Bury { instance, container } => {
                let Some(c) = self.hosts[&instance.host].1.iter().find(|c| c.id == container) else { return };
                let ended =
                    Ended::Exit { status: c.exit.unwrap_or(1), ran_ms: Some(self.now.since(c.created)) };
                let policy = self.desired.pools[&instance.pool].spec.restart.clone();
                let next = after(&policy, &instance, &ended, "ended".into(), self.now);
                self.desired.apply(&Write::PutInstance(next));
            }
        }
    }

    fn round(&mut self) -> bool {
        self.observe();
        let (plan, again) = (self.plan(), self.plan());
        assert_eq!(
            (&plan.steps, &plan.removals, &plan.updates),
            (&again.steps, &again.removals, &again.updates)
        );
        let quiet = self.carry_out(plan);
        self.now = self.now.plus(200);
        quiet
    }
}

/// How many histories: `LONGSHORE_SEEDS`, of which `.ci/run` wants 2,000.
fn histories() -> u32 {
    std::env::var("LONGSHORE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_is_wanted_runs_in_the_end(troubles in prop::collection::vec((trouble(), 0..4u8), 1..40)) {
        let mut model = Model::new();
        for (trouble, rounds) in &troubles {
            model.befall(trouble);
            (0..*rounds).for_each(|_| _ = model.round());
        }
        // Calm: every host answers, nothing fails any more.
        (0..3).for_each(|h| [Trouble::Return(h), Trouble::Know(h)].iter().for_each(|t| model.befall(t)));
        model.befall(&Trouble::FailCreates(false));
        model.befall(&Trouble::ForgetAnswers(false));
        let mut quiet = 0;
        for _ in 0..2_000 {
            quiet = if model.round() { quiet + 1 } else { 0 };
            let next = model.plan();
            // A time that came in this very round leaves a step and nothing to wake up for.
            if quiet > 3 && next.wake_at.is_none() && next.steps.is_empty() {
                break;
            }
            model.now = model.now.plus(10_000);
        }
        prop_assert!(quiet > 3, "it never comes to rest: {:?}", model.plan());
        for (id, pool) in &model.desired.pools {
            let mut running: Vec<u32> = model
                .ours()
                .into_iter()
                .filter(|(_, c, t)| t.pool == *id && c.state == State::Running)
                .map(|(_, _, t)| { assert_eq!(t.revision, pool.revision); t.slot })
                .collect();
            running.sort_unstable();
            let stands = model.plan().pools.remove(id).map(|view| (view.slots, view.waits));
            prop_assert_eq!(running, pool.slots().collect::<Vec<_>>(), "{}: {:?}", id, stands);
        }
        let strangers = model.hosts[&host(0)].1.iter().filter(|c| c.owner.ours(&model.desired.install).is_none()).count();
        prop_assert_eq!(strangers, 2, "what is not ours is left alone");
    }
}
