//! Three real engines in networks of their own: spread, a host that hangs, one that dies and returns, a drain, a rebalance.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fleet::{Fleet, Host};
use crate::site::{Site, pause, within};

const FILE: &str = "name: feed
services:
  web:
    image: lab/busybox:1
    network_mode: none
    command: [sleep, \"100000\"]
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, \"true\"], interval: 1s, retries: 3 }
    deploy: { replicas: 6, update_config: { parallelism: 2 } }
    x-longshore: { limits: { min: 6 } }
  db:
    image: lab/busybox:1
    network_mode: none
    command: [sleep, \"100000\"]
    stop_signal: SIGKILL
    deploy: { replicas: 3 }
    x-longshore: { on_host_loss: wait }
";

/// What one engine runs of a pool, told by the Docker CLI: slot by container id.
fn on(host: &Host, pool: &str, filters: &[&str]) -> BTreeMap<String, u32> {
    let label = format!("label=io.longshore.pool={pool}");
    let mut args = vec!["ps", "--no-trunc", "--filter", &label];
    filters.iter().for_each(|f| args.extend(["--filter", f]));
    args.extend(["--format", "{{.ID}} {{.Label \"io.longshore.slot\"}}"]);
    let said = host.lab.docker_ok(&args);
    let row = |line: &str| line.split_once(' ').map(|(id, slot)| (id.to_owned(), slot.parse().unwrap()));
    said.lines().filter_map(row).collect()
}

/// How many containers of a pool each engine runs.
fn counts(fleet: &Fleet, pool: &str) -> Vec<usize> {
    fleet.hosts.iter().map(|host| on(host, pool, &[]).len()).collect()
}

/// Every slot of a pool on all engines, sorted.
fn slots(fleet: &Fleet, pool: &str) -> Vec<u32> {
    let mut all: Vec<u32> = fleet.hosts.iter().flat_map(|h| on(h, pool, &[]).into_values()).collect();
    all.sort_unstable();
    all
}

fn minute<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(std::time::Duration::from_secs(120), what, look)
}

fn join(site: &Site, fleet: &Fleet) {
    let tls = fleet.tls.path().display().to_string();
    for (host, place) in fleet.hosts.iter().zip(["bj", "bj", "tc"]) {
        let add = ["hosts", "add", &host.name, &host.address, "--tls-dir", &tls, "--site", place];
        site.run(&add).expect(0, &["added"]);
    }
}

#[test]
fn three_engines_spread_survive_a_loss_and_are_drained() {
    let Some(mut fleet) = Fleet::start(3) else { return };
    let site = Site::without_engine();
    let _engine = site.engine();
    join(&site, &fleet);
    let file = site.file("feed.yml", FILE);
    site.run(&["up", &file, "--wait=60"]).expect(0, &["done"]);
    let said = (site.run(&["hosts"]), site.run(&["why", "feed/web.4"]));
    assert_eq!(
        (counts(&fleet, "web"), counts(&fleet, "db")),
        (vec![2, 2, 2], vec![1, 1, 1]),
        "spread: {said:#?}"
    );

    a_host_that_hangs_changes_nothing_elsewhere(&site, &mut fleet);
    a_dead_host_is_replaced_by_policy_and_returns(&site, &mut fleet);
    a_drain_keeps_the_minimum(&site, &fleet);
    a_rebalance_evens_out(&site, &fleet);
}

fn a_host_that_hangs_changes_nothing_elsewhere(site: &Site, fleet: &mut Fleet) {
    let of = |fleet: &mut Fleet, name| ["web", "db"].map(|pool| on(fleet.host(name), pool, &[]));
    let before = ["h1", "h3"].map(|name| of(fleet, name));
    let hung = of(fleet, "h2");
    fleet.host("h2").lab.freeze();
    let mut oldest = String::new();
    for _ in 0..12 {
        pause(5_000);
        let said = site.run(&["hosts"]).out;
        oldest = said.lines().find(|l| l.starts_with("h2")).unwrap().to_owned();
        assert_eq!(
            ["h1", "h3"].map(|name| of(fleet, name)),
            before,
            "a host that hangs changes nothing on the others"
        );
    }
    assert!(oldest.contains("lost") && oldest.contains("m"), "its age is shown: {oldest}");
    fleet.host("h2").lab.thaw();
    site.until_serving("feed", "db", 3);
    site.until_serving("feed", "web", 6);
    assert_eq!(of(fleet, "h2"), hung, "its own containers have run on");
}

fn a_dead_host_is_replaced_by_policy_and_returns(site: &Site, fleet: &mut Fleet) {
    // Five minutes is the default: too long for a test. A rule is no reason to replace containers.
    let hasty = FILE.replace("min: 6 }", "min: 6 }, on_host_loss: { rule: elsewhere, after: 10s }");
    site.run(&["up", &site.file("feed.yml", &hasty)]).expect(0, &[]);
    assert_eq!(counts(fleet, "web"), [2, 2, 2]);
    let waits = on(fleet.host("h3"), "db", &[]);
    fleet.host("h3").lab.kill();
    let elsewhere = |fleet: &Fleet| -> usize {
        fleet.hosts.iter().take(2).map(|h| on(h, "web", &["health=healthy"]).len()).sum()
    };
    minute("web is whole again on the other two", || (elsewhere(fleet) == 6).then_some(()));
    let db = site.pool("feed", "db").unwrap();
    assert_eq!((db["running"].as_u64(), db["lost"].as_u64()), (Some(2), Some(1)), "db waits: {db}");
    let said = site.run(&["ps", "feed/db"]).out;
    assert!(said.contains("waiting for its host"), "{said}");
    fleet.host("h3").lab.restart();
    minute("each slot once", || {
        let whole = slots(fleet, "web") == [1, 2, 3, 4, 5, 6] && slots(fleet, "db") == [1, 2, 3];
        whole.then_some(())
    });
    let again = on(fleet.host("h3"), "db", &[]);
    assert_eq!(again.into_values().collect::<Vec<_>>(), waits.into_values().collect::<Vec<_>>());
    site.until_serving("feed", "web", 6);
    site.until_serving("feed", "db", 3);
}

/// Counts the healthy containers of a pool from outside, the host that is drained first, until told to stop; gives the fewest.
fn fewest(fleet: &Fleet, stop: &AtomicBool) -> (usize, u32) {
    let (mut fewest, mut samples) = (usize::MAX, 0);
    while !stop.load(Ordering::SeqCst) {
        let healthy = fleet.hosts.iter().map(|h| on(h, "web", &["health=healthy"]).len()).sum();
        fewest = fewest.min(healthy);
        samples += 1;
    }
    (fewest, samples)
}

fn a_drain_keeps_the_minimum(site: &Site, fleet: &Fleet) {
    let stop = AtomicBool::new(false);
    let (fewest, samples) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| fewest(fleet, &stop));
        // `db` keeps nothing there, but its rule ties it to its host: the drain says so and moves it only by force.
        site.run(&["hosts", "drain", "h1"]).expect(0, &["drain"]);
        minute("web has left h1", || on(&fleet.hosts[0], "web", &[]).is_empty().then_some(()));
        minute("what blocks it is said", || {
            let said = site.run(&["ops"]).out;
            (said.contains("drain") && said.contains("feed/db.")).then_some(())
        });
        assert_eq!(on(&fleet.hosts[0], "db", &[]).len(), 1);
        site.run(&["hosts", "drain", "h1", "--force", "--wait=60"]).expect(0, &["done"]);
        stop.store(true, Ordering::SeqCst);
        sampler.join().unwrap()
    });
    assert!(samples > 10, "{samples} samples are no proof");
    assert!(fewest >= 6, "only {fewest} healthy at one of {samples} samples");
    assert_eq!(counts(fleet, "db")[0] + counts(fleet, "web")[0], 0);
    // What keeps to its host ends there before it begins elsewhere.
    site.until_serving("feed", "db", 3);
    let said = site.run(&["hosts"]).out;
    assert!(said.contains("drained"), "{said}");
    assert_eq!((slots(fleet, "web"), slots(fleet, "db")), (vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3]));
}

fn a_rebalance_evens_out(site: &Site, fleet: &Fleet) {
    site.run(&["hosts", "undrain", "h1"]).expect(0, &[]);
    let proposal = site.run(&["rebalance", "feed/web"]).expect(0, &["h1"]);
    assert_eq!(counts(fleet, "web")[0], 0, "nothing is done by asking: {proposal:?}");
    site.run(&["rebalance", "feed/web", "--yes", "--wait=60"]).expect(0, &["done"]);
    let spread = counts(fleet, "web");
    let (most, least) = (spread.iter().max().unwrap(), spread.iter().min().unwrap());
    assert!(most - least <= 1, "{spread:?}");
    assert_eq!(slots(fleet, "web"), [1, 2, 3, 4, 5, 6]);
    let again = site.run(&["rebalance", "feed/web"]);
    assert!(again.status == 0 && !again.out.contains("h1 ->"), "nothing more to move: {again:?}");
}
