//! From an archive into a registry: what it names is worked out first, then each image's blobs, its manifests, its tag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::archive::{
    DEPTH_MAX, FULL_NAME, INDEX, MANIFEST_BYTES_MAX, MANIFESTS_MAX, REF_NAME, Tell, stream,
};
use crate::engine::registry::{TRIES, again};
use crate::model::archive::{Carried, ImportAs, words};
use crate::model::image::{ImageName, is_address};
use crate::model::oci::{Descriptor, Digest, Form, MANIFEST_MAX, Manifest, Reference, Repository, Tag};
use crate::model::registry::Registry;
use crate::ports::archive::ArchiveReader;
use crate::ports::registry::RegistryClient;

/// Pushes the images of an archive.
pub async fn push(
    archive: &Arc<dyn ArchiveReader>,
    client: &Arc<dyn RegistryClient>,
    to: &Registry,
    names: &ImportAs,
    tell: &Tell<'_>,
) -> Outcome<Vec<Carried>> {
    let content = Content::read(archive.as_ref()).await?;
    let named = content.named(names)?;
    // That a blob of an image is missing or has another length is known before anything is sent. Its content is checked as it is
    // sent, and what speaks about an image (its referrers) when its turn comes.
    named.iter().try_for_each(|(_, _, root)| content.whole(archive.as_ref(), root))?;
    let push =
        Push { archive, client, to, content: &content, tell, sent: AtomicU64::new(0), at: Mutex::default() };
    let mut out = Vec::new();
    for (repository, tag, root) in &named {
        let name = format!("{}/{repository}:{tag}", to.address);
        let carried = push.image(repository, tag, root, &name).await;
        out.push(carried.map_err(|why| why.because(format!("{name} cannot be brought")))?);
    }
    Ok(out)
}

/// The manifests of an archive.
struct Content {
    top: Vec<Descriptor>,
    manifests: BTreeMap<Digest, Manifest>,
    /// What says something about a manifest, by that manifest.
    about: BTreeMap<Digest, Vec<Digest>>,
}

impl Content {
    async fn read(archive: &dyn ArchiveReader) -> Outcome<Content> {
        let index = Manifest::read(INDEX, archive.index())
            .map_err(|why| why.because("its index.json makes no sense"))?;
        let mut out = Content { top: index.manifests, manifests: BTreeMap::new(), about: BTreeMap::new() };
        let mut bytes = 0_u64;
        let mut next: Vec<(Descriptor, u32, bool)> = out.top.iter().cloned().map(|d| (d, 0, true)).collect();
        while let Some((of, depth, must)) = next.pop() {
            if out.manifests.contains_key(&of.digest) {
                continue;
            }
            if depth > DEPTH_MAX || out.manifests.len() >= MANIFESTS_MAX {
                return Err(Fault::new(
                    Kind::Exhausted,
                    format!(
                        "it has more than {MANIFESTS_MAX} manifests, or they are nested more than {DEPTH_MAX} deep"
                    ),
                ));
            }
            bytes = bytes.saturating_add(archive.size(&of.digest).unwrap_or(0));
            if bytes > MANIFEST_BYTES_MAX {
                let text = format!("its manifests have more than {MANIFEST_BYTES_MAX} bytes together");
                return Err(Fault::new(Kind::Exhausted, text));
            }
            let Some(manifest) = read_manifest(archive, &of, must).await? else { continue };
            next.extend(manifest.manifests.iter().cloned().map(|d| (d, depth + 1, false)));
            if let Some(subject) = &manifest.subject {
                out.about.entry(subject.digest.clone()).or_default().push(manifest.digest.clone());
            }
            out.manifests.insert(manifest.digest.clone(), manifest);
        }
        Ok(out)
    }

    /// What the archive names, as it is to be called at the target.
    fn named(&self, names: &ImportAs) -> Outcome<Vec<(Repository, Tag, Digest)>> {
        let is_referrer = |d: &&Descriptor| {
            self.manifests.get(&d.digest).is_some_and(|m| m.subject.is_some())
                && !d.annotations.contains_key(REF_NAME)
                && !d.annotations.contains_key(FULL_NAME)
        };
        let images: Vec<&Descriptor> = self.top.iter().filter(|d| !is_referrer(d)).collect();
        if images.is_empty() {
            return Err(Fault::new(Kind::NotFound, "it holds no image"));
        }
        let Some((repository, tag)) = &names.name else {
            return images.iter().map(|d| own_name(d, names.prefix.as_ref())).collect();
        };
        let [one] = images.as_slice() else {
            return Err(Fault::new(
                Kind::Invalid,
                format!("it holds {} images, and one name is given", images.len()),
            )
            .hint("leave --as out: each has a name of its own"));
        };
        Ok(vec![(repository.clone(), tag.clone(), one.digest.clone())])
    }

