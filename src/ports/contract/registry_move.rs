//! Promises about content that moves: blobs, mounts, manifests, tags, removals.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Digest, Repository};
use crate::ports::contract::registry::RegistryEnv;
use crate::ports::contract::registry_kit::{
    DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, by_digest, by_tag, index,
};
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, fails, same};

/// The blob is not in this repository.
async fn absent(env: &RegistryEnv, of: &Repository, digest: &Digest) -> Kept {
    let found = env.registry.has_blob(of, digest).await.or_broken("look for a blob")?;
    same("the length of what must not be there", &found, &None)
}

/// The blob is in this repository and comes back as it was written.
async fn reads_back(env: &RegistryEnv, of: &Repository, digest: &Digest, wanted: &[u8]) -> Kept {
    let found = env.registry.has_blob(of, digest).await.or_broken("look for a blob")?;
    same("its length", &found, &Some(wanted.len() as u64))?;
    let (from, bytes) = env.blob(of, digest, 0).await?;
    same("where it begins", &from, &0)?;
    ensure(bytes == wanted, || format!("{} bytes came back, not those written", bytes.len()))
}

pub(super) async fn a_blob_that_was_written_is_there_and_reads_back(env: &RegistryEnv) -> Kept {
    let (of, other, bytes) = (env.repository()?, env.repository()?, env.bytes(5_000));
    let digest = Digest::of(&bytes);
    absent(env, &of, &digest).await?;
    env.put_blob(&of, &bytes).await?;
    reads_back(env, &of, &digest, &bytes).await?;
    absent(env, &other, &digest).await
}

pub(super) async fn a_large_blob_comes_through_in_parts(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(9_000_001));
    env.put_blob(&of, &bytes).await?;
    reads_back(env, &of, &Digest::of(&bytes), &bytes).await
}

pub(super) async fn an_empty_blob_can_be_written(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    env.put_blob(&of, b"").await?;
    reads_back(env, &of, &Digest::of(b""), b"").await
}

pub(super) async fn a_blob_reads_on_from_an_offset(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(300_000));
    let digest = env.put_blob(&of, &bytes).await?.digest;
    for wanted in [1_u64, 200_000, 299_999] {
        let (from, rest) = env.blob(&of, &digest, wanted).await?;
        ensure(from == wanted || from == 0, || format!("asked from {wanted}, it began at {from}"))?;
        let tail = usize::try_from(from).ok().and_then(|at| bytes.get(at..));
        ensure(tail == Some(&rest), || format!("the {} bytes from {from} on are others", rest.len()))?;
    }
    Ok(())
}

pub(super) async fn an_absent_blob_is_not_found(env: &RegistryEnv) -> Kept {
    let (there, of) = (env.repository()?, env.repository()?);
    env.tagged(&there, &["v1"]).await?;
    let digest = Digest::of(b"nobody has this either");
    for of in [&there, &of] {
        absent(env, of, &digest).await?;
        let found = env.registry.read_blob(of, &digest, 0).await.map(|b| b.from);
        fails("an absent blob", found, Kind::NotFound)?;
    }
    Ok(())
}

pub(super) async fn a_blob_with_another_digest_is_refused_and_not_seen(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(5_000));
    let (right, wrong) = (Digest::of(&bytes), Digest::of(&env.bytes(10)));
    let written = env.write(&of, &wrong, 5_000, &bytes).await;
    fails("a blob with another digest", written, Kind::Invalid)?;
    absent(env, &of, &wrong).await?;
    absent(env, &of, &right).await
}

pub(super) async fn a_source_that_fails_is_told_as_it_is_and_leaves_nothing(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(400_000));
    let digest = Digest::of(&bytes);
    let fault = || Fault::new(Kind::Exhausted, "the source's disk is full").hint("make room");
    let half = Bytes::copy_from_slice(bytes.get(..200_000).unwrap_or(&bytes));
    let breaks = || {
        let parts: Vec<Outcome<Bytes>> = vec![Ok(half.clone()), Err(fault())];
        async move { Ok(stream::iter(parts).boxed()) }.boxed()
    };
    let broken = env.registry.write_blob(&of, &digest, 400_000, &breaks).await;
    same("what came of a source that breaks", &broken, &Err(fault()))?;
    let closed = || async move { Err::<BoxStream<'static, Outcome<Bytes>>, _>(fault()) }.boxed();
    let broken = env.registry.write_blob(&of, &digest, 400_000, &closed).await;
    same("what came of a source that does not open", &broken, &Err(fault()))?;
    absent(env, &of, &digest).await
}

pub(super) async fn a_source_of_the_wrong_length_leaves_nothing(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(50_000));
    let digest = Digest::of(&bytes);
    for said in [49_999, 50_001] {
        let written = env.write(&of, &digest, said, &bytes).await;
        fails("a blob of another length", written, Kind::Invalid)?;
        absent(env, &of, &digest).await?;
    }
    env.put_blob(&of, &bytes).await?;
    reads_back(env, &of, &digest, &bytes).await
}

pub(super) async fn a_blob_is_written_once_more_without_harm(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(5_000));
    env.put_blob(&of, &bytes).await?;
    let digest = env.put_blob(&of, &bytes).await?.digest;
    reads_back(env, &of, &digest, &bytes).await
}

pub(super) async fn one_blob_written_twice_at_once_is_there(env: &RegistryEnv) -> Kept {
    let (of, bytes) = (env.repository()?, env.bytes(600_000));
    let (one, two) = futures_util::join!(env.put_blob(&of, &bytes), env.put_blob(&of, &bytes));
    two?;
    reads_back(env, &of, &one?.digest, &bytes).await
}

