//! The console beside dtop and oxker on one real engine with 200 running containers, all in the same run.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a bench measures real time on a real engine and says what failed by failing"
)]

mod kit;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kit::process;
use kit::pty::Tui;
use kit::{LONGSHORE, Table, Verdict, longshore_ok, median, on_path, quantile, setting};
use regex::Regex;
use support::Lab;

/// Pools and their sizes: 200 containers, of which those of `talk` write a line each second.
const POOLS: [(&str, u32, &str); 5] = [
    ("web", 80, "exec sleep 100000"),
    ("api", 60, "exec sleep 100000"),
    ("cache", 36, "exec sleep 100000"),
    ("batch", 20, "exec sleep 100000"),
    ("talk", 4, "while true; do echo $$(date) GET /feed 200; sleep 1; done"),
];
/// Writes as fast as it can for 40 s.
const FLOOD: &str =
    "timeout 40 yes 2026-11-20 GET /feed/items?page=12 200 0.004 s from 10.0.0.7; exec sleep 100000";
const DOWN: &[u8] = b"j";
const UP: &[u8] = b"k";

/// A program that is measured.
struct Contestant {
    name: &'static str,
    program: String,
    args: Vec<String>,
    vars: Vec<(String, String)>,
    /// What its list is known by.
    names: Regex,
    quit: &'static [u8],
}

impl Contestant {
    fn start(&self) -> Tui {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let vars: Vec<_> = self.vars.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        Tui::start(&self.program, &args, &vars)
    }
}

/// What was measured of one.
#[derive(Default)]
struct Figures {
    starts: Vec<f64>,
    cpu: f64,
    engine: f64,
    bytes: f64,
    rss: f64,
    rss_after: f64,
    keys: Vec<f64>,
    lost: usize,
    key_bytes: Vec<f64>,
}

fn contestants(lab: &Lab, dir: &Path) -> Vec<Contestant> {
    let text = |parts: &[&str]| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    let pools = Regex::new(r"bench/(web|api|cache|batch|talk) +\d+|(web|api|cache|batch|talk)\.\d+")
        .expect("a pattern");
    let names =
        Regex::new(r"ls-[a-z0-9]+-bench-|bench[-.](web|api|cache|batch|talk)[-.]\d+").expect("a pattern");
    let mut all = vec![Contestant {
        name: "longshore",
        program: LONGSHORE.to_owned(),
        args: text(&["--state", &dir.join("state").display().to_string(), "--host", &lab.address()]),
        vars: Vec::new(),
        names: pools,
        quit: b"q",
    }];
    for name in ["dtop", "oxker"] {
        match on_path(name) {
            None => println!("{name} is left out: it is not on the PATH"),
            Some(program) => all.push(Contestant {
                name,
                program: program.display().to_string(),
                args: if name == "dtop" { text(&["--host", &lab.address()]) } else { Vec::new() },
                vars: vec![("DOCKER_HOST".to_owned(), lab.address())],
                names: names.clone(),
                quit: b"q",
            }),
        }
    }
    all
}

fn bring_up(lab: &Lab, dir: &Path) {
    let mut file = "name: bench\nservices:\n".to_owned();
    for (name, replicas, script) in POOLS {
        file += &format!(
            "  {name}:\n    image: {}\n    command: [sh, -c, \"{script}\"]\n    network_mode: none\n    \
             stop_grace_period: 0s\n    deploy: {{ replicas: {replicas} }}\n",
            lab.image()
        );
    }
    up(lab, dir, "bench", &file);
}

fn up(lab: &Lab, dir: &Path, name: &str, text: &str) {
    let path = dir.join(format!("{name}.yml")).display().to_string();
    std::fs::write(&path, text).expect("the pool file");
    let state = dir.join("state").display().to_string();
    longshore_ok(&["--state", &state, "--host", &lab.address(), "up", &path, "--wait=300"]);
}

/// Seconds of CPU that the engine uses in a minute while nobody asks anything of it.
fn base(engine: &[u32], idle: Duration) -> f64 {
    let before = process::cpu_sum(engine);
    std::thread::sleep(idle);
    (process::cpu_sum(engine) - before) * 60.0 / idle.as_secs_f64()
}

