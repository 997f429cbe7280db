//! Properties of placement: what is chosen is never refused, spread is a true spread, and the books are always right.
#![expect(clippy::unwrap_used, reason = "tests say what failed by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{HostId, OpId, PoolId, SiteName};
use longshore::model::desired::Desired;
use longshore::model::explain::{Explanation, Filter};
use longshore::model::holdings::{External, Holdings, Sort};
use longshore::model::host::{Duty, HostConfig, HostFacts, HostRecord, HostSource, HostView, Image, Seen};
use longshore::model::instance::{Instance, MovedFrom, Phase};
use longshore::model::placement::{Attribute, Placement, Preference, Strategy as Pick};
use longshore::model::pool::{Network, Pool, PoolSpec, Port, Resources};
use longshore::model::site::{Site, SiteLimits};
use longshore::plan::place::{Ask, Room};
use proptest::prelude::*;

type Hosts = BTreeMap<HostId, Arc<HostView>>;

const GIB: u64 = 1 << 30;

#[derive(Clone, Debug)]
struct H {
    site: Option<u8>,
    rack: Option<u8>,
    cpus: u64,
    gib: u64,
    ready: u8,
    cluster: bool,
    image: bool,
    /// Whether it has the network that pools name, if it has said so.
    front: Option<bool>,
}

fn host_id(i: usize) -> HostId {
    HostId::new(&format!("h{i}")).unwrap()
}

fn site(i: u8) -> SiteName {
    SiteName::new(&format!("s{i}")).unwrap()
}

fn view(i: usize, h: &H) -> Arc<HostView> {
    let config =
        HostConfig { id: host_id(i), address: "sim://x".into(), tls_dir: None, source: HostSource::Added };
    let duty = match h.ready {
        1 => Duty::Cordoned { by: "anna".into(), at: Millis(0) },
        _ => Duty::Active,
    };
    let labels = h.rack.map(|r| ("rack".to_owned(), format!("r{r}")));
    let mut view = HostView::never(config);
    view.seen = match h.ready {
        2 => Seen::Lost { last: Millis(0), since: Millis(0), why: "no route".into() },
        _ => Seen::At(Millis(0)),
    };
    view.facts = Arc::new(HostFacts {
        engine_id: format!("E{i}").into(),
        cpus: h.cpus,
        memory: h.gib * GIB,
        arch: "x86_64".into(),
        ..HostFacts::default()
    });
    view.record = Arc::new(HostRecord {
        site: h.site.map(site),
        labels: labels.into_iter().collect(),
        cluster: h.cluster.then(|| "feed".parse().unwrap()),
        duty,
        ..HostRecord::default()
    });
    let image = Image { id: "sha256:1".into(), created: Millis(0), size: 1, digest: None };
    view.images = h.image.then(|| Arc::new([("app:1".to_owned(), image)].into()));
    if let Some(there) = h.front {
        let front = External { sort: Sort::Network, name: "front".into() };
        let (has, lacks) = if there { (Some(front), None) } else { (None, Some(front)) };
        view.holdings = Arc::new(Holdings {
            there: has.into_iter().collect(),
            absent: lacks.into_iter().collect(),
            ..Holdings::default()
        });
    }
    Arc::new(view)
}

fn hosts(all: &[H]) -> Hosts {
    all.iter().enumerate().map(|(i, h)| (host_id(i), view(i, h))).collect()
}

fn any_host() -> impl Strategy<Value = H> {
    let ready = prop_oneof![6 => Just(0u8), 1 => Just(1), 1 => Just(2)];
    let (site, rack) = (prop::option::of(0..3u8), prop::option::of(0..3u8));
    let front = prop_oneof![6 => Just(Some(true)), 3 => Just(Some(false)), 1 => Just(None)];
    let cpus = prop_oneof![Just(4u64), Just(16), Just(0)];
    (site, rack, cpus, 4..40u64, ready, any::<bool>(), any::<bool>(), front).prop_map(
        |(site, rack, cpus, gib, ready, cluster, image, front)| H {
            site,
            rack,
            cpus,
            gib,
            ready,
            cluster,
            image,
            front,
        },
    )
}

