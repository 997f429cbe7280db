//! A fleet as the planner sees it and as it truly is, with an executor that takes its time and a core that can crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{ContainerId, HostId, InstallId, PoolId, Slot};
use longshore::model::container::{Container, Health, Owner, State, Tag};
use longshore::model::desired::{Desired, Write};
use longshore::model::host::{Duty, HostConfig, HostFacts, HostRecord, HostSource, HostView, Seen};
use longshore::model::instance::{Instance, Phase};
use longshore::model::placement::{LossRule, OnLoss};
use longshore::model::pool::{Limits, Pool, PoolSpec};
use longshore::plan::place::Room;
use longshore::plan::reconcile::{Input, Plan, reconcile};
use longshore::plan::restart::{Ended, after};
use longshore::plan::slot::{Activity, Doing, Step};
use longshore::plan::surplus::Removal;

const HOUR: u64 = 3_600_000;

/// Chance by seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn number(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(u64::from(to - from + 1)) as u32
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A host as it truly is.
pub struct Truth {
    pub up: bool,
    pub known: bool,
    pub full: bool,
    pub containers: Vec<Container>,
}

pub enum Job {
    Create(Instance),
    Bury(Instance, ContainerId),
    Remove(Removal),
}

pub struct Model {
    pub dice: Dice,
    pub now: Millis,
    pub desired: Desired,
    pub truth: BTreeMap<HostId, Truth>,
    pub views: BTreeMap<HostId, Arc<HostView>>,
    pub jobs: Vec<(Millis, u64, Job)>,
    pub busy: BTreeMap<(PoolId, Slot), Doing>,
    /// Steps whose effect shows when this host is listed again.
    pub unsettled: BTreeMap<(PoolId, Slot), HostId>,
    pub leaving: BTreeSet<(HostId, ContainerId)>,
    /// Containers that turn healthy, or not.
    pub checks: Vec<(Millis, ContainerId, bool)>,
    pub flaky: bool,
    pub begun: Millis,
    pub made: u64,
    pub told: DefaultHasher,
    pub last: VecDeque<String>,
}

fn spec(dice: &mut Dice, want: u32) -> PoolSpec {
    let rules = [
        None,
        None,
        Some(LossRule::Elsewhere),
        Some(LossRule::SameClass),
        Some(LossRule::Wait),
        Some(LossRule::Never),
    ];
    let mut spec =
        PoolSpec { image: "app:1".into(), update_parallelism: dice.number(1, 3), ..PoolSpec::default() };
    spec.placement.on_loss = OnLoss {
        rule: rules[dice.below(6) as usize],
        after_ms: u64::from(dice.number(20, 400)) * 1000,
        at_once: dice.number(1, 6),
    };
    let max = dice.one_in(3).then_some(want);
    spec.limits = Limits { min: dice.one_in(2).then_some(want / 2), max, step: None };
    spec.stop_grace_ms = 10_000;
    if dice.one_in(2) {
        spec.pool_labels.insert("checked".into(), "yes".into());
    }
    spec
}

impl Model {
    pub fn new(seed: u64) -> Model {
        let mut dice = Dice(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 77);
        let mut desired = Desired { install: InstallId("0a1b2c3d".into()), next_op: 1, ..Desired::default() };
        let mut truth = BTreeMap::new();
        for n in 0..dice.number(6, 15) {
            let id = HostId::new(&format!("h{n:02}")).unwrap();
            let site = ["bj", "sh", "gz"][dice.below(3) as usize].parse().ok();
            let class = Some(["big", "small"][dice.below(2) as usize].to_owned());
            let record = HostRecord { site, class, ..HostRecord::default() };
            desired.apply(&Write::PutRecord(id.clone(), Box::new(record)));
            desired.apply(&Write::PutIdentity(id.clone(), id.to_string()));
            truth.insert(id, Truth { up: true, known: true, full: false, containers: vec![] });
        }
        let pools = dice.number(1, 4);
        for n in 0..pools {
            let want = dice.number(1, 60 / pools);
            let id = PoolId::new("feed", &format!("p{n}")).unwrap();
            let spec = spec(&mut dice, want);
            let pool = Pool {
                id: id.clone(),
                revision: 1,
                spec,
                want,
                version: 1,
                down: false,
                hosts: vec![],
                holes: Default::default(),
                last_scale: None,
            };
            desired.apply(&Write::PutPool(Box::new(pool)));
            let source = "".into();
            desired.apply(&Write::PutRevision { pool: id, revision: 1, source, by: "a".into() });
        }
        let now = Millis(1_000_000_000);
        let mut model = Model {
            dice,
            now,
            desired,
            truth,
            views: BTreeMap::new(),
            jobs: Vec::new(),
            busy: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            leaving: BTreeSet::new(),
            checks: Vec::new(),
            flaky: false,
            begun: now,
            made: 0,
            told: DefaultHasher::new(),
            last: VecDeque::new(),
        };
        for (n, host) in model.truth.values_mut().enumerate() {
            let stranger = container(&format!("{n:08x}"), Owner::Nobody, now);
            host.containers.push(stranger);
        }
        model
    }

