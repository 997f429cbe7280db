//! What a registry holds, a page at a time: names as far as the page needs them, details only of its rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::sync::{OnceCell, Semaphore};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::base::text::Untrusted;
use crate::engine::registry::counting::Counts;
use crate::engine::registry::is_asked;
use crate::engine::registry::listing::Lists;
use crate::engine::registry::summary::{self, Depth, Summary};
use crate::engine::registry::users::Users;
use crate::model::oci::{Digest, Reference, Repository, Tag};
use crate::model::query::{PageAsk, Reply};
use crate::model::registry::{Page, Registry, RepositoryRow, TagRow};
use crate::model::world::World;
use crate::plan::replicate::filter::named;
use crate::ports::registry::RegistryClient;

/// Tags on a page, whatever is asked for: each takes up to three calls the first time.
const TAGS_MAX: u32 = 100;
/// Repositories on a page, whatever is asked for: each takes a call for its number of tags.
const REPOSITORIES_MAX: u32 = 100;
/// Tags of a repository are counted for its row if that takes no more pages of the registry than this (a thousand names each
/// in Distribution); else the last full count stands there.
const COUNT_PAGES: usize = 5;
/// Summaries that are kept, the last that were read.
const SUMMARIES_MAX: usize = 4_000;
/// Labels of one image that are kept, in bytes.
const LABELS_MAX: usize = 16 << 10;
/// Questions that are worked on at a time; one more is refused in words.
const ASKED_MAX: usize = 16;

/// The one place where summaries of a digest are read: whoever asks meanwhile waits for the same.
type Cell = Arc<OnceCell<Arc<Summary>>>;

#[derive(Default)]
struct Summaries {
    by_digest: BTreeMap<Digest, Cell>,
    order: VecDeque<Digest>,
}

/// Looks into registries. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Browser(Arc<Inner>);

struct Inner {
    repositories: Lists<RegistryName, Repository>,
    tags: Lists<(RegistryName, Repository), Tag>,
    summaries: Mutex<Summaries>,
    asked: Semaphore,
}

/// One question, with all that is needed to answer it.
pub struct Look {
    /// The registry.
    pub registry: Registry,
    /// How it is reached.
    pub client: Arc<dyn RegistryClient>,
    /// Who uses what, and what rules name.
    pub world: Arc<World>,
    /// What was counted in it.
    pub counts: Arc<Counts>,
    /// The repository; none for all of them.
    pub repository: Option<Repository>,
    /// Which part.
    pub ask: PageAsk,
}

impl Default for Browser {
    fn default() -> Browser {
        Browser(Arc::new(Inner {
            repositories: Lists::default(),
            tags: Lists::default(),
            summaries: Mutex::default(),
            asked: Semaphore::new(ASKED_MAX),
        }))
    }
}

impl Browser {
    /// Answers a question.
    pub async fn answer(&self, look: Look) -> Reply {
        let Ok(_permit) = self.0.asked.try_acquire() else {
            let fault = Fault::new(Kind::Exhausted, format!("{ASKED_MAX} such questions are being answered"));
            return Reply::Failed(fault.hint("ask again in a moment"));
        };
        let answer = match &look.repository {
            None => self.repositories(&look).await.map(Reply::Repositories),
            Some(of) => self.tags(&look, of).await.map(Reply::Tags),
        };
        answer.unwrap_or_else(|fault| {
            Reply::Failed(fault.because(format!("registry {} cannot be browsed", look.registry.name)))
        })
    }

    /// Forgets the names of a registry that is another by now.
    pub fn forget(&self, registry: &RegistryName) {
        self.0.repositories.forget(|name| name == registry);
        self.0.tags.forget(|(name, _)| name == registry);
    }

    async fn repositories(&self, look: &Look) -> Outcome<Page<RepositoryRow>> {
        let (client, limit) = (look.client.as_ref(), limit(&look.ask, REPOSITORIES_MAX));
        let fetch = |next: Option<String>| async move { client.repositories(next.as_deref()).await };
        let users = Users::of(&look.world, &look.registry);
        let listed = self.0.repositories.page(&look.registry.name, &look.ask, limit, fetch).await;
        let page = match listed {
            Ok(page) => page,
            Err(fault) if fault.kind == Kind::Refused => {
                named_part(known(look, &users), &look.ask, limit, fault)?
            }
            Err(fault) => return Err(fault),
        };
        let row = |repository: Repository| {
            let used_by = users.repository(&repository);
            let row = async move {
                let tags = self.counted(look, &repository).await;
                RepositoryRow { repository, tags, used_by }
            };
            row.boxed()
        };
        let rows: Vec<BoxFuture<'_, RepositoryRow>> = page.items.into_iter().map(row).collect();
        let items = stream::iter(rows).buffered(at_once(&look.registry)).collect().await;
        Ok(Page { items, next: page.next })
    }

    /// Tags of a repository: counted now where that is cheap, else as they were counted last.
    async fn counted(&self, look: &Look, of: &Repository) -> Option<u32> {
        let client = look.client.as_ref();
        let fetch = |next: Option<String>| async move { client.tags(of, next.as_deref()).await };
        let key = (look.registry.name.clone(), of.clone());
        match self.0.tags.count(&key, COUNT_PAGES, fetch).await {
            Ok(Some(count)) => u32::try_from(count).ok(),
            Ok(None) | Err(_) => look.counts.tags.get(of).copied(),
        }
    }

