//! Placement: how many a second on 100, 1,000 and 10,000 hosts, a preview into a full fleet, and how good the choices are.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench measures real time and says what failed by failing"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{HostId, OpId, PoolId, Seeded};
use longshore::model::desired::Desired;
use longshore::model::host::{HostConfig, HostFacts, HostRecord, HostSource, HostView, Seen};
use longshore::model::instance::{Instance, Phase};
use longshore::model::placement::{Attribute, Placement, Strategy};
use longshore::model::pool::{Pool, PoolSpec, Resources};
use longshore::plan::place::{Ask, Room};
use longshore::plan::preview::{Scale, preview};
use longshore::plan::rebalance::propose;

type Hosts = BTreeMap<HostId, Arc<HostView>>;

const GIB: u64 = 1 << 30;
/// Cores and GiB of the machines.
const MACHINES: [(u64, u64); 5] = [(12, 16), (16, 64), (32, 128), (48, 96), (64, 256)];
/// Containers of each host.
const DENSITY: u32 = 10;
/// Containers of each pool.
const SLOTS: u32 = 100;

fn fleet(count: u32, seed: u64) -> Hosts {
    let mut random = Seeded::new(seed);
    let host = |i: u32| {
        let id = HostId::new(&format!("h{i:05}")).expect("a name");
        let config = HostConfig {
            id: id.clone(),
            address: "sim://x".into(),
            tls_dir: None,
            source: HostSource::Added,
        };
        let (cpus, gib) =
            *MACHINES.get(usize::try_from(random.below(5)).expect("small")).expect("one of five");
        let disk = if random.below(10) < 7 { "ssd" } else { "hdd" };
        let rack = format!("r{}", i / 50);
        let mut view = HostView::never(config);
        view.seen = Seen::At(Millis(0));
        view.facts = Arc::new(HostFacts {
            engine_id: format!("E{i}").into(),
            cpus,
            memory: gib * GIB - random.below(1 << 20),
            arch: "x86_64".into(),
            version: "28.1.1".into(),
            ..HostFacts::default()
        });
        view.record = Arc::new(HostRecord {
            site: Some(format!("s{}", i % 4).parse().expect("a name")),
            labels: [("disk".to_owned(), disk.to_owned()), ("rack".to_owned(), rack)].into(),
            ..HostRecord::default()
        });
        (id, Arc::new(view))
    };
    (0..count).map(host).collect()
}

fn id(i: u32) -> PoolId {
    PoolId::new("bench", &format!("p{i:04}")).expect("a name")
}

fn pool(i: u32, milli: u64, memory: u64, placement: Placement) -> Pool {
    let resources =
        Resources { cpu_reserved_milli: Some(milli), memory_reserved: Some(memory), ..Resources::default() };
    let spec = PoolSpec { image: "app:1".into(), resources, placement, ..PoolSpec::default() };
    Pool {
        id: id(i),
        revision: 1,
        spec,
        want: SLOTS,
        version: 1,
        down: false,
        hosts: vec![],
        holes: Default::default(),
        last_scale: None,
    }
}

/// Every second pool has a constraint, every third is spread over racks, every tenth keeps away from another.
fn pools(count: u32, seed: u64) -> Vec<Pool> {
    let mut random = Seeded::new(seed);
    let pool = |i: u32| {
        let constraint = ["node.labels.disk == ssd", "node.cpus >= 16"].get(i as usize % 4);
        let placement = Placement {
            constraints: constraint.into_iter().map(|c| c.parse().expect("a constraint")).collect(),
            spread: i.is_multiple_of(3).then(|| Attribute::Label("rack".into())).into_iter().collect(),
            max_per_host: i.is_multiple_of(2).then_some(40),
            apart: (i % 10 == 9).then(|| id(i - 1)).into_iter().collect(),
            ..Placement::default()
        };
        pool(i, 100 + random.below(900), (128 + random.below(896)) << 20, placement)
    };
    (0..count).map(pool).collect()
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: f64 = text.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("a number");
    pages * 4096.0
}

/// Nanoseconds for which this thread has been at work: others may be at work on the same machine.
fn at_work() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

/// Time at work for one placement in nanoseconds, bytes of one container, and the full room.
fn fill(hosts: &Hosts, pools: &[Pool]) -> (f64, f64, u32, Room) {
    let mut room = Room::new(&Desired::default(), hosts);
    let (before, began, mut failed) = (resident(), at_work(), 0u32);
    for pool in pools {
        for slot in 1..=SLOTS {
            failed += u32::from(room.choose(&Ask::new(pool, slot)).is_err());
        }
    }
    let all = pools.len() as f64 * f64::from(SLOTS);
    ((at_work() - began) / all, (resident() - before) / all, failed, room)
}