    /// Checks that all that an image needs is in the archive, with the right length.
    fn whole(&self, archive: &dyn ArchiveReader, root: &Digest) -> Outcome<()> {
        let (mut met, mut open) = (BTreeSet::new(), vec![root]);
        while let Some(digest) = open.pop() {
            let Some(manifest) = self.manifests.get(digest).filter(|_| met.insert(digest)) else { continue };
            for blob in &manifest.blobs {
                let wrong = match archive.size(&blob.digest) {
                    Some(size) if size == blob.size => continue,
                    Some(size) => format!("{} has {size} bytes in it, not {}", blob.digest, blob.size),
                    None => format!("{} is not in it", blob.digest),
                };
                return Err(Fault::new(Kind::Invalid, wrong)
                    .because("the archive is not whole")
                    .hint("write it again, and compare checksums after it was copied"));
            }
            open.extend(manifest.manifests.iter().map(|child| &child.digest));
        }
        Ok(())
    }

    /// Platforms of an index that are not in the archive.
    fn left_out(&self, root: &Digest) -> Vec<String> {
        let of = self.manifests.get(root).into_iter().flat_map(|m| &m.manifests);
        words(of.filter(|d| !self.manifests.contains_key(&d.digest)).filter_map(|d| d.platform.as_ref()))
    }
}

/// A manifest of the archive, checked; none when it is not in there and need not be: a platform that was left out.
async fn read_manifest(
    archive: &dyn ArchiveReader,
    of: &Descriptor,
    must: bool,
) -> Outcome<Option<Manifest>> {
    let Some(size) = archive.size(&of.digest) else {
        let text = format!("its index names {}, which is not in it", of.digest);
        return if must { Err(Fault::new(Kind::Invalid, text)) } else { Ok(None) };
    };
    if size > MANIFEST_MAX as u64 {
        let text = format!("the manifest {} has {size} bytes, more than {MANIFEST_MAX}", of.digest);
        return Err(Fault::new(Kind::Invalid, text));
    }
    let because = |why: Fault| why.because(format!("the archive's manifest {} is damaged", of.digest));
    let mut bytes = stream::checked(archive.open(&of.digest).await?, &of.digest, size)?;
    let mut out = Vec::new();
    while let Some(piece) = bytes.next().await {
        out.extend_from_slice(&piece.map_err(because)?);
    }
    Manifest::read(&of.media_type, out).map(Some).map_err(because)
}

/// The name that an archive gives an image, below the prefix.
fn own_name(of: &Descriptor, prefix: Option<&Repository>) -> Outcome<(Repository, Tag, Digest)> {
    let note = |key: &str| of.annotations.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let digest = of.digest.clone();
    let short = note(REF_NAME);
    let full = note(FULL_NAME).and_then(|text| text.parse::<ImageName>().ok());
    if let Some(ImageName { repository, tag: Some(tag), .. }) = full {
        return Ok((below(prefix, &repository)?, tag, digest));
    }
    let nameless = |what: String| {
        Fault::new(Kind::Invalid, what).hint("say what it is to be called: --as REPOSITORY:TAG")
    };
    let Some(text) = short else {
        return Err(nameless(format!("the archive gives its image {} no name", of.digest.short())));
    };
    // A name with a registry, a name with a path, or only a tag: then the prefix is the whole path.
    let path = match text.split_once('/') {
        Some((first, rest)) if is_address(first) => rest,
        _ => text,
    };
    let wrong =
        |_: Fault| nameless(format!("the archive calls an image {text:?}, which is no name of an image"));
    match (path.rsplit_once(':'), prefix) {
        (Some((path, tag)), _) => {
            let repository: Repository = path.parse().map_err(wrong)?;
            Ok((below(prefix, &repository)?, tag.parse().map_err(wrong)?, digest))
        }
        (None, Some(prefix)) => Ok((prefix.clone(), path.parse().map_err(wrong)?, digest)),
        (None, None) => Err(nameless(format!("the archive names only a tag, {text:?}, and no repository"))),
    }
}

fn below(prefix: Option<&Repository>, repository: &Repository) -> Outcome<Repository> {
    prefix.map_or_else(|| Ok(repository.clone()), |prefix| format!("{prefix}/{repository}").parse())
}

struct Push<'a> {
    archive: &'a Arc<dyn ArchiveReader>,
    client: &'a Arc<dyn RegistryClient>,
    to: &'a Registry,
    content: &'a Content,
    tell: &'a Tell<'a>,
    sent: AtomicU64,
    /// Where a blob was brought to, or found: another repository gets it from there.
    at: Mutex<BTreeMap<Digest, Repository>>,
}

