//! A busy hour of a whole fleet in virtual time: hosts fail and come back, containers die, numbers change. At every step
//! nothing is too many and nobody else's containers are touched; in the end exactly what is wanted runs, and what was
//! planned bit by bit is what planning everything from the durable state gives.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]

#[path = "support/flow.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod flow;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use flow::{Flow, cluster, pass, spec};
use longshore::adapters::sim::{Belongs, Existing, Scenario, Span, Trouble};
use longshore::base::ids::{ContainerId, HostId, PoolId, Seeded};
use longshore::model::command::{Busy, Command};
use longshore::model::container::{Owner, State};
use longshore::model::world::World;
use longshore::plan::place::Room;
use longshore::plan::reconcile::{Input, reconcile};
use longshore::store::Store;
use longshore::tui::app::{App, Settings};
use longshore::tui::draw::draw;
use longshore::tui::event::Event;
use longshore::tui::theme::{self, Depth};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// How large the fleet is, and what happens to it.
#[derive(Clone, Copy)]
struct Size {
    hosts: usize,
    pools: usize,
    slots: u32,
    steps: u32,
}

struct Hour {
    flow: Flow,
    size: Size,
    dice: Seeded,
    wanted: BTreeMap<PoolId, u32>,
    /// The most that a pool has wanted since it was quiet: some of it may still have to go.
    most: BTreeMap<PoolId, u32>,
    strangers: BTreeMap<HostId, Vec<ContainerId>>,
    cut: BTreeSet<HostId>,
    drained: BTreeSet<HostId>,
    app: App,
}

fn name(pool: usize) -> String {
    format!("p{pool:04}")
}

async fn begin(size: Size, seed: u64) -> Hour {
    let mut scenario = Scenario::uniform(size.hosts, "app:1").unwrap();
    scenario.seed = seed;
    scenario.existing.push(Existing {
        belongs: Belongs::Loose { name: "other".into() },
        image: "app:1".into(),
        hosts: Vec::new(),
        count: 1,
        age_s: Span(3_600, 90_000),
        exited: None,
        port: None,
    });
    let flow = Flow::begin(scenario).await;
    let mut strangers: BTreeMap<HostId, Vec<ContainerId>> = BTreeMap::new();
    for host in flow.fleet.hosts() {
        let there = flow.fleet.snapshot(&host.id).unwrap();
        strangers.insert(host.id, there.into_iter().map(|c| c.id).collect());
    }
    let names: Vec<String> = (0..size.pools).map(name).collect();
    let pools: Vec<_> = names.iter().map(|n| (n.as_str(), spec(size.slots))).collect();
    flow.up(cluster("fleet", &pools)).await;
    let wanted: BTreeMap<PoolId, u32> =
        names.iter().map(|n| (PoolId::new("fleet", n).unwrap(), size.slots)).collect();
    let theme = theme::built_in("dark", Depth::True).unwrap();
    let app = App::new(Settings::default(), theme, (120, 40));
    let most = wanted.clone();
    let cut = BTreeSet::new();
    Hour { flow, size, dice: Seeded::new(seed), wanted, most, strangers, cut, drained: BTreeSet::new(), app }
}

impl Hour {
    fn any_host(&mut self) -> HostId {
        let n = self.dice.below(self.size.hosts as u64);
        HostId::new(&format!("h{}", n + 1)).unwrap()
    }

    fn any_pool(&mut self) -> PoolId {
        let n = usize::try_from(self.dice.below(self.size.pools as u64)).unwrap();
        PoolId::new("fleet", &name(n)).unwrap()
    }

