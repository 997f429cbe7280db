//! Deletions: what a run proposes, and what becomes of what somebody said yes or no to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::fault::{Fault, Outcome};
use crate::base::ids::RuleName;
use crate::engine::registry::compare::look;
use crate::engine::registry::matters::Matters;
use crate::engine::registry::pool::Pool;
use crate::engine::registry::remove::{around, remove};
use crate::engine::registry::replicator::Handle;
use crate::engine::registry::trail::remember;
use crate::model::desired::Write;
use crate::model::journal::{Draft, What};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::known::{Known, Side};
use crate::model::replication::review::{DeleteItem, Going, Review};
use crate::model::replication::{Rule, RunId};
use crate::plan::replicate::deletes::{Around, Candidate, DeleteLimits, Listings, plan};
use crate::plan::replicate::difference::Sight;
use crate::plan::replicate::filter::Selector;
use crate::ports::registry::RegistryClient;

/// Of what stays although one side does not have it any more, so much is kept with its reasons.
const HELD_MAX: usize = 500;

/// What one line of a run has found.
#[derive(Default)]
pub struct Gone {
    /// Tags that one side does not have any more.
    pub candidates: Vec<Candidate>,
    /// What both sides listed.
    pub listings: Listings,
}

/// The registry at one side of a line, and what the repository is called there.
fn end<'a>(
    pool: &'a Pool,
    selector: &Selector,
    side: Side,
    repository: &Repository,
) -> Outcome<(&'a dyn RegistryClient, Repository)> {
    Ok(match side {
        Side::Source => (pool.ends.source.as_ref(), repository.clone()),
        Side::Target => (pool.ends.target.as_ref(), selector.at_target(repository)?),
    })
}

/// What a run proposes to delete on a line.
pub async fn propose(
    pool: &Pool,
    (rule, selector): (&Rule, &Selector),
    run: RunId,
    gone: &Gone,
    matters: &Matters,
) -> Review {
    let now = pool.ends.clock.now();
    let defaults = DeleteLimits::default();
    let limits = DeleteLimits { grace_ms: rule.grace_ms.unwrap_or(defaults.grace_ms), ..defaults };
    let name = |side: Side| if side == Side::Source { &pool.ends.line.from } else { &pool.ends.line.to };
    let mut hangs: BTreeMap<(Repository, Side, Digest), Around> = BTreeMap::new();
    let mut groups: BTreeMap<(Repository, Side), BTreeSet<Digest>> = BTreeMap::new();
    for c in gone.candidates.iter().filter(|c| !matters.removes_tags(name(c.at))) {
        groups.entry((c.repository.clone(), c.at)).or_default().insert(c.digest.clone());
    }
    let mut blind: Vec<(Repository, Side, String)> = Vec::new();
    for ((repository, side), digests) in groups {
        let found = match end(pool, selector, side, &repository) {
            Ok((registry, there)) => around(registry, &there, &digests).await,
            Err(fault) => Err(fault),
        };
        match found {
            Ok(all) => hangs.extend(all.into_iter().map(|(d, a)| ((repository.clone(), side, d), a))),
            Err(fault) => blind.push((repository, side, fault.to_string())),
        }
    }
    let known = |c: &Candidate| {
        let alone = || Around { tags_alone: true, ..Around::default() };
        hangs.get(&(c.repository.clone(), c.at, c.digest.clone())).cloned().unwrap_or_else(alone)
    };
    let mut plan = plan(&gone.candidates, &gone.listings, known, &limits, now);
    // Where what hangs on an image could not be looked at, nothing is proposed.
    for (repository, side, why) in blind {
        let (out, stay): (Vec<_>, Vec<_>) =
            plan.items.into_iter().partition(|i| i.repository == repository && i.at == side);
        plan.items = stay;
        plan.held.extend(
            out.into_iter().map(|i| i.held(&format!("its other tags could not be looked at: {why}"))),
        );
    }
    plan.held.truncate(HELD_MAX);
    if rule.two_way {
        let advice = format!("; if it was rebuilt or restored: longshore replicate rejoin {}", rule.name);
        plan.held.iter_mut().filter(|h| h.why.ends_with("deletes nothing")).for_each(|h| h.why += &advice);
    }
    let (rule, line) = (rule.name.clone(), pool.ends.line.clone());
    Review { rule, line, run, at: now, plan, going: Vec::new() }
}

impl Handle {
    /// Somebody says yes to what a run proposes. It is durable once this returns, and being carried out.
    ///
    /// # Errors
    /// When nothing is proposed, another run has compared since, or the journal cannot be written.
    pub async fn confirm(&self, rule: Rule, run: RunId, by: &str) -> Outcome<usize> {
        let (count, notes) = self.matters().confirm(&rule.name, run, by)?;
        self.note(notes).await?;
        self.stir();
        let handle = self.clone();
        self.spawn(async move { handle.delete_all(&rule).await });
        Ok(count)
    }

    /// Somebody says no to some of what a run proposes: the tags stay. Between two masters the next run copies them back.
    ///
    /// # Errors
    /// When one of them is not proposed, another run has compared since, or the journal cannot be written.
    pub async fn spare(&self, rule: &Rule, run: RunId, tags: &[(Repository, Tag)]) -> Outcome<usize> {
        let selector = Selector::of(rule)?;
        let pools = self.pools(rule)?;
        let (spared, mut notes) = self.matters().spare(&rule.name, run, tags)?;
        for (line, item) in &spared {
            let Some(pool) = pools.iter().find(|p| p.ends.line == *line) else { continue };
            let there = selector.at_target(&item.repository)?;
            notes.push(remember(&pool.ends, &item.repository, &there, &item.tag, Known::spared()));
        }
        self.note(notes).await?;
        self.stir();
        Ok(spared.len())
    }

