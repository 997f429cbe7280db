//! Ten thousand containers: the console on a simulated fleet in a real terminal, and the costly functions by themselves.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    dead_code,
    reason = "a bench measures real time and says what failed by failing"
)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::process;
use kit::pty::Tui;
use kit::{LONGSHORE, Verdict, longshore, median, quantile, setting};
use longshore::base::clock::Millis;
use longshore::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId};
use longshore::model::container::{Container, Health, Owner, State, Tag};
use longshore::model::desired::{Desired, Write as Change};
use longshore::model::host::{HostConfig, HostFacts, HostSource, HostView, Seen};
use longshore::model::instance::{Instance, Phase};
use longshore::model::pool::{Pool, PoolSpec};
use longshore::model::world::{EngineView, Mode, World};
use longshore::plan::place::Room;
use longshore::plan::reconcile::{Input, reconcile, reconcile_all, reconcile_some};
use longshore::plan::seen::Index;
use longshore::tui::app::{App, Settings};
use longshore::tui::draw::draw;
use longshore::tui::event::Event;
use longshore::tui::theme::{self, Depth};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use regex::Regex;

const HOSTS: u32 = 50;
const POOLS: u32 = 1_000;
const SLOTS: u32 = 10;
const NOW: Millis = Millis(1_792_555_331_000);

fn scenario(hosts: u32, loose: u32) -> String {
    let mut text = "about = \"very many\"\nseed = 1\n".to_owned();
    for host in 1..=hosts {
        let _ = writeln!(text, "[[hosts]]\nname = \"h{host}\"");
    }
    text += "[[images]]\nname = \"app:1\"\neverywhere = true\n[[behaviours]]\nstart_ms = [10, 40]\nlog_per_minute = 6\n";
    if loose > 0 {
        let _ = writeln!(
            text,
            "[[existing]]\nbelongs = {{ loose = {{ name = \"box\" }} }}\nimage = \"app:1\"\ncount = {loose}"
        );
    }
    text
}

/// How large a fleet is.
#[derive(Clone, Copy)]
struct Size {
    hosts: u32,
    pools: u32,
    slots: u32,
    /// Most resident memory in MiB.
    memory: f64,
    /// Most CPU while nothing happens, in hundredths of a core; no bound when absent.
    idle: Option<f64>,
}

fn pool_file(size: Size) -> String {
    let (pools, slots) = (size.pools, size.slots);
    let mut text = "name: fleet\nservices:\n".to_owned();
    for pool in 0..pools {
        let _ = writeln!(
            text,
            "  p{pool:03}: {{ image: \"app:1\", network_mode: none, deploy: {{ replicas: {slots} }} }}"
        );
    }
    text
}

/// The practice console on a scenario; its temporary files lie in `dir`.
fn practice(dir: &Path, text: &str) -> Tui {
    std::fs::create_dir_all(dir).expect("a directory");
    let file = dir.join("scenario.toml").display().to_string();
    std::fs::write(&file, text).expect("the scenario");
    Tui::start(LONGSHORE, &["demo", "--scenario", &file], &[("TMPDIR", &dir.display().to_string())])
}

fn state_of(dir: &Path) -> Option<PathBuf> {
    let mut all = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path());
    all.find(|path| path.join("engine.sock").exists())
}

/// Forty presses down and up, then how quick they were and what the process holds.
fn keys(tui: &mut Tui, what: &str, names: &Regex, memory: f64, verdict: &mut Verdict) {
    let (mut times, mut lost) = (Vec::new(), 0);
    for i in 0..60 {
        match tui.press(if i / 15 % 2 == 0 { b"j" } else { b"k" }, names) {
            Some(press) => times.push(press.ms),
            None => lost += 1,
        }
    }
    let rss = process::rss(tui.pid());
    println!(
        "{what}: key p50 {:.2} ms, p95 {:.2} ms, {lost} without effect, {rss:.1} MiB",
        median(&times),
        quantile(&times, 0.95)
    );
    verdict.at_most(&format!("{what}: key p95 (ms)"), quantile(&times, 0.95), 16.0);
    verdict.at_most(&format!("{what}: keys without effect"), f64::from(lost), 0.0);
    verdict.at_most(&format!("{what}: resident memory (MiB)"), rss, memory);
}

