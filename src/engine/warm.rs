//! The work of a prewarm on one host: is it there, get it there, and prove by its digest that it is what was wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::HostId;
use crate::base::text::Untrusted;
use crate::engine::execute::PullTurns;
use crate::model::oci::Digest;
use crate::model::prewarm::{Came, HeldImage, Prewarm, Proof, PullProgress};
use crate::ports::runtime::Runtime;

/// What is on its way from host to host is told so often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Whether a host has the image already; what bears the name and is another one does not count.
///
/// # Errors
/// When the host cannot be asked.
pub async fn look(runtime: &dyn Runtime, wanted: &Prewarm) -> Outcome<Option<Proof>> {
    let held = runtime.held(&wanted.image).await?;
    Ok(held.filter(|held| wanted.is_it(held)).map(|held| proof(wanted, &held, Came::WasThere, (0, 0))))
}

fn proof(wanted: &Prewarm, held: &HeldImage, came: Came, (ms, bytes): (u64, u64)) -> Proof {
    let digest = match &wanted.digest {
        Some(digest) => held.is(digest).then(|| digest.clone()),
        None => held.sums().next(),
    };
    Proof { id: held.id.clone(), digest, came, ms, bytes }
}

/// Pulls the image: from the first of these references that gives it, by digest where that is known, so that a tag that has
/// moved meanwhile, or a registry that is behind, cannot bring another one.
///
/// # Errors
/// Why it is not there, or is not what was wanted.
pub async fn pull(
    runtime: &dyn Runtime,
    wanted: &Prewarm,
    references: &[String],
    turns: &PullTurns,
    progress: &(dyn Fn(PullProgress) + Send + Sync),
) -> Outcome<Proof> {
    let _turns = turns.take().await;
    let begun = Instant::now();
    let mut faults: Option<Fault> = None;
    let most = AtomicU64::new(0);
    let noted = |p: PullProgress| {
        most.fetch_max(p.bytes, Ordering::Relaxed);
        progress(p);
    };
    for reference in references {
        match pull_one(runtime, wanted, reference, &noted).await {
            Ok(held) => {
                let cost = (millis(begun), most.load(Ordering::Relaxed));
                return Ok(proof(wanted, &held, Came::Pulled(reference.clone()), cost));
            }
            Err(fault) => {
                faults = Some(match faults {
                    Some(first) => fault.because(format!("nor from its site's registry ({first})")),
                    None => fault,
                });
            }
        }
    }
    Err(faults.unwrap_or_else(|| Fault::new(Kind::Bug, "no reference to pull")))
}

async fn pull_one(
    runtime: &dyn Runtime,
    wanted: &Prewarm,
    reference: &str,
    progress: &(dyn Fn(PullProgress) + Send + Sync),
) -> Outcome<HeldImage> {
    let exact = match &wanted.digest {
        Some(digest) => by_digest(reference, digest),
        None => reference.to_owned(),
    };
    runtime.pull(&exact, progress).await?;
    if exact != wanted.image && !wanted.image.contains('@') {
        runtime.name_image(&exact, &wanted.image).await?;
    }
    check(runtime, wanted).await
}

/// The same reference by digest instead of by tag.
fn by_digest(reference: &str, digest: &Digest) -> String {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let at = name.rfind('/').map_or(0, |slash| slash + 1);
    let colon = name.get(at..).and_then(|last| last.find(':'));
    let repository = colon.map_or(name, |colon| name.split_at(at + colon).0);
    format!("{repository}@{digest}")
}

/// What the host has under the name now, if it is what was wanted.
async fn check(runtime: &dyn Runtime, wanted: &Prewarm) -> Outcome<HeldImage> {
    let held = runtime.held(&wanted.image).await?;
    let held = held.ok_or_else(|| {
        Fault::new(Kind::Conflict, format!("{} is gone again: did somebody remove it?", wanted.image))
    })?;
    if wanted.is_it(&held) {
        return Ok(held);
    }
    let has: Vec<String> = held.sums().map(|d| d.to_string()).collect();
    let has = if has.is_empty() { held.id.safe().into_owned() } else { has.join(", ") };
    let want = wanted.digest.as_ref().map(Digest::to_string).unwrap_or_default();
    Err(Fault::new(Kind::Conflict, format!("under the name {} it has {has}, not {want}", wanted.image)))
}

/// Lets a host that was proved to have the image, under this id, give it to another: the archive streams through this process, a few pieces at a time.
///
/// # Errors
/// Why it did not arrive, or is not what the other host has.
pub async fn hand_over(
    giver: (&HostId, Arc<dyn Runtime>, Untrusted),
    runtime: &dyn Runtime,
    wanted: &Prewarm,
    turns: &PullTurns,
    progress: &(dyn Fn(PullProgress) + Send + Sync),
) -> Outcome<Proof> {
    let _turns = turns.take().await;
    let (name, from, proved) = giver;
    let begun = Instant::now();
    let because = || format!("{name} cannot give it");
    let theirs = from.held(&wanted.image).await.map_err(|f| f.because(because()))?;
    let theirs = theirs
        .filter(|held| held.id == proved)
        .ok_or_else(|| Fault::new(Kind::NotFound, "it does not have it any more").because(because()))?;
    let archive = from.export(&wanted.image).await.map_err(|f| f.because(because()))?;
    let passed = Arc::new(AtomicU64::new(0));
    let (counted, rate) = (passed.clone(), wanted.rate);
    let pieces = archive.then(move |piece| {
        let so_far = piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let all = counted.fetch_add(so_far, Ordering::Relaxed) + so_far;
        async move {
            // Here the rate can be kept to the byte: all of it goes through us.
            if let Some(rate) = rate {
                let due = begun + Duration::from_millis(crate::plan::prewarm::gap_ms(all, rate));
                tokio::time::sleep_until(due).await;
            }
            piece
        }
    });
    let size = theirs.size;
    let load = runtime.load(pieces.boxed());
    tokio::select! {
        done = load => done?,
        fault = tell(&passed, size, progress) => return Err(fault),
    }
    let held = runtime.held(&wanted.image).await?;
    let held = held.filter(|held| held.id == theirs.id).ok_or_else(|| {
        Fault::new(Kind::Conflict, format!("what arrived from {name} is not what {name} has"))
    })?;
    let cost = (millis(begun), passed.load(Ordering::Relaxed));
    Ok(proof(wanted, &held, Came::From(name.clone()), cost))
}

/// Tells how far an archive is, for as long as it is waited for.
async fn tell(passed: &AtomicU64, size: u64, progress: &(dyn Fn(PullProgress) + Send + Sync)) -> Fault {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        progress(of_archive(passed.load(Ordering::Relaxed), size));
    }
}

/// An archive so far: its length is about that of the image on disk.
fn of_archive(bytes: u64, size: u64) -> PullProgress {
    let thousandths = (u128::from(bytes) * 1000).checked_div(u128::from(size)).unwrap_or(0).min(999);
    PullProgress {
        thousandths: u16::try_from(thousandths).unwrap_or(999),
        bytes,
        of: size.max(bytes),
        layers: 0,
        of_layers: 0,
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_becomes_a_digest() {
        let digest = Digest::of(b"x");
        let of = |r: &str| by_digest(r, &digest);
        assert_eq!(of("hq.example:5000/a/b:1"), format!("hq.example:5000/a/b@{digest}"));
        assert_eq!(of("hq.example:5000/a/b"), format!("hq.example:5000/a/b@{digest}"));
        assert_eq!(of("busybox:1"), format!("busybox@{digest}"));
        assert_eq!(of(&format!("a/b:1@{digest}")), format!("a/b@{digest}"));
    }
}
