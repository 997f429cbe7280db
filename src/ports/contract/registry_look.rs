//! Promises about what is seen of a registry: lists, manifests that are not there, referrers, rights.

use std::collections::BTreeSet;

use crate::base::fault::Kind;
use crate::model::oci::{Digest, Reference};
use crate::ports::contract::registry::RegistryEnv;
use crate::ports::contract::registry_kit::{OCI_MANIFEST, by_digest, by_tag};
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, fails, same};
use crate::ports::registry::Action;

pub(super) async fn facts_are_told(env: &RegistryEnv) -> Kept {
    let facts = env.registry.facts().await.or_broken("facts")?;
    ensure(facts.lists, || format!("the caller may list, the facts say otherwise: {facts:?}"))
}

pub(super) async fn an_absent_repository_is_not_found(env: &RegistryEnv) -> Kept {
    let absent = env.repository()?;
    fails("tags of an absent repository", env.registry.tags(&absent, None).await, Kind::NotFound).map(drop)
}

pub(super) async fn an_absent_manifest_is_none_to_head_and_not_found_to_get(env: &RegistryEnv) -> Kept {
    let (there, absent) = (env.repository()?, env.repository()?);
    env.tagged(&there, &["v1"]).await?;
    let digest = Reference::Digest(Digest::of(b"nobody has this"));
    for (of, reference) in [(&there, by_tag("v2")?), (&there, digest), (&absent, by_tag("v1")?)] {
        let head = env.registry.head(of, &reference).await.or_broken("head")?;
        same("the head of what is absent", &head, &None)?;
        fails("an absent manifest", env.registry.manifest(of, &reference).await, Kind::NotFound)?;
    }
    Ok(())
}

pub(super) async fn every_tag_is_listed_once(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let names: Vec<String> = (0..120).map(|n| format!("v{n}")).collect();
    let image = env.tagged(&of, &[]).await?;
    for name in &names {
        env.registry.put_manifest(&of, &by_tag(name)?, &image).await.or_broken("put a manifest")?;
    }
    let listed = env.all_tags(&of).await?;
    let set: BTreeSet<&String> = listed.iter().collect();
    same("the number of tags", &listed.len(), &names.len())?;
    same("the tags", &set, &names.iter().collect())
}

pub(super) async fn every_repository_is_listed_once(env: &RegistryEnv) -> Kept {
    let mut wanted = BTreeSet::new();
    for _ in 0..3 {
        let of = env.repository()?;
        env.tagged(&of, &["v1"]).await?;
        wanted.insert(of);
    }
    let (mut found, mut next) = (Vec::new(), None::<String>);
    for _ in 0..1000 {
        let page = env.registry.repositories(next.as_deref()).await.or_broken("repositories")?;
        found.extend(page.items.into_iter().filter(|r| wanted.contains(r)));
        next = page.next;
        if next.is_none() {
            same("how often ours are listed", &found.len(), &wanted.len())?;
            return same("ours", &found.into_iter().collect(), &wanted);
        }
    }
    Err("the list of repositories has no end".to_owned())
}

pub(super) async fn an_emptied_repository_has_an_empty_list_of_tags(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.tagged(&of, &["v1"]).await?;
    env.registry.delete_manifest(&of, &image.digest).await.or_broken("delete a manifest")?;
    same("the tags", &env.all_tags(&of).await?, &Vec::new())
}

pub(super) async fn referrers_are_listed_with_their_kind(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.tagged(&of, &["v1"]).await?;
    let mut wanted = BTreeSet::new();
    for _ in 0..2 {
        let signature = env.signature(&of, &image).await?;
        env.registry
            .put_manifest(&of, &by_digest(&signature), &signature)
            .await
            .or_broken("put a referrer")?;
        // Once more: it is not listed twice for that.
        env.registry
            .put_manifest(&of, &by_digest(&signature), &signature)
            .await
            .or_broken("put a referrer")?;
        wanted.insert(signature.digest);
    }
    let found = env.registry.referrers(&of, &image.digest).await.or_broken("referrers")?;
    same("the number of referrers", &found.len(), &wanted.len())?;
    same("the referrers", &found.iter().map(|d| d.digest.clone()).collect(), &wanted)?;
    for referrer in &found {
        same("its kind", &referrer.artifact_type.as_deref(), &Some("application/vnd.example.signature"))?;
        let note = referrer.annotations.get("org.example.by").map(String::as_str);
        same("its note", &note, &Some("contract"))?;
    }
    Ok(())
}

pub(super) async fn a_referrer_may_come_before_its_subject(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.image(&of, OCI_MANIFEST).await?;
    let signature = env.signature(&of, &image).await?;
    env.registry.put_manifest(&of, &by_digest(&signature), &signature).await.or_broken("put a referrer")?;
    let found = env.registry.referrers(&of, &image.digest).await.or_broken("referrers")?;
    same("the referrers", &found.into_iter().map(|d| d.digest).collect(), &vec![signature.digest])
}

pub(super) async fn no_referrers_is_an_empty_list(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    let image = env.tagged(&of, &["v1"]).await?;
    let found = env.registry.referrers(&of, &image.digest).await.or_broken("referrers")?;
    same("the referrers", &found, &Vec::new())
}

pub(super) async fn rights_are_told_before_the_first_byte(env: &RegistryEnv) -> Kept {
    let of = env.repository()?;
    for action in [Action::Pull, Action::Push, Action::Delete] {
        same("the right", &env.registry.may(&of, action).await.or_broken("may")?, &true)?;
    }
    Ok(())
}
