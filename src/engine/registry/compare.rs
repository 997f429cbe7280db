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
use crate::engine::registry::decide::{difference, named};
use crate::engine::registry::pace::{Pace, again, go};
use crate::engine::registry::pool::Pool;
use crate::model::oci::{Digest, Reference, Repository, Tag};
use crate::model::registry::Page;
use crate::model::replication::{DiffRow, Difference, Rule};
use crate::plan::replicate::filter::Selector;
use crate::ports::registry::RegistryClient;
use crate::store::replication::{Note, SeenTag};

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
    /// One tag at one target. The number is that of the target among the rule's.
    Row(usize, DiffRow),
    /// A repository could not be compared.
    Unknown(Fault),
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
    heads: Semaphore,
    failed: AtomicU32,
}

/// What one end points to, or why that is not known.
type Side = Outcome<Option<Digest>>;
/// The tags that a target lists, where it does.
type Listed = Option<BTreeSet<Tag>>;

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
        Comparison { rule, selector, lines, pace, tell, only: None, heads, failed }
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

    /// The repositories that the rule wants. Where the source lists none to us: those that the rule names in full, and those
    /// that are known from before.
    async fn repositories(&self, source: &dyn RegistryClient) -> Outcome<BTreeSet<Repository>> {
        let listed = self.pages(|next| async move { source.repositories(next.as_deref()).await }).await;
        let all: Vec<Repository> = match listed {
            Ok(all) => all,
            Err(fault) if fault.kind == Kind::Refused => {
                let mut all = named(self.rule);
                for (_, pool) in self.lines {
                    all.extend(pool.ends.store.seen_repositories(&pool.ends.line).await?);
                }
                if all.is_empty() {
                    return Err(fault
                        .because("the source does not list its repositories")
                        .hint("name the repositories in the rule's filters, without patterns"));
                }
                all
            }
            Err(fault) => return Err(fault.because("the source's repositories cannot be listed")),
        };
        Ok(all.into_iter().filter(|r| self.selector.wants_repository(r)).collect())
    }

    /// All pages of a list, or none of it.
    async fn pages<T, F: Future<Output = Outcome<Page<T>>>>(
        &self,
        ask: impl Fn(Option<String>) -> F,
    ) -> Outcome<Vec<T>> {
        let (mut out, mut next) = (Vec::new(), None::<String>);
        loop {
            go(&self.pace).await;
            let page = again(TRIES, || ask(next.clone())).await?;
            out.extend(page.items);
            if page.next.is_none() || page.next == next {
                return Ok(out);
            }
            next = page.next;
        }
    }

    async fn tags(&self, registry: &dyn RegistryClient, of: &Repository) -> Outcome<BTreeSet<Tag>> {
        let all = self.pages(|next| async move { registry.tags(of, next.as_deref()).await }).await?;
        Ok(all.into_iter().collect())
    }

    async fn repository(&self, repository: &Repository) -> Outcome<()> {
        let Some((_, first)) = self.lines.first() else { return Ok(()) };
        let target = self.selector.at_target(repository)?;
        let listed: Vec<_> = self.lines.iter().map(|(_, pool)| self.at_target(pool, &target)).collect();
        let listed = join_all(listed);
        let (tags, listed) = tokio::join!(self.tags(first.ends.source.as_ref(), repository), listed);
        let tags = tags?;
        let mut seen = Vec::new();
        for (_, pool) in self.lines {
            seen.push(pool.ends.store.seen(&pool.ends.line, repository).await?);
        }
        let wanted: Vec<Tag> = tags.iter().filter(|t| self.selector.wants_tag(t)).cloned().collect();
        let digests = self.compare(repository, &target, wanted, &seen).await;
        // What is said about a wanted image in a tag of its own, such as a signature, goes with it whatever the filters say.
        let about = |t: &&Tag| {
            let subject = t.as_str().strip_prefix("sha256-").and_then(|rest| rest.get(..64));
            !self.selector.wants_tag(t) && subject.is_some_and(|hex| digests.contains(&Digest::of_sum(hex)))
        };
        let companions: Vec<Tag> = tags.iter().filter(about).cloned().collect();
        self.compare(repository, &target, companions, &seen).await;
        let only_there = |listed: &Listed| -> BTreeSet<Tag> {
            let all = listed.iter().flatten();
            all.filter(|t| !tags.contains(*t) && self.selector.wants_tag(t)).cloned().collect()
        };
        let extra: BTreeSet<Tag> = listed.iter().flat_map(only_there).collect();
        self.compare(repository, &target, extra.into_iter().collect(), &seen).await;
        Ok(())
    }

    /// The tags of a target's repository: none where there is no such repository, unknown where the list fails.
    fn at_target<'b>(&'b self, pool: &'b Pool, target: &'b Repository) -> BoxFuture<'b, Listed> {
        async move {
            match self.tags(pool.ends.target.as_ref(), target).await {
                Ok(tags) => Some(tags),
                Err(fault) if fault.kind == Kind::NotFound => Some(BTreeSet::new()),
                Err(_) => None,
            }
        }
        .boxed()
    }

    /// Compares these tags at all targets and gives what the source's point to.
    async fn compare(
        &self,
        repository: &Repository,
        target: &Repository,
        tags: Vec<Tag>,
        seen: &[BTreeMap<Tag, SeenTag>],
    ) -> BTreeSet<Digest> {
        let compared = stream::iter(tags).map(|tag| self.tag(repository, target, tag, seen));
        compared.buffer_unordered(HEADS).filter_map(ready).collect().await
    }

    /// Compares one tag and gives what the source's points to.
    fn tag<'b>(
        &'b self,
        repository: &'b Repository,
        target: &'b Repository,
        tag: Tag,
        seen: &'b [BTreeMap<Tag, SeenTag>],
    ) -> BoxFuture<'b, Option<Digest>> {
        async move {
            let Ok(_permit) = self.heads.acquire().await else { return None };
            go(&self.pace).await;
            if self.failed.load(Ordering::Relaxed) >= FAILED_IN_A_ROW {
                return None;
            }
            let (source, targets) = self.heads_of(repository, target, &tag).await;
            for (n, there) in targets.into_iter().enumerate() {
                self.row(n, (repository, &tag), &source, there, seen).await;
            }
            source.ok().flatten()
        }
        .boxed()
    }

    /// What a tag points to at the source and at each target, all asked at once.
    async fn heads_of(&self, repository: &Repository, target: &Repository, tag: &Tag) -> (Side, Vec<Side>) {
        let reference = Reference::Tag(tag.clone());
        let Some((_, first)) = self.lines.first() else { return (Ok(None), Vec::new()) };
        let targets: Vec<BoxFuture<'_, Side>> =
            self.lines.iter().map(|(_, pool)| head_at_target(pool, target, &reference)).collect();
        let source = head(first.ends.source.as_ref(), repository, &reference);
        let (source, targets) = tokio::join!(source, join_all(targets));
        let is_known = source.is_ok() && targets.iter().any(Result::is_ok);
        if is_known {
            self.failed.store(0, Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        (source, targets)
    }

    async fn row(
        &self,
        n: usize,
        (repository, tag): (&Repository, &Tag),
        source: &Side,
        target: Side,
        seen: &[BTreeMap<Tag, SeenTag>],
    ) {
        let (Some((place, pool)), Some(seen)) = (self.lines.get(n), seen.get(n)) else { return };
        let seen = seen.get(tag);
        let (difference, source, target) = match (source, target) {
            (Ok(source), Ok(target)) => {
                let last = seen.map(|s| &s.digest);
                let difference = difference(source.as_ref(), target.as_ref(), last, self.rule.two_way);
                // Equal digests are kept once: there may be a hundred thousand.
                let target = if source == &target { source.clone() } else { target };
                (difference, source.clone(), target)
            }
            (Err(fault), _) => (Difference::Unknown(Untrusted::from(fault.to_string())), None, None),
            (Ok(source), Err(fault)) => {
                (Difference::Unknown(Untrusted::from(fault.to_string())), source.clone(), None)
            }
        };
        if matches!((&difference, &source, &target), (Difference::Same, None, None)) {
            // It went away between the list and now.
            return;
        }
        let line = pool.ends.line.clone();
        if let (Difference::Same, Some(digest)) = (&difference, &source)
            && seen.is_none_or(|s| s.digest != *digest)
        {
            let agreed =
                SeenTag { digest: digest.clone(), origin: line.from.clone(), at: pool.ends.clock.now() };
            let note = Note::Seen(line.clone(), repository.clone(), tag.clone(), agreed);
            pool.ends.notes.lazily(vec![note]).await;
        }
        let (repository, tag) = (repository.clone(), tag.clone());
        let row = DiffRow { line, repository, tag, difference, source, target, bytes: None };
        (self.tell)(Found::Row(*place, row));
    }
}

fn head<'a>(
    registry: &'a dyn RegistryClient,
    of: &'a Repository,
    reference: &'a Reference,
) -> BoxFuture<'a, Side> {
    async move {
        let found = again(TRIES, || registry.head(of, reference)).await?;
        Ok(found.map(|d| d.digest))
    }
    .boxed()
}

fn head_at_target<'a>(pool: &'a Pool, of: &'a Repository, reference: &'a Reference) -> BoxFuture<'a, Side> {
    async move {
        pool.ends.purse.request().await;
        head(pool.ends.target.as_ref(), of, reference).await
    }
    .boxed()
}
