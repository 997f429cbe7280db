//! Images on a simulated host: pulled from what the scenario's registries have, handed on as archives.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};

use crate::adapters::sim::chance::{chance, hex, number_of};
use crate::adapters::sim::gate::{CALL_DEADLINE_MS, CallKind, Done};
use crate::adapters::sim::host::{HostState, SimHost, with_tag};
use crate::adapters::sim::scenario::ImagePlan;
use crate::adapters::sim::{Ms, ms};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::prewarm::{HeldImage, PullProgress};
use crate::ports::runtime::Images;

/// How many times a pull reports its progress, and into how many pieces an archive is cut.
const STEPS: u16 = 20;

/// An image on a simulated host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SimImage {
    /// What registries call it.
    pub digest: String,
    /// The registries that it was pulled from, as `REPOSITORY@DIGEST`.
    pub from: BTreeSet<String>,
    /// MiB.
    pub size_mb: u64,
}

impl SimImage {
    /// One that was there from the start: pulled from where its name says.
    pub fn of(name: &str, plan: Option<&ImagePlan>) -> SimImage {
        let digest = plan.map_or_else(|| made_digest(name), ImagePlan::digest);
        let from = BTreeSet::from([format!("{}@{digest}", repository(name))]);
        SimImage { digest, from, size_mb: plan.map_or(0, |p| p.size_mb) }
    }

    /// The engine's own id of it: the same content has the same.
    pub fn id(&self) -> String {
        format!("sha256:{}", hex(&mut chance(&[13, number_of(&self.digest)]), 64))
    }
}

/// A reference without its tag or digest.
pub(super) fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let at = name.rfind('/').map_or(0, |slash| slash + 1);
    name.get(at..).and_then(|last| last.find(':')).map_or(name, |colon| name.split_at(at + colon).0)
}

/// The digest of an image whose scenario gives it none: equal paths and tags are equal images, whatever registry has them.
pub(super) fn made_digest(name: &str) -> String {
    let name = with_tag(name);
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
        _ => &name,
    };
    format!("sha256:{}", hex(&mut chance(&[7, number_of(path)]), 64))
}

impl Images for SimHost {
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(self.pulled(image, progress))
    }

    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<bool>> {
        let image = with_tag(image);
        Box::pin(self.call(CallKind::HasImage, CALL_DEADLINE_MS, move |state, _| {
            Ok(Done::now(state.image(&image).is_some()))
        }))
    }

    fn name_image<'a>(&'a self, image: &'a str, name: &'a str) -> BoxFuture<'a, Outcome<()>> {
        let (image, name) = (with_tag(image), with_tag(name));
        Box::pin(self.call(CallKind::NameImage, CALL_DEADLINE_MS, move |state, _| {
            let Some(found) = state.image(&image).cloned() else {
                return Err(Fault::new(Kind::NotFound, format!("no such image: {image}")));
            };
            state.images.insert(name, found);
            Ok(Done::now(()))
        }))
    }

    fn held<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<Option<HeldImage>>> {
        let image = with_tag(image);
        Box::pin(self.call(CallKind::Held, CALL_DEADLINE_MS, move |state, _| {
            Ok(Done::now(state.image(&image).map(|found| HeldImage {
                id: found.id().into(),
                digests: found.from.iter().map(|d| d.as_str().into()).collect(),
                size: found.size_mb << 20,
            })))
        }))
    }

    fn export<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<Bytes>>>> {
        let image = with_tag(image);
        Box::pin(async move {
            let name = image.clone();
            let found = self.call(CallKind::Export, CALL_DEADLINE_MS, move |state, _| {
                let missing = || Fault::new(Kind::NotFound, format!("no such image: {name}"));
                state.image(&name).cloned().map(Done::now).ok_or_else(missing)
            });
            let found = found.await?;
            let head = format!("{image} {} {}", found.digest, found.size_mb);
            let whole = ms(found.size_mb.saturating_mul(1000) / self.0.plan.give_mb_per_s.max(1));
            let (host, begin) = (self.clone(), self.now());
            let pieces = stream::iter(1..=STEPS).then(move |step| {
                let host = host.clone();
                async move {
                    let until = begin + whole * Ms::from(step) / Ms::from(STEPS);
                    host.travel(until, until + ms(CALL_DEADLINE_MS)).await?;
                    Ok(Bytes::from_static(b"."))
                }
            });
            Ok(stream::iter([Ok(Bytes::from(head))]).chain(pieces).boxed())
        })
    }

    fn load<'a>(&'a self, mut archive: BoxStream<'static, Outcome<Bytes>>) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            self.call(CallKind::Load, CALL_DEADLINE_MS, |state, _| no_space(state).map(Done::now)).await?;
            let nonsense = || Fault::new(Kind::Refused, "this is no archive of an image");
            let head = archive.next().await.ok_or_else(nonsense)??;
            let head = String::from_utf8(head.to_vec()).map_err(|_| nonsense())?;
            let [name, digest, size_mb] =
                <[&str; 3]>::try_from(head.split(' ').collect::<Vec<_>>()).map_err(|_| nonsense())?;
            let size_mb = size_mb.parse().map_err(|_| nonsense())?;
            let image = SimImage { digest: digest.to_owned(), from: BTreeSet::new(), size_mb };
            while let Some(piece) = archive.next().await {
                piece?;
                let now = self.now();
                self.travel(now, now + ms(CALL_DEADLINE_MS)).await?;
            }
            let (mut state, _) = self.state();
            no_space(&state)?;
            state.images.insert(name.to_owned(), image);
            Ok(())
        })
    }
}

