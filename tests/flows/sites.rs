//! Sites in whole flows: images come from a site's own registry if it has them, and its line is spared.

use crate::flow::{Flow, cluster, host, pass, spec};
use longshore::adapters::sim::{CallKind, ImagePlan, Scenario};
use longshore::base::ids::SiteName;
use longshore::model::command::{Command, HostEdit};
use longshore::model::host::Seen;
use longshore::model::pool::PoolSpec;
use longshore::model::registry::Registry;
use longshore::model::replication::Rule;
use longshore::model::site::{Site, SiteLimits};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

/// Hosts of one site with a registry of its own, and images that are on no host yet.
async fn flow_of(hosts: usize, images: &[&str], pulls: Option<u32>) -> Flow {
    let mut scenario = Scenario::uniform(hosts, "there:1").unwrap();
    let image = |name: &&str| ImagePlan {
        name: (*name).to_owned(),
        size_mb: 400,
        on: vec![],
        everywhere: false,
        healthcheck: false,
        digest: None,
    };
    scenario.images.extend(images.iter().map(image));
    let flow = Flow::begin(scenario).await;
    let limits = SiteLimits { pulls, ..SiteLimits::default() };
    let bj = Site { name: site("bj"), registry: Some("bj.example:5000".into()), limits };
    flow.command("alice", Command::PutSite(bj)).await.unwrap();
    let edit = Box::new(HostEdit { site: Some(Some(site("bj"))), ..HostEdit::default() });
    let hosts = (1..=hosts).map(|n| host(&format!("h{n}"))).collect();
    flow.command("alice", Command::EditHosts { hosts, edit }).await.unwrap();
    flow
}

fn of_image(image: &str, replicas: u32) -> PoolSpec {
    PoolSpec { image: image.into(), ..spec(replicas) }
}

#[tokio::test(start_paused = true)]
async fn an_image_comes_from_the_sites_own_registry_if_that_has_it() {
    // The registry of its name has nothing: only the site's own can have given it.
    let flow = flow_of(1, &["bj.example:5000/feed/web:2"], None).await;
    flow.up(cluster("feed", &[("web", of_image("hq.example/feed/web:2", 1))])).await;
    flow.until_serving("feed/web", 1).await;
    let (_, container, _) = flow.truth().remove(0);
    assert_eq!(container.image.raw(), "hq.example/feed/web:2", "it is known by the name that was asked for");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_the_sites_registry_lacks_comes_from_where_its_name_says() {
    let flow = flow_of(1, &["hq.example/feed/web:2"], None).await;
    flow.up(cluster("feed", &[("web", of_image("hq.example/feed/web:2", 1))])).await;
    flow.until_serving("feed/web", 1).await;
    assert_eq!(flow.fleet.calls(&host("h1")).unwrap().of(CallKind::Pull), 2);
}

#[tokio::test(start_paused = true)]
async fn a_site_pulls_no_more_at_a_time_than_its_limit() {
    let flow = flow_of(6, &["bj.example:5000/feed/web:2"], Some(1)).await;
    flow.up(cluster("feed", &[("web", of_image("hq.example/feed/web:2", 6))])).await;
    let pulling =
        || (1..=6).filter(|n| flow.fleet.calls(&host(&format!("h{n}"))).unwrap().of(CallKind::Pull) > 0);
    pass(2).await;
    assert_eq!(pulling().count(), 1, "the others wait for their turn");
    flow.until_serving("feed/web", 6).await;
    assert_eq!(pulling().count(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_about_registries_is_shown_told_and_kept() {
    let mut flow = flow_of(1, &[], None).await;
    let registry = |name: &str, more: &str| -> Box<Registry> {
        serde_json::from_str(&format!(r#"{{"name":"{name}","address":"{name}.example:5000"{more}}}"#))
            .unwrap()
    };
    flow.command("alice", Command::PutRegistry(registry("hq", ""))).await.unwrap();
    flow.command("bob", Command::PutRegistry(registry("branch", r#","sites":["bj"]"#))).await.unwrap();
    let rule: Box<Rule> =
        serde_json::from_str(r#"{"name":"all","source":"hq","targets":["branch"]}"#).unwrap();
    let refused = flow.command("guest", Command::PutRule(rule.clone())).await.unwrap_err();
    assert!(refused.text.contains("read-only"));
    flow.command("bob", Command::PutRule(rule.clone())).await.unwrap();
    for after_restart in [false, true] {
        if after_restart {
            flow.crash();
            flow.start().await;
        }
        pass(1).await;
        let world = flow.world();
        let names: Vec<&str> =
            world.registries.keys().map(longshore::base::ids::RegistryName::as_str).collect();
        assert_eq!(names, ["branch", "hq"]);
        let never = |v: &longshore::model::registry::RegistryView| v.endpoints[0].seen.clone();
        assert!(
            world.registries.values().all(|v| matches!(never(v), Seen::Never { .. })),
            "there is none here to be asked"
        );
        assert_eq!(world.replication.rules[0].rule, *rule);
    }
    let told: Vec<String> =
        flow.journal().await.into_iter().filter(|l| l.by == "bob").map(|l| l.text).collect();
    assert!(told.contains(&"rule all recorded: hq → branch".to_owned()), "{told:?}");
    let command = Command::RemoveRegistry("hq".parse().unwrap());
    assert!(flow.command("bob", command).await.unwrap_err().text.contains("is named by rule all"));
}
