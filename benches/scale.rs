//! Scale-up of fifty on a real engine: longshore against the bare API, `docker run` and Swarm, in the same run.
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

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use kit::process;
use kit::{LONGSHORE, Table, Verdict, longshore_ok, median, setting};
use support::Lab;

/// Containers that are added in each measurement.
const MORE: u32 = 50;
/// Connections of the bare API: the best number on two cores.
const WORKERS: u32 = 8;

/// One scale-up.
struct Figure {
    /// Seconds until the last of the fifty has started.
    runs: f64,
    /// Seconds until the command has returned.
    returned: f64,
    /// CPU seconds of the engine's daemon.
    daemon: f64,
}

/// Counts `start` events of an engine as they come: the same clock for everybody.
struct Starts {
    events: Child,
    lines: std::sync::mpsc::Receiver<Instant>,
    daemon: u32,
}

impl Starts {
    fn watch(lab: &Lab) -> Starts {
        let mut events = Command::new("docker")
            .args(["-H", &lab.address(), "events", "--filter", "type=container", "--filter", "event=start"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("docker events");
        let out = BufReader::new(events.stdout.take().expect("its output"));
        let (to, lines) = std::sync::mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            let mut lines = out.lines();
            while lines.next().is_some_and(|l| l.is_ok()) && to.send(Instant::now()).is_ok() {}
        });
        std::thread::sleep(Duration::from_millis(300));
        Starts { events, lines, daemon: lab.pid().expect("an engine of our own") }
    }

    /// Does `act` and waits until fifty have started.
    fn time(&self, act: impl FnOnce()) -> Figure {
        while self.lines.try_recv().is_ok() {}
        let cpu = process::cpu_sum(&[self.daemon]);
        let begin = Instant::now();
        act();
        let returned = begin.elapsed().as_secs_f64();
        let mut last = begin;
        for n in 0..MORE {
            let within = Duration::from_secs(120);
            last = self.lines.recv_timeout(within).unwrap_or_else(|_| panic!("only {n} of {MORE} started"));
        }
        let daemon = process::cpu_sum(&[self.daemon]) - cpu;
        Figure { runs: last.duration_since(begin).as_secs_f64(), returned, daemon }
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        let _ended = self.events.kill();
        let _ended = self.events.wait();
    }
}

/// An install of longshore on the engine, with one container in its pool `cluster/web`.
struct Install {
    state: PathBuf,
    host: String,
    pool: String,
}

impl Install {
    fn new(lab: &Lab, dir: &Path, cluster: &str) -> Install {
        let file = dir.join(format!("{cluster}.yml"));
        let image = lab.image();
        let text = format!(
            "name: {cluster}\nservices:\n  web:\n    image: {image}\n    command: [sleep, \"100000\"]\n    \
             network_mode: none\n    stop_grace_period: 0s\n    deploy: {{ replicas: 1 }}\n"
        );
        std::fs::write(&file, text).expect("the pool file");
        let install =
            Install { state: dir.join(cluster), host: lab.address(), pool: format!("{cluster}/web") };
        install.run(&["up", &file.display().to_string(), "--wait=60"]);
        install
    }

    fn run(&self, args: &[&str]) -> String {
        let state = self.state.display().to_string();
        let mut all = vec!["--state", &state, "--host", &self.host];
        all.extend(args);
        longshore_ok(&all)
    }

    fn more(&self) {
        self.run(&["scale", &self.pool, "+50", "--wait=120"]);
    }

    fn fewer(&self) {
        self.run(&["scale", &self.pool, "1", "--wait=120"]);
    }

    fn engine(&self) -> Child {
        let child = Command::new(LONGSHORE)
            .arg("--state")
            .arg(&self.state)
            .args(["--host", &self.host, "engine"])
            .stdin(Stdio::null())
            .spawn()
            .expect("longshore engine");
        std::thread::sleep(Duration::from_secs(1));
        child
    }
}

type Wire = SendRequest<Full<Bytes>>;

