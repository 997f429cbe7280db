//! Compares both ends of a rule by digests alone: many HEADs at a time, at most two a tag. A list that fails is no empty list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, ready};
use futures_util::stream::{self, StreamExt};
use tokio::sync::{Semaphore, watch};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::text::Untrusted;
use crate::engine::registry::pace::{Pace, again, go};
use crate::engine::registry::pages::Pages;
use crate::engine::registry::pool::Pool;
use crate::engine::registry::tally::Tally;
use crate::model::oci::{Descriptor, Digest, Reference, Repository, Tag};
use crate::model::registry::Page;
use crate::model::replication::known::{Known, Side};
use crate::model::replication::{Deletes, DiffRow, Difference, Rule};
use crate::plan::replicate::deletes::Listing;
use crate::plan::replicate::difference::{Sight, Verdict, Way, decide};
use crate::plan::replicate::filter::{Selector, named};
use crate::ports::registry::RegistryClient;
use crate::store::replication::{Note, Remembered};

/// Tags whose HEADs are under way at a time: with 20 ms to both ends, 200 tags took half a second so (measured).
const HEADS: usize = 32;
/// Repositories that are listed at a time.
const LISTS: usize = 16;
/// A call of a comparison is tried so often.
const TRIES: u32 = 4;
/// So many tags in a row that could not be asked for: the registry is gone, and the rest is not tried.
const FAILED_IN_A_ROW: u32 = 96;

/// What a comparison tells, as it goes on.
pub enum Found {
    /// One tag at one target.
    Tag(Box<Compared>),
    /// What one side of a line showed of a repository, as the source calls it. Only where deletions are proposed.
    Listed(usize, Repository, Side, Listing),
    /// A repository could not be compared.
    Unknown(Fault),
}

/// One tag on one line.
pub struct Compared {
    /// The place of the target among the rule's.
    pub place: usize,
    /// How it differs, in a row; its line leads away from the side that is ahead.
    pub row: DiffRow,
    /// What follows from that.
    pub verdict: Verdict,
    /// What is remembered of it by now.
    pub known: Known,
    /// What the source shows.
    pub source: Sight,
    /// What the target shows.
    pub target: Sight,
    /// The side that lacks something of what refers to it, where the tag is the same.
    pub lacks: Option<Side>,
}

/// One comparison.
pub struct Comparison<'a> {
    /// Of which rule.
    pub rule: &'a Rule,
    /// What it wants.
    pub selector: &'a Selector,
    /// One line for each target that answers, with its place among the rule's targets.
    pub lines: &'a [(usize, Arc<Pool>)],
    /// Whether it may go on.
    pub pace: watch::Receiver<Pace>,
    /// Who is told.
    pub tell: &'a (dyn Fn(Found) + Send + Sync),
    only: Option<&'a BTreeSet<Repository>>,
    way: Way,
    heads: Semaphore,
    failed: AtomicU32,
}

/// What one end points to, or why that is not known.
type Head = Outcome<Option<Digest>>;
/// The tags that a registry lists, or why it does not.
type Listed = Outcome<BTreeSet<Tag>>;

/// One repository of a comparison.
struct Place<'a> {
    /// As the source calls it.
    from: &'a Repository,
    /// As the targets call it.
    to: &'a Repository,
    /// What is remembered of its tags, by line.
    known: Vec<BTreeMap<Tag, Known>>,
    /// What each line shows of what is remembered.
    tally: Tally,
    /// What each target lists.
    listed: &'a [Listed],
}

