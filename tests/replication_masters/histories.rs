//! Random histories of two masters: whatever happens, they end equal, nothing is lost, and nothing that was deleted comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore::adapters::sim::RegistryPace;
use longshore::model::oci::{Digest, Tag};
use longshore::model::replication::Cause;
use longshore::model::replication::known::Choice;
use proptest::prelude::*;

use crate::lab::{Lab, WEB, repository, there};

#[derive(Clone, Copy, Debug)]
enum Op {
    Push { bj: bool, tag: u8 },
    Delete { bj: bool, tag: u8 },
    Run { down: Option<bool>, crash_ms: Option<u64>, choice: Option<u8>, accept: bool },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let run = (
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::weighted(0.3, 0..120u64),
        prop::option::weighted(0.5, 0..3u8),
        any::<bool>(),
    )
        .prop_map(|(down, crash_ms, choice, accept)| Op::Run { down, crash_ms, choice, accept });
    let op = prop_oneof![
        3 => (any::<bool>(), 0..3u8).prop_map(|(bj, tag)| Op::Push { bj, tag }),
        2 => (any::<bool>(), 0..3u8).prop_map(|(bj, tag)| Op::Delete { bj, tag }),
        4 => run,
    ];
    prop::collection::vec(op, 0..24)
}

/// A history of two masters, and what must come of it.
struct History {
    lab: Lab,
    pushes: u64,
    /// Pushed, and neither pushed over, nor deleted, nor turned down by an answer.
    alive: BTreeSet<Digest>,
    deleted: BTreeSet<(Tag, Digest)>,
}

impl History {
    async fn act(&mut self, op: Op) {
        let tag = |n: u8| format!("t{n}");
        let registry = |lab: &Lab, bj: bool| if bj { lab.bj.clone() } else { lab.tc.clone() };
        match op {
            Op::Push { bj, tag: n } => {
                let at = registry(&self.lab, bj);
                self.pushes += 1;
                let old = self.lab.at(&at, &tag(n));
                let new = self.lab.push(&at, &tag(n), self.pushes);
                old.map(|old| self.alive.remove(&old));
                self.alive.insert(new);
            }
            Op::Delete { bj, tag: n } => {
                let at = registry(&self.lab, bj);
                let Some(old) = self.lab.at(&at, &tag(n)) else { return };
                at.drop_tag(WEB, &tag(n)).unwrap();
                self.alive.remove(&old);
                let key: Tag = tag(n).parse().unwrap();
                let store = self.lab.store.as_ref().unwrap();
                let known = store.known(&there(), &repository(), &repository()).await.unwrap();
                // An engine that ended as it wrote this has not looked since: that it arrived is not known to anybody.
                let is_known =
                    known.get(&key).and_then(|k| k.intent.as_ref()).is_none_or(|i| i.digest != old);
                if is_known {
                    self.deleted.insert((key, old));
                }
            }
            Op::Run { down, crash_ms, choice, accept } => {
                self.run(down, crash_ms, choice, accept).await;
            }
        }
    }

    async fn run(&mut self, down: Option<bool>, crash_ms: Option<u64>, choice: Option<u8>, accept: bool) {
        let sick = |lab: &Lab, is: bool| {
            let at = down.map(|bj| if bj { lab.bj.clone() } else { lab.tc.clone() });
            at.iter().for_each(|r| r.trouble(|t| t.unreachable = is));
        };
        sick(&self.lab, true);
        match crash_ms {
            None => drop(self.lab.run().await),
            Some(ms) => {
                self.lab.handle().start(self.lab.rule.clone(), Cause::Schedule).await.unwrap();
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.lab.crash().await;
            }
        }
        sick(&self.lab, false);
        if let Some(choice) = choice {
            self.choose(choice).await;
        }
        if accept {
            self.lab.accept().await;
        }
    }

    /// Answers every conflict. Gives how many there were.
    async fn choose(&mut self, n: u8) -> usize {
        let open = self.lab.handle().conflicts(None);
        for conflict in &open {
            let whole = conflict.source.is_some() && conflict.target.is_some();
            let choice = match n {
                0 => Choice::SourceWins,
                2 if whole => Choice::KeepBoth,
                _ => Choice::TargetWins,
            };
            let both = self.lab.both(conflict.tag.as_str());
            let is_as_seen = both == (conflict.source.clone(), conflict.target.clone());
            let loser = match choice {
                Choice::SourceWins => &conflict.target,
                Choice::TargetWins => &conflict.source,
                Choice::KeepBoth => &None,
            };
            self.lab.answer(conflict, choice).await.unwrap();
            self.lab.until(|lab| lab.handle().conflicts(None).iter().all(|c| c.answered.is_none())).await;
            if let Some(loser) = loser.as_ref().filter(|_| is_as_seen) {
                self.alive.remove(loser);
            }
        }
        open.len()
    }

    /// Everything is well, all questions are answered and all deletions accepted, until nothing happens any more.
    async fn rest(&mut self, choice: u8) {
        for round in 0..30 {
            let before = self.lab.writes();
            self.lab.run().await;
            let decided = self.choose(choice).await + self.lab.accept().await;
            if decided == 0 && self.lab.writes() == before {
                return;
            }
            assert!(round < 29, "it does not come to rest: {:?}", self.lab.bj.all_tags());
        }
    }
}

fn check(ops: &[Op], choice: u8) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        lab.rule.grace_ms = Some(0);
        lab.settled().await;
        for registry in [&lab.bj, &lab.tc] {
            registry.pace(RegistryPace { latency_ms: 5, ..RegistryPace::default() });
        }
        let mut history = History { lab, pushes: 0, alive: BTreeSet::new(), deleted: BTreeSet::new() };
        for op in ops {
            history.act(*op).await;
        }
        history.rest(choice).await;
        let History { lab, alive, deleted, .. } = history;
        assert!(lab.is_equal(), "{:?} {:?}", lab.bj.all_tags(), lab.tc.all_tags());
        let all = lab.bj.all_tags();
        let back = deleted.iter().find(|(t, d)| all.get(&(repository(), t.clone())) == Some(d));
        assert_eq!(back, None, "what was deleted is back");
        let lost: Vec<_> = alive.iter().filter(|d| !all.values().any(|v| v == *d)).collect();
        assert!(lost.is_empty(), "lost, though nobody deleted it: {lost:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_two_masters_go_through_they_end_equal_lose_nothing_and_bring_nothing_back(
        ops in ops(), choice in 0..3u8,
    ) {
        check(&ops, choice);
    }
}
