//! kill -9 of the real engine process: what was acknowledged is kept, what was under way ends exactly as wanted.

use crate::site::{INSTALL_LABEL, Site, pause, slots, so_many_run, until};
use crate::support::Lab;
use longshore::base::ids::Seeded;

/// Kills of the engine while it scales.
const ROUNDS: u32 = 12;
/// Acknowledgements that are checked.
const ACKS: u32 = 100;

/// Needs no Docker engine: what is promised is that the number is kept, whatever runs.
#[test]
fn every_printed_acknowledgement_survives_kill_9() {
    let site = Site::without_engine();
    site.run(&["up", &site.sleepers("kept", "web", 1, "app:1"), "--wait=1"]).expect(1, &["accepted op-1"]);
    let mut random = Seeded::new(7);
    for round in 1..=ACKS {
        let mut engine = site.engine();
        let wanted = round % 50 + 2;
        let mut command = site.spawn(&["scale", "kept/web", &wanted.to_string(), "--busy", "replace"]);
        let op = until("it is acknowledged", || {
            let said = command.said();
            let op =
                said.lines().find_map(|l| l.strip_prefix("accepted ")?.split(':').next().map(str::to_owned));
            assert!(op.is_some() || command.ended().is_none_or(|s| s.success()), "{said}");
            op
        });
        // Right after the words, or a moment later.
        if random.below(2) == 1 {
            pause(random.below(4));
        }
        engine.kill();
        command.kill();
        if round % 10 == 0 || round < 5 {
            let pool = site.pool("kept", "web").unwrap();
            assert_eq!(pool["want"], wanted, "round {round}: {op} was acknowledged");
        }
        // The lock is free again, so the last line that was acknowledged is read from the state itself.
        let journal = site.ok(&["journal", "--limit", "20"]);
        let line = journal.lines().rfind(|l| l.contains(" accepted ")).unwrap_or_default();
        assert!(
            line.contains(&format!(" {op} ")) && line.contains(&format!("-> {wanted}")),
            "round {round}: {op} {wanted}: {journal}"
        );
    }
}

#[test]
fn an_engine_killed_while_it_scales_ends_with_exactly_the_wanted_containers() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let image = lab.image();
    let stranger = lab.docker_ok(&["run", "-d", "--network=none", &image, "sleep", "100000"]);
    site.ok(&["up", &site.sleepers("crash", "web", 2, &image)]);
    let install = site.install();
    let seed = u64::from(std::process::id());
    let mut random = Seeded::new(seed);
    for round in 0..ROUNDS {
        let wanted = if round % 2 == 0 { 20 } else { 2 };
        let mut engine = site.engine();
        site.run(&["scale", "crash/web", &wanted.to_string(), "--busy", "replace"]).expect(0, &["accepted"]);
        let first = random.below(1500);
        pause(first);
        engine.kill();
        // A second death while it finds out what the first one left.
        let mut engine = site.engine();
        let second = random.below(800);
        pause(second);
        engine.kill();
        println!(
            "seed {seed} round {round}: to {wanted}, killed after {first} ms and again after {second} ms"
        );
        let mut engine = site.engine();
        site.until_serving("crash", "web", wanted);
        until("what is left over is gone", || {
            so_many_run(slots(&lab, &install, "web"), wanted).then_some(())
        });
        engine.kill();
    }
    let all = lab.docker_ok(&["ps", "-aq", "--no-trunc"]);
    let ours =
        lab.docker_ok(&["ps", "-aq", "--no-trunc", "--filter", &format!("label={INSTALL_LABEL}={install}")]);
    let mut rest: Vec<&str> = all.lines().filter(|id| !ours.contains(id)).collect();
    rest.retain(|id| *id != stranger);
    assert!(rest.is_empty(), "nothing without our label is left: {rest:?}");
    assert!(lab.docker_ok(&["ps", "-q", "--no-trunc"]).contains(&stranger), "the stranger runs");
    lab.docker_ok(&["rm", "-f", &stranger]);
    site.run(&["down", "crash"]).expect(0, &["done"]);
    assert_eq!(slots(&lab, &install, "web"), []);
}