impl<'a> Comparison<'a> {
    /// A comparison that has not begun.
    pub fn new(
        rule: &'a Rule,
        selector: &'a Selector,
        lines: &'a [(usize, Arc<Pool>)],
        pace: watch::Receiver<Pace>,
        tell: &'a (dyn Fn(Found) + Send + Sync),
    ) -> Comparison<'a> {
        let (heads, failed) = (Semaphore::new(HEADS), AtomicU32::new(0));
        let way = Way::of(rule);
        Comparison { rule, selector, lines, pace, tell, only: None, way, heads, failed }
    }

    /// The same of these repositories only: none is listed then.
    #[must_use]
    pub fn only(self, only: Option<&'a BTreeSet<Repository>>) -> Comparison<'a> {
        Comparison { only, ..self }
    }

    /// Compares everything that the rule wants.
    ///
    /// # Errors
    /// When it is not known what the source has.
    pub async fn all(&self) -> Outcome<()> {
        let Some((_, first)) = self.lines.first() else { return Ok(()) };
        let repositories = match self.only {
            Some(only) => only.iter().filter(|r| self.selector.wants_repository(r)).cloned().collect(),
            None => self.repositories(first.ends.source.as_ref()).await?,
        };
        stream::iter(repositories)
            .map(|repository| self.told(repository))
            .buffer_unordered(LISTS)
            .for_each(|()| ready(()))
            .await;
        if self.failed.load(Ordering::Relaxed) >= FAILED_IN_A_ROW {
            return Err(Fault::new(Kind::Unreachable, "one end stopped answering during the comparison")
                .hint("what was compared before that is right; the rest is not known"));
        }
        Ok(())
    }

    /// Compares one repository, and tells when that fails.
    fn told(&self, repository: Repository) -> BoxFuture<'_, ()> {
        async move {
            if let Err(fault) = self.repository(&repository).await {
                (self.tell)(Found::Unknown(fault.because(format!("repository {repository}"))));
            }
        }
        .boxed()
    }

    /// True when what is remembered of a tag counts: then what is gone from a side is looked for, too.
    fn remembers(&self) -> bool {
        self.way.two_way || self.way.deletes == Deletes::Review
    }

    /// The repositories that the rule wants. Where a registry lists none to us: those that the rule names in full, and those
    /// that are known from before.
    async fn repositories(&self, source: &dyn RegistryClient) -> Outcome<BTreeSet<Repository>> {
        let mut all: BTreeSet<Repository> = BTreeSet::new();
        let mut unlisted = self.listed(source, "source", |r| Some(r.clone()), &mut all).await?;
        if self.way.two_way {
            for (_, pool) in self.lines {
                let target = pool.ends.target.as_ref();
                let known = |r: &Repository| self.selector.at_source(r);
                unlisted = unlisted.or(self.listed(target, "target", known, &mut all).await?);
            }
        }
        if self.remembers() || unlisted.is_some() {
            for (_, pool) in self.lines {
                all.extend(pool.ends.store.known_repositories(&pool.ends.line).await?);
            }
        }
        if let Some(fault) = unlisted {
            all.extend(named(self.rule));
            if all.is_empty() {
                return Err(fault.hint("name the repositories in the rule's filters, without patterns"));
            }
        }
        all.retain(|r| self.selector.wants_repository(r));
        Ok(all)
    }

    /// Adds the repositories that a registry lists, as the source calls them; or gives why it lists none to us.
    async fn listed(
        &self,
        registry: &dyn RegistryClient,
        side: &str,
        at_source: impl Fn(&Repository) -> Option<Repository>,
        all: &mut BTreeSet<Repository>,
    ) -> Outcome<Option<Fault>> {
        match self.pages(|next| async move { registry.repositories(next.as_deref()).await }).await {
            Ok(found) => {
                all.extend(found.iter().filter_map(at_source));
                Ok(None)
            }
            Err(fault) if fault.kind == Kind::Refused => {
                Ok(Some(fault.because(format!("the {side} does not list its repositories"))))
            }
            Err(fault) => Err(fault.because(format!("the {side}'s repositories cannot be listed"))),
        }
    }

    /// All pages of a list, or none of it.
    async fn pages<T, F: Future<Output = Outcome<Page<T>>>>(
        &self,
        ask: impl Fn(Option<String>) -> F,
    ) -> Outcome<Vec<T>> {
        let (mut out, mut pages) = (Vec::new(), Pages::default());
        loop {
            go(&self.pace).await;
            let page = again(TRIES, || ask(pages.next())).await?;
            out.extend(page.items);
            if !pages.turn(page.next)? {
                return Ok(out);
            }
        }
    }

    async fn tags(&self, registry: &dyn RegistryClient, of: &Repository) -> Outcome<BTreeSet<Tag>> {
        let all = self.pages(|next| async move { registry.tags(of, next.as_deref()).await }).await?;
        Ok(all.into_iter().collect())
    }

    async fn repository(&self, repository: &Repository) -> Outcome<()> {
        let Some((_, first)) = self.lines.first() else { return Ok(()) };
        let target = self.selector.at_target(repository)?;
        let listed = self.lines.iter().map(|(_, pool)| self.tags(pool.ends.target.as_ref(), &target).boxed());
        let listed = join_all(listed);
        let (tags, mut listed) = tokio::join!(self.tags(first.ends.source.as_ref(), repository), listed);
        let mut known = Vec::new();
        for (_, pool) in self.lines {
            known.push(pool.ends.store.known(&pool.ends.line, repository, &target).await?);
        }
        // A repository that is not there is empty, if anything else says that there is one: a name that nobody knows is a fault.
        let is_one = known.iter().any(|k| !k.is_empty()) || listed.iter().flatten().any(|l| !l.is_empty());
        let tags = match tags {
            Err(fault) if fault.kind == Kind::NotFound && self.remembers() && is_one => BTreeSet::new(),
            other => other?,
        };
        for list in &mut listed {
            match list {
                Err(fault) if fault.kind == Kind::NotFound => *list = Ok(BTreeSet::new()),
                Err(fault) if self.remembers() => {
                    let why = fault.clone().because(format!("repository {target} at the target"));
                    (self.tell)(Found::Unknown(why));
                }
                _ => {}
            }
        }
        let tally = Tally::new(self.lines.len());
        for ((_, pool), list) in self.lines.iter().zip(&listed) {
            pool.tell_absent(&target, list.as_ref().is_ok_and(BTreeSet::is_empty));
        }
        let place = Place { from: repository, to: &target, known, tally, listed: &listed };
        self.whole(&place, &tags, &listed).await;
        if self.way.deletes == Deletes::Review {
            for (n, (line, _)) in self.lines.iter().enumerate() {
                for (side, listing) in place.tally.listings(n, listed.get(n).and_then(|l| l.as_ref().err())) {
                    (self.tell)(Found::Listed(*line, repository.clone(), side, listing));
                }
            }
        }
        Ok(())
    }

    /// Compares a repository of which this is listed.
    async fn whole(&self, place: &Place<'_>, tags: &BTreeSet<Tag>, listed: &[Listed]) {
        let two_way = self.way.two_way;
        let there = || listed.iter().flatten().flatten();
        let of_masters: BTreeSet<&Tag> = tags.iter().chain(there().filter(|_| two_way)).collect();
        let (wanted, others): (Vec<Tag>, Vec<Tag>) =
            of_masters.into_iter().cloned().partition(|t| self.selector.wants_tag(t));
        let digests = self.compare(place, wanted).await;
        // What is said about a wanted image in a tag of its own, such as a signature, goes with it whatever the filters say.
        let about = |t: &Tag| {
            let subject = t.as_str().strip_prefix("sha256-").and_then(|rest| rest.get(..64));
            subject.is_some_and(|hex| digests.contains(&Digest::of_sum(hex)))
        };
        self.compare(place, others.into_iter().filter(about).collect()).await;
        let mut extra: BTreeSet<Tag> = BTreeSet::new();
        if !two_way {
            let is_extra = |t: &&Tag| !tags.contains(*t) && self.selector.wants_tag(t);
            extra.extend(there().filter(is_extra).cloned());
        }
        if self.remembers() {
            let all_listed = listed.iter().all(Result::is_ok);
            let unseen = |t: &&Tag| !tags.contains(*t) && !there().any(|l| l == *t);
            let gone: BTreeSet<&Tag> = place.known.iter().flat_map(BTreeMap::keys).filter(unseen).collect();
            if all_listed {
                self.gone(place, &gone).await;
            } else {
                extra.extend(gone.into_iter().filter(|t| self.selector.wants_tag(t)).cloned());
            }
        }
        self.compare(place, extra.into_iter().collect()).await;
    }

    /// Remembers that these tags are on no side any more, by lists of all of them.
    async fn gone(&self, place: &Place<'_>, tags: &BTreeSet<&Tag>) {
        for (n, (_, pool)) in self.lines.iter().enumerate() {
            let Some(known) = place.known.get(n) else { continue };
            let mut notes = Vec::new();
            for (tag, before) in tags.iter().filter_map(|t| known.get_key_value(*t)) {
                let after = before.learn(&Sight::Absent, &Sight::Absent, pool.ends.clock.now());
                notes.extend(self.learnt(place, pool, tag, before, &after));
            }
            pool.ends.notes.lazily(notes).await;
        }
    }

    /// The note of what was learnt of a tag, if that is anything new.
    fn learnt(
        &self,
        place: &Place<'_>,
        pool: &Pool,
        tag: &Tag,
        before: &Known,
        after: &Known,
    ) -> Option<Note> {
        (before != after).then(|| {
            let (line, from, to) = (pool.ends.line.clone(), place.from.clone(), place.to.clone());
            let (tag, before, known) = (tag.clone(), Some(before.clone()), after.clone());
            Note::Known(Box::new(Remembered { line, from, to, tag, before, known }))
        })
    }

    /// Compares these tags at all targets and gives what they point to at masters.
    async fn compare(&self, place: &Place<'_>, tags: Vec<Tag>) -> BTreeSet<Digest> {
        let compared = stream::iter(tags).map(|tag| self.tag(place, tag));
        compared.buffer_unordered(HEADS).flat_map(stream::iter).collect().await
    }

    /// Compares one tag and gives what it points to at masters.
    fn tag<'b>(&'b self, place: &'b Place<'_>, tag: Tag) -> BoxFuture<'b, Vec<Digest>> {
        async move {
            let Ok(_permit) = self.heads.acquire().await else { return Vec::new() };
            go(&self.pace).await;
            if self.failed.load(Ordering::Relaxed) >= FAILED_IN_A_ROW {
                return Vec::new();
            }
            let (source, targets) = self.heads_of(place, &tag).await;
            let masters = targets.iter().filter(|_| self.way.two_way).chain([&source]);
            let digests = masters.flatten().flatten().cloned().collect();
            let source = sight(source);
            for (n, there) in targets.into_iter().enumerate() {
                self.row(n, place, &tag, &source, sight(there)).await;
            }
            digests
        }
        .boxed()
    }

    /// What a tag points to at the source and at each target, all asked at once.
    async fn heads_of(&self, place: &Place<'_>, tag: &Tag) -> (Head, Vec<Head>) {
        let reference = Reference::Tag(tag.clone());
        let Some((_, first)) = self.lines.first() else { return (Ok(None), Vec::new()) };
        let at_target = |(n, (_, pool)): (usize, &'a (usize, Arc<Pool>))| {
            // Where nothing is remembered a list is as good as a look: at worst what is there is found there.
            let list = place.listed.get(n).filter(|_| !self.remembers()).and_then(|l| l.as_ref().ok());
            if list.is_some_and(|tags| !tags.contains(tag)) {
                return ready(Ok(None)).boxed();
            }
            head_at_target(pool, place.to, &reference)
        };
        let targets: Vec<BoxFuture<'_, Head>> = self.lines.iter().enumerate().map(at_target).collect();
        let source = head(first.ends.source.as_ref(), place.from, &reference);
        let (source, targets) = tokio::join!(source, join_all(targets));
        // A refusal is an answer: only silence says that an end is gone.
        let is_silent = |head: &Head| head.as_ref().is_err_and(Fault::is_unknown);
        if is_silent(&source) || targets.iter().all(is_silent) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.failed.store(0, Ordering::Relaxed);
        }
        (source, targets)
    }

    async fn row(&self, n: usize, place: &Place<'_>, tag: &Tag, source: &Sight, target: Sight) {
        let (Some((line, pool)), Some(known)) = (self.lines.get(n), place.known.get(n)) else { return };
        let before = known.get(tag).cloned().unwrap_or_default();
        let known = before.learn(source, &target, pool.ends.clock.now());
        if let Some(note) = self.learnt(place, pool, tag, &before, &known) {
            pool.ends.notes.lazily(vec![note]).await;
        }
        let verdict = decide(self.way, source, &target, &known);
        place.tally.count(n, &known, source, &target);
        if (source, &target) == (&Sight::Absent, &Sight::Absent) {
            // It went away between the list and now.
            return;
        }
        // Equal digests are kept once: there may be a hundred thousand.
        let target = if *source == target { source.clone() } else { target };
        let mut lacks = None;
        let mut row = verdict.row(&pool.ends.line, place.from, tag, source, &target);
        if self.rule.compare_referrers
            && row.difference == Difference::Same
            && let Some(digest) = source.digest()
        {
            match self.lacking(pool, place, digest).await {
                Ok(side) => lacks = side,
                Err(fault) => {
                    let text = fault.because("what refers to it").to_string();
                    row.difference = Difference::Unknown(Untrusted::from(text));
                }
            }
        }
        let (place, source) = (*line, source.clone());
        (self.tell)(Found::Tag(Box::new(Compared { place, row, verdict, known, source, target, lacks })));
    }

    /// The side that lacks something of what the other says refers to this image.
    async fn lacking(&self, pool: &Pool, place: &Place<'_>, digest: &Digest) -> Outcome<Option<Side>> {
        let ends = &pool.ends;
        ends.purse.request().await;
        let (source, target) = tokio::try_join!(
            again(TRIES, || ends.source.referrers(place.from, digest)),
            again(TRIES, || ends.target.referrers(place.to, digest)),
        )?;
        if self.has_more((ends.source.as_ref(), place.from), &source, &target).await? {
            return Ok(Some(Side::Target));
        }
        let back =
            self.way.two_way && self.has_more((ends.target.as_ref(), place.to), &target, &source).await?;
        Ok(back.then_some(Side::Source))
    }

    /// Whether a side lists something that the other does not, and that is there. (A list may name what was deleted.)
    async fn has_more(
        &self,
        (registry, of): (&dyn RegistryClient, &Repository),
        here: &[Descriptor],
        there: &[Descriptor],
    ) -> Outcome<bool> {
        for more in here.iter().filter(|d| !there.iter().any(|t| t.digest == d.digest)) {
            if head(registry, of, &Reference::Digest(more.digest.clone())).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A tag that is the same on both sides is to be brought once more, for what refers to it.
pub fn again_for_referrers(row: &mut DiffRow, to: Side) {
    row.difference = Difference::Behind;
    if to == Side::Source {
        row.line = row.line.back();
    }
}

/// What a side shows.
fn sight(head: Head) -> Sight {
    match head {
        Ok(Some(digest)) => Sight::There(digest),
        Ok(None) => Sight::Absent,
        Err(fault) => Sight::Unknown(Untrusted::from(fault.to_string())),
    }
}

/// What one side shows of a tag, asked now.
pub async fn look(registry: &dyn RegistryClient, of: &Repository, tag: &Tag) -> Sight {
    sight(head(registry, of, &Reference::Tag(tag.clone())).await)
}

fn head<'a>(
    registry: &'a dyn RegistryClient,
    of: &'a Repository,
    reference: &'a Reference,
) -> BoxFuture<'a, Head> {
    async move {
        let found = again(TRIES, || registry.head(of, reference)).await?;
        Ok(found.map(|d| d.digest))
    }
    .boxed()
}

fn head_at_target<'a>(pool: &'a Pool, of: &'a Repository, reference: &'a Reference) -> BoxFuture<'a, Head> {
    async move {
        pool.ends.purse.request().await;
        head(pool.ends.target.as_ref(), of, reference).await
    }
    .boxed()
}