async fn dial(socket: &Path) -> Wire {
    let stream = tokio::net::UnixStream::connect(socket).await.expect("the engine's socket");
    let (wire, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    wire
}

async fn ask(wire: &mut Wire, path: &str, body: String) -> Bytes {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("Host", "docker")
        .header("Content-Type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    wire.ready().await.expect("a kept connection");
    let answer = wire.send_request(request).await.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.into_body().collect().await.expect("its body").to_bytes()
}

/// The floor: nothing but create and start, on kept connections.
async fn floor(socket: PathBuf, image: String) {
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let (next, socket, image) = (next.clone(), socket.clone(), image.clone());
        workers.spawn(async move {
            let mut wire = dial(&socket).await;
            while next.fetch_add(1, Ordering::Relaxed) < MORE {
                let body = serde_json::json!({
                    "Image": image, "Cmd": ["sleep", "100000"], "Labels": {"bench": "1"},
                    "HostConfig": {"NetworkMode": "none"},
                });
                let made = ask(&mut wire, "/v1.41/containers/create", body.to_string()).await;
                let made: serde_json::Value = serde_json::from_slice(&made).expect("JSON");
                let id = made["Id"].as_str().expect("an id").to_owned();
                ask(&mut wire, &format!("/v1.41/containers/{id}/start"), String::new()).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker");
    }
}

fn clear(lab: &Lab) {
    let ids = lab.docker_ok(&["ps", "-aq", "--filter", "label=bench"]);
    if !ids.is_empty() {
        let rm: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.split_whitespace()).collect();
        lab.docker_ok(&rm);
    }
}

fn docker_run(lab: &Lab) {
    let image = lab.image();
    for _ in 0..MORE {
        lab.docker_ok(&["run", "-d", "--network", "none", "--label", "bench", &image, "sleep", "100000"]);
    }
}

/// A Swarm service of one on this engine; `None`, with the reason, when the engine cannot.
fn swarm(lab: &Lab) -> Option<()> {
    let refused = |out: &std::process::Output| {
        let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        (!out.status.success()).then(|| println!("Swarm is left out: {why}"))
    };
    let init = lab.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
    if refused(&init).is_some() {
        return None;
    }
    let image = lab.image();
    let service = lab.docker(&[
        "service",
        "create",
        "-d",
        "--name",
        "bench",
        "--no-resolve-image",
        "--stop-grace-period",
        "0s",
        &image,
        "sleep",
        "100000",
    ]);
    if refused(&service).is_some() {
        return None;
    }
    std::thread::sleep(Duration::from_secs(3));
    let tasks = lab.docker_ok(&["ps", "-q", "--filter", "label=com.docker.swarm.service.name=bench"]);
    if tasks.is_empty() {
        println!(
            "Swarm is left out: its service does not run: {}",
            lab.docker_ok(&["service", "ps", "bench"])
        );
        return None;
    }
    Some(())
}

fn swarm_to(lab: &Lab, count: u32) {
    lab.docker_ok(&["service", "scale", "-d", &format!("bench={count}")]);
    let mut left = 600;
    let filter = "label=com.docker.swarm.service.name=bench";
    while count == 1 && left > 0 && lab.docker_ok(&["ps", "-aq", "--filter", filter]).lines().count() > 6 {
        std::thread::sleep(Duration::from_millis(200));
        left -= 1;
    }
}

const NAMES: [&str; 5] = [
    "bare API, 8 workers",
    "longshore, running engine",
    "longshore, own engine",
    "docker run -d",
    "Swarm service scale",
];

fn main() -> ExitCode {
    let Some(lab) = Lab::start_own(&[]) else { return ExitCode::SUCCESS };
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    let (served, own) = (Install::new(&lab, dir.path(), "served"), Install::new(&lab, dir.path(), "own"));
    let mut engine = served.engine();
    let swarms = swarm(&lab).is_some();
    let starts = Starts::watch(&lab);
    let mut figures: [Vec<Figure>; 5] = Default::default();
    let pause = || std::thread::sleep(Duration::from_secs(2));
    for round in 0..setting("LONGSHORE_BENCH_ROUNDS", 3) {
        println!("round {}", round + 1);
        figures[0].push(starts.time(|| runtime.block_on(floor(lab.socket().to_owned(), lab.image()))));
        clear(&lab);
        pause();
        figures[1].push(starts.time(|| served.more()));
        served.fewer();
        pause();
        figures[2].push(starts.time(|| own.more()));
        own.fewer();
        pause();
        figures[3].push(starts.time(|| docker_run(&lab)));
        clear(&lab);
        pause();
        if swarms {
            figures[4].push(starts.time(|| swarm_to(&lab, MORE + 1)));
            swarm_to(&lab, 1);
            pause();
        }
    }
    drop(starts);
    let _ended = Command::new("kill").arg(engine.id().to_string()).status();
    let _ended = engine.wait();
    if swarms {
        lab.docker(&["swarm", "leave", "--force"]);
    }
    report(&figures)
}

fn report(figures: &[Vec<Figure>; 5]) -> ExitCode {
    let times = |i: usize| figures[i].iter().map(|f| f.runs).collect::<Vec<_>>();
    let middle = |i: usize| median(&times(i));
    let mut table =
        Table::new(&["until 50 more run (s)", "median", "all", "returned", "daemon CPU", "of the floor"]);
    for (i, name) in NAMES.iter().enumerate().filter(|(i, _)| !figures[*i].is_empty()) {
        let all: Vec<String> = times(i).iter().map(|t| format!("{t:.2}")).collect();
        let returned = median(&figures[i].iter().map(|f| f.returned).collect::<Vec<_>>());
        let ratio = format!("{:.2}", middle(i) / middle(0));
        let daemon = median(&figures[i].iter().map(|f| f.daemon).collect::<Vec<_>>());
        table.row(&[
            name,
            &format!("{:.2}", middle(i)),
            &all.join(" "),
            &format!("{returned:.2}"),
            &format!("{daemon:.2}"),
            &ratio,
        ]);
    }
    table.print();
    let mut verdict = Verdict::default();
    for i in [1, 2] {
        verdict.at_most(&format!("{} to the bare API", NAMES[i]), middle(i) / middle(0), 1.1);
        verdict.at_most(&format!("{} to docker run -d", NAMES[i]), middle(i) / middle(3), 0.6);
        if !figures[4].is_empty() {
            verdict.at_most(&format!("{} to Swarm", NAMES[i]), middle(i) / middle(4), 0.5);
        }
    }
    verdict.status()
}
