//! Lists that Harbor gives in pages: all of one, or one page after another. A short list is never taken for the whole.

use std::collections::BTreeSet;

use crate::adapters::harbor::faults;
use crate::adapters::harbor::http::{Answer, Call, Http};
use crate::adapters::harbor::wire::Read;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::registry::Page;

/// The most that Harbor gives at once (`maximum` of `page_size` in its API description).
const PAGE_SIZE: usize = 100;
/// More pages than this are no list of projects or members.
const PAGES_MAX: u64 = 1_000;
/// How often a list is read anew that changed while it was read.
const READINGS: u32 = 4;

/// One page as it came.
struct Part<T> {
    items: Vec<T>,
    /// Another one follows.
    more: bool,
    /// How many there are in all, where that is told.
    total: Option<u64>,
}

async fn part<T: Read>(http: &Http, list: &Call, page: u64) -> Outcome<Part<T>> {
    let mut call = list.clone();
    call.query.push(("page", page.to_string()));
    call.query.push(("page_size", PAGE_SIZE.to_string()));
    let Answer { body, total, more, .. } = http.send(&call).await?;
    let items: Vec<T> =
        serde_json::from_slice(&body).map_err(|why| cannot(list, faults::not_understood(&why)))?;
    let so_far = (page - 1).saturating_mul(PAGE_SIZE as u64).saturating_add(items.len() as u64);
    let more = more.or(total.map(|total| so_far < total)).unwrap_or(items.len() >= PAGE_SIZE);
    if items.is_empty() && (more || (page == 1 && total.is_some_and(|total| total > 0))) {
        return Err(cannot(list, Fault::new(Kind::Bug, "a page is empty though there is more")));
    }
    Ok(Part { items, more, total })
}

fn cannot(list: &Call, fault: Fault) -> Fault {
    fault.because(format!("cannot {}", list.limits.what))
}

/// One page of a list, from where `next` says.
pub(super) async fn one<T: Read>(http: &Http, list: &Call, next: Option<&str>) -> Outcome<Page<T::Noun>> {
    let page = next.map_or(Ok(1), str::parse).ok().filter(|page| *page > 0);
    let Some(page) = page else {
        return Err(cannot(list, Fault::new(Kind::Invalid, "this is no place to go on")));
    };
    let part = part::<T>(http, list, page).await?;
    let next = part.more.then(|| (page + 1).to_string());
    Ok(Page { items: part.items.into_iter().map(Read::read).collect(), next })
}

/// A whole list. What moves from page to page while it is read comes once; when something may have slipped through, it is
/// read again until nothing is missing or two readings are the same.
pub(super) async fn all<T: Read>(http: &Http, list: &Call) -> Outcome<Vec<T::Noun>> {
    let mut before = None;
    for _ in 0..READINGS {
        let (items, total) = reading::<T>(http, list).await?;
        let ids: BTreeSet<i64> = items.iter().map(Read::id).collect();
        let complete = total.is_none_or(|total| ids.len() as u64 >= total);
        // (A membership of somebody who is gone is counted and not given: then every reading is short in the same way.)
        if complete || before.as_ref() == Some(&ids) {
            return Ok(items.into_iter().map(Read::read).collect());
        }
        before = Some(ids);
    }
    let fault = Fault::new(Kind::Conflict, "the list changed each time while it was read");
    Err(cannot(list, fault).hint("try again"))
}

async fn reading<T: Read>(http: &Http, list: &Call) -> Outcome<(Vec<T>, Option<u64>)> {
    let mut all: Vec<T> = Vec::new();
    let mut seen = BTreeSet::new();
    for page in 1..=PAGES_MAX {
        let part = part::<T>(http, list, page).await?;
        all.extend(part.items.into_iter().filter(|item| seen.insert(item.id())));
        if !part.more {
            return Ok((all, part.total));
        }
    }
    Err(cannot(list, Fault::new(Kind::Refused, format!("there are more than {PAGES_MAX} pages"))))
}
