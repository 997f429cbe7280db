//! The port's calls on a simulated registry.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use crate::adapters::sim::registry::{RegistryCall, SimRegistry, UnderWay};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::Sha256;
use crate::base::text::Untrusted;
use crate::model::oci::{Descriptor, Digest, Manifest, Reference, Repository, Tag};
use crate::model::registry::{LoginKind, Page, RegistryFacts};
use crate::ports::registry::{Action, BlobStream, Catalogue, Content, Source};

/// Bytes of a blob in one piece.
const PIECE: usize = 64 << 10;

/// A page of names in order, after the one that `next` says.
fn page<T: Clone + ToString>(
    all: impl Iterator<Item = T>,
    next: Option<&str>,
    most: usize,
    first: bool,
) -> Page<T> {
    let mut items: Vec<T> =
        all.filter(|t| next.is_none_or(|n| t.to_string().as_str() > n)).take(most.max(1) + 1).collect();
    let is_more = items.len() > most.max(1);
    items.truncate(most.max(1));
    let next = items.last().map(ToString::to_string).filter(|_| is_more || first);
    Page { items, next }
}

impl Catalogue for SimRegistry {
    fn facts(&self) -> BoxFuture<'_, Outcome<RegistryFacts>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Facts).await?;
            let lists = !self.state().trouble.no_catalogue;
            let version = Some(Untrusted::from("simulated"));
            Ok(RegistryFacts { version, login: LoginKind::None, lists })
        })
    }

    fn repositories<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Repository>>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Repositories).await?;
            let state = self.state();
            if state.trouble.no_catalogue {
                return Err(self.refused("UNAUTHORIZED: the catalogue is not for us"));
            }
            if state.trouble.cut_lists && next.is_some() {
                return Err(self.gone());
            }
            let cut = state.trouble.cut_lists && !state.repositories.is_empty();
            Ok(page(state.repositories.keys().cloned(), next, state.pace.page, cut))
        })
    }

    fn tags<'a>(&'a self, of: &'a Repository, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Tag>>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Tags).await?;
            let state = self.state();
            let held = state.repositories.get(of);
            let held = held.ok_or_else(|| self.absent(&format!("NAME_UNKNOWN: {of}")))?;
            if state.trouble.cut_lists && next.is_some() {
                return Err(self.gone());
            }
            let cut = state.trouble.cut_lists && !held.tags.is_empty();
            Ok(page(held.tags.keys().cloned(), next, state.pace.page, cut))
        })
    }

    fn head<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Option<Descriptor>>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Head).await?;
            Ok(self.state().resolve(of, reference).map(Manifest::descriptor))
        })
    }

    fn manifest<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Manifest>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Manifest).await?;
            let found = self.state().resolve(of, reference).cloned();
            found.ok_or_else(|| self.absent(&format!("MANIFEST_UNKNOWN: {of} {reference}")))
        })
    }

    fn referrers<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Outcome<Vec<Descriptor>>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Referrers).await?;
            let state = self.state();
            if state.trouble.mute_referrers {
                return Err(Fault::new(Kind::Unreachable, format!("{} does not answer", self.name)));
            }
            if state.trouble.no_referrers {
                let list = digest.referrers_tag().map(Reference::Tag);
                let list = list.and_then(|tag| state.resolve(of, &tag));
                return Ok(list.map(|m| m.manifests.clone()).unwrap_or_default());
            }
            let Some(held) = state.repositories.get(of) else { return Ok(Vec::new()) };
            let about = |m: &&Manifest| m.subject.as_ref().is_some_and(|s| &s.digest == digest);
            Ok(held.manifests.values().filter(about).map(Manifest::descriptor).collect())
        })
    }

    fn may<'a>(&'a self, _: &'a Repository, action: Action) -> BoxFuture<'a, Outcome<bool>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::May).await?;
            Ok(action == Action::Pull || !self.state().trouble.read_only)
        })
    }
}

impl SimRegistry {
    /// The bytes of a blob from an offset on, and where they break off.
    fn open(&self, of: &Repository, digest: &Digest, from: u64) -> Outcome<(u64, Bytes, Option<usize>)> {
        let mut state = self.state();
        let is_here = state.repositories.get(of).is_some_and(|held| held.blobs.contains(digest));
        let bytes = state.blobs.get(digest).filter(|_| is_here).cloned();
        let bytes = bytes.ok_or_else(|| self.absent(&format!("BLOB_UNKNOWN: {digest}")))?;
        if state.trouble.mute_blobs.is_some_and(|size| bytes.len() >= size) {
            return Err(self.gone());
        }
        let trouble = &mut state.trouble;
        let from = if trouble.no_range { 0 } else { from.min(bytes.len() as u64) };
        let mut rest = bytes.slice(usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len())..);
        if trouble.flip_reads > 0 && !rest.is_empty() {
            trouble.flip_reads -= 1;
            let mut wrong = rest.to_vec();
            wrong[0] ^= 1;
            rest = wrong.into();
        }
        let cut = (trouble.cut_reads > 0 && !rest.is_empty()).then(|| {
            trouble.cut_reads -= 1;
            rest.len() / 2
        });
        Ok((from, rest, cut))
    }

    fn pieces(
        &self,
        bytes: &Bytes,
        cut: Option<usize>,
        under_way: UnderWay,
    ) -> stream::BoxStream<'static, Outcome<Bytes>> {
        let whole = bytes.slice(..cut.unwrap_or(bytes.len()));
        let begin = (self.clone(), whole, cut.is_some(), Some(under_way));
        stream::unfold(begin, |(registry, mut rest, is_cut, under_way)| async move {
            let under_way = under_way?;
            if rest.is_empty() {
                let end = Err(Fault::new(Kind::Unreachable, format!("{}: connection reset", registry.name)));
                return is_cut.then_some((end, (registry, rest, false, None)));
            }
            let piece = rest.split_to(rest.len().min(PIECE));
            if let Err(fault) = registry.carry(piece.len()).await {
                return Some((Err(fault), (registry, rest, false, None)));
            }
            registry.state().counts.bytes_out += piece.len() as u64;
            Some((Ok(piece), (registry, rest, is_cut, Some(under_way))))
        })
        .boxed()
    }

    /// Takes an upload's bytes until it ends or breaks off.
    async fn take(&self, size: u64, source: &Source<'_>, cut: bool) -> Outcome<Vec<u8>> {
        let mut bytes = source().await?;
        let mut taken: Vec<u8> = Vec::new();
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            self.carry(piece.len()).await?;
            self.state().counts.bytes_in += piece.len() as u64;
            taken.extend_from_slice(&piece);
            if cut && taken.len() as u64 * 2 >= size {
                return Err(Fault::new(Kind::Unreachable, format!("{}: connection reset", self.name)));
            }
        }
        Ok(taken)
    }
}

