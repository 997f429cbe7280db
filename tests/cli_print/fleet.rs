//! The commands about hosts, sites and placement: what is asked of the engine, and what is printed.

use std::sync::Arc;

use longshore::base::ids::{HostId, SiteName};
use longshore::cli::Purpose;
use longshore::model::command::{Accepted, Command, HostEdit, NewHost};
use longshore::model::host::{Capacity, Duty, HostState, HostView, Need, Seen};
use longshore::model::placement::Strategy;
use longshore::model::query::{Query, Reply, Request};
use longshore::model::site::{MassLoss, Site, SiteLimits, SiteView};
use longshore::model::world::World;

use crate::data::*;
use crate::fake::*;

fn id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// Changes one host of a world.
fn host(world: &mut World, name: &str, change: impl FnOnce(&mut HostView)) {
    change(Arc::make_mut(world.hosts.get_mut(&id(name)).unwrap()));
}

/// bj-03 and lost-1 stand in bj, bj-03 has a record.
pub fn with_sites(world: &mut World) {
    for name in ["bj-03", "lost-1"] {
        host(world, name, |h| Arc::make_mut(&mut h.record).site = Some(site("bj")));
    }
    host(world, "bj-03", |h| {
        let record = Arc::make_mut(&mut h.record);
        record.capacity.disk = Some(1 << 40);
        record.labels = [("old", "1"), ("group.web", "true")].map(|(k, v)| (k.into(), v.into())).into();
        record.duty = Duty::Cordoned { by: EVIL.into(), at: NOW };
        h.state = HostState::Cordoned;
        h.taken.need = Need { cpu_milli: 6_000, memory: 4 << 30, disk: 1 << 39, ..Need::default() };
    });
    let bj = Site {
        name: site("bj"),
        registry: Some(format!("registry.example{EVIL}")),
        limits: SiteLimits { containers: Some(50), pulls: None, images: vec!["registry.example/*".into()] },
    };
    world.sites = Arc::new([(site("bj"), SiteView { site: bj, hosts: 2, silent: 1, lost: None })].into());
}

fn accepting() -> Fake {
    Fake::new(|request| match request {
        Request::Command(Command::Drain { .. }) => accept(),
        Request::Command(_) => Reply::Accepted(Accepted { op: None, text: "done".into() }),
        Request::Query(_) => answers(request),
    })
    .with(with_sites)
}

/// The commands that a line leads to; it must be accepted.
async fn sent(line: &str) -> Vec<Command> {
    let fake = accepting();
    let ran = run(&fake, line).await;
    clean(&ran);
    assert_eq!(ran.status, 0, "{line}: {}", ran.err);
    let command = |request: Request| match request {
        Request::Command(command) => Some(command),
        Request::Query(_) => None,
    };
    fake.asked().into_iter().filter_map(command).collect()
}