/// Idle for a while, then fifty keys.
fn rest_and_press(who: &Contestant, engine: &[u32], idle: Duration, figures: &mut Figures) {
    let mut tui = who.start();
    tui.watch(Duration::from_secs(6));
    if setting("LONGSHORE_BENCH_SHOW", 0) > 0 {
        println!("{}", tui.text());
    }
    let minute = 60.0 / idle.as_secs_f64();
    let (cpu, used, bytes) = (process::cpu(tui.pid()), process::cpu_sum(engine), tui.bytes);
    tui.watch(idle);
    figures.cpu = (process::cpu(tui.pid()) - cpu) * minute;
    figures.engine = (process::cpu_sum(engine) - used) * minute;
    figures.bytes = (tui.bytes - bytes) as f64 / idle.as_secs_f64();
    figures.rss = process::rss(tui.pid());
    press(&mut tui, who, figures);
    figures.rss_after = process::rss(tui.pid());
    tui.close(who.quit);
}

fn press(tui: &mut Tui, who: &Contestant, figures: &mut Figures) {
    for i in 0..50 {
        let key = if i / 4 % 2 == 0 { DOWN } else { UP };
        match tui.press(key, &who.names) {
            Some(press) => {
                figures.keys.push(press.ms);
                figures.key_bytes.push(press.bytes as f64);
            }
            None => figures.lost += 1,
        }
    }
}

/// Opens the log of a container that writes as fast as it can, and asks for help and back while it does.
fn flood(lab: &Lab, dir: &Path, who: &Contestant, verdict: &mut Verdict) {
    let help = Regex::new("Help: ").expect("a pattern");
    let quiet = help_keys(who, &help, b"", Duration::from_secs(1), None);
    let file = format!(
        "name: aflood\nservices:\n  yes:\n    image: {}\n    command: [sh, -c, \"{FLOOD}\"]\n    \
         network_mode: none\n    stop_grace_period: 0s\n    deploy: {{ replicas: 1 }}\n",
        lab.image()
    );
    up(lab, dir, "flood", &file);
    let mut skipped = None;
    let flood = help_keys(who, &help, b"gl", Duration::from_secs(2), Some(&mut skipped));
    let (before, during) = (quantile(&quiet.0, 0.95), quantile(&flood.0, 0.95));
    println!(
        "log at full speed for 30 s: help opens, p50 {:.2} ms, p95 {during:.2} ms, {} without effect; on quiet pools p50 {:.2} ms, p95 {before:.2} ms",
        median(&flood.0),
        flood.2,
        median(&quiet.0)
    );
    println!(
        "resident memory {:.1} MiB, quiet {:.1} MiB; on screen: {}",
        flood.1,
        quiet.1,
        skipped.as_deref().unwrap_or("no line about skipped lines")
    );
    verdict.at_most("key p95 under a flood of log lines (ms)", during, 16.0);
    verdict.at_most("memory under a flood of log lines (MiB)", flood.1, 60.0);
    verdict.at_most("floods without a count of skipped lines", f64::from(u8::from(skipped.is_none())), 0.0);
}

type Held = (Vec<f64>, f64, usize);

fn help_keys(
    who: &Contestant,
    help: &Regex,
    first: &[u8],
    settle: Duration,
    skipped: Option<&mut Option<String>>,
) -> Held {
    let mut tui = who.start();
    tui.watch(Duration::from_secs(3));
    for key in first {
        tui.send(&[*key]);
        tui.watch(Duration::from_millis(300));
    }
    tui.watch(settle);
    let (mut times, mut lost, mut most) = (Vec::new(), 0, 0.0_f64);
    let count = Regex::new(r"[0-9,]+ lines? skipped|skipped [0-9,]+").expect("a pattern");
    let mut told = None;
    let end = Instant::now() + Duration::from_secs(if skipped.is_some() { 28 } else { 8 });
    while Instant::now() < end {
        for key in [&b"?"[..], b"\x1b"] {
            match tui.flip(key, help) {
                Some(ms) if key == b"?" => times.push(ms),
                Some(_) => {}
                None => lost += 1,
            }
            tui.watch(Duration::from_millis(150));
        }
        most = most.max(process::rss(tui.pid()));
        told = told.or_else(|| count.find(&tui.text()).map(|m| m.as_str().to_owned()));
    }
    if let Some(skipped) = skipped {
        if setting("LONGSHORE_BENCH_SHOW", 0) > 0 {
            println!("{}", tui.text());
        }
        *skipped = told;
    }
    tui.close(b"\x03\x03");
    (times, most, lost)
}

