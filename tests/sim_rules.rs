//! Whatever is done to a simulated host, and whatever befalls it, the rules of a real engine hold on it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::sim::{Behaviour, Fleet, Scenario, Span, Trouble};
use longshore::base::clock::{Millis, TokioClock};
use longshore::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId};
use longshore::model::container::{Container, Health, State, Tag};
use longshore::model::pool::{PoolSpec, Port};
use proptest::prelude::*;
use tokio::time::sleep;

fn tag(slot: u32) -> Tag {
    Tag {
        install: InstallId("0a1b2c3d".into()),
        pool: PoolId::new("feed", "web").unwrap(),
        slot,
        generation: 1,
        revision: 1,
        op: OpId(1),
    }
}

/// One thing that a test does to a host. Containers are meant by their place in the list.
#[derive(Clone, Debug)]
enum Act {
    Create(u32),
    Start(usize),
    Stop(usize),
    Remove(usize),
    Wait(u64),
    Befall(Trouble),
}

fn act() -> impl Strategy<Value = Act> {
    let trouble = prop_oneof![
        4 => Just(Trouble::Back),
        1 => Just(Trouble::Cut),
        1 => Just(Trouble::Hang),
        1 => Just(Trouble::Restart),
        1 => Just(Trouble::DiskFull),
        1 => Just(Trouble::Slow { factor: 50 }),
        1 => Just(Trouble::OutOfMemory { kills: 2 }),
    ];
    prop_oneof![
        5 => (1u32..6).prop_map(Act::Create),
        5 => (0usize..6).prop_map(Act::Start),
        2 => (0usize..6).prop_map(Act::Stop),
        2 => (0usize..6).prop_map(Act::Remove),
        3 => (0u64..20_000).prop_map(Act::Wait),
        2 => trouble.prop_map(Act::Befall),
    ]
}

/// What must hold on a host at any time.
fn check(list: &[Container]) {
    let names: BTreeSet<_> = list.iter().map(|c| &c.name).collect();
    assert_eq!(names.len(), list.len(), "a name is taken twice");
    assert!(list.windows(2).all(|w| w[0].id < w[1].id), "not sorted by id");
    let ports: Vec<_> = list.iter().flat_map(|c| c.ports.iter()).collect();
    let distinct: BTreeSet<_> = ports.iter().collect();
    assert_eq!(distinct.len(), ports.len(), "a port leads to two containers");
    for c in list {
        assert_eq!(c.exit.is_some(), c.state == State::Exited, "{c:?}");
        assert!(c.health == Health::None || c.state == State::Running, "{c:?}");
    }
}

async fn play(acts: Vec<Act>) -> Vec<Container> {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    let crash = Behaviour { crash_per_mille: 300, crash_ms: Span(500, 60_000), ..Behaviour::default() };
    scenario.behaviours.push(crash.into());
    let fleet = Fleet::new(scenario, Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000))));
    let h1 = HostId::new("h1").unwrap();
    let runtime = fleet.runtime(&h1).unwrap();
    let spec = PoolSpec { image: "app:1".into(), ..PoolSpec::default() };
    let port = Port { target: 80, published: Some(8080), host_ip: None, protocol: "tcp".into() };
    let with_port = PoolSpec { ports: vec![port], ..spec.clone() };
    for act in acts {
        let there = fleet.snapshot(&h1).unwrap();
        let nth = |n: usize| there.get(n).map_or_else(|| ContainerId::new("absent"), |c| c.id.clone());
        // Failures are part of the game: what must hold is checked on the truth.
        let _ = match act {
            Act::Create(slot) if slot % 2 == 0 => runtime.create(&tag(slot), &with_port).await.map(drop),
            Act::Create(slot) => runtime.create(&tag(slot), &spec).await.map(drop),
            Act::Start(n) => runtime.start(&nth(n)).await,
            Act::Stop(n) => runtime.stop(&nth(n), 2_000).await,
            Act::Remove(n) => runtime.remove(&nth(n)).await,
            Act::Wait(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
            Act::Befall(trouble) => fleet.fault(&h1, &trouble),
        };
        check(&fleet.snapshot(&h1).unwrap());
    }
    fleet.fault(&h1, &Trouble::Back).unwrap();
    let truth = fleet.snapshot(&h1).unwrap();
    check(&truth);
    truth
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_host_keeps_its_rules_whatever_happens(acts in proptest::collection::vec(act(), 1..60)) {
        let run = |acts| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.unwrap().block_on(play(acts))
        };
        let truth = run(acts.clone());
        prop_assert_eq!(run(acts), truth, "the same acts give the same truth");
    }
}