fn pool(i: usize, spec: PoolSpec, want: u32) -> Pool {
    let id = PoolId::new(["feed", "shop"][i % 2], &format!("p{i}")).unwrap();
    Pool {
        id,
        revision: 1,
        spec,
        want,
        version: 1,
        down: false,
        holes: Default::default(),
        hosts: vec![],
        last_scale: None,
    }
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let spread = prop::collection::vec(
        prop_oneof![Just(Attribute::Site), Just(Attribute::Label("rack".into())), Just(Attribute::Hostname)],
        0..3,
    );
    let strategy = prop_oneof![3 => Just(Pick::Spread), 1 => Just(Pick::Binpack), 1 => Just(Pick::Random)];
    let constraint = prop::option::of(prop_oneof![
        Just("node.labels.rack != r1"),
        Just("node.site in (s0, s1)"),
        Just("node.id =~ ^h[0-4]"),
        Just("node.memory >= 8G"),
    ]);
    let apart = prop::option::weighted(0.2, 0..3usize);
    let (most, wish, must) = (prop::option::weighted(0.3, 1..4u32), any::<bool>(), prop::bool::weighted(0.1));
    (spread, strategy, constraint, apart, most, wish, must).prop_map(
        |(spread, strategy, constraint, apart, max_per_host, wish, image_must_be_there)| Placement {
            constraints: constraint.iter().map(|c| c.parse().unwrap()).collect(),
            spread,
            max_per_host,
            strategy,
            apart: apart.map(|i| pool(i, PoolSpec::default(), 0).id).into_iter().collect(),
            prefer: wish
                .then(|| Preference { constraint: "node.labels.rack == r2".parse().unwrap(), weight: 50 })
                .into_iter()
                .collect(),
            image_must_be_there,
            ..Placement::default()
        },
    )
}

fn any_spec() -> impl Strategy<Value = PoolSpec> {
    (
        any_placement(),
        prop::option::of(1..9u64),
        prop::option::of(100..3_000u64),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(placement, gib, cpu, port, core, front)| PoolSpec {
            image: "app:1".into(),
            resources: Resources {
                memory_reserved: gib.map(|g| g * GIB),
                cpu_reserved_milli: cpu,
                ..Resources::default()
            },
            ports: port
                .then(|| Port { target: 80, published: Some(80), host_ip: None, protocol: "tcp".into() })
                .into_iter()
                .collect(),
            networks: front
                .then(|| Network { name: "front".into(), aliases: vec![], external: true })
                .into_iter()
                .collect(),
            placement,
            core,
            ..PoolSpec::default()
        })
}

fn instance(pool: &Pool, slot: u32, host: &HostId, from: Option<HostId>) -> Instance {
    Instance {
        pool: pool.id.clone(),
        slot,
        generation: 1,
        host: host.clone(),
        revision: 1,
        op: OpId(1),
        phase: Phase::Started,
        failures: 0,
        retry_at: None,
        cause: None,
        since: Millis(0),
        moved_from: from.map(|host| Box::new(MovedFrom { host, generation: 1, revision: 1, op: OpId(1) })),
        move_to: None,
        renewed: None,
    }
}

/// What two books must agree on.
fn told(room: &mut Room, hosts: &Hosts, pools: &[Pool]) -> (Vec<String>, Vec<Explanation>) {
    let taken = hosts.keys().map(|h| format!("{h} {:?}", room.taken(h))).collect();
    (taken, pools.iter().map(|p| room.explain(&Ask::new(p, 1_000))).collect())
}

#[derive(Clone, Debug)]
enum Do {
    Choose(usize, u32, Option<usize>, Option<usize>),
    Put(usize, u32, usize, Option<usize>),
    Drop(usize, u32),
    Host(usize, H),
    Gone(usize),
    Limit(u32),
}

