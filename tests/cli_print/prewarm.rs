//! What `prewarm`, `estimate` and `ops OP` print.

use longshore::base::clock::Millis;
use longshore::base::fault::{Fault, Kind};
use longshore::base::ids::{HostId, OpId};
use longshore::model::coverage::{Coverage, Holds, HostHolds, SiteHolds};
use longshore::model::oci::Digest;
use longshore::model::operation::{OpKind, OpStatus, Operation, Progress};
use longshore::model::prewarm::{
    Came, HostWarm, Prewarm, PrewarmView, Proof, PullProgress, WarmState, Weight,
};

use longshore::model::command::Command;
use longshore::model::query::{Query, Reply, Request};

use crate::data::{EVIL, NOW, accept, answers, pool_id};
use crate::fake::{Fake, clean, run};

fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

/// How far an image is, with hostile texts wherever they may come from.
pub fn coverage() -> Coverage {
    let site = Some("bj".parse().unwrap());
    let hosts = [("bj-03", Holds::Yes), ("bj-07", Holds::No)];
    let hosts = hosts.map(|(name, holds)| HostHolds { host: host(name), site: site.clone(), holds });
    Coverage {
        image: format!("hq.example/feed/web:v2 {EVIL}"),
        pool: Some(pool_id()),
        weight: Some(Weight {
            digest: Digest::of(b"web"),
            ids: Vec::new(),
            layers: vec![1_200_000_000],
            registry: "hq".parse().unwrap(),
        }),
        unweighed: None,
        hosts: hosts.into(),
        left_out: vec![(host("bj-09"), format!("cordoned {EVIL}"))],
        sites: vec![SiteHolds {
            site,
            hosts: 2,
            lack: 1,
            from: "bj".into(),
            has: Some(false),
            why: None,
            line: Some("hq → bj".into()),
            eta_ms: Some(96_000),
        }],
        eta_ms: Some(96_000),
        warnings: vec![format!("registry bj does not hold it yet {EVIL}")],
    }
}

/// A prewarm with a host in each state.
pub fn prewarm() -> PrewarmView {
    let state = |state| HostWarm { state, tries: 2, ..HostWarm::new(Some("bj".parse().unwrap())) };
    let progress =
        PullProgress { thousandths: 420, bytes: 504_000_000, of: 1_200_000_000, layers: 3, of_layers: 7 };
    let held = |came, digest: Option<&[u8]>| {
        let digest = digest.map(Digest::of);
        WarmState::Held(Proof { id: "sha256:1f".into(), digest, came, ms: 96_000, bytes: 1_200_000_000 })
    };
    let hosts = [
        ("bj-01", held(Came::WasThere, Some(b"web"))),
        ("bj-02", held(Came::Pulled(format!("bj.example/feed/web:v2 {EVIL}")), Some(b"web"))),
        ("bj-03", held(Came::From(host("bj-02")), None)),
        ("bj-04", WarmState::Coming { from: None, progress: Some(progress) }),
        ("bj-05", WarmState::Coming { from: Some(host("bj-02")), progress: None }),
        ("bj-06", WarmState::Waiting(format!("4 at a time at site bj {EVIL}"))),
        ("bj-07", WarmState::Failed(format!("the host's disk is full {EVIL}"))),
    ];
    PrewarmView {
        op: OpId(21),
        image: "hq.example/feed/web:v2".into(),
        digest: Some(Digest::of(b"web")),
        unproved: None,
        size: Some(1_200_000_000),
        hosts: hosts.into_iter().map(|(name, warm)| (host(name), state(warm))).collect(),
    }
}

/// The operation of that prewarm.
pub fn prewarm_op() -> Operation {
    let view = prewarm();
    let wanted = Prewarm {
        image: view.image.clone(),
        hosts: view.hosts.keys().cloned().collect(),
        limit: 4,
        rate: None,
        size: view.size,
        from_peers: true,
        digest: view.digest.clone(),
        ids: Vec::new(),
        asked: true,
        unproved: None,
    };
    let progress = Progress {
        target: 7,
        placed: 6,
        pulling: 2,
        created: 3,
        running: 3,
        healthy: 3,
        failed: 1,
        reason: Some("bj-07: the host's disk is full".into()),
        eta_ms: Some(192_000),
        bytes: 504_000_000,
        ..Progress::default()
    };
    Operation {
        id: OpId(21),
        kind: OpKind::Prewarm(Box::new(wanted)),
        pools: Vec::new(),
        by: "alice".into(),
        at: Millis(NOW.0 - 120_000),
        status: OpStatus::Running,
        ended: None,
        progress,
    }
}

