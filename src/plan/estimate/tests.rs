//! The estimate against arithmetic by hand, and what must hold for all figures.

use super::*;
use proptest::prelude::*;

const MBIT: u64 = 1_000_000;

fn site(name: &str, hosts: u32, line: u64, registry: Option<u64>) -> SiteQuestion {
    let line = (line > 0).then(|| (format!("bj-{name}"), line));
    SiteQuestion { site: name.parse().unwrap(), hosts, line, registry }
}

fn question(sites: Vec<SiteQuestion>) -> Question {
    Question {
        layers: vec![700_000_000, 500_000_000],
        present_percent: 0,
        source: "bj".parse().unwrap(),
        uplink: 1000 * MBIT,
        card: 1000 * MBIT,
        parallel: 0,
        peers: true,
        sites,
    }
}

fn times(answer: &Answer) -> Vec<(Way, u64)> {
    answer.ways.iter().map(|w| (w.way, w.ms)).collect()
}

#[test]
fn forty_hosts_behind_a_thin_line() {
    let answer = estimate(&question(vec![site("tc", 40, 100 * MBIT, Some(1000 * MBIT))])).unwrap();
    // Star 40 x 1.2 GB x 8 / 100 Mbit/s; tree 96 s and 384 s; peers 96 s and 6 x 9.6 s.
    assert_eq!(times(&answer), [(Way::Star, 3_840_000), (Way::Tree, 480_000), (Way::Peers, 153_600)]);
    assert_eq!(answer.warnings, ["40 hosts x 1.2 GB over bj-tc = 48 GB, 64 min at 100 Mbit/s"]);
    assert_eq!(answer.best, Way::Peers);
    assert_eq!(
        answer.advice,
        "peers: 3 min instead of 64 min, because bj-tc carries 1.2 GB instead of 48 GB"
    );
    assert_eq!(
        answer.ways[1].steps,
        [
            "bj sends 1 x 1.2 GB = 1.2 GB: 10 s at 1 Gbit/s",
            "bj-tc carries 1 x 1.2 GB = 1.2 GB: 96 s at 100 Mbit/s",
            "the registry of tc sends 40 x 1.2 GB = 48 GB: 6 min at 1 Gbit/s, 40 hosts at a time",
            "tree: the last host has it after 8 min",
        ]
    );
    let peaks: Vec<_> = answer.ways[1].peaks.iter().map(|p| (p.at.as_str(), p.pulls)).collect();
    assert_eq!(peaks, [("bj", 1), ("tc", 40)]);
    assert_eq!(answer.ways[0].peaks, [Peak { at: "bj".into(), pulls: 40, bits_per_s: 1000 * MBIT }]);
}

#[test]
fn few_hosts_near_by_need_nothing_more() {
    let mut near = question(vec![site("bj", 2, 0, None)]);
    near.peers = false;
    let answer = estimate(&near).unwrap();
    assert_eq!(times(&answer), [(Way::Star, 19_200)]);
    assert_eq!(answer.advice, "star: all hosts have it after 19 s; there is no other way");
    assert!(answer.warnings.is_empty() && answer.ways[0].lines.is_empty());
}

#[test]
fn what_hosts_have_already_and_pulls_at_a_time_count() {
    let mut some = question(vec![site("tc", 10, 1000 * MBIT, None)]);
    (some.present_percent, some.parallel, some.peers, some.uplink) = (50, 3, false, 100_000 * MBIT);
    some.sites[0].line = Some(("bj-tc".into(), 100_000 * MBIT));
    let answer = estimate(&some).unwrap();
    assert_eq!(some.lacking(), 600_000_000);
    assert_eq!(answer.ways[0].ms, 4 * 4800, "four waves, each at the speed of a card");
    assert_eq!(answer.ways[0].peaks[0].pulls, 3);
    some.present_percent = 100;
    assert_eq!(estimate(&some).unwrap().ways[0].ms, 0);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let fine = || question(vec![site("tc", 1, MBIT, None)]);
    let said = |q: Question| estimate(&q).unwrap_err().to_string();
    assert!(said(Question { card: 0, ..fine() }).contains("bandwidth"));
    assert!(said(question(vec![site("tc", 0, MBIT, None)])).contains("no host"));
    assert!(said(Question { present_percent: 101, ..fine() }).contains("100 %"));
    assert_eq!(rounds(1), 0);
    assert_eq!((rounds(2), rounds(3), rounds(64), rounds(65)), (1, 2, 6, 7));
    assert_eq!(
        (minutes(900), minutes(12_600_000), gb(999), mbit(2_500_000_000)),
        ("0.9 s".into(), "3.5 h".into(), "999 B".into(), "2.5 Gbit/s".into())
    );
}

proptest! {
    #[test]
    fn no_way_beats_the_bounds_and_more_never_helps(
        layers in prop::collection::vec(0..2_000_000_000u64, 0..5), hosts in 1..500u32, line in 1..10_000u64,
        uplink in 1..10_000u64, card in 1..10_000u64, registry in prop::option::of(1..10_000u64), parallel in 0..20u32,
    ) {
        let mut q = question(vec![site("tc", hosts, line * MBIT, registry.map(|r| r * MBIT))]);
        (q.layers, q.uplink, q.card, q.parallel) = (layers, uplink * MBIT, card * MBIT, parallel);
        let answer = estimate(&q).unwrap();
        let data = q.lacking();
        for way in &answer.ways {
            // Every host takes it in once, and the site takes it in once.
            prop_assert!(way.ms >= ms(data, q.card).max(ms(data, line * MBIT)), "{way:?}");
            prop_assert!(way.lines[0].bytes >= data && way.lines[0].bytes <= data * u64::from(hosts));
            let least = u128::from(data) * u128::from(hosts) * 8000 / u128::from(line * MBIT + u64::from(hosts) * q.card);
            if way.way == Way::Peers {
                prop_assert!(u128::from(way.ms) >= least, "the bound of all peer-to-peer distribution");
            }
        }
        let best = answer.ways.iter().map(|w| w.ms).min().unwrap();
        let taken = answer.ways.iter().find(|w| w.way == answer.best).unwrap();
        prop_assert!(taken.ms <= best + best / 10);
        q.sites[0].hosts += 1;
        for (before, after) in answer.ways.iter().zip(estimate(&q).unwrap().ways) {
            prop_assert!(after.ms >= before.ms);
        }
    }
}
