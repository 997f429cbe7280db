//! Promises about making, starting, stopping and removing containers.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use crate::base::fault::Kind;
use crate::base::ids::{ContainerId, InstallId};
use crate::model::container::{Owner, State};
use crate::model::holdings::Sort;
use crate::model::pool::{Mount, MountKind, Network, PoolSpec, Port};
use crate::ports::contract::runtime::ContractEnv;
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, fails, same};
use crate::ports::contract::scripts;

/// An id that no engine has.
const ABSENT: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

pub(super) async fn create_is_idempotent_by_name(env: &ContractEnv) -> Kept {
    let (tag, spec) = (env.tag()?, env.script(scripts::IDLE));
    let first = env.runtime.create(&tag, &spec).await.or_broken("create")?;
    let kept = async {
        let again = env.runtime.create(&tag, &spec).await.or_broken("the second create")?;
        same("the second id", &again, &first)?;
        let mut other = tag.clone();
        other.revision += 1;
        // The same name with another tag: not what was asked for.
        fails("a create with another tag", env.runtime.create(&other, &spec).await, Kind::Conflict)?;
        Ok(())
    };
    let kept = kept.await;
    env.clean(&[first], kept).await
}

pub(super) async fn create_racing_makes_one(env: &ContractEnv) -> Kept {
    let (tag, spec) = (env.tag()?, env.script(scripts::IDLE));
    let made = join_all((0..8).map(|_| env.runtime.create(&tag, &spec))).await;
    let mut ids = Vec::new();
    let mut kept = Ok(());
    for result in made {
        match result.or_broken("a racing create") {
            Ok(id) => ids.push(id),
            Err(why) => kept = Err(why),
        }
    }
    ids.sort();
    ids.dedup();
    let one = same("the number of containers", &ids.len(), &1);
    env.clean(&ids, kept.and(one)).await
}

pub(super) async fn name_taken_by_stranger_is_conflict(env: &ContractEnv) -> Kept {
    let (tag, spec) = (env.tag()?, env.script(scripts::IDLE));
    let name = tag.container_name();
    (env.make_stranger)(name.clone()).await?;
    let result = env.runtime.create(&tag, &spec).await;
    let list = env.runtime.list().await.or_broken("list")?;
    let strangers: Vec<ContainerId> =
        list.into_iter().filter(|c| c.name.raw() == name).map(|c| c.id).collect();
    let kept = fails("the create", result, Kind::Conflict).map(drop);
    let alive = same("the number of containers of that name", &strangers.len(), &1);
    env.clean(&strangers, kept.and(alive)).await
}

pub(super) async fn list_after_start_shows_running_with_tag(env: &ContractEnv) -> Kept {
    let (tag, spec) = (env.tag()?, env.script(scripts::IDLE));
    let id = env.runtime.create(&tag, &spec).await.or_broken("create")?;
    let kept = async {
        let Some(made) = env.listed(&id).await? else { return Err("it is not listed once made".to_owned()) };
        same("the state before the start", &made.state, &State::Created)?;
        env.runtime.start(&id).await.or_broken("start")?;
        let Some(running) = env.listed(&id).await? else {
            return Err("it is not listed once started".to_owned());
        };
        same("the state", &running.state, &State::Running)?;
        same("the name", &running.name.raw().to_owned(), &tag.container_name())?;
        same("the image", &running.image.raw().to_owned(), &env.image)?;
        same("the exit status", &running.exit, &None)?;
        ensure(running.created.0 > 0, || "it has no time of creation".to_owned())?;
        same("the owner", &running.owner, &Owner::Longshore(tag.clone()))
    };
    let kept = kept.await;
    env.clean(&[id], kept).await
}

pub(super) async fn start_is_idempotent(env: &ContractEnv) -> Kept {
    let check = |id: ContainerId| async move {
        env.runtime.start(&id).await.or_broken("the second start")?;
        fails(
            "the start of an absent one",
            env.runtime.start(&ContainerId::new(ABSENT)).await,
            Kind::NotFound,
        )?;
        Ok(())
    };
    env.with_running(&env.script(scripts::IDLE), check).await
}