#[tokio::test(start_paused = true)]
async fn hosts_are_taken_by_name_or_by_site() {
    let two = vec![id("bj-03"), id("lost-1")];
    for (line, command) in [
        ("hosts cordon bj-03 lost-1", Command::Cordon { hosts: two.clone() }),
        ("hosts cordon --site bj", Command::Cordon { hosts: two.clone() }),
        ("hosts drain --site bj --force", Command::Drain { hosts: two.clone(), force: true }),
        ("hosts uncordon bj-03", Command::Undrain { hosts: vec![id("bj-03")] }),
        ("hosts give-up --site bj", Command::GiveUp { hosts: two }),
        ("hosts accept bj-03", Command::AcceptEngine { host: id("bj-03") }),
        ("sites remove bj", Command::RemoveSite(site("bj"))),
    ] {
        assert_eq!(sent(line).await, [command], "{line}");
    }
    let ran = run(&accepting(), "hosts drain --site sh").await;
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("no host belongs to a site sh\nhint: "), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_waited_for_like_a_scale() {
    let ran = run(&accepting(), "hosts drain bj-03 --wait=30").await;
    assert_eq!(ran.status, 1);
    assert!(ran.out.starts_with("accepted op-12: "), "{}", ran.out);
    assert!(ran.err.contains("op-12 is not over after 30.0s"), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn a_host_is_added_with_its_record() {
    let line = "hosts add x-1 ssh://x-1 --site bj --cluster feed --class new --label disk=ssd --label rack=r/1 \
        --in-service 2000-02-29 --disk 2T --bandwidth 10G --pids 4096 --cpu-percent 150";
    let commands = sent(line).await;
    let [Command::AddHosts(hosts)] = &commands[..] else { panic!("{commands:?}") };
    let [NewHost { config, record }] = &hosts[..] else { panic!("{hosts:?}") };
    assert_eq!((config.id.as_str(), config.address.as_str()), ("x-1", "ssh://x-1"));
    assert_eq!(
        record.capacity,
        Capacity {
            disk: Some(2 << 40),
            bandwidth: Some(10_000_000_000),
            pids: Some(4096),
            cpu_percent: Some(150)
        }
    );
    assert_eq!(record.site, Some(site("bj")));
    assert_eq!(record.in_service.map(|at| at.0), Some(951_782_400_000));
    assert_eq!(record.labels.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn labels_and_records_are_changed_and_taken_away() {
    let commands = sent("hosts label bj-03 disk=ssd old- --class= --site sh --pids 100").await;
    let edit = HostEdit {
        site: Some(Some(site("sh"))),
        class: Some(None),
        labels: [("disk".to_owned(), Some("ssd".to_owned())), ("old".to_owned(), None)].into(),
        // The capacity travels as a whole: what is not named stays.
        capacity: Some(Capacity { disk: Some(1 << 40), pids: Some(100), ..Capacity::default() }),
        ..HostEdit::default()
    };
    assert_eq!(commands, [Command::EditHosts { hosts: vec![id("bj-03")], edit: Box::new(edit) }]);
    let commands = sent("hosts label --of-site bj a=b").await;
    assert!(matches!(&commands[..], [Command::EditHosts { hosts, .. }] if hosts.len() == 2), "{commands:?}");
    let commands = sent("hosts label --of-site bj --pids 7").await;
    assert_eq!(commands.len(), 2, "hosts of unlike capacity: {commands:?}");
}

/// A file in a folder of its own, with nothing in its path that a command line would part.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

const FLEET: &str = "name,address,site,class,labels,disk\n\
    bj-03,tcp://bj-03:2376,sh,new,disk=ssd,\n\
    lost-1,tcp://lost-1:2376,bj,,,\n\
    new-1,ssh://new-1,,,,1T\n\
    new-2,ssh://new-2,,,,\n";

#[tokio::test(start_paused = true)]
async fn an_import_says_what_it_does_to_each_host() {
    let (_folder, path) = file("fleet.csv", FLEET);
    let told = "~ bj-03: changed site bj -> sh; class none -> new; label disk none -> ssd\n\
        = lost-1: unchanged\n+ new-1: new, ssh://new-1\n+ new-2: new, ssh://new-2\n";
    let fake = accepting();
    let ran = run(&fake, &format!("hosts import {path} --dry-run")).await;
    assert_eq!((ran.status, ran.out.as_str()), (0, told), "{}", ran.err);
    assert!(fake.asked().is_empty());
    assert_eq!(fake.opened.lock().unwrap()[0].1, Purpose::Look);
    let ran = run(&accepting(), &format!("hosts import {path} --dry-run --json")).await;
    insta::assert_snapshot!("import_json", ran.out);

    let commands = sent(&format!("hosts import {path}")).await;
    let [Command::AddHosts(new), Command::EditHosts { hosts, edit }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(new.iter().map(|n| n.config.id.as_str()).collect::<Vec<_>>(), ["new-1", "new-2"]);
    assert_eq!(hosts[..], [id("bj-03")]);
    assert_eq!((edit.site.clone(), edit.capacity), (Some(Some(site("sh"))), None), "what is not said stays");
    assert_eq!(edit.labels.len(), 1, "labels that a CSV does not name stay");
}

#[tokio::test(start_paused = true)]
async fn groups_of_ansible_are_the_inventorys_alone() {
    let (_folder, path) = file("inventory", "[db]\nbj-03 longshore_address=tcp://bj-03:2376\n");
    let commands = sent(&format!("hosts import {path}")).await;
    let [Command::EditHosts { edit, .. }] = &commands[..] else { panic!("{commands:?}") };
    let labels: Vec<_> = edit.labels.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
    assert_eq!(labels, [("group.db", Some("true")), ("group.web", None)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_imported_from_a_file_with_a_fault_or_a_conflict() {
    for (name, text, said) in [
        ("bad.csv", "name,address\nx,ftp://x\n", "bad.csv:2:2: \"ftp://x\" is not an address"),
        ("odd.ini", "[a b]\nx\n", "hint: it was read as ini"),
        ("known.csv", "name,address\nx,ssh://x\nbj-03,ssh://other\n", "1 of the hosts are known otherwise"),
        ("twin.csv", "name,address\ny,tcp://bj-03:2376\n", "1 of the hosts are known otherwise"),
    ] {
        let (_folder, path) = file(name, text);
        let fake = accepting();
        let ran = run(&fake, &format!("hosts import {path}")).await;
        clean(&ran);
        assert_eq!(ran.status, 1, "{name}");
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
        assert!(fake.asked().is_empty(), "{name}");
    }
    assert_eq!(run(&Fake::mute(), "hosts import /nowhere/at/all.csv").await.status, 1);
}

#[tokio::test(start_paused = true)]
async fn problems_come_first_and_a_site_can_be_looked_at_alone() {
    let fake = Fake::mute().with(with_sites).with(|w| {
        w.mass_loss = Some(MassLoss { lost: 3, of: 9, sites: vec![site("bj")], containers: 40 });
    });
    let ran = run(&fake, "hosts").await;
    clean(&ran);
    insta::assert_snapshot!("hosts_with_sites", format!("{}\n--- stderr\n{}", ran.out, ran.err));
    let ran = run(&Fake::mute().with(with_sites), "hosts --site bj --json").await;
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        [&value[0]["name"], &value[1]["name"], &value[1]["lifecycle"]],
        ["lost-1", "bj-03", "cordoned"]
    );
    let ran = run(&Fake::mute().with(with_sites), "sites").await;
    clean(&ran);
    insta::assert_snapshot!("sites_table", ran.out);
}

#[tokio::test(start_paused = true)]
async fn a_site_keeps_what_is_not_named() {
    let commands = sent("sites set bj --max-pulls 20 --max-containers= --allow-image a/* b/*").await;
    let [Command::PutSite(put)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(put.limits.pulls, Some(20));
    assert_eq!(put.limits.containers, None);
    assert_eq!(put.limits.images, ["a/*", "b/*"]);
    assert!(put.registry.is_some(), "it was recorded before");
}

#[tokio::test(start_paused = true)]
async fn why_shows_scores_and_all_that_refuses() {
    for (name, line, refusing) in [
        ("why", "why feed/web.3", 2),
        ("why_many", "why feed/web.3", 150),
        ("why_all", "why feed/web.3 --all", 12),
    ] {
        let fake = Fake::new(move |_| Reply::Why(Box::new(explanation(refusing))));
        let ran = run(&fake, line).await;
        clean(&ran);
        assert_eq!(ran.status, 0);
        insta::assert_snapshot!(name, ran.out);
    }
    let fake = Fake::new(answers);
    run(&fake, "why feed/web --strategy binpack").await;
    let strategy = Some(Strategy::Binpack);
    assert_eq!(fake.asked(), [Request::Query(Query::Why { pool: pool_id(), slot: None, strategy })]);
    let ran = run(&Fake::new(answers), "why feed/web.3 --json").await;
    clean(&ran);
    insta::assert_snapshot!("why_json", ran.out);
    assert_eq!(run(&Fake::mute(), "why feed/none").await.status, 1);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_goes_with_a_scale_and_its_plan() {
    let fake = Fake::new(|_| accept());
    run(&fake, "scale feed/web +1 --strategy random").await;
    assert!(matches!(
        &fake.asked()[..],
        [Request::Command(Command::SetReplicas { strategy: Some(Strategy::Random), .. })]
    ));
    let fake = Fake::new(|_| Reply::Preview(Box::new(preview(None))));
    run(&fake, "scale feed/web +1 --strategy random --plan").await;
    assert!(matches!(
        &fake.asked()[..],
        [Request::Query(Query::Preview { strategy: Some(Strategy::Random), .. })]
    ));
}

#[tokio::test(start_paused = true)]
async fn moves_are_shown_and_made_only_when_that_is_said() {
    let fake = Fake::new(answers);
    let ran = run(&fake, "rebalance feed --limit 5").await;
    clean(&ran);
    insta::assert_snapshot!("rebalance", format!("{}\n--- stderr\n{}", ran.out, ran.err));
    assert!(matches!(&fake.asked()[..], [Request::Query(Query::Rebalance { limit: 5, .. })]));
    let fake = Fake::new(answers);
    let ran = run(&fake, "rebalance --yes").await;
    assert!(ran.out.ends_with("accepted op-12: feed/web 3 -> 5\n"), "{}", ran.out);
    let asked = fake.asked();
    let [_, Request::Command(Command::Rebalance { moves })] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(*moves, proposal().moves, "exactly what was shown");
    let ran = run(&Fake::new(answers), "rebalance --json").await;
    clean(&ran);
    insta::assert_snapshot!("rebalance_json", ran.out);
    assert_eq!(run(&Fake::mute(), "rebalance none").await.status, 1);
}

/// The pool's specification after a line, and whether the number was to be taken.
async fn set(line: &str) -> (longshore::model::pool::PoolSpec, bool) {
    let fake = Fake::new(|request| match request {
        Request::Query(Query::Pool { .. }) => {
            let mut pool = world().pools[&pool_id()].pool.clone();
            pool.spec.image = "web:1".into();
            Reply::Pool(Box::new(pool))
        }
        other => answers(other),
    });
    let ran = run(&fake, line).await;
    assert_eq!(ran.status, 0, "{line}: {}", ran.err);
    let asked = fake.asked();
    let [_, Request::Command(Command::Up { spec, reset_scale })] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((spec.name.as_str(), spec.pools.len()), ("feed", 1));
    (spec.pools[0].1.clone(), *reset_scale)
}

#[tokio::test(start_paused = true)]
async fn single_things_of_a_pool_are_set() {
    let (spec, reset) = set("set feed/web memory=512M cpus=1.5 pids=200 min= max=70 cpu-reserved=0.5").await;
    assert_eq!(spec.resources.memory_limit, Some(512 << 20));
    assert_eq!((spec.resources.cpu_limit_milli, spec.resources.cpu_reserved_milli), (Some(1500), Some(500)));
    assert_eq!((spec.resources.pids_limit, spec.limits.min, spec.limits.max), (Some(200), None, Some(70)));
    assert_eq!((spec.replicas, reset, spec.protect), (3, false, true), "the rest stays");
    let (spec, reset) = set("set feed/web replicas=5 on-host-loss=wait strategy=binpack").await;
    assert_eq!((spec.replicas, reset, spec.placement.strategy), (5, true, Strategy::Binpack));
    assert!(set("set feed/web want=6").await.1);
    let (spec, _) = set("set feed/web healthcheck=NONE").await;
    assert!(spec.healthcheck.unwrap().is_off());
}

#[tokio::test(start_paused = true)]
async fn what_would_be_set_is_shown_and_held_against_the_rules_of_pool_files() {
    let answer = |request: &Request| match request {
        Request::Query(Query::Pool { .. }) => {
            let mut pool = world().pools[&pool_id()].pool.clone();
            pool.spec.image = "web:1".into();
            Reply::Pool(Box::new(pool))
        }
        other => panic!("nothing is to be sent: {other:?}"),
    };
    let ran = run(&Fake::new(answer), "set feed/web memory=512M max=70 --plan").await;
    let told = "~ feed/web: memory limit added: 512M; limits min 1 max 60 step 20 -> min 1 max 70 step 20; its containers are renewed\n";
    assert_eq!((ran.status, ran.out.as_str()), (0, told));
    for (line, said) in [
        ("set feed/web max=2", "3 replicas are outside the limits"),
        ("set feed/web memory=1M memory-reserved=2M", "more is reserved than the limit allows"),
        ("set feed/web image=UPPER/case:", "is not an image"),
    ] {
        let ran = run(&Fake::new(answer), line).await;
        assert_eq!(ran.status, 1, "{line}");
        assert!(ran.err.contains(said) && ran.err.contains("\nhint: "), "{line}: {}", ran.err);
    }
    let ran = run(&Fake::new(answer), "set feed/web protect=true").await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "= feed/web: nothing changes\n"));
}

#[tokio::test(start_paused = true)]
async fn advice_is_about_what_was_named() {
    let ran = run(&Fake::mute().with(with_sites), "advice").await;
    clean(&ran);
    let all = ran.out.lines().count();
    assert!(ran.out.contains("        -> longshore "), "{}", ran.out);
    let ran = run(&Fake::mute().with(with_sites), "advice feed/web").await;
    assert!(ran.out.lines().filter(|l| !l.starts_with("  ")).all(|l| l.contains("feed/web")), "{}", ran.out);
    assert!((1..=all).contains(&ran.out.lines().count()));
    assert_eq!(run(&Fake::mute(), "advice nobody").await.status, 1);
}

/// What advice tells a person to type is taken: words in capitals are theirs to fill in.
#[tokio::test(start_paused = true)]
async fn commands_of_advice_are_commands() {
    let world = Fake::mute().with(with_sites).world.borrow().clone();
    let mut tried = 0;
    for advice in longshore::view::advice::advise(&world, NOW) {
        let line = advice.command.strip_prefix("longshore ").unwrap();
        if line.split(['=', ' ']).any(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_uppercase())) {
            continue;
        }
        let ran = run(&accepting(), line).await;
        assert_ne!(ran.status, 2, "{line}: {}", ran.err);
        tried += 1;
    }
    assert!(tried > 1);
    assert_eq!(run(&accepting(), "hosts --json cordon bj-03").await.status, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_site_is_one_line() {
    let fake = Fake::mute().with(with_sites).with(|w| {
        for i in 0..300 {
            let mut view =
                host_view(&format!("gone-{i}"), Seen::Never { why: Some(EVIL.into()) }, Vec::new());
            Arc::make_mut(&mut Arc::make_mut(&mut view).record).site = Some(site("sh"));
            w.hosts.insert(view.config.id.clone(), view);
        }
    });
    let ran = run(&fake, "ps").await;
    clean(&ran);
    let told: Vec<&str> = ran.err.lines().filter(|l| l.contains("answer")).collect();
    assert_eq!(told.len(), 3, "{}", ran.err);
    assert!(
        told[2].starts_with("300 hosts of site sh do not answer (gone-0, gone-1, gone-10, …)"),
        "{}",
        told[2]
    );
    assert!(told[0].starts_with("1 host of no site does not answer (never-1)"), "{}", told[0]);
}