impl HostState {
    /// What a reference stands for here; one by digest also finds what was pulled by tag.
    pub(super) fn image(&self, image: &str) -> Option<&SimImage> {
        let by_digest = || self.images.values().find(|i| i.from.contains(image));
        self.images.get(image).or_else(by_digest)
    }
}

impl SimHost {
    /// The image of the scenario's registries that a reference means, and its size in MiB.
    fn offered(&self, full: &str) -> Option<SimImage> {
        let fits = |plan: &&ImagePlan| match full.split_once('@') {
            Some((name, digest)) => repository(&plan.name) == name && plan.digest() == digest,
            None => with_tag(&plan.name) == full,
        };
        let plan = self.0.scenario.images.iter().find(fits)?;
        Some(SimImage::of(full, Some(plan)))
    }

    async fn pulled(&self, image: &str, progress: &(dyn Fn(PullProgress) + Send + Sync)) -> Outcome<()> {
        let full = with_tag(image);
        let offered = self.offered(&full);
        let (is_offered, name) = (offered.is_some(), full.clone());
        let has = self.call(CallKind::Pull, CALL_DEADLINE_MS, move |state, _| {
            if !is_offered && state.image(&name).is_none() {
                return Err(Fault::new(Kind::NotFound, format!("manifest for {name} not found")));
            }
            no_space(state)?;
            Ok(Done::now(state.image(&name).is_some()))
        });
        let has = has.await?;
        let size = offered.as_ref().map_or(0, |i| i.size_mb);
        if let Some(offered) = offered.filter(|_| !has) {
            let whole = ms(size.saturating_mul(1000) / self.0.plan.pull_mb_per_s.max(1));
            let begin = self.now();
            for step in 1..=STEPS {
                let until = begin + whole * Ms::from(step) / Ms::from(STEPS);
                self.travel(until, until + ms(CALL_DEADLINE_MS)).await?;
                progress(part(size, step * (1000 / STEPS) - 1));
            }
            let (mut state, _) = self.state();
            no_space(&state)?;
            state.images.insert(full, offered);
        }
        progress(part(size, 1000));
        Ok(())
    }
}

/// A pull of one layer, so far.
fn part(size_mb: u64, thousandths: u16) -> PullProgress {
    let of = size_mb << 20;
    PullProgress {
        thousandths,
        bytes: of / 1000 * u64::from(thousandths),
        of,
        layers: u32::from(thousandths == 1000),
        of_layers: 1,
    }
}

/// Refuses to write where the disk is full.
pub(super) fn no_space(state: &HostState) -> Outcome<()> {
    if state.condition.disk_full {
        return Err(Fault::new(Kind::Exhausted, format!("{}: no space left on device", state.host))
            .hint("free some space on the host"));
    }
    Ok(())
}