fn strangers(dir: &Path, verdict: &mut Verdict) {
    let mut tui = practice(dir, &scenario(HOSTS, POOLS * SLOTS / HOSTS));
    tui.watch(Duration::from_secs(8));
    show(&tui);
    let names = Regex::new(r"▸?\s+box-\d+").expect("a pattern");
    let help = Regex::new("Help: ").expect("a pattern");
    let mut times = Vec::new();
    for i in 0..40 {
        // A lone Esc is told from an arrow key by waiting: only the way in is timed.
        let took = tui.flip(if i % 2 == 0 { b"?" } else { b"\x1b" }, &help);
        times.extend(took.filter(|_| i % 2 == 0));
        tui.watch(Duration::from_millis(100));
    }
    println!(
        "10,000 strangers: help opens, p50 {:.2} ms, p95 {:.2} ms",
        median(&times),
        quantile(&times, 0.95)
    );
    tui.send(b"\t");
    tui.watch(Duration::from_millis(500));
    keys(&mut tui, "10,000 strangers in one list", &names, 120.0, verdict);
    tui.close(b"q");
}

fn pools(dir: &Path, size: Size, verdict: &mut Verdict) {
    let (count, all) = (size.pools, size.pools * size.slots);
    let mut tui = practice(dir, &scenario(size.hosts, 0));
    let hosts = Regex::new(&format!("hosts {} ok", size.hosts)).expect("a pattern");
    let first = tui.full_after(&hosts, Duration::from_secs(4));
    println!("{} empty hosts: first full screen after {first:.0} ms", size.hosts);
    verdict.at_most(&format!("{} hosts: first full screen (ms)", size.hosts), first, 1_000.0);
    let state = state_of(dir).expect("the practice engine's state").display().to_string();
    let file = dir.join("fleet.yml").display().to_string();
    std::fs::write(&file, pool_file(size)).expect("the pool file");
    let begin = Instant::now();
    let out = longshore(&["--state", &state, "up", &file, "--wait=900"]);
    let took = begin.elapsed().as_secs_f64();
    if !out.status.success() {
        println!("up: {}", String::from_utf8_lossy(&out.stderr).lines().last().unwrap_or_default());
    }
    println!("{all} simulated containers in {count} pools brought up in {took:.1} s");
    tui.watch(Duration::from_secs(10));
    show(&tui);
    let cpu = process::cpu(tui.pid());
    let bytes = tui.bytes;
    tui.watch(Duration::from_secs(20));
    let idle = (process::cpu(tui.pid()) - cpu) * 5.0;
    println!("idle: {idle:.2} % of a core, {} bytes/s", (tui.bytes - bytes) / 20);
    if let Some(most) = size.idle {
        verdict.at_most(&format!("{all} containers: idle CPU (% of a core)"), idle, most);
    }
    let names = Regex::new(r"fleet/p\d+").expect("a pattern");
    let what = format!("{all} containers in {count} pools on {} hosts", size.hosts);
    keys(&mut tui, &what, &names, size.memory, verdict);
    tui.close(b"q");
}

fn show(tui: &Tui) {
    if setting("LONGSHORE_BENCH_SHOW", 0) > 0 {
        println!("{}", tui.text());
    }
}

/// All that a core knows of 10,000 containers in 1,000 pools on 50 hosts, each where it should be.
fn known() -> (Desired, BTreeMap<HostId, Arc<HostView>>) {
    let install = InstallId("0a1b2c3d".into());
    let mut desired = Desired { install: install.clone(), ..Desired::default() };
    let host_id = |n: u32| HostId::new(&format!("h{}", n % HOSTS + 1)).expect("a name");
    let mut lists: BTreeMap<HostId, Vec<Container>> = BTreeMap::new();
    for p in 0..POOLS {
        let id: PoolId = format!("fleet/p{p:03}").parse().expect("a name");
        let spec = PoolSpec { image: "app:1".into(), replicas: SLOTS, ..PoolSpec::default() };
        desired.apply(&Change::PutPool(Box::new(pool(id.clone(), spec))));
        for slot in 1..=SLOTS {
            let host = host_id(p * SLOTS + slot);
            let instance = Instance {
                pool: id.clone(),
                slot,
                generation: 1,
                host: host.clone(),
                revision: 1,
                op: OpId(1),
                phase: Phase::Started,
                failures: 0,
                retry_at: None,
                cause: None,
                since: NOW,
                moved_from: None,
                move_to: None,
                renewed: None,
            };
            let tag = instance.tag(&install);
            lists.entry(host).or_default().push(container(p * SLOTS + slot, tag));
            desired.apply(&Change::PutInstance(instance));
        }
    }
    let view = |(id, mut containers): (HostId, Vec<Container>)| {
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        let config = HostConfig {
            id: id.clone(),
            address: "sim".into(),
            tls_dir: None,
            source: HostSource::Simulated,
        };
        let facts =
            HostFacts { cpus: 16, memory: 64 << 30, engine_id: id.as_str().into(), ..HostFacts::default() };
        let view = HostView {
            seen: Seen::At(NOW),
            lists: 1,
            facts: Arc::new(facts),
            containers: Arc::new(containers),
            ..HostView::never(config)
        };
        (id, Arc::new(view))
    };
    let hosts = lists.into_iter().map(view).collect();
    (desired, hosts)
}

