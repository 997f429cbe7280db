//! Promises about images: what a reference stands for, and archives that carry an image from host to host.

use futures_util::StreamExt;

use crate::base::fault::{Fault, Kind};
use crate::ports::contract::runtime::ContractEnv;
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, fails, same};

pub(super) async fn what_a_reference_stands_for_is_told(env: &ContractEnv) -> Kept {
    let held = env.runtime.held(&env.image).await.or_broken("held")?;
    let held = held.ok_or("the image in use is not told")?;
    ensure(!held.id.raw().is_empty(), || "it has no id".to_owned())?;
    let other = "lab/held-under-another-name:1";
    env.runtime.name_image(&env.image, other).await.or_broken("the second name")?;
    let same_image = env.runtime.held(other).await.or_broken("held by its second name")?;
    same("the image under its second name", &same_image.map(|h| h.id), &Some(held.id))?;
    let missing =
        env.runtime.held("lab/there-is-no-such-image:1").await.or_broken("held of a missing one")?;
    same("a missing image", &missing, &None)
}

pub(super) async fn an_archive_brings_the_same_image(env: &ContractEnv) -> Kept {
    let before = env.runtime.held(&env.image).await.or_broken("held")?;
    let archive = env.runtime.export(&env.image).await.or_broken("export")?;
    env.runtime.load(archive).await.or_broken("load")?;
    let after = env.runtime.held(&env.image).await.or_broken("held after the load")?;
    same("the image after the load", &after.map(|h| h.id), &before.map(|h| h.id))?;
    let missing = env.runtime.export("lab/there-is-no-such-image:1").await;
    // Some engines answer with an archive that breaks off: it is never taken for an image.
    match missing {
        Ok(archive) => {
            let pieces: Vec<_> = archive.collect().await;
            ensure(pieces.iter().any(Result::is_err), || "a missing image gave a whole archive".to_owned())
        }
        Err(fault) => fails::<()>("the export of a missing image", Err(fault), Kind::NotFound).map(drop),
    }
}

pub(super) async fn an_archive_that_breaks_off_brings_nothing(env: &ContractEnv) -> Kept {
    let name = "lab/half-an-archive:1";
    env.runtime.name_image(&env.image, name).await.or_broken("another name")?;
    let archive = env.runtime.export(name).await.or_broken("export")?;
    let cut = futures_util::stream::iter([Err(Fault::new(Kind::Unreachable, "cut by the test"))]);
    let half = archive.take(1).chain(cut).boxed();
    let said = fails("the load of half an archive", env.runtime.load(half).await, Kind::Unreachable)?;
    ensure(said.contains("cut by the test"), || format!("the reason is lost: {said}"))?;
    let junk = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"this is no archive"))]).boxed();
    ensure(env.runtime.load(junk).await.is_err(), || "nonsense was taken for an archive".to_owned())
}