    /// Carries out what somebody said yes to, also what an engine core before this left.
    pub(super) async fn delete_all(&self, rule: &Rule) {
        let _one_at_a_time = self.deleting().lock().await;
        let (Ok(pools), Ok(selector)) = (self.pools(rule), Selector::of(rule)) else { return };
        for review in self.matters().reviews(Some(&rule.name)) {
            let Some(pool) = pools.iter().find(|p| p.ends.line == review.line) else { continue };
            let mut groups: BTreeMap<(Repository, Side, Digest), Vec<&Going>> = BTreeMap::new();
            for going in &review.going {
                let item = &going.item;
                let key = (item.repository.clone(), item.at, item.digest.clone());
                groups.entry(key).or_default().push(going);
            }
            for group in groups.into_values() {
                self.delete_image(pool, &selector, &review, &group).await;
            }
        }
    }

    /// Deletes tags of one image, each only if both sides still show what was said yes to.
    async fn delete_image(&self, pool: &Arc<Pool>, selector: &Selector, review: &Review, group: &[&Going]) {
        let mut fine = Vec::new();
        for going in group {
            // The rule may be gone by now, or what it proposed may have been taken back.
            if !self.matters().is_going(review, &going.item) {
                continue;
            }
            match asked_again(pool, selector, &going.item).await {
                Ok(()) => fine.push(*going),
                Err(why) => self.kept(review, going, &why).await,
            }
        }
        let Some(first) = fine.first().map(|g| &g.item) else { return };
        let tags: BTreeSet<Tag> = fine.iter().map(|g| g.item.tag.clone()).collect();
        let name = if first.at == Side::Source { &pool.ends.line.from } else { &pool.ends.line.to };
        let outcome = match end(pool, selector, first.at, &first.repository) {
            Ok((registry, there)) => {
                let alone = self.matters().removes_tags(name);
                let done = remove(registry, &there, &first.digest, &tags, alone).await;
                if let Ok(false) = done {
                    self.matters().removes_no_tags(name);
                }
                done.map(drop)
            }
            Err(fault) => Err(fault),
        };
        for going in fine {
            match &outcome {
                Ok(()) => self.deleted(pool, selector, review, going).await,
                Err(fault) => self.kept(review, going, &fault.to_string()).await,
            }
        }
    }

    async fn deleted(&self, pool: &Pool, selector: &Selector, review: &Review, going: &Going) {
        let item = &going.item;
        let mut notes = self.matters().gone(review, item, None);
        if let Ok(there) = selector.at_target(&item.repository) {
            let known = known_of(pool, &item.repository, &there, &item.tag).await;
            let known = known.learn(&Sight::Absent, &Sight::Absent, pool.ends.clock.now());
            notes.push(remember(&pool.ends, &item.repository, &there, &item.tag, known));
        }
        let at = if item.at == Side::Source { &review.line.from } else { &review.line.to };
        let text = format!(
            "{}: deleted {}:{} ({}) at {at}: gone from the {}, and {} said yes",
            review.rule,
            item.repository,
            item.tag,
            item.digest.short(),
            item.at.other().noun(),
            going.by
        );
        self.tell_journal(What::Outcome, text).await;
        self.settle(notes).await;
    }

    async fn kept(&self, review: &Review, going: &Going, why: &str) {
        let item = &going.item;
        let at = if item.at == Side::Source { &review.line.from } else { &review.line.to };
        let text = format!("{}: {}:{} stays at {at}: {why}", review.rule, item.repository, item.tag);
        self.tell_journal(What::Failed, text).await;
        let notes = self.matters().gone(review, item, Some(why));
        self.settle(notes).await;
    }

    /// Writes a line of the journal. What was done is done: a disk that says no shows up elsewhere.
    pub(super) async fn tell_journal(&self, what: What, text: String) {
        let _ = self.store().apply(vec![Write::Journal(Draft::engine(what, text))]).await;
    }

    /// Keeps what has become of a matter. If that is lost, it is found again.
    pub(super) async fn settle(&self, notes: Vec<crate::store::replication::Note>) {
        let _ = self.note(notes).await;
        self.stir();
    }

    /// Deletions that somebody said yes to and that are not done, of a rule.
    pub(super) fn has_going(&self, rule: &RuleName) -> bool {
        self.matters().reviews(Some(rule)).iter().any(|r| !r.going.is_empty())
    }
}

/// What is remembered of one tag; nothing where that cannot be read.
pub(super) async fn known_of(pool: &Pool, from: &Repository, there: &Repository, tag: &Tag) -> Known {
    let all: Result<_, Fault> = pool.ends.store.known(&pool.ends.line, from, there).await;
    all.ok().and_then(|mut all| all.remove(tag)).unwrap_or_default()
}

/// Asks both sides about a deletion once more, just before it is done.
async fn asked_again(pool: &Pool, selector: &Selector, item: &DeleteItem) -> Result<(), String> {
    let at = end(pool, selector, item.at, &item.repository);
    let other = end(pool, selector, item.at.other(), &item.repository);
    let ((here, name), (there, its)) = at.and_then(|a| Ok((a, other?))).map_err(|f| f.to_string())?;
    let (here, there) = tokio::join!(look(here, &name, &item.tag), look(there, &its, &item.tag));
    // What shares the image is looked at where it is removed, if the registry removes whole images only.
    item.confirm(&here, &BTreeSet::new(), &there)
}
