//! The simulator keeps every promise of the runtime port, on virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use longshore::adapters::sim::{Fleet, Scenario};
use longshore::base::clock::{Millis, TokioClock};
use longshore::base::ids::{HostId, InstallId};
use longshore::ports::contract::runtime::{ALL, ContractEnv};

fn env(fleet: &Arc<Fleet>, host: &HostId) -> ContractEnv {
    let (there, hand) = (host.clone(), fleet.clone());
    ContractEnv {
        runtime: fleet.runtime(host).unwrap(),
        image: "busybox:1".into(),
        install: InstallId("0a1b2c3d".into()),
        make_stranger: Box::new(move |name| {
            let made = hand.make_stranger(&there, &name, None).map(drop).map_err(|fault| fault.to_string());
            Box::pin(std::future::ready(made))
        }),
        free_port: 18_080,
        slots: AtomicU32::new(0),
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulator_keeps_the_promises_of_an_engine() {
    let scenario = Scenario::uniform(1, "busybox:1").unwrap();
    let fleet = Fleet::new(scenario, Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000))));
    let h1 = HostId::new("h1").unwrap();
    let env = env(&fleet, &h1);
    assert!(ALL.len() >= 24, "promises are missing from the list");
    let mut broken = Vec::new();
    for (name, promise) in ALL {
        if let Err(why) = promise(&env).await {
            broken.push(format!("{name}: {why}"));
        }
    }
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
    let left = fleet.snapshot(&h1).unwrap();
    assert!(left.is_empty(), "left behind: {left:?}");
}