    async fn tags(&self, look: &Look, of: &Repository) -> Outcome<Page<TagRow>> {
        let users = Users::of(&look.world, &look.registry);
        let page = match look.ask.filter.strip_prefix('=') {
            Some(exact) => Page { items: exact.parse().ok().into_iter().collect(), next: None },
            None => {
                let client = look.client.as_ref();
                let fetch = |next: Option<String>| async move { client.tags(of, next.as_deref()).await };
                let (key, limit) = ((look.registry.name.clone(), of.clone()), limit(&look.ask, TAGS_MAX));
                self.0.tags.page(&key, &look.ask, limit, fetch).await?
            }
        };
        let is_listed = !look.ask.filter.starts_with('=');
        let row = |tag: Tag| self.row(look, of, tag, &users, is_listed).boxed();
        let rows: Vec<BoxFuture<'_, _>> = page.items.into_iter().map(row).collect();
        let rows: Vec<Outcome<Option<TagRow>>> =
            stream::iter(rows).buffered(at_once(&look.registry)).collect().await;
        let items = rows.into_iter().filter_map(Outcome::transpose).collect::<Outcome<Vec<TagRow>>>()?;
        Ok(Page { items, next: page.next })
    }

    /// One tag, with what it points to. One that was listed is a row whatever goes wrong; one that was asked for by its
    /// name is one only when it is there, and a failure to know that is a failure.
    async fn row(
        &self,
        look: &Look,
        of: &Repository,
        tag: Tag,
        users: &Users,
        is_listed: bool,
    ) -> Outcome<Option<TagRow>> {
        let mut row = TagRow {
            used_by: users.tag(of, &tag, None),
            tag,
            digest: None,
            size: None,
            platforms: Vec::new(),
            created: None,
            labels: BTreeMap::new(),
            why: None,
        };
        let told = |fault: &Fault| Some(Untrusted::from(fault.to_string()));
        let found = match look.client.head(of, &Reference::Tag(row.tag.clone())).await {
            Ok(Some(found)) => found,
            Ok(None) if is_listed => {
                row.why = Some(Untrusted::from("it is listed, but is not there".to_owned()));
                return Ok(Some(row));
            }
            Ok(None) => return Ok(None),
            Err(fault) if is_listed => {
                row.why = told(&fault);
                return Ok(Some(row));
            }
            Err(fault) => return Err(fault),
        };
        row.used_by = users.tag(of, &row.tag, Some(&found.digest));
        match self.summary(look, of, &found.digest).await {
            Ok(summary) => fill(&mut row, &summary),
            Err(fault) => row.why = told(&fault),
        }
        row.digest = Some(found.digest);
        Ok(Some(row))
    }

    /// What the manifest with a digest says: read once, for it can never say anything else. One that could not be read as a
    /// whole is read again by the next who asks.
    async fn summary(&self, look: &Look, of: &Repository, digest: &Digest) -> Outcome<Arc<Summary>> {
        let cell = self.cell(digest);
        let read = || async {
            let found = summary::read(look.client.as_ref(), of, digest, Depth::First).await?;
            match found.why.clone() {
                None => Ok(Arc::new(found)),
                Some(why) => Err(Half(Some(found), why)),
            }
        };
        match cell.get_or_try_init(read).await {
            Ok(found) => Ok(found.clone()),
            Err(Half(Some(found), _)) => Ok(Arc::new(found)),
            Err(Half(None, why)) => Err(why),
        }
    }

    fn cell(&self, digest: &Digest) -> Cell {
        let mut kept = self.0.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = kept.by_digest.get(digest) {
            return cell.clone();
        }
        while kept.order.len() >= SUMMARIES_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.by_digest.remove(&oldest);
        }
        let cell = Cell::default();
        kept.order.push_back(digest.clone());
        kept.by_digest.insert(digest.clone(), cell.clone());
        cell
    }
}

/// A summary of which a part is missing, or none at all, and why.
struct Half(Option<Summary>, Fault);

impl From<Fault> for Half {
    fn from(fault: Fault) -> Half {
        Half(None, fault)
    }
}

fn fill(row: &mut TagRow, summary: &Summary) {
    row.size = summary.size;
    row.platforms.clone_from(&summary.platforms);
    row.why = summary.why.as_ref().map(|why| Untrusted::from(why.to_string()));
    let Some(facts) = summary.facts.first() else { return };
    row.created = facts.created;
    let mut left = LABELS_MAX;
    for (key, value) in &facts.labels {
        let Some(rest) = left.checked_sub(key.len() + value.len()) else { break };
        left = rest;
        row.labels.insert(Untrusted::new(key.as_str()), Untrusted::new(value.as_str()));
    }
}

fn limit(ask: &PageAsk, most: u32) -> usize {
    usize::try_from(ask.limit.clamp(1, most)).unwrap_or(1)
}

fn at_once(registry: &Registry) -> usize {
    usize::try_from(registry.parallel.max(1)).unwrap_or(1)
}

/// Repositories that are known of a registry which lists none to us: those that pools use and those that rules name in full.
fn known(look: &Look, users: &Users) -> Vec<Repository> {
    let mut all = users.repositories();
    let rules = look.world.replication.rules.iter().map(|view| &view.rule);
    let of = rules.filter(|r| r.source == look.registry.name || r.targets.contains(&look.registry.name));
    all.extend(of.flat_map(named));
    all.into_iter().collect()
}

fn named_part(all: Vec<Repository>, ask: &PageAsk, limit: usize, fault: Fault) -> Outcome<Page<Repository>> {
    if all.is_empty() {
        return Err(
            fault.hint("it does not list its repositories to us: name one, or log in as somebody who may")
        );
    }
    let is_after = |r: &Repository| ask.after.as_deref().is_none_or(|after| r.as_str() > after);
    let mut items: Vec<Repository> =
        all.into_iter().filter(|r| is_asked(&ask.filter, r.as_str()) && is_after(r)).collect();
    let is_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| is_more).map(ToString::to_string);
    Ok(Page { items, next })
}