fn any_do() -> impl Strategy<Value = Do> {
    prop_oneof![
        8 => (0..3usize, 1..12u32, prop::option::weighted(0.2, 0..8usize), prop::option::weighted(0.1, 0..8usize))
            .prop_map(|(p, s, a, n)| Do::Choose(p, s, a, n)),
        2 => (0..3usize, 1..12u32, 0..8usize, prop::option::weighted(0.2, 0..8usize))
            .prop_map(|(p, s, h, f)| Do::Put(p, s, h, f)),
        2 => (0..3usize, 1..12u32).prop_map(|(p, s)| Do::Drop(p, s)),
        1 => (0..8usize, any_host()).prop_map(|(i, h)| Do::Host(i, h)),
        1 => (0..8usize).prop_map(Do::Gone),
        1 => (0..9u32).prop_map(Do::Limit),
    ]
}

struct Model {
    room: Room,
    hosts: Hosts,
    desired: Desired,
    pools: Vec<Pool>,
}

impl Model {
    fn step(&mut self, what: &Do) -> Result<(), TestCaseError> {
        match what {
            Do::Choose(p, slot, avoid, not_on) => self.choose(*p, *slot, *avoid, *not_on)?,
            Do::Put(p, slot, host, from) => {
                let pool = &self.pools[*p];
                let record = instance(pool, *slot, &host_id(*host), from.map(host_id));
                self.room.put(&record, pool);
                self.desired.instances.entry(pool.id.clone()).or_default().insert(*slot, record);
            }
            Do::Drop(p, slot) => {
                let id = self.pools[*p].id.clone();
                self.room.drop_slot(&id, *slot);
                self.desired.instances.entry(id).or_default().remove(slot);
            }
            Do::Host(i, h) => {
                let view = view(*i, h);
                self.room.put_host(&view);
                self.hosts.insert(host_id(*i), view);
            }
            Do::Gone(i) => {
                self.room.drop_host(&host_id(*i));
                self.hosts.remove(&host_id(*i));
            }
            Do::Limit(n) => {
                let limits = SiteLimits { containers: Some(*n), ..SiteLimits::default() };
                let name = site(0);
                self.desired.sites.insert(name.clone(), Site { name, registry: None, limits });
                self.room.set_sites(&self.desired.sites);
            }
        }
        Ok(())
    }