impl Push<'_> {
    async fn image(&self, to: &Repository, tag: &Tag, root: &Digest, name: &str) -> Outcome<Carried> {
        (self.tell)(self.sent.load(Ordering::Relaxed), name);
        let reference = Reference::Tag(tag.clone());
        let before = self.client.head(to, &reference).await?.map(|d| d.digest);
        let mut out = Carried {
            image: name.to_owned(),
            digest: root.clone(),
            was_there: before.as_ref() == Some(root),
            before: before.filter(|d| d != root),
            sent: 0,
            bytes: 0,
            there: 0,
            referrers: 0,
            left_out: self.content.left_out(root),
        };
        // What a tag points to is there as a whole: the registry would not have taken it else.
        if !out.was_there {
            let manifest = self.manifest(root)?;
            self.needs(to, manifest, (&mut BTreeSet::new(), &mut out)).await?;
            let put = self.client.put_manifest(to, &reference, manifest).await;
            put.map_err(|why| gaps(why, manifest, &out.left_out))?;
            let now = self.client.head(to, &reference).await?.map(|d| d.digest);
            if now.as_ref() != Some(root) {
                let text = format!("{name} does not point to {root} after it was put");
                return Err(Fault::new(Kind::Conflict, text).hint("somebody else moves it: try again"));
            }
        }
        self.referrers(to, root, &mut out).await?;
        Ok(out)
    }

    fn manifest(&self, digest: &Digest) -> Outcome<&Manifest> {
        let found = self.content.manifests.get(digest);
        found.ok_or_else(|| Fault::new(Kind::Invalid, format!("the manifest {digest} is not in the archive")))
    }

    /// Brings all that a manifest needs: children before parents.
    fn needs<'b>(
        &'b self,
        to: &'b Repository,
        manifest: &'b Manifest,
        (met, out): (&'b mut BTreeSet<Digest>, &'b mut Carried),
    ) -> BoxFuture<'b, Outcome<()>> {
        async move {
            for child in &manifest.manifests {
                let Some(child) = self.content.manifests.get(&child.digest) else { continue };
                if !met.insert(child.digest.clone()) {
                    continue;
                }
                let reference = Reference::Digest(child.digest.clone());
                let is_there = self.client.head(to, &reference).await?.is_some();
                if is_there && child.form == Form::Image {
                    continue;
                }
                self.needs(to, child, (&mut *met, &mut *out)).await?;
                self.client.put_manifest(to, &reference, child).await?;
            }
            let parallel = usize::try_from(self.to.parallel.max(1)).unwrap_or(1);
            let blobs: Vec<BoxFuture<'_, Outcome<Option<u64>>>> =
                manifest.blobs.iter().map(|blob| self.blob(to, blob).boxed()).collect();
            let mut done = futures_util::stream::iter(blobs).buffer_unordered(parallel);
            while let Some(sent) = done.next().await {
                match sent? {
                    Some(bytes) => (out.sent, out.bytes) = (out.sent + 1, out.bytes + bytes),
                    None => out.there += 1,
                }
            }
            Ok(())
        }
        .boxed()
    }

    /// Brings a blob; gives its bytes if they were sent.
    async fn blob(&self, to: &Repository, blob: &Descriptor) -> Outcome<Option<u64>> {
        let there = self.client.has_blob(to, &blob.digest).await?;
        let elsewhere = || self.at.lock().unwrap_or_else(PoisonError::into_inner).get(&blob.digest).cloned();
        let mut sent = None;
        if there != Some(blob.size) {
            let mounted = match elsewhere().filter(|from| from != to) {
                Some(from) => self.client.mount(to, &blob.digest, &from).await?,
                None => false,
            };
            if !mounted {
                self.write(to, blob).await?;
                sent = Some(blob.size);
            }
        }
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.entry(blob.digest.clone()).or_insert_with(|| to.clone());
        Ok(sent)
    }

    async fn write(&self, to: &Repository, blob: &Descriptor) -> Outcome<()> {
        let source = || {
            async move {
                let bytes = self.archive.open(&blob.digest).await?;
                stream::checked(bytes, &blob.digest, blob.size)
            }
            .boxed()
        };
        again(TRIES, || self.client.write_blob(to, &blob.digest, blob.size, &source)).await?;
        let sent = self.sent.fetch_add(blob.size, Ordering::Relaxed) + blob.size;
        (self.tell)(sent, to.as_str());
        Ok(())
    }

    /// Brings what the archive says about an image, and about that in turn.
    async fn referrers(&self, to: &Repository, root: &Digest, out: &mut Carried) -> Outcome<()> {
        let mut about = vec![root.clone()];
        about.extend(self.manifest(root)?.manifests.iter().map(|d| d.digest.clone()));
        let mut known = BTreeSet::new();
        while let Some(subject) = about.pop() {
            for digest in self.content.about.get(&subject).into_iter().flatten() {
                if !known.insert(digest.clone()) {
                    continue;
                }
                let referrer = self.manifest(digest)?;
                let reference = Reference::Digest(digest.clone());
                let listed = self.client.referrers(to, &subject).await?;
                if !listed.iter().any(|d| d.digest == *digest) {
                    self.needs(to, referrer, (&mut BTreeSet::new(), &mut *out)).await?;
                    self.client.put_manifest(to, &reference, referrer).await?;
                }
                out.referrers += 1;
                about.push(digest.clone());
            }
        }
        Ok(())
    }
}

/// Why an index without some of its images was not taken.
fn gaps(fault: Fault, manifest: &Manifest, left_out: &[String]) -> Fault {
    if fault.kind != Kind::Conflict || manifest.form != Form::Index || left_out.is_empty() {
        return fault;
    }
    fault
        .because(format!(
            "the registry takes no index without the platforms that the archive leaves out ({})",
            left_out.join(", ")
        ))
        .hint("export all platforms, or just one: an image of one platform stands for itself")
}