pub(super) async fn a_mount_gives_the_blob_or_says_no(env: &RegistryEnv) -> Kept {
    let (from, to, bytes) = (env.repository()?, env.repository()?, env.bytes(5_000));
    let digest = env.put_blob(&from, &bytes).await?.digest;
    if env.registry.mount(&to, &digest, &from).await.or_broken("mount")? {
        return reads_back(env, &to, &digest, &bytes).await;
    }
    absent(env, &to, &digest).await
}

pub(super) async fn a_mount_of_an_absent_blob_says_no(env: &RegistryEnv) -> Kept {
    let (from, to) = (env.repository()?, env.repository()?);
    env.tagged(&from, &["v1"]).await?;
    let digest = Digest::of(&env.bytes(100));
    let mounted = env.registry.mount(&to, &digest, &from).await.or_broken("mount")?;
    same("the mount", &mounted, &false)?;
    absent(env, &to, &digest).await
}

pub(super) async fn manifests_of_all_four_kinds_come_back_byte_for_byte(env: &RegistryEnv) -> Kept {
    for (of_manifest, of_index) in [(OCI_MANIFEST, OCI_INDEX), (DOCKER_MANIFEST, DOCKER_INDEX)] {
        let of = env.repository()?;
        let image = env.image(&of, of_manifest).await?;
        env.registry.put_manifest(&of, &by_tag("image")?, &image).await.or_broken("put an image")?;
        let index = index(of_index, &[&image])?;
        env.registry.put_manifest(&of, &by_tag("index")?, &index).await.or_broken("put an index")?;
        for (tag, manifest) in [("image", &image), ("index", &index)] {
            env.serves(&of, &by_tag(tag)?, manifest).await?;
            env.serves(&of, &by_digest(manifest), manifest).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_manifest_is_found_by_its_digest_before_it_has_a_tag(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.image(&of, OCI_MANIFEST).await?;
    env.registry.put_manifest(&of, &by_digest(&image), &image).await.or_broken("put a manifest")?;
    env.serves(&of, &by_digest(&image), &image).await
}

pub(super) async fn indexes_nest(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.image(&of, OCI_MANIFEST).await?;
    let inner = index(OCI_INDEX, &[&image])?;
    let outer = index(OCI_INDEX, &[&inner, &image])?;
    for manifest in [&image, &inner] {
        let put = env.registry.put_manifest(&of, &by_digest(manifest), manifest).await;
        put.or_broken("put a manifest by its digest")?;
    }
    env.registry.put_manifest(&of, &by_tag("all")?, &outer).await.or_broken("put the outer index")?;
    env.serves(&of, &by_tag("all")?, &outer).await
}

pub(super) async fn a_manifest_without_its_blobs_is_a_conflict(env: &RegistryEnv) -> Kept {
    let (elsewhere, of) = (env.repository()?, env.repository()?);
    let image = env.image(&elsewhere, OCI_MANIFEST).await?;
    let put = env.registry.put_manifest(&of, &by_tag("v1")?, &image).await;
    fails("a manifest without its blobs", put, Kind::Conflict)?;
    let head = env.registry.head(&of, &by_tag("v1")?).await.or_broken("head")?;
    same("what the tag points to", &head, &None)
}

pub(super) async fn an_index_without_its_manifests_is_a_conflict(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.image(&of, OCI_MANIFEST).await?;
    let index = index(OCI_INDEX, &[&image])?;
    let put = env.registry.put_manifest(&of, &by_tag("v1")?, &index).await;
    fails("an index without its manifests", put, Kind::Conflict).map(drop)
}

pub(super) async fn a_tag_moves_to_what_was_put_last(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let first = env.tagged(&of, &["latest"]).await?;
    let second = env.tagged(&of, &["latest"]).await?;
    env.serves(&of, &by_tag("latest")?, &second).await?;
    env.serves(&of, &by_digest(&first), &first).await
}

pub(super) async fn a_removed_tag_leaves_its_manifest(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.tagged(&of, &["keep", "drop"]).await?;
    let tag = |name: &str| name.parse().or_broken("a tag");
    let removed = env.registry.delete_tag(&of, &tag("drop")?).await;
    let left = env.registry.head(&of, &by_tag("drop")?).await.or_broken("head")?;
    match removed {
        Ok(()) => same("what the removed tag points to", &left, &None)?,
        // Some registries cannot: then nothing has changed.
        Err(fault) if fault.kind == Kind::Refused => {
            same("what the tag points to", &left.map(|d| d.digest), &Some(image.digest.clone()))?;
        }
        Err(fault) => return Err(format!("remove a tag failed as {:?}: {fault}", fault.kind)),
    }
    env.registry.delete_tag(&of, &tag("never")?).await.or_broken("remove a tag that is not there")?;
    env.serves(&of, &by_tag("keep")?, &image).await?;
    env.serves(&of, &by_digest(&image), &image).await
}

pub(super) async fn a_removed_manifest_takes_every_tag_along(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.tagged(&of, &["one", "two"]).await?;
    let other = env.tagged(&of, &["other"]).await?;
    for _ in 0..2 {
        env.registry.delete_manifest(&of, &image.digest).await.or_broken("remove a manifest")?;
    }
    for reference in [by_tag("one")?, by_tag("two")?, by_digest(&image)] {
        let head = env.registry.head(&of, &reference).await.or_broken("head")?;
        same("what a removed reference points to", &head, &None)?;
    }
    same("the tags left", &env.all_tags(&of).await?, &vec!["other".to_owned()])?;
    env.serves(&of, &by_tag("other")?, &other).await
}
