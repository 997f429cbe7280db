//! Long lists of names, fetched only as far as a page needs them and kept for a short time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::is_asked;
use crate::engine::registry::pages::Pages;
use crate::model::query::PageAsk;
use crate::model::registry::Page;

/// Names that were listed are taken as they are for so long, counted from when the list was begun: what is shown on a first
/// page is never older. Whoever pages on goes on with the list that was begun, …
pub const NAMES_FOR: Duration = Duration::from_secs(15);
/// … for so long after the last page; then it is listed anew.
const PAGED_FOR: Duration = Duration::from_secs(120);
/// Names that are kept of all lists together; the oldest lists go first. A hundred thousand tags take about 5 MB.
const NAMES_MAX: usize = 500_000;

/// One list, as far as it is known.
struct List<T> {
    names: Vec<T>,
    /// The registry's pages that were fetched.
    pages: Pages,
}

struct Kept<K, T> {
    key: K,
    list: Arc<AsyncMutex<List<T>>>,
    begun: Instant,
    used: Instant,
    /// How many names it had when it was used last.
    names: usize,
}

/// Lists by what they are lists of.
pub struct Lists<K, T>(Mutex<Vec<Kept<K, T>>>);

impl<K, T> Default for Lists<K, T> {
    fn default() -> Self {
        Lists(Mutex::default())
    }
}

impl<K: Clone + PartialEq, T: Clone + ToString> Lists<K, T> {
    /// The list to take a page from.
    fn take(&self, key: &K, goes_on: bool) -> Arc<AsyncMutex<List<T>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|k| now < k.used + PAGED_FOR);
        let is_fresh = |k: &Kept<K, T>| goes_on || now < k.begun + NAMES_FOR;
        let list = match kept.iter().position(|k| k.key == *key && is_fresh(k)) {
            Some(at) => {
                let mut found = kept.remove(at);
                found.used = now;
                let list = found.list.clone();
                kept.push(found);
                list
            }
            None => {
                kept.retain(|k| k.key != *key);
                let list = Arc::new(AsyncMutex::new(List { names: Vec::new(), pages: Pages::default() }));
                kept.push(Kept { key: key.clone(), list: list.clone(), begun: now, used: now, names: 0 });
                list
            }
        };
        // The one that was used longest ago stands first; the one in use is never dropped.
        while kept.len() > 1 && kept.iter().map(|k| k.names).sum::<usize>() > NAMES_MAX {
            kept.remove(0);
        }
        list
    }

    fn note(&self, key: &K, names: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter_mut().filter(|k| k.key == *key).for_each(|k| k.names = names);
    }

    /// Forgets the lists of these keys.
    pub fn forget(&self, is_gone: impl Fn(&K) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|k| !is_gone(&k.key));
    }

    /// The names that are asked for, fetched by `fetch` as far as is needed, and where the next part begins.
    ///
    /// # Errors
    /// When the registry does not list them. What was listed before is kept: the next try goes on there.
    pub async fn page<F: Future<Output = Outcome<Page<T>>>>(
        &self,
        key: &K,
        ask: &PageAsk,
        limit: usize,
        fetch: impl Fn(Option<String>) -> F,
    ) -> Outcome<Page<T>> {
        let list = self.take(key, ask.after.is_some());
        let mut list = list.lock().await;
        let mut at = match &ask.after {
            Some(after) => list.after(after, &fetch).await?,
            None => 0,
        };
        let mut found: Vec<(usize, T)> = Vec::new();
        loop {
            while let Some(name) = list.names.get(at).filter(|_| found.len() <= limit) {
                if is_asked(&ask.filter, &name.to_string()) {
                    found.push((at, name.clone()));
                }
                at += 1;
            }
            if found.len() > limit || !list.grow(&fetch).await? {
                break;
            }
        }
        self.note(key, list.names.len());
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|(at, name)| format!("{at} {}", name.to_string()));
        Ok(Page { items: found.into_iter().map(|(_, name)| name).collect(), next })
    }

    /// How many names there are, if that takes at most so many pages of the registry.
    ///
    /// # Errors
    /// When the registry does not list them.
    pub async fn count<F: Future<Output = Outcome<Page<T>>>>(
        &self,
        key: &K,
        pages: usize,
        fetch: impl Fn(Option<String>) -> F,
    ) -> Outcome<Option<usize>> {
        let list = self.take(key, false);
        let mut list = list.lock().await;
        while list.pages.count() < pages {
            if !list.grow(&fetch).await? {
                self.note(key, list.names.len());
                return Ok(Some(list.names.len()));
            }
        }
        self.note(key, list.names.len());
        Ok(list.pages.is_over().then_some(list.names.len()))
    }
}

