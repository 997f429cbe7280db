//! Small fleets through an hour of trouble each, by seed: the pure planner on a model of hosts that are lost, return, are
//! drained and given up while cores crash. `LONGSHORE_SEEDS` says how many seeds (200), `LONGSHORE_SEED` runs one alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers by chance")]

#[path = "fleet_seeds/checks.rs"]
mod checks;
#[path = "fleet_seeds/events.rs"]
mod events;
#[path = "fleet_seeds/model.rs"]
mod model;

use model::Model;

/// Seeds that once found a fault.
const FAULTS: &[u64] = &[286];

fn seeds() -> u64 {
    std::env::var("LONGSHORE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// The hash of all that was planned.
fn run(seed: u64) -> u64 {
    let told = std::panic::catch_unwind(|| Model::new(seed).hour());
    told.unwrap_or_else(|_| panic!("seed {seed}: run it alone with LONGSHORE_SEED={seed}"))
}

#[test]
fn fleets_in_trouble_keep_every_promise() {
    if let Some(one) = std::env::var("LONGSHORE_SEED").ok().and_then(|n| n.parse().ok()) {
        run(one);
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..cores)
            .map(|part| {
                scope.spawn(move || (0..seeds()).filter(|s| s % cores == part).for_each(|s| _ = run(s)))
            })
            .collect();
        assert!(parts.into_iter().all(|part| part.join().is_ok()), "a seed failed: see above");
    });
}

#[test]
fn seeds_that_found_a_fault_find_none() {
    FAULTS.iter().for_each(|seed| _ = run(*seed));
}

#[test]
fn a_seed_runs_twice_the_same() {
    for seed in 0..seeds().min(20) {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