#[tokio::test(start_paused = true)]
async fn a_prewarm_says_what_it_is_asked_and_what_it_would_take() {
    let fake = Fake::new(|request| match request {
        Request::Command(_) => accept(),
        Request::Query(_) => answers(request),
    });
    let line = "prewarm hq.example/feed/web:v2 --pool feed/web --site bj --hosts bj-03,bj-07 --limit 2 --rate 20MB --size 1.2GB --from-peers";
    let ran = run(&fake, line).await;
    assert_eq!(ran.status, 0, "{}", ran.err);
    let asked = fake.asked();
    let Some(Request::Command(Command::Prewarm(ask))) = asked.last() else { panic!("{asked:?}") };
    let sites: Vec<String> = ask.sites.iter().map(ToString::to_string).collect();
    assert_eq!((ask.image.as_deref(), sites), (Some("hq.example/feed/web:v2"), vec!["bj".to_owned()]));
    assert_eq!((ask.hosts.len(), ask.limit, ask.from_peers), (2, Some(2), true));
    assert_eq!((ask.rate, ask.size), (Some(20_000_000), Some(1_200_000_000)));
    // A pool's name means its image.
    let ran = run(&fake, "prewarm feed/web").await;
    assert_eq!(ran.status, 0, "{}", ran.err);
    let asked = fake.asked();
    let Some(Request::Command(Command::Prewarm(ask))) = asked.last() else { panic!("{asked:?}") };
    assert_eq!((ask.image.clone(), ask.pool.clone()), (None, Some(pool_id())));
    for (name, line) in [("prewarm_plan", "prewarm feed/web --plan"), ("ops_prewarm", "ops op-21")] {
        let ran = run(&fake, line).await;
        clean(&ran);
        assert_eq!(ran.status, 0, "{}", ran.err);
        insta::assert_snapshot!(name, ran.out);
        let json = run(&fake, &format!("{line} --json")).await;
        insta::assert_snapshot!(format!("{name}_json"), json.out);
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_of_a_prewarm_or_an_estimate_is_refused_before() {
    let fake = Fake::mute();
    for line in [
        "prewarm",
        "prewarm feed/web --rate fast",
        "prewarm feed/web --size 0",
        "prewarm feed/web --site BJ",
        "prewarm feed/web --hosts BAD!",
        "prewarm feed/web --pool nonsense",
        "prewarm feed/web --plan --wait",
        "estimate --line thin",
        "estimate --hosts tc",
        "estimate --hosts tc=many",
        "estimate --present 101",
        "estimate --registry tc=",
    ] {
        let ran = run(&fake, line).await;
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{line}: {}", ran.err);
        assert!(ran.err.contains("\nhint: "), "{line}: {}", ran.err);
    }
    assert!(fake.opened.lock().unwrap().is_empty());
    let fake = Fake::new(answers);
    let ran = run(&fake, "prewarm hq.example/other:1").await;
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("onto which hosts") && ran.err.contains("--pool"), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn a_prewarm_that_nobody_carries_on_is_told_from_its_operation() {
    for (over, words) in [(false, "no engine carries it on just now"), (true, "longshore journal")] {
        let fake = Fake::new(move |request| match request {
            Request::Query(Query::Prewarm { op }) => {
                Reply::Failed(Fault::new(Kind::NotFound, format!("{op} is no prewarm, or it was long ago")))
            }
            Request::Query(Query::Operations { .. }) => {
                let ended = over.then_some(NOW);
                let status = if over { OpStatus::Done } else { OpStatus::Running };
                Reply::Operations(vec![Operation { status, ended, ..prewarm_op() }])
            }
            other => answers(other),
        });
        let ran = run(&fake, "ops op-21").await;
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.out.contains("bj-01, bj-02") && ran.out.contains("digest: sha256:"), "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
        clean(&ran);
        let ran = run(&fake, "ops op-21 --json").await;
        let record: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (&record["hosts"], &record["bytes"]),
            (&serde_json::Value::Null, &1_200_000_000_u64.into())
        );
        assert!(record["digest"].as_str().unwrap().starts_with("sha256:"), "{record:#}");
    }
}