fn pool(id: PoolId, spec: PoolSpec) -> Pool {
    Pool {
        id,
        revision: 1,
        want: spec.replicas,
        spec,
        version: 1,
        down: false,
        hosts: Vec::new(),
        holes: Default::default(),
        last_scale: None,
    }
}

fn container(number: u32, tag: Tag) -> Container {
    Container {
        id: ContainerId::new(&format!("{number:064x}")),
        name: tag.container_name().as_str().into(),
        image: "app:1".into(),
        state: State::Running,
        health: Health::None,
        exit: None,
        created: NOW,
        ports: Vec::new(),
        address: None,
        owner: Owner::Longshore(tag),
    }
}

/// Milliseconds of one call, the median of twenty.
fn time<T>(mut call: impl FnMut() -> T) -> f64 {
    let times: Vec<f64> = (0..20)
        .map(|_| {
            let begin = Instant::now();
            black_box(call());
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    median(&times)
}

/// The functions that see everything, beside a plain copy of what they see.
fn functions(verdict: &mut Verdict) {
    let (desired, hosts) = known();
    let (busy, leaving) = (BTreeMap::new(), BTreeSet::new());
    let (desired, hosts) = (&desired, &hosts);
    let input = Input { now: NOW, desired, hosts, beginning: false, busy: &busy, leaving: &leaving };
    let plan = reconcile(&input, &mut Room::new(input.desired, input.hosts));
    assert!(plan.steps.is_empty() && plan.removals.is_empty(), "all is as it should be");
    let copy = time(|| {
        let lists: Vec<Vec<Container>> = hosts.values().map(|h| h.containers.to_vec()).collect();
        (desired.clone(), lists)
    });
    // The engine keeps its index and its books, and plans the pools of which something may have changed.
    let books = time(|| (Index::of(&desired.install, hosts), Room::new(desired, hosts)));
    let (index, mut room) = (Index::of(&desired.install, hosts), Room::new(desired, hosts));
    let planning = time(|| reconcile_all(&input, &index, &mut room));
    let one = time(|| reconcile_some(&input, &index, desired.pools.keys().take(1), &mut room));
    let engine =
        EngineView { install: Some(desired.install.clone()), mode: Mode::Active, ..EngineView::default() };
    let pools = plan.pools.into_iter().map(|(id, view)| (id, Arc::new(view))).collect();
    let world =
        Arc::new(World { at: NOW, revision: 1, engine, hosts: hosts.clone(), pools, ..World::default() });
    let theme = theme::built_in("dark", Depth::True).expect("the dark theme");
    let mut app = App::new(Settings::default(), theme, kit::pty::SIZE);
    let update = time(|| app.update(NOW, Event::World(world.clone())));
    let area = Rect::new(0, 0, kit::pty::SIZE.0, kit::pty::SIZE.1);
    let drawing = time(|| {
        let mut buf = Buffer::empty(area);
        draw(&app, &mut buf);
        buf
    });
    println!(
        "10,000 containers in 1,000 pools: a plain copy {copy:.2} ms; index and books from nothing {books:.2} ms, reconcile of all {planning:.2} ms, of one pool {one:.3} ms; rows of a new world {update:.2} ms, a frame {drawing:.2} ms"
    );
    verdict.at_most("reconcile to a plain copy", planning / copy, 5.0);
    verdict.at_most("index and books to a plain copy", books / copy, 10.0);
    verdict.at_most("rows and a frame (ms)", update + drawing, 16.0);
}

fn main() -> ExitCode {
    let mut verdict = Verdict::default();
    functions(&mut verdict);
    let dir = tempfile::tempdir().expect("a directory");
    strangers(&dir.path().join("strangers"), &mut verdict);
    let count = u32::try_from(setting("LONGSHORE_BENCH_POOLS", u64::from(POOLS))).unwrap_or(POOLS);
    let ten = Size { hosts: HOSTS, pools: count, slots: SLOTS, memory: 120.0, idle: None };
    pools(&dir.path().join("pools"), ten, &mut verdict);
    // The bounds are the issue's own.
    let number = |name, usual| u32::try_from(setting(name, usual)).unwrap_or(0);
    let hundred = Size {
        hosts: number("LONGSHORE_BENCH_HOSTS", 1_000),
        pools: number("LONGSHORE_BENCH_MANY", 1_000),
        slots: 100,
        memory: 400.0,
        idle: Some(2.0),
    };
    if hundred.pools > 0 {
        pools(&dir.path().join("many"), hundred, &mut verdict);
    }
    verdict.status()
}