pub(super) async fn stop_is_idempotent_and_honours_grace(env: &ContractEnv) -> Kept {
    // It ends by itself with 7 when it is asked to, so a 7 proves that it was asked and was given the time.
    let polite = env.script(scripts::POLITE);
    let check = |id: ContainerId| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        env.runtime.stop(&id, 10_000).await.or_broken("stop")?;
        same(
            "the exit status of one that ends itself",
            &env.runtime.ending(&id).await.or_broken("ending")?.exit,
            &7,
        )?;
        env.runtime.stop(&id, 10_000).await.or_broken("the second stop")
    };
    env.with_running(&polite, check).await?;
    let stubborn = env.script(scripts::STUBBORN);
    let check = |id: ContainerId| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        env.runtime.stop(&id, 1000).await.or_broken("stop")?;
        same(
            "the exit status of a killed one",
            &env.runtime.ending(&id).await.or_broken("ending")?.exit,
            &137,
        )
    };
    env.with_running(&stubborn, check).await
}

pub(super) async fn stop_of_absent_is_not_found(env: &ContractEnv) -> Kept {
    fails("stop", env.runtime.stop(&ContainerId::new(ABSENT), 1000).await, Kind::NotFound).map(drop)
}

pub(super) async fn remove_is_idempotent(env: &ContractEnv) -> Kept {
    let tag = env.tag()?;
    let id = env.runtime.create(&tag, &env.script(scripts::IDLE)).await.or_broken("create")?;
    env.runtime.start(&id).await.or_broken("start")?;
    let both = join_all([env.runtime.remove(&id), env.runtime.remove(&id)]).await;
    for result in both {
        result.or_broken("one of two removals at once")?;
    }
    env.runtime.remove(&id).await.or_broken("a removal afterwards")?;
    same("what is listed of it", &env.listed(&id).await?, &None)
}

pub(super) async fn an_image_can_have_two_names(env: &ContractEnv) -> Kept {
    let name = "localhost:5999/lab/second-name:1";
    env.runtime.name_image(&env.image, name).await.or_broken("the second name")?;
    env.runtime.name_image(&env.image, name).await.or_broken("the second name again")?;
    same("has_image by its second name", &env.runtime.has_image(name).await.or_broken("has_image")?, &true)?;
    let missing = env.runtime.name_image("lab/there-is-no-such-image:1", name).await;
    same("naming a missing image", &missing.map_err(|f| f.kind), &Err(Kind::NotFound))
}

pub(super) async fn missing_image_is_not_found(env: &ContractEnv) -> Kept {
    let image = "lab/there-is-no-such-image:1";
    let spec = PoolSpec { image: image.to_owned(), ..env.script(scripts::IDLE) };
    same("has_image of a missing one", &env.runtime.has_image(image).await.or_broken("has_image")?, &false)?;
    same("has_image of the test's", &env.runtime.has_image(&env.image).await.or_broken("has_image")?, &true)?;
    fails("the create", env.runtime.create(&env.tag()?, &spec).await, Kind::NotFound)?;
    env.runtime.pull(&env.image, &|_| ()).await.or_broken("the pull of an image that is there")
}

pub(super) async fn bad_command_is_refused_with_reason(env: &ContractEnv) -> Kept {
    let tag = env.tag()?;
    let id = env.runtime.create(&tag, &env.command(&[scripts::NO_PROGRAM])).await.or_broken("create")?;
    let kept = match fails("the start", env.runtime.start(&id).await, Kind::Refused) {
        Ok(said) => {
            ensure(said.contains(scripts::NO_PROGRAM), || format!("the reason does not name it: {said}"))
        }
        Err(why) => Err(why),
    };
    env.clean(&[id], kept).await
}

pub(super) async fn port_conflict_is_conflict(env: &ContractEnv) -> Kept {
    let name = format!("{}-ports", env.install);
    let port = Port { target: 80, published: Some(env.free_port), host_ip: None, protocol: "tcp".to_owned() };
    let spec = PoolSpec {
        network_mode: None,
        networks: vec![Network { name: name.clone(), aliases: vec![], external: false }],
        ports: vec![port],
        ..env.script(scripts::IDLE)
    };
    let first = env.runtime.create(&env.tag()?, &spec).await.or_broken("the first create")?;
    let second = env.runtime.create(&env.tag()?, &spec).await.or_broken("the second create")?;
    let kept = async {
        env.runtime.start(&first).await.or_broken("the first start")?;
        let said = fails("the second start", env.runtime.start(&second).await, Kind::Conflict)?;
        let port = env.free_port.to_string();
        ensure(said.contains(&port), || format!("the reason does not name the port: {said}"))?;
        let shown = env.listed(&first).await?.map(|c| c.ports).unwrap_or_default();
        let wanted = format!("{port}->80/tcp");
        ensure(shown.iter().any(|p| p.raw() == wanted), || format!("{shown:?} does not show {wanted}"))
    };
    let kept = kept.await;
    let cleaned = env.clean(&[first, second], kept).await;
    cleaned.and(env.runtime.remove_network(&name, &env.install).await.or_broken("remove_network"))
}

