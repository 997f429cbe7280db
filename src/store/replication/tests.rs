//! Tests of replication's notes: durability, paging, pruning, fencing, migration.

use super::*;
use std::path::Path;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::clock::SystemClock;
use crate::base::fault::Kind;
use crate::base::ids::InstallId;
use crate::model::replication::known::{Intent, Side, Tombstone};
use crate::model::replication::{Cause, RunState, TagCounts, TagState};

async fn open(dir: &Path) -> Store {
    Store::open(dir, Arc::new(SystemClock), InstallId("0a1b2c3d".into())).await.unwrap().store
}

fn name(text: &str) -> RegistryName {
    RegistryName::new(text).unwrap()
}

fn view(id: u64, state: RunState) -> RunView {
    RunView {
        id: RunId(id),
        rule: RuleName::new("all").unwrap(),
        cause: Cause::Schedule,
        began: Millis(1),
        ended: None,
        state,
        compared: 0,
        tags: TagCounts::default(),
        bytes: 0,
        moved: 0,
        rate: None,
        eta_ms: None,
        stalled: None,
        reason: None,
        joined: 0,
    }
}

fn line() -> Line {
    Line { from: name("hq"), to: name("branch") }
}

fn tag(n: u32) -> TagRun {
    TagRun {
        line: line(),
        repository: "feed/web".parse().unwrap(),
        tag: format!("v{n}").parse().unwrap(),
        digest: Some(Digest::of(b"x")),
        state: TagState::Waiting,
        bytes: 5,
        moved: 0,
        retries: 0,
        gaps: vec![],
    }
}

#[tokio::test]
async fn what_was_noted_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (repository, digest): (Repository, _) = ("feed/web".parse().unwrap(), Digest::of(b"x"));
    let stone = Tombstone { digest: Digest::of(b"old"), at: Millis(7) };
    let intent = Intent { to: Side::Source, digest: Digest::of(b"new") };
    let known = Known {
        last: Some(digest.clone()),
        intent: Some(intent),
        tombstone: Some(stone),
        gone_since: Some(Millis(3)),
    };
    let remember = |before: Option<Known>, known: &Known| {
        let (line, tag) = (line(), "v1".parse().unwrap());
        let to = "hq/feed/web".parse().unwrap();
        Note::Known(Box::new(Remembered {
            line,
            from: repository.clone(),
            to,
            tag,
            before,
            known: known.clone(),
        }))
    };
    let there: Repository = "hq/feed/web".parse().unwrap();
    let mut notes = vec![
        Note::Run(Box::new(view(1, RunState::Moving))),
        Note::Placed(name("branch"), digest.clone(), repository.clone()),
        Note::Placed(name("branch"), digest.clone(), repository.clone()),
        remember(Some(Known::default()), &known),
    ];
    notes.extend((0..10).map(|n| Note::Tag(RunId(1), n, Box::new(tag(n)))));
    store.note(notes).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.unfinished_runs().await.unwrap(), [view(1, RunState::Moving)]);
    assert_eq!(store.last_run().await.unwrap(), RunId(1));
    let page = store.run_tags(RunId(1), 4, 3).await.unwrap();
    assert_eq!(page, [(4, tag(4)), (5, tag(5)), (6, tag(6))]);
    assert_eq!(store.placed(&name("branch"), &digest, 9).await.unwrap(), std::slice::from_ref(&repository));
    assert!(store.placed(&name("hq"), &digest, 9).await.unwrap().is_empty());
    assert_eq!(store.known(&line(), &repository, &there).await.unwrap()[&"v1".parse().unwrap()], known);
    assert!(store.known(&line(), &repository, &repository).await.unwrap().is_empty());
    // What was learnt from an older memory than the one that is kept counts for nothing.
    let other = Known { last: Some(Digest::of(b"y")), ..Known::default() };
    let stale =
        vec![remember(Some(other.clone()), &Known::default()), remember(Some(Known::default()), &other)];
    store.note(stale).await.unwrap();
    assert_eq!(store.known(&line(), &repository, &there).await.unwrap()[&"v1".parse().unwrap()], known);
    store.note(vec![remember(Some(known), &other)]).await.unwrap();
    assert_eq!(store.known(&line(), &repository, &there).await.unwrap()[&"v1".parse().unwrap()], other);
    assert_eq!(store.known_repositories(&line()).await.unwrap(), std::slice::from_ref(&repository));
    let gone = vec![
        Note::Run(Box::new(view(1, RunState::Done))),
        Note::Unplaced(name("branch"), digest.clone(), repository.clone()),
        remember(None, &Known::default()),
    ];
    store.note(gone).await.unwrap();
    assert!(store.unfinished_runs().await.unwrap().is_empty());
    assert!(store.placed(&name("branch"), &digest, 9).await.unwrap().is_empty());
    assert!(store.known_repositories(&line()).await.unwrap().is_empty());
}

#[tokio::test]
async fn old_runs_go_with_their_tags_and_open_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.note(vec![Note::Run(Box::new(view(1, RunState::Moving)))]).await.unwrap();
    for id in 2..=60 {
        let notes =
            vec![Note::Run(Box::new(view(id, RunState::Done))), Note::Tag(RunId(id), 0, Box::new(tag(0)))];
        store.note(notes).await.unwrap();
    }
    let left = store.runs_of(&RuleName::new("all").unwrap(), 999).await.unwrap();
    let ids: Vec<u64> = left.iter().map(|r| r.id.0).collect();
    let expected: Vec<u64> = (11..=60).rev().chain([1]).collect();
    assert_eq!(ids, expected);
    assert!(store.run_tags(RunId(2), 0, 9).await.unwrap().is_empty());
    assert_eq!(store.run_tags(RunId(60), 0, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_of_notes_is_all_or_nothing_and_an_older_holder_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path()).await;
    let orphan = Note::Tag(RunId(9), 0, Box::new(tag(0)));
    assert!(old.note(vec![Note::Run(Box::new(view(1, RunState::Moving))), orphan]).await.is_err());
    assert_eq!(old.last_run().await.unwrap(), RunId(0));
    let _new = open(dir.path()).await;
    let fault = old.note(vec![Note::Run(Box::new(view(1, RunState::Moving)))]).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Fenced);
}

#[expect(clippy::disallowed_methods, reason = "writes what an older version left")]
/// A state as the second version left it has no tables of replication.
#[tokio::test]
async fn a_state_of_the_second_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(dir.path().join("longshore.db")).unwrap();
    for (_, sql) in &crate::store::schema::MIGRATIONS[..2] {
        old.execute_batch(sql).unwrap();
    }
    old.execute_batch(include_str!("../owner/state_of_the_first_version.sql")).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    drop(old);
    let store = open(dir.path()).await;
    store.note(vec![Note::Run(Box::new(view(1, RunState::Comparing)))]).await.unwrap();
    assert_eq!(store.unfinished_runs().await.unwrap().len(), 1);
}