    fn choose(
        &mut self,
        p: usize,
        slot: u32,
        avoid: Option<usize>,
        not_on: Option<usize>,
    ) -> Result<(), TestCaseError> {
        let pool = &self.pools[p];
        let (avoid, not_on) = (avoid.map(host_id), not_on.map(host_id));
        let ask = Ask { avoid: avoid.as_ref(), not_on: not_on.as_ref(), ..Ask::new(pool, slot) };
        let told = self.room.explain(&ask);
        let chosen = self.room.choose(&ask);
        prop_assert_eq!(told.choice.as_ref(), chosen.as_ref().ok(), "{}", told.sentence);
        let able: Vec<_> = told.hosts.iter().filter(|v| v.refused.is_empty()).map(|v| &v.host).collect();
        if chosen.is_err() && !able.is_empty() {
            let held_up = told.hosts.iter().any(|v| v.refused.iter().all(|r| r.filter == Filter::External));
            prop_assert!(held_up, "{} waits for a host that refuses it anyway", told.sentence);
            return Ok(());
        }
        prop_assert_eq!(
            able.first().copied(),
            chosen.as_ref().ok(),
            "a host that can take it is not overlooked"
        );
        prop_assert!(told.hosts.iter().flat_map(|v| &v.scores).all(|s| (-1.0..=1.0).contains(&s.value)));
        if avoid.is_some() && chosen.is_ok() && chosen.as_ref().ok() == avoid.as_ref() {
            prop_assert_eq!(able.len(), 1, "avoided, with another that could");
        }
        if let Ok(host) = chosen {
            let record = instance(pool, slot, &host, None);
            self.room.put(&record, pool);
            self.desired.instances.entry(pool.id.clone()).or_default().insert(slot, record);
            let ask = Ask { slot: 999, ..ask };
            let mut rest = self.room.refusals(&self.hosts[&host], &ask);
            // It has just been filled: only what one more finds too little may refuse now.
            let fills = [Filter::Cpu, Filter::Memory, Filter::Port, Filter::MaxPerHost, Filter::SiteLimit];
            rest.retain(|r| !fills.contains(&r.filter));
            prop_assert!(rest.is_empty(), "{rest:?}");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn books_that_are_kept_say_what_new_ones_say(
        fleet in prop::collection::vec(any_host(), 1..8),
        specs in prop::collection::vec(any_spec(), 3),
        steps in prop::collection::vec(any_do(), 1..40),
    ) {
        let pools: Vec<Pool> = specs.into_iter().enumerate().map(|(i, s)| pool(i, s, 12)).collect();
        let hosts = hosts(&fleet);
        let desired = Desired { pools: pools.iter().map(|p| (p.id.clone(), p.clone())).collect(), ..Desired::default() };
        let mut model = Model { room: Room::new(&desired, &hosts), hosts, desired, pools };
        for step in &steps {
            model.step(step)?;
        }
        let mut fresh = Room::new(&model.desired, &model.hosts);
        let kept = told(&mut model.room, &model.hosts, &model.pools);
        prop_assert_eq!(&kept, &told(&mut fresh, &model.hosts, &model.pools));
        model.room.begin_trial();
        let before = model.desired.instances.clone();
        for step in &steps {
            if let Do::Choose(..) | Do::Put(..) | Do::Drop(..) = step {
                model.step(step)?;
            }
        }
        model.room.end_trial();
        model.desired.instances = before;
        prop_assert_eq!(&kept, &told(&mut model.room, &model.hosts, &model.pools));
    }

    #[test]
    fn equal_hosts_get_equal_numbers_and_so_do_sites(
        count in 1..30usize, sites in 1..4u8, slots in 1..70u32, other in 0..20u32,
    ) {
        let fleet: Vec<H> = (0..count * usize::from(sites))
            .map(|i| H {
                site: Some(u8::try_from(i % usize::from(sites)).unwrap()),
                rack: None, cpus: 16, gib: 64, ready: 0, cluster: false, image: false, front: None,
            })
            .collect();
        let mut room = Room::new(&Desired::default(), &hosts(&fleet));
        let (first, second) = (pool(0, PoolSpec::default(), slots), pool(1, PoolSpec::default(), slots));
        for slot in 1..=other {
            room.choose(&Ask::new(&second, slot)).unwrap();
        }
        let (mut by_host, mut by_site) = (BTreeMap::<HostId, u32>::new(), BTreeMap::<usize, u32>::new());
        for i in 0..fleet.len() {
            by_host.insert(host_id(i), 0);
            by_site.insert(i % usize::from(sites), 0);
        }
        for slot in 1..=slots {
            let host = room.choose(&Ask::new(&first, slot)).unwrap();
            let i: usize = host.as_str()[1..].parse().unwrap();
            *by_host.get_mut(&host).unwrap() += 1;
            *by_site.get_mut(&(i % usize::from(sites))).unwrap() += 1;
        }
        let spread = |counts: Vec<u32>| counts.iter().max().unwrap() - counts.iter().min().unwrap();
        prop_assert!(spread(by_host.into_values().collect()) <= 1);
        prop_assert!(spread(by_site.into_values().collect()) <= 1);
    }

    #[test]
    fn chance_is_the_same_for_the_same_slot(fleet in prop::collection::vec(any_host(), 1..20), slots in 1..30u32) {
        let mut spec = PoolSpec::default();
        spec.placement.strategy = Pick::Random;
        let pool = pool(0, spec, slots);
        let run = || {
            let mut room = Room::new(&Desired::default(), &hosts(&fleet));
            (1..=slots).map(|slot| room.choose(&Ask::new(&pool, slot))).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_binpack_fills_one_host_after_the_other_and_chance_scatters() {
    let h =
        H { site: None, rack: None, cpus: 16, gib: 64, ready: 0, cluster: false, image: false, front: None };
    let fleet = vec![h; 12];
    let place = |strategy| {
        let mut room = Room::new(&Desired::default(), &hosts(&fleet));
        let resources = Resources { memory_reserved: Some(8 * GIB), ..Resources::default() };
        let placement = Placement { strategy, ..Placement::default() };
        let pool = pool(0, PoolSpec { resources, placement, ..PoolSpec::default() }, 16);
        (1..=16).map(|slot| room.choose(&Ask::new(&pool, slot)).unwrap()).collect::<BTreeSet<HostId>>().len()
    };
    assert_eq!((place(Pick::Spread), place(Pick::Binpack)), (12, 2));
    assert!(place(Pick::Random) > 4);
}

#[test]
fn all_that_refuses_a_host_is_said_and_many_hosts_are_said_together() {
    let h = H {
        site: Some(0),
        rack: Some(1),
        cpus: 4,
        gib: 4,
        ready: 0,
        cluster: false,
        image: false,
        front: None,
    };
    let mut fleet = vec![h.clone(); 40];
    fleet[3] = H { ready: 1, ..h };
    let hosts = hosts(&fleet);
    let mut room = Room::new(&Desired::default(), &hosts);
    let mut spec = PoolSpec::default();
    spec.resources.memory_reserved = Some(8 * GIB);
    spec.placement.constraints =
        ["node.labels.rack == r2", "node.site != s0"].iter().map(|c| c.parse().unwrap()).collect();
    let strict = pool(0, spec.clone(), 1);
    let all: Vec<Filter> =
        room.refusals(&hosts[&host_id(3)], &Ask::new(&strict, 1)).into_iter().map(|r| r.filter).collect();
    assert_eq!(all, [Filter::Ready, Filter::Constraint, Filter::Constraint, Filter::Memory]);
    spec.placement.constraints.clear();
    let why = room.choose(&Ask::new(&pool(1, spec, 1), 1)).unwrap_err();
    assert_eq!(why, "no host can take it (39 hosts: memory: 8.0G needed; h3: is cordoned by anna)");
}

/// Applies moves to the records.
fn apply(desired: &mut Desired, moves: &[longshore::model::moves::Move]) {
    for m in moves {
        let record = desired.instances.get_mut(&m.pool).unwrap().get_mut(&m.slot).unwrap();
        assert_eq!(record.host, m.from);
        record.host = m.to.clone();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn moves_are_allowed_make_it_more_even_and_come_to_an_end(
        fleet in prop::collection::vec(any_host(), 2..8),
        specs in prop::collection::vec(any_spec(), 3),
        places in prop::collection::vec((0..3usize, 0..8usize), 0..40),
    ) {
        use longshore::plan::rebalance::propose;
        let pools: Vec<Pool> = specs.into_iter().enumerate().map(|(i, s)| pool(i, s, 100)).collect();
        let hosts = hosts(&fleet);
        let mut desired = Desired { pools: pools.iter().map(|p| (p.id.clone(), p.clone())).collect(), ..Desired::default() };
        for (p, h) in places {
            let slots = desired.instances.entry(pools[p].id.clone()).or_default();
            let slot = u32::try_from(slots.len() + 1).unwrap();
            slots.insert(slot, instance(&pools[p], slot, &host_id(h % fleet.len()), None));
        }
        let mut room = Room::new(&desired, &hosts);
        let before = told(&mut room, &hosts, &pools);
        let proposal = propose(&desired, &hosts, &mut room, None, 1_000);
        prop_assert_eq!(before, told(&mut room, &hosts, &pools), "asking changes nothing");
        // What stands against its pool's rules goes where it may be, even where that is less even.
        let mends = pools.iter().any(|p| !longshore::plan::misplaced::of(&desired, p, &room).is_empty());
        prop_assert!(mends || proposal.after.skew <= proposal.before.skew);
        prop_assert!(mends || proposal.after.one_basket <= proposal.before.one_basket);
        for m in &proposal.moves {
            let view = &hosts[&m.to];
            prop_assert!(view.is_live() && view.record.duty == Duty::Active, "{m:?}");
            prop_assert!(m.from != m.to);
        }
        apply(&mut desired, &proposal.moves);
        let again = propose(&desired, &hosts, &mut Room::new(&desired, &hosts), None, 1_000);
        prop_assert!(again.moves.is_empty(), "{:?} after {:?}", again.moves, proposal.moves);
        prop_assert_eq!(again.before.skew, proposal.after.skew);
    }
}
