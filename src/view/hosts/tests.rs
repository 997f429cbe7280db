//! Totals, folding, order and what still fits.

use std::sync::Arc;

use super::*;
use crate::base::ids::ContainerId;
use crate::model::container::Usage;
use crate::model::host::{HostConfig, HostFacts, HostSource};
use crate::model::site::{Site, SiteView};

const NOW: Millis = Millis(1_800_000_000_000);

fn host(world: &mut World, name: &str, taken: (u64, u64), site: Option<&str>, seen: Seen) {
    let id = HostId::new(name).unwrap();
    let config =
        HostConfig { id: id.clone(), address: "sim://".into(), tls_dir: None, source: HostSource::Added };
    let facts = HostFacts { cpus: 8, memory: 32 << 30, engine_id: "e".into(), ..HostFacts::default() };
    let mut view = HostView { seen, facts: Arc::new(facts), ..HostView::never(config) };
    Arc::make_mut(&mut view.record).site = site.map(|s| SiteName::new(s).unwrap());
    view.taken.need = Need { cpu_milli: taken.0, memory: taken.1 << 30, ..Need::default() };
    view.taken.containers = 3;
    world.hosts.insert(id, Arc::new(view));
}

fn lost() -> Seen {
    let last = Millis(NOW.0 - 120_000);
    Seen::Lost { last, since: last, why: "no route".into() }
}

fn site(world: &mut World, name: &str, hosts: u32, lost: bool) {
    let name = SiteName::new(name).unwrap();
    let site = Site { name: name.clone(), registry: None, limits: Default::default() };
    let lost = lost.then_some(Millis(NOW.0 - 120_000));
    let silent = if lost.is_some() { hosts } else { 0 };
    Arc::make_mut(&mut world.sites).insert(name, SiteView { site, hosts, silent, lost });
}

#[test]
fn the_largest_hole_is_judged_by_what_is_scarcer() {
    let mut world = World::default();
    host(&mut world, "much-memory", (7_000, 0), None, Seen::At(NOW));
    host(&mut world, "some-of-both", (4_000, 12), None, Seen::At(NOW));
    host(&mut world, "lost-and-empty", (0, 0), None, lost());
    let t = total(&world, NOW, &Uses::default());
    let (name, need) = t.largest.unwrap();
    assert_eq!((name.as_str(), need.cpu_milli, need.memory >> 30), ("some-of-both", 4_000, 20));
    assert_eq!((t.capacity.cpu_milli, t.reserved.memory >> 30), (16_000, 12));
    assert_eq!(total(&World::default(), NOW, &Uses::default()).largest, None);
}

#[test]
fn a_lost_site_is_one_line_until_it_is_unfolded() {
    let mut world = World::default();
    for i in 0..34 {
        host(&mut world, &format!("bj-{i:02}"), (0, 0), Some("bj"), lost());
    }
    host(&mut world, "tc-01", (0, 0), Some("tc"), Seen::At(NOW));
    site(&mut world, "bj", 34, true);
    site(&mut world, "tc", 1, false);
    let uses = Uses::default();
    let folded = items(&world, NOW, &uses, Order::Problems, &BTreeSet::new());
    assert_eq!(folded.len(), 2);
    let Item::Site(line) = &folded[0] else { panic!("{folded:?}") };
    assert_eq!(line.sentence(NOW), "site bj: all 34 hosts lost 2m ago, 102 containers there");
    let open = BTreeSet::from([SiteName::new("bj").unwrap()]);
    assert_eq!(items(&world, NOW, &uses, Order::Name, &open).len(), 36);
}

#[test]
fn problems_come_first_then_names() {
    let mut world = World::default();
    for (name, seen) in [
        ("a", Seen::At(NOW)),
        ("b", Seen::At(NOW)),
        ("c", lost()),
        ("d", Seen::Never { why: Some("refused".into()) }),
    ] {
        host(&mut world, name, (0, if name == "b" { 30 } else { 0 }), None, seen);
    }
    let names = |order| -> Vec<String> {
        let rows = items(&world, NOW, &Uses::default(), order, &BTreeSet::new());
        rows.into_iter()
            .map(|i| if let Item::Host(h) = i { h.id.to_string() } else { String::new() })
            .collect()
    };
    assert_eq!(names(Order::Problems), ["d", "c", "a", "b"]);
    assert_eq!(names(Order::Name), ["a", "b", "c", "d"]);
    assert_eq!(names(Order::Fullest)[0], "b");
}

#[test]
fn use_is_summed_again_only_where_it_changed() {
    let mut world = World::default();
    host(&mut world, "a", (0, 0), None, Seen::At(NOW));
    let id = HostId::new("a").unwrap();
    let measure = |world: &mut World, cpu| {
        let usage = Usage { cpu_milli: Some(cpu), memory: 1, memory_limit: None };
        let map = BTreeMap::from([(ContainerId::new("aa"), usage)]);
        Arc::make_mut(world.hosts.get_mut(&id).unwrap()).usage = Arc::new(map);
    };
    let mut uses = Uses::default();
    measure(&mut world, 500);
    uses.update(&world);
    assert_eq!(uses.of(&id).cpu_milli, 500);
    measure(&mut world, 700);
    uses.update(&world);
    assert_eq!(uses.of(&id).cpu_milli, 700);
    uses.update(&World::default());
    assert_eq!(uses.all().count(), 0);
}

#[test]
fn a_mass_loss_is_a_question_with_its_answer() {
    let loss = MassLoss { lost: 40, of: 120, sites: vec![SiteName::new("bj").unwrap()], containers: 812 };
    let text = mass_loss(&loss, false);
    assert!(text.starts_with("40 of 120 hosts vanished together (site bj): 812 containers are NOT replaced"));
    assert!(text.ends_with("longshore hosts give-up --site bj"), "{text}");
}
