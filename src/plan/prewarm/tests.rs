//! Which hosts begin when, from whom, and how the whole stands.

use super::*;
use crate::base::ids::OpId;
use crate::model::prewarm::Proof;
use crate::model::site::SiteLimits;

fn id(name: &str) -> HostId {
    name.parse().unwrap()
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn wanted(limit: u32) -> Prewarm {
    Prewarm {
        image: "hq.example/feed/web:2".into(),
        hosts: Vec::new(),
        limit,
        rate: None,
        size: Some(1_000_000_000),
        from_peers: false,
        digest: None,
        ids: Vec::new(),
        asked: true,
        unproved: None,
    }
}

fn proof(ms: u64, came: Came) -> WarmState {
    WarmState::Held(Proof { id: "sha256:1".into(), digest: None, came, ms, bytes: 0 })
}

struct Scene {
    wanted: Prewarm,
    hosts: BTreeMap<HostId, HostWarm>,
    looked: BTreeSet<HostId>,
    sites: BTreeMap<SiteName, Site>,
    begun: BTreeMap<Option<SiteName>, Millis>,
    rates: Rates,
    now: Millis,
}

/// So many hosts at `bj`, and so many at `tc`; all have said that they have not got it.
fn scene(limit: u32, bj: usize, tc: usize) -> Scene {
    let at = |name: &str, n: usize| {
        let of = site(name);
        (1..=n)
            .map(move |i| (format!("{of}-{i}").parse().unwrap(), HostWarm::new(Some(of.clone()))))
            .collect::<Vec<_>>()
    };
    let hosts: BTreeMap<HostId, HostWarm> = at("bj", bj).into_iter().chain(at("tc", tc)).collect();
    Scene {
        wanted: wanted(limit),
        looked: hosts.keys().cloned().collect(),
        hosts,
        sites: BTreeMap::new(),
        begun: BTreeMap::new(),
        rates: Rates::default(),
        now: Millis(1_000_000),
    }
}

impl Scene {
    fn next(&self) -> Next {
        next(&Input {
            wanted: &self.wanted,
            hosts: &self.hosts,
            looked: &self.looked,
            looking: &BTreeSet::new(),
            sites: &self.sites,
            begun: &self.begun,
            rates: &|_| self.rates,
            now: self.now,
        })
    }

    fn begins(&self) -> Vec<String> {
        let told = |(host, from): (HostId, Option<HostId>)| match from {
            Some(from) => format!("{host} from {from}"),
            None => host.to_string(),
        };
        self.next().begin.into_iter().map(told).collect()
    }

    fn put(&mut self, host: &str, state: WarmState) {
        self.hosts.get_mut(&id(host)).unwrap().state = state;
    }

    fn limits(&mut self, name: &str, pulls: Option<u32>, registry: Option<&str>) {
        let limits = SiteLimits { pulls, ..SiteLimits::default() };
        let registry = registry.map(str::to_owned);
        self.sites.insert(site(name), Site { name: site(name), registry, limits });
    }
}

fn coming(from: Option<&str>) -> WarmState {
    WarmState::Coming { from: from.map(id), progress: None }
}

#[test]
fn each_site_has_turns_of_its_own_and_the_smaller_limit_counts() {
    let mut scene = scene(2, 4, 4);
    assert_eq!(scene.begins(), ["bj-1", "bj-2", "tc-1", "tc-2"]);
    scene.limits("tc", Some(1), None);
    assert_eq!(scene.begins(), ["bj-1", "bj-2", "tc-1"]);
    scene.put("bj-1", coming(None));
    assert_eq!(scene.begins(), ["bj-2", "tc-1"]);
    assert_eq!(scene.next().waits[&id("bj-4")], "2 at a time at site bj");
}

#[test]
fn all_are_asked_before_anything_is_pulled_and_no_more_than_some_at_a_time() {
    let mut scene = scene(2, 100, 0);
    scene.looked.clear();
    let next = scene.next();
    assert_eq!((next.look.len(), next.begin.len()), (LOOKS_MAX, 0));
}

#[test]
fn a_rate_puts_pulls_apart_by_size_over_rate() {
    let mut scene = scene(10, 3, 0);
    scene.wanted.rate = Some(100_000_000);
    assert_eq!(gap_ms(1_000_000_000, 100_000_000), 10_000);
    assert_eq!(scene.begins(), ["bj-1"], "only one begins at a time");
    scene.begun.insert(Some(site("bj")), scene.now);
    let next = scene.next();
    assert!(next.begin.is_empty());
    assert_eq!(next.wake_at, Some(scene.now.plus(10_000)));
    scene.now = scene.now.plus(10_000);
    assert_eq!(scene.begins(), ["bj-1"]);
}

#[test]
fn one_host_brings_it_to_a_site_and_those_that_have_it_give_it_on() {
    let mut scene = scene(4, 5, 0);
    scene.wanted.from_peers = true;
    assert_eq!(scene.begins(), ["bj-1"]);
    scene.put("bj-1", coming(None));
    assert!(scene.begins().is_empty(), "the others wait for it");
    scene.put("bj-1", proof(9, Came::Pulled("x".into())));
    assert_eq!(scene.begins(), ["bj-2 from bj-1"]);
    scene.put("bj-2", proof(9, Came::From(id("bj-1"))));
    assert_eq!(scene.begins(), ["bj-3 from bj-1", "bj-4 from bj-2"], "their number doubles");
    // One that is silent gives nothing; what could not be handed over is pulled.
    scene.hosts.get_mut(&id("bj-2")).unwrap().silent = Some(scene.now);
    assert_eq!(scene.begins(), ["bj-3 from bj-1"]);
    let fault = Fault::new(Kind::Refused, "no");
    failed(scene.hosts.get_mut(&id("bj-3")).unwrap(), &fault, Some(&id("bj-1")), scene.now);
    assert_eq!(scene.begins(), ["bj-3", "bj-4 from bj-1"]);
}

#[test]
fn hosts_do_not_give_where_a_registry_is_near_or_pulls_are_as_quick() {
    let mut scene = scene(4, 4, 0);
    scene.wanted.from_peers = true;
    scene.put("bj-1", proof(9, Came::WasThere));
    scene.limits("bj", None, Some("bj.example"));
    assert_eq!(scene.begins(), ["bj-2", "bj-3", "bj-4"]);
    scene.limits("bj", None, None);
    assert_eq!(scene.begins(), ["bj-2 from bj-1"]);
    // 3 GB over 200 MB/s is 15 s; handed on at 10 MB/s it would be minutes.
    scene.rates = Rates { pull: Some(200_000_000), give: Some(10_000_000) };
    assert_eq!(scene.begins(), ["bj-2", "bj-3", "bj-4"]);
    scene.rates = Rates { pull: Some(10_000_000), give: Some(200_000_000) };
    assert_eq!(scene.begins(), ["bj-2 from bj-1"]);
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_has_failed() {
    let now = Millis(0);
    let mut host = HostWarm::new(None);
    for ms in RETRY_MS {
        failed(&mut host, &Fault::new(Kind::Timeout, "slow"), None, now);
        assert_eq!(host.retry_at, Some(now.plus(*ms)));
    }
    failed(&mut host, &Fault::new(Kind::Timeout, "slow"), None, now);
    assert_eq!(host.state, WarmState::Failed("slow".into()));
    let mut host = HostWarm::new(None);
    failed(&mut host, &Fault::new(Kind::NotFound, "no such image"), None, now);
    assert_eq!(host.state, WarmState::Failed("no such image".into()));
}

fn view(hosts: &[(&str, WarmState)]) -> PrewarmView {
    let host = |(name, state): &(&str, WarmState)| {
        (id(name), HostWarm { state: state.clone(), ..HostWarm::new(None) })
    };
    PrewarmView {
        op: OpId(1),
        image: "a:1".into(),
        digest: None,
        unproved: None,
        size: None,
        hosts: hosts.iter().map(host).collect(),
    }
}

#[test]
fn the_whole_stands_as_its_hosts_do() {
    let now = Millis(5_000);
    let held = || proof(4_000, Came::Pulled("a:1".into()));
    let wait = || WarmState::Waiting(String::new());
    let (progress, is) = standing(&view(&[("a", held()), ("b", wait()), ("c", coming(None))]), now);
    assert_eq!((progress.target, progress.healthy, progress.pulling, is), (3, 1, 1, Standing::Moving));
    assert_eq!(progress.eta_ms, Some(8_000));
    let broken = view(&[("a", held()), ("b", WarmState::Failed("disk full".into()))]);
    let Standing::Failed(why) = standing(&broken, now).1 else { panic!("not failed") };
    assert_eq!(why, "it is not on 1 of 2 hosts: b: disk full");
    assert_eq!(standing(&view(&[("a", held())]), now).1, Standing::Reached);
    let other =
        WarmState::Held(Proof { id: "sha256:2".into(), digest: None, came: Came::WasThere, ms: 0, bytes: 0 });
    let Standing::Failed(why) = standing(&view(&[("a", held()), ("b", other)]), now).1 else {
        panic!("same?")
    };
    assert!(why.contains("sha256:1, sha256:2"), "{why}");
}

#[test]
fn a_host_that_stays_silent_is_given_up_and_said_before() {
    let mut view = view(&[("a", WarmState::Waiting(String::new()))]);
    let host = view.hosts.get_mut(&id("a")).unwrap();
    heard(host, false, Millis(0));
    assert!(
        matches!(standing(&view, Millis(1)).1, Standing::Stuck(why) if why.contains("a does not answer"))
    );
    let host = view.hosts.get_mut(&id("a")).unwrap();
    heard(host, false, Millis(0).plus(GIVE_UP_MS));
    assert!(matches!(standing(&view, Millis(1)).1, Standing::Failed(_)));
}
