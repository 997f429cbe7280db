//! One blob's way: is it there already, can it be mounted, else it is streamed from the source into the target.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use crate::base::fault::{Kind, Outcome};
use crate::engine::registry::pace::{TRIES, Tries};
use crate::engine::registry::pool::{Flight, Pool};
use crate::engine::registry::reader;
use crate::model::oci::Repository;
use crate::store::replication::Note;

/// Repositories from which a mount is tried, at most.
const MOUNTS_TRIED: usize = 3;
/// After so many mounts in vain, of blobs that were there, the registry is taken for one that does not mount.
const VAIN_MOUNTS: u64 = 3;

/// Brings a blob to its place, with further tries where they may help: not where its source was asked often enough.
pub(super) async fn fly(pool: &Arc<Pool>, flight: &Arc<Flight>) -> Outcome<()> {
    let mut tries = Tries::new(if pool.breaker.is_open() { 1 } else { TRIES });
    loop {
        pool.may_go(flight).await;
        flight.is_given_up.store(false, Ordering::Relaxed);
        let Err(fault) = once(pool, flight).await else { return Ok(()) };
        let is_last = flight.is_given_up.load(Ordering::Relaxed) || pool.breaker.is_open();
        let may = fault.kind == Kind::Invalid || !is_last;
        let Some(pause) = tries.again(&fault).filter(|_| may) else {
            pool.breaker.gave_up(&flight.to, &fault);
            return Err(fault.because(format!("blob {}", flight.digest.short())));
        };
        flight.progress.again();
        tokio::time::sleep(pause).await;
    }
}

async fn once(pool: &Arc<Pool>, flight: &Arc<Flight>) -> Outcome<()> {
    let ends = &pool.ends;
    let here = || vec![Note::Placed(ends.line.to.clone(), flight.digest.clone(), flight.to.clone())];
    let places = places(pool, flight).await?;
    let may_be_there =
        !pool.is_absent(&flight.to) || places.contains(&flight.to) || places.len() > MOUNTS_TRIED;
    if may_be_there && is_there(pool, flight).await? {
        return found(pool, flight, here()).await;
    }
    if mounted(pool, flight, &places).await? {
        return found(pool, flight, here()).await;
    }
    // Before the first byte: whatever happens from here on, it is known where this blob may be.
    ends.notes.now(here()).await?;
    ends.purse.request().await;
    let source = || reader::open(pool.clone(), flight.clone()).boxed();
    ends.target.write_blob(&flight.to, &flight.digest, flight.size, &source).await?;
    flight.moved(flight.size, ends.clock.now());
    pool.breaker.came();
    pool.found(&flight.digest, &flight.to);
    Ok(())
}

/// Nothing has to be moved.
async fn found(pool: &Pool, flight: &Flight, here: Vec<Note>) -> Outcome<()> {
    flight.progress.found();
    pool.found(&flight.digest, &flight.to);
    pool.breaker.said_nothing();
    pool.ends.notes.lazily(here).await;
    Ok(())
}

async fn is_there(pool: &Arc<Pool>, flight: &Flight) -> Outcome<bool> {
    pool.ends.purse.request().await;
    Ok(pool.ends.target.has_blob(&flight.to, &flight.digest).await?.is_some())
}

/// Repositories of the target that may have the blob, the latest first: all of them, or more than a mount is tried from.
async fn places(pool: &Arc<Pool>, flight: &Flight) -> Outcome<Vec<Repository>> {
    let ends = &pool.ends;
    let limit = u32::try_from(MOUNTS_TRIED + 1).unwrap_or(u32::MAX);
    let known = ends.store.placed(&ends.line.to, &flight.digest, limit).await?;
    let recent = pool.recent(&flight.digest);
    let older = known.into_iter().filter(|r| Some(r) != recent.as_ref());
    Ok(recent.iter().cloned().chain(older).collect())
}

/// Lets the target take the blob from another of its repositories.
async fn mounted(pool: &Arc<Pool>, flight: &Flight, places: &[Repository]) -> Outcome<bool> {
    let ends = &pool.ends;
    if pool.vain_mounts.load(Ordering::Relaxed) >= VAIN_MOUNTS {
        return Ok(false);
    }
    for from in places.iter().filter(|r| **r != flight.to) {
        ends.purse.request().await;
        if ends.target.mount(&flight.to, &flight.digest, from).await? {
            pool.vain_mounts.store(0, Ordering::Relaxed);
            return Ok(true);
        }
        if ends.target.has_blob(from, &flight.digest).await?.is_some() {
            pool.vain_mounts.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        let gone = Note::Unplaced(ends.line.to.clone(), flight.digest.clone(), from.clone());
        ends.notes.lazily(vec![gone]).await;
    }
    Ok(false)
}