    /// One thing that happens.
    async fn trouble(&mut self) {
        let host = self.any_host();
        match self.dice.below(12) {
            10 => {
                let hosts = vec![host.clone()];
                if self.flow.command("alice", Command::Drain { hosts, force: false }).await.is_ok() {
                    self.drained.insert(host);
                }
            }
            11 => {
                if let Some(host) = self.drained.pop_first() {
                    self.flow.command("alice", Command::Undrain { hosts: vec![host] }).await.unwrap();
                }
            }
            0 => {
                self.flow.fleet.fault(&host, &Trouble::Cut).unwrap();
                self.cut.insert(host);
            }
            1 => {
                self.flow.fleet.fault(&host, &Trouble::Hang).unwrap();
                self.cut.insert(host);
            }
            2 | 3 => {
                if let Some(host) = self.cut.pop_first() {
                    self.flow.fleet.fault(&host, &Trouble::Back).unwrap();
                }
            }
            4 => {
                self.flow.fleet.fault(&host, &Trouble::Restart).unwrap();
            }
            5..=7 => {
                let there = self.flow.fleet.snapshot(&host).unwrap();
                let ours = there.iter().filter(|c| matches!(c.owner, Owner::Longshore(_)));
                let running: Vec<_> = ours.filter(|c| c.state == State::Running).collect();
                let n = usize::try_from(self.dice.below(running.len().max(1) as u64)).unwrap();
                match running.get(n) {
                    Some(one) if self.dice.below(4) == 0 => {
                        self.flow.fleet.remove_outside(&host, &one.id).unwrap();
                    }
                    Some(one) => self.flow.fleet.kill(&host, &one.id, 1).unwrap(),
                    None => {}
                }
            }
            _ => {
                let pool = self.any_pool();
                let to = u32::try_from(self.dice.below(u64::from(self.size.slots) * 2)).unwrap();
                if self.flow.scale("alice", &pool.to_string(), &to.to_string(), Busy::Replace).await.is_ok() {
                    self.wanted.insert(pool.clone(), to);
                    let most = self.most.entry(pool).or_default();
                    *most = (*most).max(to);
                }
            }
        }
    }

    /// What must hold at any time.
    fn check(&mut self, when: &str) {
        let world = self.flow.world();
        let moving = |pool: &PoolId, slot: u32| {
            let slots = world.pool(pool).map_or(&[][..], |p| p.slots.as_slice());
            let record = slots.iter().find(|s| s.slot == slot).and_then(|s| s.instance.as_ref());
            record.is_some_and(|i| i.moved_from.is_some())
        };
        let mut slots: BTreeSet<(PoolId, u32)> = BTreeSet::new();
        let mut counts: BTreeMap<PoolId, u32> = BTreeMap::new();
        for (host, container, tag) in self.flow.truth() {
            // What runs on a host that does not answer may have been replaced.
            if container.state != State::Running || self.cut.contains(&host) {
                continue;
            }
            if slots.insert((tag.pool.clone(), tag.slot)) {
                *counts.entry(tag.pool.clone()).or_default() += 1;
            } else {
                assert!(moving(&tag.pool, tag.slot), "{when}: {tag} runs twice, also on {host}");
            }
        }
        for (pool, count) in counts {
            let most = self.most.get(&pool).copied().unwrap_or(0);
            assert!(count <= most, "{when}: {count} of {pool}, more than the {most} that were ever wanted");
        }
        for (host, ids) in &self.strangers {
            let there: BTreeSet<ContainerId> =
                self.flow.fleet.snapshot(host).unwrap().into_iter().map(|c| c.id).collect();
            assert!(ids.iter().all(|id| there.contains(id)), "{when}: somebody else's is gone from {host}");
        }
        self.frame();
    }

    fn frame(&mut self) {
        let world = self.flow.world();
        self.app.update(world.at, Event::World(world));
        let mut buf = Buffer::empty(Rect::new(0, 0, 120, 40));
        draw(&self.app, &mut buf);
        let text: String = buf.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.contains("fleet/p0"), "the pools are on the screen");
    }

    fn is_as_wanted(&self, world: &World) -> bool {
        self.wanted.iter().all(|(id, want)| {
            world.pool(id).is_some_and(|p| {
                let c = p.counts;
                c.want == *want && c.healthy == *want && c.leaving == 0 && c.lost == 0 && c.failing == 0
            })
        })
    }

    /// Lets everything come to rest, and compares.
    async fn calm(&mut self) {
        let hosts: Vec<HostId> = std::mem::take(&mut self.drained).into_iter().collect();
        if !hosts.is_empty() {
            self.flow.command("alice", Command::Undrain { hosts }).await.unwrap();
        }
        for host in std::mem::take(&mut self.cut) {
            self.flow.fleet.fault(&host, &Trouble::Back).unwrap();
        }
        for _ in 0..240 {
            pass(5).await;
            if self.is_as_wanted(&self.flow.world()) {
                break;
            }
        }
        let world = self.flow.world();
        for (id, want) in &self.wanted {
            let p = world.pool(id).unwrap();
            assert_eq!(
                (p.counts.healthy, p.counts.want),
                (*want, *want),
                "{id}: {:?} {:?}",
                p.counts,
                p.waits
            );
        }
        // Ended predecessors of before may still be on their way out.
        pass(60).await;
        self.most.clone_from(&self.wanted);
        self.check("in the end");
        self.compare().await;
    }

    /// The world that grew change by change is the one that planning everything at once gives.
    async fn compare(&self) {
        let (_, desired) =
            Store::open_read_only(self.flow.dir.path(), self.flow.clock.clone()).await.unwrap().unwrap();
        let world = self.flow.world();
        let (busy, leaving) = (BTreeMap::new(), BTreeSet::new());
        let now = longshore::base::clock::Clock::now(&*self.flow.clock);
        let (desired, hosts) = (&desired, &world.hosts);
        let input = Input { now, desired, hosts, beginning: false, busy: &busy, leaving: &leaving };
        let mut room = Room::new(desired, hosts);
        for (id, host) in hosts {
            assert_eq!(host.taken, room.taken(id), "what is counted on {id}");
        }
        let plan = reconcile(&input, &mut room);
        assert_eq!((plan.steps, plan.removals), (vec![], vec![]), "nothing is left to do");
        assert_eq!((plan.updates, plan.forgotten), (vec![], vec![]), "nothing is left to write down");
        for (id, view) in plan.pools {
            assert_eq!(world.pool(&id), Some(&view), "the view of {id}");
        }
    }
}