fn main() -> ExitCode {
    let Some(lab) = Lab::start_own(&["--log-opt", "max-size=64m", "--log-opt", "max-file=2"]) else {
        return ExitCode::SUCCESS;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let idle = Duration::from_secs(setting("LONGSHORE_BENCH_IDLE", 60));
    bring_up(&lab, dir.path());
    let engine = process::engine(lab.dir().expect("an engine of our own"));
    let all = contestants(&lab, dir.path());
    let mut figures: Vec<Figures> = all.iter().map(|_| Figures::default()).collect();
    std::thread::sleep(Duration::from_secs(5));
    let before = base(&engine, idle);
    for _ in 0..setting("LONGSHORE_BENCH_STARTS", 7) {
        for (who, figures) in all.iter().zip(&mut figures) {
            let mut tui = who.start();
            figures.starts.push(tui.full_after(&who.names, Duration::from_millis(1500)));
            tui.close(who.quit);
        }
    }
    for (who, figures) in all.iter().zip(&mut figures) {
        rest_and_press(who, &engine, idle, figures);
        std::thread::sleep(Duration::from_secs(2));
    }
    let after = base(&engine, idle);
    println!("engine alone: {before:.2} and {after:.2} CPU s a minute");
    let base = f64::midpoint(before, after);
    let mut verdict = Verdict::default();
    report(&all, &figures, base, &mut verdict);
    if let Some(ours) = all.first() {
        flood(&lab, dir.path(), ours, &mut verdict);
    }
    verdict.status()
}

fn report(all: &[Contestant], figures: &[Figures], base: f64, verdict: &mut Verdict) {
    let mut table = Table::new(&[
        "200 containers, 120x40",
        "start ms",
        "all starts",
        "CPU s/min",
        "engine + s/min",
        "bytes/s",
        "RSS MiB",
        "after keys",
        "key p50 ms",
        "key p95 ms",
        "bytes/key",
        "no effect",
    ]);
    let n = |x: f64| format!("{x:.2}");
    for (who, f) in all.iter().zip(figures) {
        let starts: Vec<String> = f.starts.iter().map(|s| format!("{s:.0}")).collect();
        table.row(&[
            &who.name,
            &n(median(&f.starts)),
            &starts.join(" "),
            &n(f.cpu),
            &n(f.engine - base),
            &n(f.bytes),
            &n(f.rss),
            &n(f.rss_after),
            &n(median(&f.keys)),
            &n(quantile(&f.keys, 0.95)),
            &n(median(&f.key_bytes)),
            &f.lost,
        ]);
    }
    table.print();
    let Some(ours) = figures.first() else { return };
    for (who, theirs) in all.iter().zip(figures).skip(1) {
        let than = |what: &str| format!("{what} to {}", who.name);
        if who.name == "dtop" {
            verdict.at_most(&than("first full screen"), median(&ours.starts) / median(&theirs.starts), 1.0);
            verdict.at_most(&than("own CPU"), ours.cpu / theirs.cpu, 1.0);
        }
        verdict.at_most(
            &than("CPU caused in the engine"),
            (ours.engine - base) / (theirs.engine - base),
            0.1,
        );
    }
    verdict.at_most("bytes a second to the terminal", ours.bytes, 75.0);
    verdict.at_most("key p95 (ms)", quantile(&ours.keys, 0.95), 5.0);
    verdict.at_most("keys without effect", ours.lost as f64, 0.0);
    verdict.at_most("resident memory (MiB)", ours.rss_after, 25.0);
}
