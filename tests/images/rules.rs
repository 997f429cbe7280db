//! Rules for images: at the push of a pool file, at placement, and what is remembered.

use longshore::model::command::{Command, Refusal};
use longshore::model::policy::{ImagePolicy, ImageVerdict, Stance};
use longshore::model::pool::PoolSpec;
use longshore::model::prewarm::PrewarmAsk;
use longshore::model::query::{Query, Reply, Request};
use serde_json::json;

use crate::flow::{cluster, pass, pool_id, spec};
use crate::lab::{Lab, begin, push_with};

const WEB: &str = "hq.example:5000/feed/web:v1";

fn no_root() -> ImagePolicy {
    ImagePolicy { no_root: true, ..ImagePolicy::default() }
}

async fn set(lab: &Lab, policy: ImagePolicy) {
    let command = Command::PutImagePolicy { policy: Box::new(policy), source: "no_root = true".to_owned() };
    lab.flow.command("alice", command).await.unwrap();
}

async fn push(lab: &Lab, image: &str) -> Result<String, Refusal> {
    let web = PoolSpec { image: image.to_owned(), ..spec(2) };
    let command = Command::Up { spec: Box::new(cluster("feed", &[("web", web)])), reset_scale: false };
    lab.flow.command("alice", command).await.map(|accepted| accepted.text)
}

async fn verdict(lab: &Lab, image: &str) -> ImageVerdict {
    let query = Query::CheckImages { images: vec![image.to_owned()] };
    match lab.flow.ask_as("alice", Request::Query(query)).await {
        Reply::ImageVerdicts(mut found) => found.remove(0),
        other => panic!("no verdicts: {other:?}"),
    }
}

async fn user(lab: &Lab, tag: &str, user: &str) {
    push_with(&lab.hq, "feed/web", tag, "2025-10-01T00:00:00Z", json!({ "User": user })).await;
}

