//! What the commands about images print.

use std::sync::Arc;

use longshore::model::image::ImageName;
use longshore::model::oci::Digest;
use longshore::model::policy::{Breach, ImageVerdict, StoredPolicy};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::registry::{Page, Registry, RegistryView, TagRow};
use longshore::model::world::World;

use crate::data::*;
use crate::fake::*;

fn with_registry(world: &mut World) {
    let registry = Registry::new("hq".parse().unwrap(), "hq.example:5000".into());
    world.registries = Arc::new([(registry.name.clone(), RegistryView::never(registry))].into());
    for view in world.pools.values_mut() {
        Arc::make_mut(view).pool.spec.image = "hq.example:5000/feed/web:v2".into();
    }
}

fn row(tag: &str) -> TagRow {
    let json = serde_json::json!({ "tag": tag, "digest": Digest::of(tag.as_bytes()), "size": 12_345_678,
        "platforms": [{ "os": "linux", "architecture": "amd64" }], "used_by": ["feed/web"] });
    TagRow { why: Some(EVIL.into()), ..serde_json::from_value(json).unwrap() }
}

/// An engine whose registry has these tags, two in a part.
fn browsed() -> Fake {
    let answer = |request: &Request| match request {
        Request::Query(Query::Browse { repository: Some(_), ask, .. }) => {
            let all = ["v1", "v2", "v3"];
            let from = ask.after.as_deref().map_or(0, |after| after.parse::<usize>().unwrap());
            let take = usize::try_from(ask.limit).unwrap().min(2);
            let items: Vec<TagRow> = all.iter().skip(from).take(take).map(|tag| row(tag)).collect();
            let end = from + items.len();
            Reply::Tags(Page { items, next: (end < all.len()).then(|| end.to_string()) })
        }
        other => panic!("not asked for: {other:?}"),
    };
    Fake::new(answer).with(with_registry)
}

#[tokio::test(start_paused = true)]
async fn tags_are_listed_in_parts_and_where_to_go_on_is_said() {
    let all = run(&browsed(), "images ls hq feed/web").await;
    assert_eq!((all.status, all.out.lines().count(), all.err.as_str()), (0, 4, ""), "{all:?}");
    let some = run(&browsed(), "images ls hq feed/web --limit 2 --filter v").await;
    assert_eq!(some.out.lines().count(), 3);
    assert!(
        some.err.contains("there are more: longshore images ls hq feed/web --filter 'v' --after '2'"),
        "{some:?}"
    );
    let rest = run(&browsed(), "images ls hq feed/web --after 2").await;
    assert!(rest.out.contains("v3") && !rest.out.contains("v2"), "{rest:?}");
    let json = run(&browsed(), "images ls hq feed/web --json").await;
    let rows: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["used_by"][0]), (3, &"feed/web".into()));
    assert_eq!(rows[0]["why"], EVIL);
}

#[tokio::test(start_paused = true)]
async fn images_in_use_are_shown_with_where_they_are() {
    let ran = run(&browsed(), "images --json").await;
    let rows: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let row = &rows[0];
    let name: ImageName = row["image"].as_str().unwrap().parse().unwrap();
    assert!(name.tag.is_some() && !row["pools"].as_array().unwrap().is_empty(), "{row:#}");
    assert_eq!(row["at"][0]["registry"], "hq");
    assert!(row["at"][0]["digest"].as_str().unwrap().starts_with("sha256:"), "{row:#}");
    let table = run(&browsed(), "images").await;
    assert!(table.out.contains("hq") && table.out.starts_with("IMAGE"), "{table:?}");
}

fn verdict(passes: bool) -> ImageVerdict {
    let breach = Breach { rule: "no_root".into(), why: "it names no user".into(), unknown: false };
    ImageVerdict { image: "web:1".into(), digest: None, breaches: vec![breach], passes }
}

#[tokio::test(start_paused = true)]
async fn a_pool_file_is_held_against_the_rules_of_the_install() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("feed.yml");
    std::fs::write(&file, "name: feed\nservices:\n  web:\n    image: web:1\n").unwrap();
    let line = |verb: &str| format!("{verb} {}", file.display());
    // Where there is no state there are no rules, and no engine is asked.
    let free = run(&Fake::mute(), &line("check")).await;
    assert_eq!((free.status, free.err.as_str()), (0, ""));
    for (passes, status, word) in
        [(false, 1, "refused: image web:1: no_root: it names no user"), (true, 0, "warning: image")]
    {
        let fake = || Fake { verdicts: vec![verdict(passes)], state: true, ..Fake::mute() };
        let checked = run(&fake(), &line("check")).await;
        assert_eq!(checked.status, status, "{checked:?}");
        assert!(checked.err.contains(word), "{checked:?}");
        // A plan also asks who holds the images.
        let holders = Fake::new(|request| match request {
            Request::Query(Query::Coverage(_)) => Reply::Coverage(Box::new(crate::prewarm::coverage())),
            other => panic!("nothing else should be asked: {other:?}"),
        });
        let holders = Fake { verdicts: vec![verdict(passes)], state: true, ..holders };
        let planned = run(&holders, &line("up --plan")).await;
        assert!(planned.status == status && planned.err.contains(word), "{planned:?}");
        let json = run(&fake(), &format!("{} --json", line("check"))).await;
        let said: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.status, &said["images"][0]["passes"]), (status, &passes.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_rules_are_shown_as_they_were_set() {
    let stored = StoredPolicy {
        policy: Default::default(),
        source: "# ours\nno_root = true\u{1b}[2J\n".into(),
        by: "bob".into(),
        at: longshore::base::clock::Millis(0),
    };
    let fake =
        |found: Option<StoredPolicy>| Fake::new(move |_| Reply::ImagePolicy(found.clone().map(Box::new)));
    let shown = run(&fake(Some(stored)), "policy show").await;
    assert_eq!(shown.out, "# ours\nno_root = true\\e[2J\n");
    assert!(shown.err.contains("set by bob"), "{shown:?}");
    let none = run(&fake(None), "policy show").await;
    assert!(none.status == 0 && none.out.is_empty() && none.err.contains("every image may run"), "{none:?}");
    for bad in
        ["policy set", "image import x.tar", "image export hq/a:1", "images ls", "images ls hq --limit 0"]
    {
        assert_eq!(run(&Fake::mute(), bad).await.status, 2, "{bad}");
    }
    let plain = run(&Fake::mute(), "image export web:1 -o x.tar").await;
    assert!(plain.status == 1, "{plain:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_first_part_is_no_registry_here_stands_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, "registries = [\"docker.io\", \"hq.example:5000\"]\n").unwrap();
    let fake = Fake { state: true, ..Fake::new(answers).with(with_registry) };
    let check = async |image: &str| {
        let line = format!("image check {image} --policy {}", rules.display());
        let ran = run(&fake, &line).await;
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.out
    };
    assert!(check("bitnami/redis:7").await.contains("docker.io/bitnami/redis:7 may run"));
    // The name of a registry of this install is looked up as before.
    assert!(check("hq/feed/web:v2").await.contains("hq.example:5000/feed/web:v2 may run"));
}