    /// An hour of trouble, then calm: the hash of all that was planned.
    pub fn hour(mut self) -> u64 {
        let end = self.now.plus(HOUR);
        let mut event = self.now.plus(30_000);
        while self.now < end {
            let wake = self.work();
            if self.now >= event {
                let what = self.befall();
                self.note(&what);
                event = self.now.plus(1 + self.dice.below(150_000));
                continue;
            }
            self.pass(wake, event.min(end));
        }
        self.calm();
        self.told.finish()
    }

    pub fn note(&mut self, what: &str) {
        what.hash(&mut self.told);
        self.last.push_back(format!("{}s {what}", (self.now.0 - 1_000_000_000) / 1000));
        if self.last.len() > 12 {
            self.last.pop_front();
        }
    }

    /// Time passes until the next thing is due.
    pub fn pass(&mut self, wake: Option<Millis>, limit: Millis) {
        let jobs = self.jobs.iter().map(|(at, _, _)| *at);
        let checks = self.checks.iter().map(|(at, _, _)| *at);
        let next = jobs.chain(checks).chain(wake).filter(|at| *at > self.now).min();
        // Things happen on whole seconds: fewer plans tell as much.
        let next = next.map(|at| Millis(at.0.div_euclid(1000) * 1000 + 1000));
        self.now = next.unwrap_or(limit).min(limit).max(self.now.plus(1));
    }

    /// Plans and does until nothing more is to be done just now; the time at which the plan looks again.
    pub fn work(&mut self) -> Option<Millis> {
        for _ in 0..12 {
            self.finish_jobs();
            self.observe();
            let plan = self.plan();
            let wake = plan.wake_at;
            let again = !plan.updates.is_empty() || !plan.forgotten.is_empty() || !plan.gone.is_empty();
            self.carry_out(plan);
            if !again {
                return wake;
            }
        }
        panic!("records change for ever: {:#?}", self.last);
    }

    pub fn observe(&mut self) {
        let now = self.now;
        self.views.retain(|id, _| self.truth[id].known);
        for (id, truth) in self.truth.iter().filter(|(_, t)| t.known) {
            let mut view = self.views.get(id).map_or_else(|| HostView::never(config(id)), |v| (**v).clone());
            if truth.up {
                if view.facts.engine_id.raw().is_empty() {
                    view.facts =
                        Arc::new(HostFacts { engine_id: id.as_str().into(), ..HostFacts::default() });
                }
                (view.seen, view.silent) = (Seen::At(now), None);
                // Ids grow: the list is sorted.
                if *view.containers != truth.containers {
                    view.containers = Arc::new(truth.containers.clone());
                }
            } else {
                view.seen = match view.seen {
                    Seen::At(last) => Seen::Lost { last, since: now, why: "cut".into() },
                    Seen::Never { .. } => Seen::Never { why: Some("cut".into()) },
                    lost @ Seen::Lost { .. } => lost,
                };
                view.silent = view.silent.or(Some(now));
            }
            view.record = self.desired.records.get(id).cloned().unwrap_or_default();
            if truth.up && view.record.given_up.is_some() {
                let record = HostRecord { given_up: None, ..(*view.record).clone() };
                self.desired.records.insert(id.clone(), Arc::new(record.clone()));
                view.record = Arc::new(record);
            }
            self.views.insert(id.clone(), Arc::new(view));
        }
        let views = &self.views;
        let listed = |host: &HostId| views.get(host).is_none_or(|v| v.is_live());
        let shown: Vec<_> =
            self.unsettled.iter().filter(|(_, host)| listed(host)).map(|(key, _)| key.clone()).collect();
        for key in shown {
            self.unsettled.remove(&key);
            self.busy.remove(&key);
        }
        self.mark_drained();
    }

