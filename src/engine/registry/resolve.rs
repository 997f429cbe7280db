//! The way out of a conflict, as somebody chose it: kept before it is done, done step by step, and again after a crash.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::registry::compare::look;
use crate::engine::registry::image::{Claimed, Image, Walk};
use crate::engine::registry::matters::{Key, Matters};
use crate::engine::registry::pace::{Pace, again};
use crate::engine::registry::pool::Pool;
use crate::engine::registry::remove::remove;
use crate::engine::registry::replicator::Handle;
use crate::engine::registry::review::known_of;
use crate::engine::registry::trail::{Trail, remember};
use crate::model::journal::What;
use crate::model::oci::{Digest, Reference, Repository, Tag};
use crate::model::replication::Rule;
use crate::model::replication::known::{Answered, Choice, Conflict, Side};
use crate::plan::replicate::conflict::{Step, steps};
use crate::plan::replicate::difference::{Sight, Way};
use crate::plan::replicate::filter::Selector;
use crate::store::replication::{Note, Owed};

/// A step is tried so often.
const TRIES: u32 = 4;
/// What somebody chose goes before what a rule brings by itself.
const FIRST: i32 = i32::MAX;

/// One conflict being resolved.
struct Way2<'a> {
    rule: &'a Rule,
    forward: &'a Arc<Pool>,
    back: &'a Arc<Pool>,
    from: &'a Repository,
    there: &'a Repository,
    matters: &'a Matters,
}

impl Handle {
    /// Takes somebody's choice. It is durable once this returns, and being carried out.
    ///
    /// # Errors
    /// When there is no such conflict, it is not what it was when that was chosen, or the journal cannot be written.
    pub async fn resolve(&self, rule: Rule, key: Key, answered: Answered) -> Outcome<()> {
        let note = self.matters().answer(&key, answered)?;
        self.note(vec![note]).await?;
        self.stir();
        let handle = self.clone();
        self.spawn(async move { handle.carry_out(&rule, &key).await });
        Ok(())
    }

    /// Goes on with all that somebody decided about this rule and that is not done.
    pub(super) async fn carry_on(&self, rule: &Rule) {
        for conflict in self.matters().conflicts(Some(&rule.name)) {
            if conflict.answered.is_some() {
                self.carry_out(rule, &crate::engine::registry::matters::key(&conflict)).await;
            }
        }
        if self.has_going(&rule.name) {
            self.delete_all(rule).await;
        }
    }

    async fn carry_out(&self, rule: &Rule, key: &Key) {
        let Some((conflict, answered)) = self.matters().take(key) else { return };
        let name = format!("{}: {}:{} in conflict", rule.name, conflict.repository, conflict.tag);
        match self.as_chosen(rule, &conflict, &answered).await {
            Ok(what) => {
                self.tell_journal(What::Outcome, format!("{name}: {what}, as {} chose", answered.by)).await;
                let notes = self.matters().resolved(key);
                self.settle(notes).await;
            }
            Err(fault) => {
                // What the sides have become, or what is refused, does not get better by itself: somebody has to choose anew.
                let is_dropped = matches!(fault.kind, Kind::Conflict | Kind::Refused | Kind::Invalid);
                let next = if is_dropped { "choose anew" } else { "it is tried again with the next run" };
                self.tell_journal(What::Failed, format!("{name}: {fault}; {next}")).await;
                let seen = if is_dropped { self.sides(rule, &conflict).await.ok() } else { None };
                let notes = self.matters().unresolved(key, &fault, is_dropped, seen);
                self.settle(notes).await;
            }
        }
    }

    /// What both sides of a conflict show now.
    async fn sides(&self, rule: &Rule, conflict: &Conflict) -> Outcome<(Sight, Sight)> {
        let there = Selector::of(rule)?.at_target(&conflict.repository)?;
        let pools = self.pools(rule)?;
        let Some(pool) = pools.iter().find(|p| p.ends.line == conflict.line) else {
            return Err(Fault::new(
                Kind::NotFound,
                format!("rule {} has no line {}", rule.name, conflict.line),
            ));
        };
        let source = look(pool.ends.source.as_ref(), &conflict.repository, &conflict.tag);
        Ok(tokio::join!(source, look(pool.ends.target.as_ref(), &there, &conflict.tag)))
    }

