//! Replication between two real registries: longshore against skopeo, in the same run, by turns.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a bench measures real time on real registries and says what failed by failing"
)]

mod delay;
#[path = "../kit/mod.rs"]
mod kit;
#[path = "../../tests/support/registry.rs"]
mod registry;
mod set;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use kit::{LONGSHORE, Table, Verdict, median, on_path, process, setting};
use registry::Registry;
use set::Shape;

/// Each way of the long way: 20 ms for a round trip.
const EACH_WAY: Duration = Duration::from_millis(10);
/// Most resident memory of ours, in MiB.
const MEMORY: f64 = 60.0;

/// What one command took.
#[derive(Clone, Copy)]
struct Taken {
    seconds: f64,
    /// CPU seconds of the program, the source's registry and the target's.
    cpu: [f64; 3],
    /// What others took of the machine meanwhile.
    others: f64,
    /// Most resident memory, in MiB.
    memory: f64,
}

fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Runs a command to its end; it must succeed.
fn time(mut command: Command, registries: [u32; 2]) -> Taken {
    let cpu = || registries.map(|pid| process::cpu_sum(&[pid]));
    let (before, machine, own) = (cpu(), process::machine(), process::cpu_sum(&[std::process::id()]));
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the command starts");
    let (mut program, mut memory) = (0.0_f64, 0.0_f64);
    let status = loop {
        // A process that has ended and is not yet waited for has its CPU in the books, and no memory.
        program = program.max(process::cpu_sum(&[child.id()]));
        memory = memory.max(high_water(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait().expect("the command's status") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = begin.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {status}");
    let [source, target] = [0, 1].map(|i| cpu()[i] - before[i]);
    let own = process::cpu_sum(&[std::process::id()]) - own;
    let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    let others = (process::machine() - machine - program - source - target - own) / (seconds * cores);
    Taken { seconds, cpu: [program, source, target], others: others.max(0.0), memory }
}

/// An install of longshore that knows a source, a target, and the rule `all` between them.
struct Install(PathBuf);

impl Install {
    fn new(dir: &Path, source: &str, target: &str) -> Install {
        let install = Install(dir.to_owned());
        install.ok(&["registry", "add", "source", source]);
        install.ok(&["registry", "add", "target", target]);
        install.ok(&["replicate", "rule", "add", "all", "--from", "source", "--to", "target"]);
        install
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(LONGSHORE);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.0).env("LONGSHORE_CONFIG", self.0.join("config.toml"));
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command.arg("--state").arg(self.0.join("state")).args(args);
        command
    }

    fn ok(&self, args: &[&str]) {
        let out = self.command(args).output().expect("longshore runs");
        assert!(out.status.success(), "longshore {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn replicate(&self) -> Command {
        self.command(&["replicate", "run", "all", "--wait"])
    }
}

/// `skopeo sync` of all repositories of the set.
fn skopeo(dir: &Path, shape: Shape, source: &str, target: &str) -> Command {
    use std::fmt::Write;
    let mut text = format!("{source}:\n  tls-verify: false\n  images:\n");
    for r in 0..shape.repositories {
        let _ = writeln!(text, "    set{r:02}: []");
    }
    let file = dir.join(format!("{}.yml", source.replace(':', "-")));
    fs::write(&file, text).expect("the list for skopeo");
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "sync", "--src", "yaml", "--dest", "docker"]);
    command.args(["--dest-tls-verify=false"]).arg(&file).arg(target).stderr(Stdio::null());
    command
}

/// What is measured of each program, in this order.
const KINDS: [&str; 3] = ["all into an empty registry", "nothing to do", "nothing to do, 20 ms round trip"];

struct Bench {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    source: Registry,
    shape: Shape,
    /// The source over the long way.
    far: String,
}

impl Bench {
    fn far(&self, near: &str) -> String {
        let address: SocketAddr = self.runtime.block_on(delay::before(near.to_owned(), EACH_WAY));
        address.to_string()
    }

    fn verify(&self, target: &Registry) {
        let all = |address: &str| self.runtime.block_on(set::digests(address));
        assert!(
            all(&self.source.address()) == all(&target.address()),
            "the target is not equal to the source"
        );
        // A manifest is kept as a blob, too.
        let found = set::verify(&target.storage());
        assert_eq!(found, self.shape.blobs() + self.shape.repositories * self.shape.tags);
    }

    /// One program into a fresh registry: all, nothing, and nothing over the long way.
    fn turn(&self, what: &str, program: &dyn Fn(&Path, &str, &str) -> Command) -> [Taken; 3] {
        let target = Registry::start().expect("a registry");
        let pids = [self.source.pid(), target.pid()];
        let dir = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        let (near, far) = (dir.path().join("near"), dir.path().join("far"));
        for dir in [&near, &far] {
            fs::create_dir(dir).expect("a directory");
        }
        let source = self.source.address();
        let full = time(program(&near, &source, &target.address()), pids);
        let nothing = time(program(&near, &source, &target.address()), pids);
        let far = time(program(&far, &self.far, &self.far(&target.address())), pids);
        self.verify(&target);
        let all = [full, nothing, far];
        for (kind, taken) in KINDS.iter().zip(&all) {
            let Taken { seconds, cpu: [own, from, to], others, memory } = taken;
            println!(
                "  {what}, {kind}: {seconds:.2} s; CPU {own:.2} + {from:.2} + {to:.2} s; {memory:.1} MiB; others {:.0} %",
                others * 100.0
            );
        }
        all
    }

    fn ours(&self) -> [Taken; 3] {
        self.turn("longshore", &|dir, source, target| {
            let install = if dir.join("state").exists() {
                Install(dir.to_owned())
            } else {
                Install::new(dir, source, target)
            };
            install.replicate()
        })
    }

    fn theirs(&self) -> [Taken; 3] {
        self.turn("skopeo", &|dir, source, target| skopeo(dir, self.shape, source, target))
    }
}

/// One blob of so many GB: what it takes of memory.
fn large(gigabytes: u64) -> Taken {
    let (source, target) = (Registry::start().expect("a registry"), Registry::start().expect("a registry"));
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(set::push_large(&source.address(), gigabytes * 1_000_000_000));
    let install = Install::new(dir.path(), &source.address(), &target.address());
    let taken = time(install.replicate(), [source.pid(), target.pid()]);
    assert_eq!(set::verify(&target.storage()), 3);
    println!("  one blob of {gigabytes} GB: {:.2} s, {:.1} MiB", taken.seconds, taken.memory);
    taken
}

/// Nothing to do with so many tags: what that takes.
fn many(tags: u64) -> Taken {
    let (source, target) = (Registry::start().expect("a registry"), Registry::start().expect("a registry"));
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    let shape = Shape { repositories: 20, tags: 1, shared: 1, own: 1, smaller: 64 };
    for registry in [&source, &target] {
        runtime.block_on(set::push(&registry.address(), shape));
        set::tag_all(&registry.storage(), tags / shape.repositories - 1);
    }
    let install = Install::new(dir.path(), &source.address(), &target.address());
    let taken = time(install.replicate(), [source.pid(), target.pid()]);
    let Taken { seconds, cpu: [own, ..], memory, .. } = taken;
    println!("  {tags} tags, nothing to do: {seconds:.1} s, CPU {own:.1} s, {memory:.1} MiB");
    taken
}

fn main() -> ExitCode {
    let Some(source) = Registry::start() else { return ExitCode::SUCCESS };
    if on_path("skopeo").is_none() {
        println!("skipped: there is no skopeo to compare with");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    let shape = Shape {
        repositories: setting("LONGSHORE_BENCH_REPOSITORIES", 20),
        tags: 10,
        shared: 3,
        own: 2,
        smaller: setting("LONGSHORE_BENCH_SMALLER", 1),
    };
    let bytes = runtime.block_on(set::push(&source.address(), shape));
    println!(
        "{} repositories of {} tags, {} blobs, {bytes} bytes",
        shape.repositories,
        shape.tags,
        shape.blobs()
    );
    let far = runtime.block_on(delay::before(source.address(), EACH_WAY)).to_string();
    let bench = Bench { dir: tempfile::tempdir().expect("a directory"), runtime, source, shape, far };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=setting("LONGSHORE_BENCH_ROUNDS", 3) {
        println!("round {round}");
        ours.push(bench.ours());
        theirs.push(bench.theirs());
    }
    let gigabytes = setting("LONGSHORE_BENCH_LARGE", 2);
    let tags = setting("LONGSHORE_BENCH_TAGS", 0);
    let more = [(gigabytes > 0).then(|| large(gigabytes)), (tags > 0).then(|| many(tags))];
    report(&ours, &theirs, &more)
}

fn report(ours: &[[Taken; 3]], theirs: &[[Taken; 3]], more: &[Option<Taken>]) -> ExitCode {
    let mut table = Table::new(&[
        "median of the rounds",
        "longshore s",
        "skopeo s",
        "ratio",
        "CPU longshore + source + target",
        "CPU skopeo + source + target",
        "MiB longshore",
        "MiB skopeo",
        "others, ours",
        "others, theirs",
    ]);
    let middle = |all: &[[Taken; 3]], of: &dyn Fn(&[Taken; 3]) -> f64| {
        median(&all.iter().map(of).collect::<Vec<f64>>())
    };
    let mut ratios = Vec::new();
    for (kind, name) in KINDS.iter().enumerate() {
        let seconds = [ours, theirs].map(|all| middle(all, &|t| t[kind].seconds));
        let cpu = [ours, theirs].map(|all| {
            let of = |i: usize| middle(all, &|t| t[kind].cpu[i]);
            format!("{:.2} + {:.2} + {:.2}", of(0), of(1), of(2))
        });
        let memory = [ours, theirs].map(|all| format!("{:.1}", middle(all, &|t| t[kind].memory)));
        let others = [ours, theirs].map(|all| format!("{:.0} %", 100.0 * middle(all, &|t| t[kind].others)));
        // Of rounds, since two of the same round had the same company.
        let pairs: Vec<f64> =
            ours.iter().zip(theirs).map(|(a, b)| a[kind].seconds / b[kind].seconds).collect();
        ratios.push(median(&pairs));
        table.row(&[
            name,
            &format!("{:.2}", seconds[0]),
            &format!("{:.2}", seconds[1]),
            &format!("{:.3}", median(&pairs)),
            &cpu[0],
            &cpu[1],
            &memory[0],
            &memory[1],
            &others[0],
            &others[1],
        ]);
    }
    table.print();
    let mut verdict = Verdict::default();
    for (bound, (name, ratio)) in [0.5, 0.4, 1.0 / 15.0].into_iter().zip(KINDS.iter().zip(ratios)) {
        verdict.at_most(&format!("{name}: of {bound:.3} times skopeo's"), ratio / bound, 1.0);
    }
    let most = ours.iter().flatten().chain(more.iter().flatten()).map(|t| t.memory).fold(0.0, f64::max);
    verdict.at_most("resident memory, MiB", most, MEMORY);
    verdict.status()
}