impl<T: Clone + ToString> List<T> {
    /// Fetches one more page; false when there is none.
    async fn grow<F: Future<Output = Outcome<Page<T>>>>(
        &mut self,
        fetch: &impl Fn(Option<String>) -> F,
    ) -> Outcome<bool> {
        if self.pages.is_over() {
            return Ok(false);
        }
        let page = fetch(self.pages.next()).await?;
        self.pages.turn(page.next)?;
        self.names.extend(page.items);
        Ok(true)
    }

    /// The place behind the name that a part ended with: where it was, or wherever it is now.
    async fn after<F: Future<Output = Outcome<Page<T>>>>(
        &mut self,
        token: &str,
        fetch: &impl Fn(Option<String>) -> F,
    ) -> Outcome<usize> {
        let read = token.split_once(' ').and_then(|(at, name)| Some((at.parse::<usize>().ok()?, name)));
        let (at, name) = read.ok_or_else(|| {
            Fault::new(Kind::Invalid, format!("{token:?} is no place in this list"))
                .hint("give what the part before ended with, or begin anew")
        })?;
        while self.names.len() <= at && self.grow(fetch).await? {}
        if self.names.get(at).is_some_and(|there| there.to_string() == name) {
            return Ok(at + 1);
        }
        loop {
            if let Some(found) = self.names.iter().position(|there| there.to_string() == name) {
                return Ok(found + 1);
            }
            if !self.grow(fetch).await? {
                // It is gone: what stood behind it stands there now.
                return Ok(at.min(self.names.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A registry of names that counts what it is asked for, ten at a time.
    struct Named {
        names: Vec<String>,
        asked: AtomicUsize,
    }

    impl Named {
        async fn page(&self, next: Option<String>) -> Outcome<Page<String>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let from = next.map_or(0, |n| n.parse::<usize>().unwrap());
            let items: Vec<String> = self.names.iter().skip(from).take(10).cloned().collect();
            let end = from + items.len();
            Ok(Page { items, next: (end < self.names.len()).then(|| end.to_string()) })
        }

        fn asked(&self) -> usize {
            self.asked.swap(0, Ordering::Relaxed)
        }
    }

    fn ask(filter: &str, after: Option<String>) -> PageAsk {
        PageAsk { filter: filter.to_owned(), after, limit: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_fetched_only_as_far_as_a_page_needs_it() {
        let registry =
            Named { names: (0..1000).map(|n| format!("v{n:03}")).collect(), asked: AtomicUsize::new(0) };
        let lists: Lists<&str, String> = Lists::default();
        let fetch = |next| registry.page(next);
        let first = lists.page(&"a", &ask("", None), 25, fetch).await.unwrap();
        assert_eq!((first.items.len(), first.items[24].as_str(), registry.asked()), (25, "v024", 3));
        let second = lists.page(&"a", &ask("", first.next), 25, fetch).await.unwrap();
        assert_eq!((second.items[0].as_str(), registry.asked()), ("v025", 3));
        let filtered = lists.page(&"a", &ask("99", None), 25, fetch).await.unwrap();
        assert_eq!((filtered.items.len(), filtered.next, registry.asked()), (19, None, 94));
        let not = lists.page(&"a", &ask("!v0", None), 5, fetch).await.unwrap();
        assert_eq!((not.items[0].as_str(), registry.asked()), ("v100", 0), "all of it is known");
        tokio::time::advance(NAMES_FOR).await;
        lists.page(&"a", &ask("", None), 5, fetch).await.unwrap();
        assert_eq!(registry.asked(), 1, "a first page is listed anew");
        assert_eq!(lists.count(&"a", 3, fetch).await.unwrap(), None, "too long to be counted");
        assert_eq!(lists.count(&"a", 1000, fetch).await.unwrap(), Some(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn pages_go_on_although_names_came_and_went() {
        let mut registry =
            Named { names: (0..50).map(|n| format!("v{n:02}")).collect(), asked: AtomicUsize::new(0) };
        let lists: Lists<&str, String> = Lists::default();
        let first = lists.page(&"a", &ask("", None), 5, |n| registry.page(n)).await.unwrap();
        tokio::time::advance(PAGED_FOR).await;
        registry.names.insert(0, "new".to_owned());
        let second = lists.page(&"a", &ask("", first.next.clone()), 5, |n| registry.page(n)).await.unwrap();
        assert_eq!(second.items[0], "v05");
        tokio::time::advance(PAGED_FOR).await;
        registry.names.retain(|n| n != "v04" && n != "new");
        let third = lists.page(&"a", &ask("", first.next), 5, |n| registry.page(n)).await.unwrap();
        assert_eq!(third.items[0], "v05");
        assert!(lists.page(&"a", &ask("", Some("x".to_owned())), 5, |n| registry.page(n)).await.is_err());
    }
}