impl Content for SimRegistry {
    fn has_blob<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<Option<u64>>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::HasBlob).await?;
            let state = self.state();
            let is_here = state.repositories.get(of).is_some_and(|held| held.blobs.contains(digest));
            Ok(state.blobs.get(digest).filter(|_| is_here).map(|b| b.len() as u64))
        })
    }

    fn read_blob<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
        from: u64,
    ) -> BoxFuture<'a, Outcome<BlobStream>> {
        Box::pin(async move {
            let under_way = self.request(RegistryCall::ReadBlob).await?;
            let (from, rest, cut) = self.open(of, digest, from)?;
            let size = Some(from + rest.len() as u64);
            Ok(BlobStream { size, from, bytes: self.pieces(&rest, cut, under_way) })
        })
    }

    fn mount<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        from: &'a Repository,
    ) -> BoxFuture<'a, Outcome<bool>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::Mount).await?;
            let mut state = self.state();
            let is_there = state.repositories.get(from).is_some_and(|held| held.blobs.contains(digest));
            if state.trouble.no_mount || state.trouble.read_only || !is_there {
                return Ok(false);
            }
            state.repositories.entry(to.clone()).or_default().blobs.insert(digest.clone());
            Ok(true)
        })
    }

    fn write_blob<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        size: u64,
        source: &'a Source<'a>,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::WriteBlob).await?;
            let cut = {
                let mut state = self.state();
                if state.trouble.read_only {
                    return Err(self.refused("DENIED: no right to push"));
                }
                if state.trouble.full {
                    return Err(Fault::new(Kind::Exhausted, format!("{}: no space left", self.name)));
                }
                let cut = state.trouble.cut_writes > 0;
                state.trouble.cut_writes = state.trouble.cut_writes.saturating_sub(1);
                cut
            };
            let taken = self.take(size, source, cut).await?;
            let mut sum = Sha256::default();
            sum.update(&taken);
            if taken.len() as u64 != size || &Digest::of_sum(&sum.hex()) != digest {
                return Err(Fault::new(Kind::Invalid, format!("{}: DIGEST_INVALID", self.name)));
            }
            let mut state = self.state();
            *state.counts.uploads.entry(digest.clone()).or_default() += 1;
            state.blobs.insert(digest.clone(), taken.into());
            state.repositories.entry(to.clone()).or_default().blobs.insert(digest.clone());
            Ok(())
        })
    }

    fn put_manifest<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::PutManifest).await?;
            let mut state = self.state();
            if state.trouble.read_only {
                return Err(self.refused("DENIED: no right to push"));
            }
            state.store(&self.name, to, reference, manifest)?;
            let by_tag = state.trouble.no_referrers;
            drop(state);
            match &manifest.subject {
                Some(subject) if by_tag => self.keep_referrer(to, &subject.digest, manifest),
                _ => Ok(()),
            }
        })
    }

    fn put_alone<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::PutManifest).await?;
            let mut state = self.state();
            if state.trouble.read_only {
                return Err(self.refused("DENIED: no right to push"));
            }
            state.store(&self.name, to, reference, manifest)
        })
    }

    fn delete_tag<'a>(&'a self, of: &'a Repository, tag: &'a Tag) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::DeleteTag).await?;
            let mut state = self.state();
            if state.trouble.no_delete {
                return Err(self.refused("UNSUPPORTED: it removes nothing"));
            }
            let is_there = state.repositories.get(of).is_some_and(|held| held.tags.contains_key(tag));
            if state.trouble.whole_only && is_there {
                return Err(self.refused("UNSUPPORTED: it removes manifests only"));
            }
            if let Some(held) = state.repositories.get_mut(of) {
                held.tags.remove(tag);
            }
            Ok(())
        })
    }

    fn delete_manifest<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(async move {
            let _under_way = self.request(RegistryCall::DeleteManifest).await?;
            let mut state = self.state();
            if state.trouble.no_delete {
                return Err(self.refused("UNSUPPORTED: it removes nothing"));
            }
            if let Some(held) = state.repositories.get_mut(of) {
                held.manifests.remove(digest);
                held.tags.retain(|_, d| d != digest);
            }
            Ok(())
        })
    }
}