/// The engine is killed, and another one begins.
async fn restart(lab: &mut Lab) {
    lab.flow.crash();
    let registries = std::collections::BTreeMap::from([("hq.example:5000".to_owned(), lab.hq.clone())]);
    let hosts = crate::flow::SimConnector(lab.flow.fleet.clone());
    let connector = crate::lab::WithRegistries { hosts, registries };
    let fleet = lab.flow.fleet.hosts();
    lab.flow.start_with(std::sync::Arc::new(connector), fleet).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_file_whose_image_breaks_a_rule_is_refused_with_the_reason() {
    let lab = begin().await;
    user(&lab, "v1", "").await;
    user(&lab, "v2", "app").await;
    set(&lab, no_root()).await;
    let refusal = push(&lab, WEB).await.unwrap_err();
    assert!(
        refusal.text.contains("feed/web: image hq.example:5000/feed/web:v1: no_root: it names no user"),
        "{refusal:?}"
    );
    assert!(lab.flow.pool("feed/web").is_none(), "nothing was changed");
    assert!(!verdict(&lab, WEB).await.passes);
    push(&lab, "hq.example:5000/feed/web:v2").await.unwrap();
    // An image of a registry that nobody knows cannot be looked at: that is no pass.
    let unknown = push(&lab, "other.example/x:1").await.unwrap_err();
    assert!(unknown.text.contains("no registry with the address other.example is known"), "{unknown:?}");
    let journal = lab.flow.journal().await;
    assert!(journal.iter().any(|line| line.text.starts_with("refused: the rules for images")));
}

#[tokio::test(start_paused = true)]
async fn rules_that_only_warn_let_it_pass_and_say_so() {
    let lab = begin().await;
    user(&lab, "v1", "").await;
    set(&lab, ImagePolicy { breach: Stance::Warn, unknown: Stance::Warn, ..no_root() }).await;
    let text = push(&lab, WEB).await.unwrap();
    assert!(
        text.contains("warning: feed/web: image") && text.contains("no_root: it names no user"),
        "{text}"
    );
    let found = verdict(&lab, WEB).await;
    assert!(found.passes && found.breaches.len() == 1 && found.digest.is_some(), "{found:?}");
    let text = push(&lab, "other.example/x:1").await.unwrap();
    assert!(text.contains("not known: no registry"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn rules_hold_at_placement_and_what_runs_runs_on() {
    let lab = begin().await;
    lab.flow.up(cluster("feed", &[("web", spec(2))])).await;
    lab.flow.until_serving("feed/web", 2).await;
    let registries = ImagePolicy { registries: vec!["hq.example:5000".to_owned()], ..ImagePolicy::default() };
    set(&lab, registries).await;
    pass(30).await;
    assert_eq!(lab.flow.running_slots("feed/web").len(), 2, "what runs, runs on");
    lab.flow.scale("alice", "feed/web", "+2", longshore::model::command::Busy::Refuse).await.unwrap();
    let waits = |w: &longshore::model::world::World| {
        let view = w.pool(&pool_id("feed/web")).unwrap();
        view.waits.iter().any(|wait| {
            wait.why
                .contains("the rules for images do not let app:1 run: registries: it comes from docker.io")
        })
    };
    lab.flow.until("the reason is told", waits).await;
    let why = Query::Why { pool: pool_id("feed/web"), slot: None, strategy: None };
    let Reply::Why(told) = lab.flow.ask_as("alice", Request::Query(why)).await else { panic!("no reason") };
    assert!(told.choice.is_none() && format!("{told:?}").contains("rules for images"), "{told:?}");
    pass(60).await;
    assert_eq!(lab.flow.running_slots("feed/web").len(), 2);
    lab.flow.command("alice", Command::DropImagePolicy).await.unwrap();
    lab.flow.until_serving("feed/web", 4).await;
}

#[tokio::test(start_paused = true)]
async fn rules_and_what_images_say_are_there_after_a_crash() {
    let mut lab = begin().await;
    user(&lab, "v2", "app").await;
    set(&lab, no_root()).await;
    assert!(verdict(&lab, "hq.example:5000/feed/web:v2").await.passes);
    restart(&mut lab).await;
    lab.hq.forget_counts();
    assert!(verdict(&lab, "hq.example:5000/feed/web:v2").await.passes);
    let counts = lab.hq.counts();
    use longshore::adapters::sim::RegistryCall::{Head, Manifest, ReadBlob};
    assert_eq!((counts.of(Head), counts.of(Manifest), counts.of(ReadBlob)), (1, 0, 0), "its digest is known");
    let Reply::ImagePolicy(Some(stored)) = lab.flow.ask_as("alice", Request::Query(Query::ImagePolicy)).await
    else {
        panic!("the rules are gone")
    };
    assert_eq!((stored.by.as_str(), stored.source.as_str()), ("alice", "no_root = true"));
}

/// Whether one more container of the pool may be placed, by the rules for images.
async fn is_let(lab: &Lab) -> bool {
    let why = Query::Why { pool: pool_id("feed/web"), slot: None, strategy: None };
    let Reply::Why(told) = lab.flow.ask_as("alice", Request::Query(why)).await else { panic!("no reason") };
    let banned = format!("{told:?}").contains("rules for images");
    assert_eq!(banned, told.choice.is_none(), "{told:?}");
    !banned
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_falls_silent_takes_nothing_back_that_it_has_said() {
    let mut lab = begin().await;
    user(&lab, "v2", "app").await;
    set(&lab, ImagePolicy { unknown: Stance::Refuse, ..no_root() }).await;
    push(&lab, "hq.example:5000/feed/web:v2").await.unwrap();
    pass(5).await;
    assert!(is_let(&lab).await);
    lab.hq.trouble(|t| t.unreachable = true);
    pass(1_800).await;
    assert!(is_let(&lab).await, "long after a tag is looked up again");
    // An engine that begins meanwhile knows what the last one knew.
    restart(&mut lab).await;
    pass(120).await;
    assert!(is_let(&lab).await, "after a restart");
    let unknown = push(&lab, "hq.example:5000/feed/web:v3").await.unwrap_err();
    assert!(unknown.text.contains("not known"), "never known: {unknown:?}");
    // The registry is back, and the tag points to something else: that counts.
    lab.hq.trouble(|t| t.unreachable = false);
    user(&lab, "v2", "").await;
    pass(1_800).await;
    assert!(!is_let(&lab).await, "the tag was moved to an image that runs as root");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_only_looks_looks_images_up_and_bans_none_unseen() {
    let mut lab = begin().await;
    user(&lab, "v2", "app").await;
    set(&lab, ImagePolicy { unknown: Stance::Refuse, ..no_root() }).await;
    push(&lab, "hq.example:5000/feed/web:v2").await.unwrap();
    for silent in [false, true] {
        lab.hq.trouble(|t| t.unreachable = silent);
        lab.flow.crash();
        let registries = std::collections::BTreeMap::from([("hq.example:5000".to_owned(), lab.hq.clone())]);
        let hosts = crate::flow::SimConnector(lab.flow.fleet.clone());
        let opened = longshore::store::Store::open(
            lab.flow.dir.path(),
            lab.flow.clock.clone(),
            longshore::base::ids::InstallId("0a1b2c3d".into()),
        );
        let engine = longshore::model::world::EngineView {
            mode: longshore::model::world::Mode::ObserveOnly,
            ..longshore::model::world::EngineView::default()
        };
        lab.flow.core = Some(longshore::engine::core::start(longshore::engine::core::Parts {
            clock: lab.flow.clock.clone(),
            // As a session without the lock: it has what was written, and writes nothing.
            store: None,
            desired: opened.await.unwrap().desired,
            connector: std::sync::Arc::new(crate::lab::WithRegistries { hosts, registries }),
            hosts: lab.flow.fleet.hosts(),
            engine,
        }));
        // The hosts have answered, no image was looked up before.
        pass(1).await;
        if !silent {
            assert!(is_let(&lab).await, "asked at once");
        }
        pass(60).await;
        assert_eq!(is_let(&lab).await, !silent, "what could not be looked up is told as such");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prewarm_is_held_against_the_rules_also_at_once_after_a_start() {
    let mut lab = begin().await;
    user(&lab, "v1", "").await;
    user(&lab, "v2", "app").await;
    set(&lab, ImagePolicy { unknown: Stance::Refuse, ..no_root() }).await;
    restart(&mut lab).await;
    let ask = |tag: &str| PrewarmAsk {
        image: Some(format!("hq.example:5000/feed/web:{tag}")),
        hosts: vec![crate::flow::host("h1")],
        ..PrewarmAsk::default()
    };
    let begin = async |tag| lab.flow.command("alice", Command::Prewarm(Box::new(ask(tag)))).await;
    let refusal = begin("v1").await.unwrap_err();
    assert!(
        refusal.text.contains("the rules for images do not allow this: image hq.example:5000/feed/web:v1")
    );
    let plan = lab.flow.ask_as("alice", Request::Query(Query::Coverage(Box::new(ask("v1"))))).await;
    assert!(matches!(&plan, Reply::Refused(why) if why.text == refusal.text), "{plan:?}");
    assert!(begin("v2").await.unwrap().op.is_some());
    set(&lab, ImagePolicy { breach: Stance::Warn, ..no_root() }).await;
    let text = begin("v1").await.unwrap().text;
    assert!(text.contains("(warning: image") && text.contains("no_root"), "{text}");
}
