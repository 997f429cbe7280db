//! Two simulated masters, what joins them, and what a person does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::sim::{RegistryCall, SimRegistry, layer};
use longshore::base::clock::{Millis, SharedClock, TokioClock};
use longshore::base::fault::Outcome;
use longshore::base::ids::{InstallId, RegistryName, RuleName};
use longshore::engine::registry::{Handle, Registries, Replicator};
use longshore::model::oci::{Digest, Repository};
use longshore::model::replication::known::{Answer, Answered, Choice, Conflict};
use longshore::model::replication::{Cause, Deletes, Line, LineView, Rule, RunState, RunView};
use longshore::ports::registry::RegistryClient;
use longshore::store::Store;

pub const WEB: &str = "feed/web";
pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn name(text: &str) -> RegistryName {
    RegistryName::new(text).unwrap()
}

pub fn there() -> Line {
    Line { from: name("bj"), to: name("tc") }
}

pub fn back() -> Line {
    Line { from: name("tc"), to: name("bj") }
}

pub fn repository() -> Repository {
    WEB.parse().unwrap()
}

/// Two masters and what joins them.
pub struct Lab {
    pub bj: SimRegistry,
    pub tc: SimRegistry,
    pub rule: Rule,
    dir: tempfile::TempDir,
    pub clock: SharedClock,
    pub store: Option<Store>,
    pub replicator: Option<Replicator>,
}

impl Lab {
    pub async fn new() -> Lab {
        let rule = Rule {
            targets: vec![name("tc")],
            two_way: true,
            deletes: Deletes::Review,
            ..Rule::new(RuleName::new("masters").unwrap(), name("bj"))
        };
        let mut lab = Lab {
            bj: SimRegistry::new("bj"),
            tc: SimRegistry::new("tc"),
            rule,
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(TokioClock::starting_at(Millis(1_763_700_000_000))),
            store: None,
            replicator: None,
        };
        lab.begin().await;
        lab
    }

    pub async fn begin(&mut self) {
        let install = InstallId("0a1b2c3d".into());
        let store = Store::open(self.dir.path(), self.clock.clone(), install).await.unwrap().store;
        let client = |r: &SimRegistry| -> Arc<dyn RegistryClient> { Arc::new(r.clone()) };
        let registries: Registries =
            BTreeMap::from([(name("bj"), client(&self.bj)), (name("tc"), client(&self.tc))]);
        self.store = Some(store.clone());
        self.replicator = Some(Replicator::begin(registries, store, self.clock.clone()).await.unwrap());
    }

    /// Ends the engine where it is, and begins another one on the same state.
    pub async fn crash(&mut self) {
        self.replicator.take().unwrap().end().await;
        self.begin().await;
    }

    pub fn handle(&self) -> Handle {
        self.replicator.as_ref().unwrap().handle()
    }

    pub async fn run(&self) -> RunView {
        let handle = self.handle();
        let id = handle.start(self.rule.clone(), Cause::Schedule).await.unwrap();
        tokio::time::timeout(10 * HOUR, handle.ended(id)).await.expect("it ends").unwrap()
    }

    pub fn push(&self, registry: &SimRegistry, tag: &str, seed: u64) -> Digest {
        registry.push_image(WEB, tag, &[layer(1, 300), layer(1_000 + seed, 200)]).unwrap()
    }

    pub fn at(&self, registry: &SimRegistry, tag: &str) -> Option<Digest> {
        registry.all_tags().get(&(repository(), tag.parse().unwrap())).cloned()
    }

    pub fn both(&self, tag: &str) -> (Option<Digest>, Option<Digest>) {
        (self.at(&self.bj, tag), self.at(&self.tc, tag))
    }

    pub fn is_equal(&self) -> bool {
        let whole = self.bj.missing(false).is_empty() && self.tc.missing(false).is_empty();
        whole && self.bj.all_tags() == self.tc.all_tags()
    }

    pub fn writes(&self) -> u64 {
        let of = |r: &SimRegistry| r.counts().of(RegistryCall::PutManifest);
        of(&self.bj) + of(&self.tc)
    }

    pub fn conflict(&self) -> Conflict {
        self.handle().conflicts(None).first().cloned().expect("a conflict")
    }

    pub async fn answer(&self, conflict: &Conflict, choice: Choice) -> Outcome<()> {
        let answer = Answer { choice, source: conflict.source.clone(), target: conflict.target.clone() };
        let key = (conflict.rule.clone(), conflict.repository.clone(), conflict.tag.clone());
        let answered = Answered { answer, by: "ann".into(), at: self.clock.now() };
        self.handle().resolve(self.rule.clone(), key, answered).await
    }

    pub async fn answered(&self, choice: Choice) {
        self.answer(&self.conflict(), choice).await.unwrap();
        self.until(|lab| lab.handle().conflicts(None).iter().all(|c| c.answered.is_none())).await;
    }

    pub async fn until(&self, is_so: impl Fn(&Lab) -> bool) {
        for _ in 0..100_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it never becomes so");
    }

    pub async fn line(&self, line: &Line) -> LineView {
        // Views are made anew when something has changed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let views = self.handle().views().borrow().clone();
        views.lines.iter().find(|l| l.line == *line).cloned().expect("the line is shown")
    }

    /// Says yes to all that is proposed, and waits until that is done. Gives how many tags it was.
    pub async fn accept(&self) -> usize {
        let reviews = self.handle().reviews(None);
        let Some(review) = reviews.first().filter(|r| !r.plan.items.is_empty()) else { return 0 };
        let count = self.handle().confirm(self.rule.clone(), review.run, "ann").await.unwrap();
        self.until(|lab| lab.handle().reviews(None).iter().all(|r| r.going.is_empty())).await;
        count
    }

    pub fn items(&self) -> Vec<(String, &'static str)> {
        let reviews = self.handle().reviews(None);
        reviews.iter().flat_map(|r| &r.plan.items).map(|i| (i.tag.to_string(), i.at.noun())).collect()
    }

    pub fn held(&self) -> Vec<String> {
        self.handle().reviews(None).iter().flat_map(|r| &r.plan.held).map(|h| h.why.clone()).collect()
    }

    /// Some tags that both have, and that stay.
    pub async fn settled(&self) {
        for n in 0..4 {
            self.push(&self.bj, &format!("stays{n}"), 900 + n);
        }
        assert_eq!(self.run().await.state, RunState::Done);
        assert!(self.is_equal());
    }

    pub async fn journal(&self) -> Vec<String> {
        let lines = self.store.as_ref().unwrap().journal(None, 50, None, None).await.unwrap();
        lines.into_iter().map(|e| e.text).collect()
    }
}