async fn hour(size: Size, seed: u64) {
    let mut hour = begin(size, seed).await;
    for _ in 0..600 {
        pass(1).await;
        if hour.is_as_wanted(&hour.flow.world()) {
            break;
        }
    }
    hour.calm().await;
    for step in 0..size.steps {
        for _ in 0..=hour.dice.below(4) {
            hour.trouble().await;
        }
        let wait = 1 + hour.dice.below(u64::from(3_600 / size.steps * 2));
        pass(wait).await;
        if step % 10 == 0 {
            // Who has just come back is seen by then.
            pass(30).await;
            hour.check(&format!("seed {seed}, step {step}"));
        }
    }
    hour.calm().await;
    let trouble = hour.flow.world().engine.trouble.clone();
    assert_eq!(trouble, None, "the engine itself is well");
}

fn of_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(otherwise)
}

/// Seeds that once found a fault, in the larger of the small fleets.
const FAULTS: &[u64] = &[527, 615];
const SMALL: Size = Size { hosts: 4, pools: 4, slots: 4, steps: 20 };
/// Every tenth seed is of this size.
const LARGER: Size = Size { hosts: 6, pools: 8, slots: 5, steps: 30 };

/// `LONGSHORE_FLEET_SEEDS` small fleets from seed `LONGSHORE_FLEET_SEED` on, each with an engine, a clock and a thread of its
/// own at a time.
#[test]
fn a_busy_hour_of_small_fleets() {
    let first = of_env("LONGSHORE_FLEET_SEED", 1);
    let last = first + of_env("LONGSHORE_FLEET_SEEDS", 20);
    let faults = FAULTS.iter().map(|seed| (*seed, LARGER));
    let of_size = |seed: u64| (seed, if seed.is_multiple_of(10) { LARGER } else { SMALL });
    let seeds: Vec<(u64, Size)> = faults.chain((first..last).map(of_size)).collect();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let Some(&(seed, size)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().start_paused(true).build().unwrap();
                let run = AssertUnwindSafe(|| runtime.block_on(hour(size, seed)));
                assert!(
                    catch_unwind(run).is_ok(),
                    "run it alone: LONGSHORE_FLEET_SEED={seed} LONGSHORE_FLEET_SEEDS=1"
                );
            }
        };
        // (While one waits for the disk, another computes.)
        let threads: Vec<_> = (0..cores * 2).map(|_| scope.spawn(work)).collect();
        assert!(threads.into_iter().all(|t| t.join().is_ok()), "a seed failed: see above");
    });
}

#[tokio::test(start_paused = true)]
async fn a_busy_hour_of_a_large_fleet() {
    let hosts = usize::try_from(of_env("LONGSHORE_FLEET_HOSTS", 100)).unwrap();
    let slots = u32::try_from(of_env("LONGSHORE_FLEET_SLOTS", 20)).unwrap();
    hour(Size { hosts, pools: hosts, slots, steps: 40 }, 7).await;
}
