//! Looking into registries: how much a page asks of them, filters, faults of single rows, who uses what, counts.

use longshore::adapters::sim::{RegistryCall, RegistryPace, layer};
use longshore::model::query::PageAsk;
use serde_json::json;

use crate::flow::{cluster, pass, spec};
use crate::lab::{ask, begin, push_with};

/// Names on a page of the simulated registry, as Distribution gives them.
const REGISTRY_PAGE: u64 = 1_000;

#[tokio::test(start_paused = true)]
async fn a_page_of_a_hundred_thousand_tags_asks_for_what_it_shows_and_no_more() {
    let lab = begin().await;
    lab.hq.pace(RegistryPace {
        page: usize::try_from(REGISTRY_PAGE).unwrap(),
        latency_ms: 5,
        ..RegistryPace::default()
    });
    for n in 0..200 {
        lab.hq.push_image("feed/web", &format!("v{n:05}"), &[layer(1, 2_000), layer(n, 500)]).unwrap();
    }
    let any = lab.hq.push_image("feed/web", "v00000", &[layer(1, 2_000)]).unwrap();
    for n in 200..100_000 {
        lab.hq.move_tag("feed/web", &format!("v{n:05}"), &any).unwrap();
    }
    let calls = |kind| lab.hq.counts().of(kind);
    lab.hq.forget_counts();
    let first = lab.tags("feed/web", ask("", 50)).await.unwrap();
    assert_eq!((first.items.len(), first.items[0].tag.as_str()), (50, "v00000"));
    assert!(first.items.iter().all(|row| row.why.is_none() && row.digest.is_some()), "{:?}", first.items);
    assert_eq!(first.items[1].size, Some(2_500 + size_of_rest(&lab, "v00001")));
    // One page of names; of each row what it points to, its manifest and its configuration.
    assert_eq!(calls(RegistryCall::Tags), 1);
    assert_eq!(calls(RegistryCall::Head), 50);
    assert_eq!((calls(RegistryCall::Manifest), calls(RegistryCall::ReadBlob)), (50, 50));
    assert!(lab.hq.counts().at_once <= 8, "the registry's own limit holds: {}", lab.hq.counts().at_once);

    lab.hq.forget_counts();
    let again = lab.tags("feed/web", ask("", 50)).await.unwrap();
    assert_eq!(again.items, first.items);
    assert_eq!(
        (calls(RegistryCall::Head), lab.hq.counts().total()),
        (50, 50),
        "digests that are known say the same"
    );

    lab.hq.forget_counts();
    let next = PageAsk { after: first.next, ..ask("", 50) };
    let second = lab.tags("feed/web", next).await.unwrap();
    assert_eq!((second.items[0].tag.as_str(), calls(RegistryCall::Tags)), ("v00050", 0));

    lab.hq.forget_counts();
    let found = lab.tags("feed/web", ask("v9999", 50)).await.unwrap();
    assert_eq!((found.items.len(), found.next), (10, None));
    // A filter needs the whole list once; the rows that it finds share one digest.
    assert_eq!((calls(RegistryCall::Tags), calls(RegistryCall::Head)), (99, 10));
    assert!(calls(RegistryCall::Manifest) <= 1);

    lab.hq.forget_counts();
    let not = lab.tags("feed/web", ask("!v", 50)).await.unwrap();
    assert_eq!((not.items.len(), lab.hq.counts().total()), (0, 0), "the list is known: nothing is asked");

    pass(300).await;
    lab.hq.forget_counts();
    let exact = lab.tags("feed/web", ask("=v77777", 50)).await.unwrap();
    assert_eq!(
        (exact.items.len(), lab.hq.counts().total()),
        (1, 1),
        "one that is named is asked for by its name"
    );
    assert_eq!(lab.tags("feed/web", ask("=nope", 50)).await.unwrap().items, []);
}