    /// Does what was chosen, and says what that was.
    async fn as_chosen(&self, rule: &Rule, conflict: &Conflict, answered: &Answered) -> Outcome<String> {
        let pools = self.pools(rule)?;
        let find = |to: &RegistryName| {
            let is_it = |p: &&Arc<Pool>| p.ends.line.to == *to;
            pools.iter().find(is_it).ok_or_else(|| {
                Fault::new(Kind::Refused, format!("rule {} does not lead to {to} any more", rule.name))
            })
        };
        let there = Selector::of(rule)?.at_target(&conflict.repository)?;
        let (forward, back) = (find(&conflict.line.to)?, find(&conflict.line.from)?);
        let way =
            Way2 { rule, forward, back, from: &conflict.repository, there: &there, matters: self.matters() };
        let (answer, name) = (&answered.answer, &conflict.line.to);
        let now = way.look(&conflict.tag).await;
        if now.0 == now.1 && !matches!(now.0, Sight::Unknown(_)) {
            // An engine core before this one came so far, or somebody has mended it.
            return Ok("both sides have the same by now".to_owned());
        }
        let held = RefCell::new(BTreeMap::from([(conflict.tag.clone(), now)]));
        // The names that are tried are asked for one by one, and the steps worked out again with what is known by then.
        let steps = loop {
            let unknown = RefCell::new(None);
            let of = |tag: &Tag| {
                let known = held.borrow().get(tag).cloned();
                known.unwrap_or_else(|| {
                    unknown.borrow_mut().get_or_insert_with(|| tag.clone());
                    (Sight::Absent, Sight::Absent)
                })
            };
            let steps = steps(answer, &conflict.tag, name, of);
            let Some(tag) = unknown.into_inner() else { break steps? };
            let both = way.look(&tag).await;
            held.borrow_mut().insert(tag, both);
        };
        let held = held.into_inner();
        for step in &steps {
            way.step(step, &held).await?;
        }
        Ok(match (answer.choice, steps.first()) {
            (Choice::SourceWins, _) => format!("{}'s counts", conflict.line.from),
            (Choice::TargetWins, _) => format!("{}'s counts", conflict.line.to),
            (Choice::KeepBoth, Some(Step::Name { tag, .. })) => {
                format!("{}'s counts, and {}'s is kept as {tag}", conflict.line.from, conflict.line.to)
            }
            (Choice::KeepBoth, _) => format!("both are kept, and {}'s counts", conflict.line.from),
        })
    }
}

impl Way2<'_> {
    async fn look(&self, tag: &Tag) -> (Sight, Sight) {
        let ends = &self.forward.ends;
        let source = look(ends.source.as_ref(), self.from, tag);
        tokio::join!(source, look(ends.target.as_ref(), self.there, tag))
    }

    async fn step(&self, step: &Step, held: &BTreeMap<Tag, (Sight, Sight)>) -> Outcome<()> {
        match step {
            Step::Name { at, tag, digest } => self.name(*at, tag, digest).await,
            Step::Write { to, tag, digest } => {
                let before = held.get(tag).map(|(s, t)| if *to == Side::Source { s } else { t });
                self.write(*to, tag, digest, before.and_then(Sight::digest)).await
            }
            Step::Delete { at, tag, digest } => self.delete(*at, tag, digest).await,
        }
    }

    /// Gives what is there a second name.
    async fn name(&self, at: Side, tag: &Tag, digest: &Digest) -> Outcome<()> {
        let ends = &self.forward.ends;
        let (registry, of) = match at {
            Side::Source => (ends.source.as_ref(), self.from),
            Side::Target => (ends.target.as_ref(), self.there),
        };
        let (old, new) = (Reference::Digest(digest.clone()), Reference::Tag(tag.clone()));
        let manifest = again(TRIES, || registry.manifest(of, &old)).await?;
        again(TRIES, || registry.put_manifest(of, &new, &manifest)).await
    }

    async fn write(&self, to: Side, tag: &Tag, digest: &Digest, replaces: Option<&Digest>) -> Outcome<()> {
        let ends = &self.forward.ends;
        let known = known_of(self.forward, self.from, self.there, tag).await;
        let (from, there, known) = (self.from, self.there, &known);
        let trail = Trail { ends, way: Way::of(self.rule), from, there, tag, to, digest, replaces, known };
        let (pool, from, to) = match to {
            Side::Target => (self.forward, self.from, self.there),
            Side::Source => (self.back, self.there, self.from),
        };
        let pace = watch::Sender::new(Pace::Go);
        let claimed = Claimed::default();
        let (before, owe) = (|| trail.before().boxed(), || self.owe(pool, tag).boxed());
        let image = Image {
            place: 0,
            pool,
            from,
            to,
            platforms: &self.rule.platforms,
            pace: pace.subscribe(),
            priority: &|| FIRST,
            claimed: &claimed,
            claim: &|_, _| {},
            owe: &owe,
            before: &before,
            gaps: Mutex::default(),
            walk: Walk::default(),
        };
        let mut notes = vec![trail.arrived()];
        pool.breaker.retry();
        match image.bring_again(tag, digest, || {}).await {
            Ok(()) => notes.extend(self.matters.debts.paid(&self.owed(pool, tag), image.to)),
            // What was chosen is done; what refers to it is owed, and a run brings it.
            Err(_) if image.walk.has_arrived() => {}
            Err(fault) => return Err(fault),
        }
        ends.notes.now(notes).await
    }

    fn owed(&self, pool: &Pool, tag: &Tag) -> Owed {
        (self.rule.name.clone(), pool.ends.line.to.clone(), self.from.clone(), tag.clone())
    }

    /// The tag is to be written without all that refers to it: a run brings that.
    async fn owe(&self, pool: &Pool, tag: &Tag) -> Outcome<()> {
        let owed = self.owed(pool, tag);
        self.forward.ends.notes.now(vec![Note::Owed(owed.clone())]).await?;
        self.matters.debts.owe(owed);
        Ok(())
    }

    async fn delete(&self, at: Side, tag: &Tag, digest: &Digest) -> Outcome<()> {
        let ends = &self.forward.ends;
        let (registry, of) = match at {
            Side::Source => (ends.source.as_ref(), self.from),
            Side::Target => (ends.target.as_ref(), self.there),
        };
        remove(registry, of, digest, &[tag.clone()].into(), true).await?;
        let known = known_of(self.forward, self.from, self.there, tag).await;
        let known = known.learn(&Sight::Absent, &Sight::Absent, ends.clock.now());
        ends.notes.now(vec![remember(ends, self.from, self.there, tag, known)]).await
    }
}