fn throughput(missed: &mut Vec<String>) {
    println!(
        "| hosts | containers | placements/s | ns each | bytes each | not placed | preview of +100 (ms) |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    let mut costs = Vec::new();
    for count in [100, 1_000, 10_000] {
        let (hosts, pools) = (fleet(count, 1), pools(count * DENSITY / SLOTS, 2));
        // The kernel counts in steps of milliseconds: a small fleet is filled often.
        let (mut ns, bytes, failed, mut room) = fill(&hosts, &pools);
        let rounds = 10_000 / count;
        for _ in 1..rounds {
            ns += fill(&hosts, &pools).0;
        }
        ns /= f64::from(rounds);
        let desired = Desired::default();
        let began = at_work();
        // By turns, so that each begins with nothing worked out.
        for pool in pools.iter().take(2).cycle().take(20) {
            let scale = Scale { pool, to: 200, going: vec![], refusal: None, strategy: None };
            let worked_out = preview(&desired, &hosts, &mut room, scale, Millis(0));
            assert_eq!(worked_out.unplaced + worked_out.places.iter().map(|p| p.count).sum::<u32>(), 200);
        }
        let ms = (at_work() - began) / 20e6;
        let all = count * DENSITY;
        println!("| {count} | {all} | {:.0} | {ns:.0} | {bytes:.0} | {failed} | {ms:.2} |", 1e9 / ns);
        costs.push((ns, ms));
    }
    let (ns, ms) = costs.last().copied().expect("a measure");
    if ns > 10_000.0 {
        missed.push(format!("{ns:.0} ns for one placement on 10,000 hosts, at most 10,000"));
    }
    if ms > 20.0 {
        missed.push(format!("{ms:.1} ms for a preview, at most 20"));
    }
    for pair in costs.windows(2) {
        let grows = pair[1].0 / pair[0].0;
        if grows >= 10.0 {
            missed.push(format!("a placement costs {grows:.1} times as much on ten times the hosts"));
        }
    }
}

/// A plain packer for comparison: cores and memory left, host by host.
struct Plain {
    left: Vec<(u64, u64, Arc<HostView>)>,
}

impl Plain {
    fn place(&mut self, pool: &Pool, best: bool) -> bool {
        let need = pool.spec.need();
        let tests: Vec<_> =
            pool.spec.placement.constraints.iter().map(longshore::plan::place::Test::new).collect();
        let fit = self.left.iter_mut().filter(|(cpu, memory, view)| {
            *cpu >= need.cpu_milli && *memory >= need.memory && tests.iter().all(|t| t.holds(view))
        });
        let share = |h: &(u64, u64, Arc<HostView>)| {
            let cap = h.2.capacity();
            (h.0 as f64 / cap.cpu_milli as f64) + (h.1 as f64 / cap.memory as f64)
        };
        let found =
            if best { fit.min_by(|a, b| share(a).total_cmp(&share(b))) } else { fit.into_iter().next() };
        let Some(host) = found else { return false };
        host.0 -= need.cpu_milli;
        host.1 -= need.memory;
        true
    }
}

/// Not placed; largest container that still fits by all that is free (memory); fullest less emptiest host by its scarcest
/// resource; hosts in use.
type Quality = [f64; 4];

fn judge(hosts: &Hosts, left: impl Fn(&HostView) -> (u64, u64), failed: u32) -> Quality {
    let part = |left: u64, of: u64| left as f64 / of as f64;
    let (mut total, mut largest, mut low, mut high, mut used) = (0.0, 0.0f64, 1.0f64, 0.0f64, 0u32);
    for host in hosts.values() {
        let ((cpu, memory), cap) = (left(host), host.capacity());
        total += memory as f64;
        // What no core is left for fits no more.
        largest = largest.max(if cpu >= 500 { memory as f64 } else { 0.0 });
        let scarcest = part(cpu, cap.cpu_milli).min(part(memory, cap.memory));
        (low, high) = (low.min(scarcest), high.max(scarcest));
        used += u32::from(cpu < cap.cpu_milli);
    }
    [f64::from(failed), 100.0 * largest / total, 100.0 * (high - low), f64::from(used)]
}

fn ours(hosts: &Hosts, demand: &[Pool], strategy: Strategy) -> Quality {
    let (mut room, mut failed) = (Room::new(&Desired::default(), hosts), 0);
    for pool in demand {
        for slot in 1..=pool.want {
            failed += u32::from(room.choose(&Ask { strategy, ..Ask::new(pool, slot) }).is_err());
        }
    }
    let left = |h: &HostView| {
        let (cap, taken) = (h.capacity(), room.taken(&h.config.id).need);
        (cap.cpu_milli - taken.cpu_milli, cap.memory - taken.memory)
    };
    judge(hosts, left, failed)
}

fn plain(hosts: &Hosts, demand: &[Pool], best: bool) -> Quality {
    let left = hosts.values().map(|h| (h.capacity().cpu_milli, h.capacity().memory, h.clone())).collect();
    let (mut packer, mut failed) = (Plain { left }, 0);
    for pool in demand {
        failed += (0..pool.want).map(|_| u32::from(!packer.place(pool, best))).sum::<u32>();
    }
    let by_id: BTreeMap<&HostId, (u64, u64)> =
        packer.left.iter().map(|(cpu, memory, h)| (&h.config.id, (*cpu, *memory))).collect();
    judge(hosts, |h| by_id[&h.config.id], failed)
}

/// Containers until so much of the fleet's scarcer resource is asked for, per cent.
fn demand(hosts: &Hosts, seed: u64, part: u64) -> Vec<Pool> {
    let mut random = Seeded::new(seed);
    let sum = |f: fn(&HostView) -> u64| hosts.values().map(|h| f(h)).sum::<u64>() * part / 100;
    let (mut cpu, mut memory) = (sum(|h| h.capacity().cpu_milli), sum(|h| h.capacity().memory));
    let mut out = Vec::new();
    for i in 0.. {
        let milli = [500, 1_000, 2_000, 4_000, 8_000][usize::try_from(random.below(5)).expect("small")];
        let gib = [1, 2, 4, 8, 24][usize::try_from(random.below(5)).expect("small")];
        let constraint = (i % 3 == 0).then(|| "node.labels.disk == ssd".parse().expect("a constraint"));
        let placement = Placement { constraints: constraint.into_iter().collect(), ..Placement::default() };
        let mut pool = pool(i, milli, gib * GIB, placement);
        pool.want = 1 + u32::try_from(random.below(20)).expect("small");
        let (c, m) = (milli * u64::from(pool.want), gib * GIB * u64::from(pool.want));
        if c > cpu || m > memory {
            break;
        }
        (cpu, memory) = (cpu - c, memory - m);
        out.push(pool);
    }
    out
}

/// So many at least find no place, whatever is done: more is asked for than there is.
fn unavoidable(hosts: &Hosts, demand: &[Pool]) -> u32 {
    let least = |of: fn(&longshore::model::host::Need) -> u64| {
        let room: u64 = hosts.values().map(|h| of(&h.capacity())).sum();
        let each = |p: &Pool| std::iter::repeat_n(of(&p.spec.need()), p.want as usize);
        let mut all: Vec<u64> = demand.iter().flat_map(each).collect();
        all.sort_unstable();
        let mut sum = 0;
        let fit = all
            .iter()
            .take_while(|n| {
                sum += **n;
                sum <= room
            })
            .count();
        u32::try_from(all.len() - fit).expect("small")
    };
    least(|n| n.cpu_milli).max(least(|n| n.memory))
}

fn quality(missed: &mut Vec<String>) {
    println!(
        "\n| 100 hosts, by | asked for | not placed | largest free / all free | fullest - emptiest | hosts in use |"
    );
    println!("|:--|--:|--:|--:|--:|--:|");
    for part in [50, 80, 98, 115] {
        let runs: Vec<(Hosts, Vec<Pool>)> = (1..=8)
            .map(|seed| {
                let hosts = fleet(100, seed);
                let demand = demand(&hosts, seed + 100, part);
                (hosts, demand)
            })
            .collect();
        let asked: u32 = runs.iter().flat_map(|(_, d)| d).map(|p| p.want).sum();
        let mean = |judge: &dyn Fn(&Hosts, &[Pool]) -> Quality| {
            let mut all = [0.0; 4];
            for (hosts, demand) in &runs {
                for (sum, one) in all.iter_mut().zip(judge(hosts, demand)) {
                    *sum += one / runs.len() as f64;
                }
            }
            all[0] *= runs.len() as f64;
            all
        };
        let rows: [(&str, Quality); 5] = [
            ("spread", mean(&|h, d| ours(h, d, Strategy::Spread))),
            ("binpack", mean(&|h, d| ours(h, d, Strategy::Binpack))),
            ("random", mean(&|h, d| ours(h, d, Strategy::Random))),
            ("first fit", mean(&|h, d| plain(h, d, false))),
            ("best fit", mean(&|h, d| plain(h, d, true))),
        ];
        for (name, [failed, largest, skew, used]) in rows {
            println!(
                "| {name} | {part} %: {asked} | {failed:.0} | {largest:.2} % | {skew:.0} % | {used:.1} |"
            );
        }
        let least: u32 = runs.iter().map(|(h, d)| unavoidable(h, d)).sum();
        println!("| at least | {part} %: {asked} | {least} | | | |");
        let (binpack, best) = (rows[1].1[0], rows[3].1[0].min(rows[4].1[0]));
        if binpack > best {
            missed.push(format!(
                "binpack leaves {binpack} unplaced at {part} %, the better of the plain ones {best}"
            ));
        }
    }
}

/// A fleet in which each host has a label that no other has.
fn unique(count: u32) -> Hosts {
    let mut hosts = fleet(count, 3);
    for (id, view) in &mut hosts {
        let view = Arc::make_mut(view);
        Arc::make_mut(&mut view.record).labels.insert("serial".into(), id.to_string());
    }
    hosts
}

fn timed(what: &str, most_ms: f64, missed: &mut Vec<String>, act: impl FnOnce() -> String) {
    let began = at_work();
    let said = act();
    let ms = (at_work() - began) / 1e6;
    println!("| {what} | {ms:.0} | {most_ms:.0} | {said} |");
    if ms > most_ms {
        missed.push(format!("{what}: {ms:.0} ms, at most {most_ms:.0}"));
    }
}

/// A slot as it is recorded where it serves.
fn record(pool: &Pool, slot: u32, host: HostId) -> Instance {
    Instance {
        pool: pool.id.clone(),
        slot,
        generation: 1,
        host,
        revision: 1,
        op: OpId(1),
        phase: Phase::Started,
        failures: 0,
        retry_at: None,
        cause: None,
        since: Millis(0),
        moved_from: None,
        move_to: None,
        renewed: None,
    }
}

/// Everything on record: placed by chance when it shall be uneven.
fn recorded(hosts: &Hosts, pools: &[Pool], strategy: Strategy) -> Desired {
    let (mut room, mut desired) = (Room::new(&Desired::default(), hosts), Desired::default());
    for pool in pools {
        let mut slots = BTreeMap::new();
        for slot in 1..=pool.want {
            if let Ok(host) = room.choose(&Ask { strategy, ..Ask::new(pool, slot) }) {
                slots.insert(slot, record(pool, slot, host));
            }
        }
        desired.instances.insert(pool.id.clone(), slots);
        desired.pools.insert(pool.id.clone(), pool.clone());
    }
    desired
}

fn choose_all(room: &mut Room, pool: &Pool, strategy: Strategy) -> String {
    let ask = |slot| Ask { strategy, ..Ask::new(pool, slot) };
    let placed = (1..=pool.want).filter(|slot| room.choose(&ask(*slot)).is_ok()).count();
    format!("{placed} of {} placed", pool.want)
}

fn extremes(missed: &mut Vec<String>) {
    println!("\n| on 10,000 hosts | ms | at most | |");
    println!("|:--|--:|--:|:--|");
    let (hosts, pools) = (fleet(10_000, 1), pools(1_000, 2));
    let mut wide = pool(5_000, 100, GIB >> 2, Placement::default());
    wide.want = 10_000;
    let mut huge = pool(5_001, 100, 1 << 50, Placement::default());
    huge.want = 10_000;
    for (name, strategy) in
        [("spread", Strategy::Spread), ("binpack", Strategy::Binpack), ("random", Strategy::Random)]
    {
        let mut room = Room::new(&Desired::default(), &hosts);
        timed(&format!("10,000 of one pool, {name}"), 500.0, missed, || {
            choose_all(&mut room, &wide, strategy)
        });
        timed(&format!("10,000 that no host has room for, {name}"), 100.0, missed, || {
            choose_all(&mut room, &huge, strategy)
        });
    }
    let alone = unique(10_000);
    timed("every host a class of its own: 1,000 pools of 100", 2_000.0, missed, || {
        let (ns, _, failed, _) = fill(&alone, &pools);
        format!("{ns:.0} ns each, {failed} not placed")
    });
    for (name, strategy) in [("as it was spread", Strategy::Spread), ("placed by chance", Strategy::Random)] {
        let desired = recorded(&hosts, &pools, strategy);
        let mut room = Room::new(&desired, &hosts);
        timed(&format!("moves proposed for 100,000 {name}"), 500.0, missed, || {
            let proposal = propose(&desired, &hosts, &mut room, None, 100);
            format!(
                "{} moves, skew {} to {}",
                proposal.moves.len(),
                proposal.before.skew,
                proposal.after.skew
            )
        });
    }
}

fn main() -> ExitCode {
    let mut missed = Vec::new();
    throughput(&mut missed);
    extremes(&mut missed);
    quality(&mut missed);
    for bound in &missed {
        println!("FAIL  {bound}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