/// What a row's image needs besides its layers.
fn size_of_rest(lab: &crate::lab::Lab, tag: &str) -> u64 {
    let tags = lab.hq.all_tags();
    let (_, digest) = tags.iter().find(|((_, t), _)| t.as_str() == tag).unwrap();
    let config = json!({ "architecture": "amd64", "os": "linux", "note": tag }).to_string().len() as u64;
    config + lab.hq.manifest_size("feed/web", digest).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_one_row_cannot_tell_is_said_in_that_row() {
    let lab = begin().await;
    for n in 0..6 {
        lab.hq.push_image("feed/web", &format!("v{n}"), &[layer(n, 500)]).unwrap();
    }
    // Each is hurt on the way once, and is asked for again; one of them twice.
    lab.hq.trouble(|t| t.flip_reads = 7);
    let page = lab.tags("feed/web", ask("", 50)).await.unwrap();
    let bad: Vec<_> = page.items.iter().filter_map(|row| row.why.as_ref()).collect();
    assert_eq!((page.items.len(), bad.len()), (6, 1), "{page:?}");
    assert!(bad[0].raw().contains("its bytes do not have their length and digest"), "{bad:?}");
    let mended = lab.tags("feed/web", ask("", 50)).await.unwrap();
    assert!(mended.items.iter().all(|row| row.why.is_none()), "a half answer is not kept");

    // The list itself is not there: a failure, never an empty list.
    let absent = lab.tags("feed/nothing", ask("", 50)).await.unwrap_err();
    assert!(absent.to_string().contains("NAME_UNKNOWN"), "{absent}");
    lab.hq.trouble(|t| t.unreachable = true);
    pass(20).await;
    assert!(lab.tags("feed/web", ask("", 50)).await.is_err());
    assert!(lab.tags("feed/web", ask("=v1", 50)).await.is_err(), "not known is not absent");
}

#[tokio::test(start_paused = true)]
async fn labels_ages_platforms_and_users_are_shown() {
    let lab = begin().await;
    let config = json!({ "Labels": { "org.example.team": "feed\u{1b}[2J" } });
    push_with(&lab.hq, "feed/web", "v1", "2025-10-01T00:00:00Z", config).await;
    lab.hq
        .push_index("feed/web", "v2", &[("amd64", vec![layer(1, 100)]), ("arm64", vec![layer(2, 100)])])
        .unwrap();
    let image = "hq.example:5000/feed/web:v1".to_owned();
    let web = longshore::model::pool::PoolSpec { image, ..spec(1) };
    lab.flow.up(cluster("feed", &[("web", web)])).await;
    let page = lab.tags("feed/web", ask("", 50)).await.unwrap();
    let [one, two] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!(one.labels.values().next().unwrap().safe(), r"feed\e[2J");
    assert_eq!((one.platforms[0].to_string().as_str(), one.used_by.len()), ("linux/arm64", 1));
    assert!(one.created.is_some() && two.used_by.is_empty());
    let platforms: Vec<String> = two.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert!(two.size.unwrap() > 200, "an index needs its images");
    let repositories = lab.repositories(ask("", 50)).await.unwrap();
    let row = &repositories.items[0];
    assert_eq!((row.repository.as_str(), row.tags, row.used_by.len()), ("feed/web", Some(2), 1));

    // A registry that does not list its repositories: those that pools use are known nevertheless.
    lab.hq.trouble(|t| t.no_catalogue = true);
    pass(20).await;
    let known = lab.repositories(ask("", 50)).await.unwrap();
    assert_eq!(known.items.len(), 1, "{known:?}");
    let none = lab.repositories(ask("other", 50)).await.unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_registry_is_counted_slowly_and_whole_or_not_at_all() {
    let lab = begin().await;
    lab.hq.pace(RegistryPace { page: 10, latency_ms: 5, ..RegistryPace::default() });
    for repository in 0..5 {
        for tag in 0..25 {
            lab.hq.push_image(&format!("feed/r{repository}"), &format!("v{tag}"), &[layer(1, 10)]).unwrap();
        }
    }
    let counted = || lab.flow.world().registries.values().next().unwrap().counted;
    pass(10).await;
    assert_eq!(counted(), None);
    lab.hq.forget_counts();
    pass(30).await;
    let sums = counted().unwrap();
    assert_eq!((sums.repositories, sums.tags), (5, 125));
    assert_eq!(lab.hq.counts().of(RegistryCall::Tags), 15, "each page once");
    lab.hq.push_image("feed/r0", "new", &[layer(1, 10)]).unwrap();
    lab.hq.trouble(|t| t.cut_lists = true);
    pass(3_700).await;
    assert_eq!(counted(), Some(sums), "half a count is none; the one before stays with its age");
    lab.hq.trouble(|t| t.cut_lists = false);
    pass(700).await;
    assert_eq!(counted().unwrap().tags, 126);
}