    pub fn mark_drained(&mut self) {
        for (id, view) in &self.views {
            let Duty::Draining { by, .. } = &view.record.duty else { continue };
            let is_on = |i: &Instance| i.host == *id || i.moved_from.as_ref().is_some_and(|f| f.host == *id);
            let recorded = self.desired.instances.values().flat_map(|s| s.values()).any(is_on);
            let ours = view.containers.iter().any(|c| c.owner.ours(&self.desired.install).is_some());
            if view.is_live() && !recorded && !ours {
                let duty = Duty::Drained { by: by.clone(), at: self.now };
                let record = HostRecord { duty, ..(*view.record).clone() };
                self.desired.records.insert(id.clone(), Arc::new(record));
            }
        }
    }

    pub fn plan(&self) -> Plan {
        let input = Input {
            now: self.now,
            beginning: self.now.since(self.begun) < 2_000,
            desired: &self.desired,
            hosts: &self.views,
            busy: &self.busy,
            leaving: &self.leaving,
        };
        let mut plan = reconcile(&input, &mut Room::new(input.desired, input.hosts));
        if input.beginning {
            plan.wake_at = plan.wake_at.into_iter().chain([self.now.plus(500)]).min();
        }
        plan
    }

    pub fn is_live(&self, host: &HostId) -> bool {
        self.views.get(host).is_some_and(|v| v.is_live())
    }

    pub fn carry_out(&mut self, plan: Plan) {
        self.check(&plan);
        let again = !plan.updates.is_empty();
        let note: Vec<String> = plan
            .steps
            .iter()
            .map(|s| format!("{s:?}"))
            .chain(
                plan.removals
                    .iter()
                    .map(|r| format!("remove {} g{} {}: {}", r.tag, r.tag.generation, r.host, r.why)),
            )
            .chain(plan.updates.iter().map(|u| format!("{u:?}")))
            .chain(plan.forgotten.iter().map(|f| format!("forget {f:?}")))
            .collect();
        note.iter().for_each(|n| self.note(n));
        for (instance, _) in plan.updates {
            self.desired.apply(&Write::PutInstance(instance));
        }
        for (pool, slot) in plan.forgotten {
            self.desired.apply(&Write::DropInstance(pool, slot));
        }
        plan.gone.into_iter().for_each(|pool| self.desired.apply(&Write::DropPool(pool)));
        for removal in plan.removals {
            self.leaving.insert((removal.host.clone(), removal.container.clone()));
            let takes = if removal.stop_ms.is_some() { 100 + self.dice.below(10_000) } else { 50 };
            self.later(takes, Job::Remove(removal));
        }
        for step in plan.steps {
            let (takes, short) = (200 + self.dice.below(4_000), self.dice.below(200));
            match step {
                Step::Create { instance, .. } => {
                    self.desired.apply(&Write::PutInstance(instance.clone()));
                    self.doing(&instance, Activity::Creating);
                    self.unsettled.remove(&(instance.pool.clone(), instance.slot));
                    self.later(takes, Job::Create(instance));
                }
                Step::Bury { instance, container } => {
                    self.doing(&instance, Activity::Burying);
                    self.later(short, Job::Bury(instance, container));
                }
            }
        }
        if !again {
            self.check_numbers();
        }
    }

    fn doing(&mut self, instance: &Instance, activity: Activity) {
        let doing = Doing { activity, host: instance.host.clone() };
        self.busy.insert((instance.pool.clone(), instance.slot), doing);
    }

    pub fn later(&mut self, ms: u64, job: Job) {
        self.made += 1;
        self.jobs.push((self.now.plus(ms), self.made, job));
    }

    pub fn finish_jobs(&mut self) {
        let now = self.now;
        self.jobs.sort_by_key(|(at, n, _)| (*at, *n));
        while self.jobs.first().is_some_and(|(at, _, _)| *at <= now) {
            match self.jobs.remove(0).2 {
                Job::Create(instance) => self.create(instance, true),
                Job::Bury(instance, container) => self.bury(&instance, &container),
                Job::Remove(removal) => {
                    self.leaving.remove(&(removal.host.clone(), removal.container.clone()));
                    let host = self.truth.get_mut(&removal.host).unwrap();
                    if host.up {
                        host.containers.retain(|c| c.id != removal.container);
                    }
                }
            }
        }
        let (due, rest) = std::mem::take(&mut self.checks).into_iter().partition(|(at, _, _)| *at <= now);
        self.checks = rest;
        for (_, id, well) in due {
            let all = self.truth.values_mut().flat_map(|t| &mut t.containers);
            for c in all.filter(|c| c.id == id && c.state == State::Running) {
                c.health = if well { Health::Healthy } else { Health::Unhealthy };
            }
        }
    }