pub(super) async fn labels_survive(env: &ContractEnv) -> Kept {
    let hostile = "\u{1b}]0;x\u{7}\u{9b}\u{202e}é\n";
    let mut spec = env.script(scripts::IDLE);
    spec.labels.insert("com.docker.compose.project".to_owned(), hostile.to_owned());
    let tag = env.tag()?;
    let id = env.runtime.create(&tag, &spec).await.or_broken("create")?;
    let kept = async {
        let json = env.runtime.inspect(&id).await.or_broken("inspect")?;
        let json: serde_json::Value = serde_json::from_str(&json).map_err(|why| why.to_string())?;
        let found = json.pointer("/Config/Labels/com.docker.compose.project").and_then(|v| v.as_str());
        same("the label", &found, &Some(hostile))?;
        let owner = env.listed(&id).await?.map(|c| c.owner);
        same("the owner in spite of a stranger's label", &owner, &Some(Owner::Longshore(tag.clone())))
    };
    let kept = kept.await;
    env.clean(&[id], kept).await
}

pub(super) async fn networks_are_made_and_removed(env: &ContractEnv) -> Kept {
    let network = |suffix: &str, external| Network {
        name: format!("{}-{suffix}", env.install),
        aliases: vec!["web".to_owned()],
        external,
    };
    let on = |networks: Vec<Network>| PoolSpec { network_mode: None, networks, ..env.script(scripts::IDLE) };
    let missing = env.runtime.create(&env.tag()?, &on(vec![network("none", true)])).await;
    fails("a create on an external network that is not there", missing, Kind::Refused)?;
    let (one, two) = (network("one", false), network("two", false));
    let spec = on(vec![one.clone(), two.clone()]);
    let check = |id: ContainerId| async move {
        let listed = env.listed(&id).await?;
        ensure(listed.is_some_and(|c| c.address.is_some()), || "it shows no address".to_owned())?;
        Ok(())
    };
    let kept = env.with_running(&spec, check).await;
    for name in [&one.name, &two.name] {
        let stranger = InstallId("ffffffff".into());
        fails(
            "removing another install's network",
            env.runtime.remove_network(name, &stranger).await,
            Kind::Conflict,
        )?;
        env.runtime.remove_network(name, &env.install).await.or_broken("remove_network")?;
        env.runtime.remove_network(name, &env.install).await.or_broken("the second remove_network")?;
    }
    kept
}

pub(super) async fn what_others_make_is_told_and_never_made(env: &ContractEnv) -> Kept {
    let (there, absent) = (format!("{}-there", env.install), format!("{}-the", env.install));
    let names = |names: &[&String]| names.iter().map(|n| (*n).clone()).collect::<BTreeSet<String>>();
    let asked = names(&[&there, &absent]);
    let on = |name: &String, external| PoolSpec {
        network_mode: None,
        networks: vec![Network { name: name.clone(), aliases: vec![], external }],
        ..env.script(scripts::IDLE)
    };
    let with = |name: &String, external| {
        let (kind, source, target) = (MountKind::Volume, name.clone(), "/data".to_owned());
        let mounts = vec![Mount { kind, source, target, read_only: false, external }];
        PoolSpec { mounts, ..env.script(scripts::IDLE) }
    };
    let mut made = Vec::new();
    for spec in [on(&there, false), with(&there, false)] {
        made.push(env.runtime.create(&env.tag()?, &spec).await.or_broken("create")?);
    }
    let kept = async {
        for spec in [on(&absent, true), with(&absent, true)] {
            let said = env.runtime.create(&env.tag()?, &spec).await;
            let said = fails("a create with something external that is not there", said, Kind::Refused)?;
            ensure(said.contains(&absent), || format!("the reason does not name it: {said}"))?;
        }
        for sort in Sort::ALL {
            // The absent one's name is a part of the other's.
            let told = env.runtime.holds(sort, &asked).await.or_broken("holds")?;
            same(sort.word(), &told, &names(&[&there]))?;
            let none = env.runtime.holds(sort, &names(&[&absent])).await.or_broken("holds")?;
            same(sort.word(), &none, &names(&[]))?;
        }
        for spec in [on(&there, true), with(&there, true)] {
            let id = env.runtime.create(&env.tag()?, &spec).await.or_broken("a create with what is there")?;
            env.runtime.remove(&id).await.or_broken("remove")?;
        }
        Ok(())
    };
    let kept = kept.await;
    let kept = env.clean(&made, kept).await;
    kept.and(env.runtime.remove_network(&there, &env.install).await.or_broken("remove_network"))
}
