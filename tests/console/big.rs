//! Ten thousand containers: what a key and a snapshot cost. Counted in work, printed in time.

use std::sync::Arc;

use longshore::tui::event::Event;

use crate::harness::Console;
use crate::world;

#[test]
#[expect(clippy::disallowed_methods, reason = "prints how long it took; nothing is asserted of it")]
fn a_large_fleet_is_drawn() {
    let big = Arc::new(world::many(1_000, 10));
    let mut console = Console::new((120, 40), world::empty());
    let clock = std::time::Instant::now;
    let start = clock();
    console.event(Event::World(big.clone()));
    let snapshot = start.elapsed();
    let start = clock();
    for _ in 0..20 {
        console.key("j");
        console.buffer();
    }
    let key = start.elapsed() / 20;
    println!("1,000 pools, 10,000 containers: snapshot {snapshot:?}, key and frame {key:?}");
    assert_eq!(console.app.pools.count(), 1_000);
    console.key("G");
    assert!(console.screen().contains("pool-0999") && console.screen().contains("▸"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "prints how long it took; nothing is asserted of it")]
fn a_thousand_hosts_are_drawn() {
    let mut fleet = crate::fleet::thousand();
    for i in 0..250 {
        world::pool(&mut fleet, &format!("line-{:02}/pool-{i:04}", i % 20), 80, 80, None);
    }
    let fleet = Arc::new(fleet);
    let clock = std::time::Instant::now;
    for (view, keys) in [("hosts", "5"), ("heat map", "5 H"), ("advice", "A")] {
        let mut console = Console::new((120, 40), world::empty());
        console.keys(keys);
        let start = clock();
        console.event(Event::World(fleet.clone()));
        let snapshot = start.elapsed();
        let start = clock();
        for _ in 0..20 {
            console.key("j");
            console.buffer();
        }
        let key = start.elapsed() / 20;
        println!("1,000 hosts, 20,000 containers, {view}: snapshot {snapshot:?}, key and frame {key:?}");
        // Nothing that a frame needs is made anew while the world stays the same.
        let (app, shown) = (&console.app, console.screen());
        assert!(app.fleet.uses.all().count() == 1_000 && shown.lines().count() == 40);
    }
}