    /// A creation ends: as it should, not at all, or nobody hears of it.
    pub fn create(&mut self, instance: Instance, heard: bool) {
        let key = (instance.pool.clone(), instance.slot);
        let Some(pool) = self.desired.pools.get(&instance.pool).cloned() else { return };
        let lost_answer = self.dice.one_in(30);
        let host = self.truth.get_mut(&instance.host).unwrap();
        let failed = host.up && (host.full || (self.flaky && self.dice.one_in(4)));
        if host.up && !failed {
            let tag = instance.tag(&self.desired.install);
            match host.containers.iter_mut().find(|c| c.owner == Owner::Longshore(tag.clone())) {
                Some(same) => same.state = State::Running,
                None => {
                    self.made += 1;
                    let mut made = container(&format!("c{:08x}", self.made), Owner::Longshore(tag), self.now);
                    if pool.spec.pool_labels.contains_key("checked") {
                        made.health = Health::Starting;
                        let well = !(self.flaky && self.dice.one_in(4));
                        let at = self.now.plus(500 + self.dice.below(5_000));
                        self.checks.push((at, made.id.clone(), well));
                    }
                    host.containers.push(made);
                }
            }
        }
        if !heard {
            return;
        }
        let known = host.known;
        let answered = host.up && known && !lost_answer;
        let activity = if answered { Activity::Settling } else { Activity::Unknown("timeout".into()) };
        self.doing(&instance, activity);
        self.unsettled.insert(key, instance.host.clone());
        if !answered {
            return;
        }
        let record = if failed {
            after(&pool.spec.restart, &instance, &Ended::Failed, "no space".into(), self.now)
        } else {
            Instance { phase: Phase::Started, since: self.now, ..instance }
        };
        self.desired.apply(&Write::PutInstance(record));
    }

    pub fn bury(&mut self, instance: &Instance, id: &ContainerId) {
        let key = (instance.pool.clone(), instance.slot);
        self.doing(instance, Activity::Settling);
        self.unsettled.insert(key, instance.host.clone());
        let Some(pool) = self.desired.pools.get(&instance.pool) else { return };
        let host = &self.truth[&instance.host];
        let Some(c) = host.containers.iter().find(|c| c.id == *id).filter(|_| host.up) else { return };
        let ended = Ended::Exit { status: c.exit.unwrap_or(1), ran_ms: Some(self.now.since(c.created)) };
        let next = after(&pool.spec.restart, instance, &ended, "ended".into(), self.now);
        self.desired.apply(&Write::PutInstance(next));
    }

    /// Every host answers, nothing fails any more, and people have uncordoned what is not drained.
    pub fn calm(&mut self) {
        self.note("calm");
        self.flaky = false;
        let hosts: Vec<HostId> = self.truth.keys().cloned().collect();
        for host in &hosts {
            let truth = self.truth.get_mut(host).unwrap();
            (truth.up, truth.known, truth.full) = (true, true, false);
            self.desired.apply(&Write::PutIdentity(host.clone(), host.to_string()));
            if matches!(self.desired.records.get(host).map(|r| &r.duty), Some(Duty::Cordoned { .. })) {
                self.duty(host, Duty::Active);
            }
        }
        for class in ["big", "small"] {
            // Of each class one host at least takes containers.
            let of = |r: &HostRecord| r.class.as_deref() == Some(class);
            let mut mine = self.desired.records.iter().filter(|(_, r)| of(r));
            if let Some((host, _)) = mine.next() {
                let host = host.clone();
                self.duty(&host, Duty::Active);
            }
        }
        self.duty(&hosts[0], Duty::Active);
        let end = self.now.plus(4 * HOUR);
        while self.now < end {
            let wake = self.work();
            if self.jobs.is_empty() && self.checks.is_empty() && wake.is_none() {
                break;
            }
            self.pass(wake, end);
        }
        let plan = self.plan();
        assert!(
            plan.steps.is_empty()
                && plan.removals.is_empty()
                && plan.updates.is_empty()
                && plan.wake_at.is_none(),
            "it never comes to rest: {plan:#?}"
        );
        self.check_end(&plan);
    }
}

fn config(id: &HostId) -> HostConfig {
    HostConfig {
        id: id.clone(),
        address: format!("sim://{id}"),
        tls_dir: None,
        source: HostSource::Simulated,
    }
}

fn container(id: &str, owner: Owner, created: Millis) -> Container {
    let name = match &owner {
        Owner::Longshore(tag) => Tag::container_name(tag),
        _ => format!("stranger-{id}"),
    };
    Container {
        id: ContainerId::new(id),
        name: name.into(),
        image: "app:1".into(),
        state: State::Running,
        health: Health::None,
        exit: None,
        created,
        ports: vec![],
        address: None,
        owner,
    }
}
