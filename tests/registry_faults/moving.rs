//! Uploads in trouble, registries of other habits, and a real registry behind a line that cuts.

use std::sync::Mutex;

use longshore::model::oci::Manifest;
use proxy::Trouble;

use super::*;

/// A registry that takes uploads in parts only, and what it has put together.
async fn in_parts_only(least: Option<u64>) -> (Proxy, Arc<Mutex<Vec<u8>>>) {
    let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
    let kept = Arc::clone(&taken);
    let home = Proxy::serve(move |seen| {
        let mut kept = kept.lock().unwrap();
        let at = |n: usize| vec![("Location", format!("/v2/feed/web/blobs/uploads/u?at={n}"))];
        match seen.method.as_str() {
            "POST" => {
                let mut headers = at(0);
                headers.extend(least.map(|l| ("OCI-Chunk-Min-Length", l.to_string())));
                kept.clear();
                Reply::Answer(202, headers, vec![])
            }
            "PATCH" => {
                let range = format!("{}-{}", kept.len(), kept.len() + seen.body.len() - 1);
                let is_next = seen.path.ends_with(&format!("at={}", kept.len()));
                if seen.header("content-range") != Some(&range) || !is_next {
                    return status(416);
                }
                kept.extend_from_slice(&seen.body);
                Reply::Answer(202, at(kept.len()), vec![])
            }
            "PUT" if seen.body.is_empty() && !kept.is_empty() => status(201),
            "PUT" => status(405),
            "DELETE" => status(204),
            _ => status(404),
        }
    })
    .await;
    (home, taken)
}

#[tokio::test]
async fn a_registry_that_wants_parts_gets_parts() {
    let all = bytes(40_000_000);
    let (home, taken) = in_parts_only(Some(20_000_000)).await;
    in_time(write(&client(&home), &all)).await.unwrap();
    assert!(*taken.lock().unwrap() == all);
    assert_eq!(
        home.seen().iter().map(|s| s.method.clone()).collect::<Vec<_>>(),
        ["POST", "PATCH", "PATCH", "PUT"]
    );
    let (home, taken) = in_parts_only(None).await;
    let client = client(&home);
    in_time(write(&client, &all[..100_000])).await.unwrap();
    assert!(*taken.lock().unwrap() == all[..100_000]);
    // It is remembered.
    let before = home.seen().len();
    in_time(write(&client, &all[..100_000])).await.unwrap();
    assert_eq!(home.seen().len() - before, 3);
}

#[tokio::test]
async fn an_upload_that_is_refused_says_why_and_is_given_up() {
    let home = Proxy::serve(|seen| match seen.method.as_str() {
        "POST" => {
            Reply::Answer(202, vec![("Location", "/v2/feed/web/blobs/uploads/u?k=1".to_owned())], vec![])
        }
        "PUT" => {
            let body = br#"{"errors":[{"code":"DENIED","message":"exceeds the quota"}]}"#;
            Reply::Answer(403, vec![], body.to_vec())
        }
        _ => status(204),
    })
    .await;
    let fault = fault_of(write(&client(&home), &bytes(1_000))).await;
    assert_eq!(fault.kind, Kind::Exhausted, "{fault}");
    assert!(fault.to_string().contains("DENIED: exceeds the quota"), "{fault}");
    assert!(home.seen().iter().any(|s| s.method == "DELETE" && s.path.ends_with("u?k=1")));
}

#[tokio::test]
async fn an_upload_nobody_takes_ends() {
    let home = Proxy::serve(|seen| match seen.method.as_str() {
        "POST" => Reply::Answer(202, vec![("Location", "/v2/feed/web/blobs/uploads/u".to_owned())], vec![]),
        "PUT" => Reply::Silence,
        _ => status(404),
    })
    .await;
    let fault = fault_of(write(&client(&home), &bytes(1_000))).await;
    assert_eq!(fault.kind, Kind::Timeout, "{fault}");
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_found_to_be_there() {
    let home = Proxy::before("", |seen| match seen.method.as_str() {
        "POST" => {
            let at = vec![("Location", "/v2/feed/web/blobs/uploads/u".to_owned())];
            (Reply::Answer(202, at, vec![]), Trouble::None)
        }
        "PUT" => (status(500), Trouble::None),
        "HEAD" => (Reply::Answer(200, vec![("Content-Length", "1000".to_owned())], vec![]), Trouble::None),
        _ => (status(404), Trouble::None),
    })
    .await;
    in_time(write(&client(&home), &bytes(1_000))).await.unwrap();
    assert_eq!(home.seen().iter().filter(|s| s.method == "PUT").count(), 1);
}

#[tokio::test]
async fn a_head_that_says_too_little_is_made_up_for() {
    let home = Proxy::serve(|_| Reply::Answer(200, vec![("Content-Type", OCI.to_owned())], manifest())).await;
    let found = in_time(client(&home).head(&repository(), &tag())).await.unwrap().unwrap();
    assert_eq!((found.digest, found.size), (Digest::of(&manifest()), manifest().len() as u64));
    assert_eq!(home.seen().iter().map(|s| s.method.clone()).collect::<Vec<_>>(), ["HEAD", "GET"]);
    let accepts = home.seen()[0].head.matches("application/vnd.").count();
    assert_eq!(accepts, 4);
}

#[tokio::test]
async fn referrers_by_the_registrys_own_list_come_by_pages_and_need_no_tag() {
    let digest = Digest::of(b"subject");
    let home = Proxy::serve(|seen| match (seen.method.as_str(), seen.path.contains("last=")) {
        ("PUT", _) => Reply::Answer(201, vec![("OCI-Subject", "x".to_owned())], vec![]),
        (_, last) => {
            let one = format!(
                r#"{{"digest":"{}","size":3,"artifactType":"a/b"}}"#,
                Digest::of(seen.path.as_bytes())
            );
            let more = (!last).then(|| ("Link", format!("<{}?last=1>; rel=\"next\"", seen.path)));
            let body = format!(r#"{{"schemaVersion":2,"manifests":[{one}]}}"#);
            Reply::Answer(200, more.into_iter().collect(), body.into_bytes())
        }
    })
    .await;
    let client = client(&home);
    assert_eq!(in_time(client.referrers(&repository(), &digest)).await.unwrap().len(), 2);
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","layers":[],"subject":{{"digest":"{digest}","size":1}}}}"#
    );
    let referrer = Manifest::read(OCI, text.as_bytes()).unwrap();
    in_time(client.put_manifest(&repository(), &Reference::Digest(referrer.digest.clone()), &referrer))
        .await
        .unwrap();
    assert_eq!(home.seen().iter().filter(|s| s.method == "PUT").count(), 1);
}

/// Every third answer of a real registry is lost, cut or spoilt: what was asked for comes about all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_to_a_real_registry_only_costs_time() {
    let Some(real) = registry::Registry::start() else { return };
    let turns = Turns::default();
    let home = Proxy::before(&real.address(), move |_| match turns.next() % 6 {
        2 => (Reply::Pass, Trouble::Cut(0)),
        4 => (status(503), Trouble::None),
        5 => (Reply::Pass, Trouble::Cut(3_000)),
        _ => (Reply::Pass, Trouble::None),
    })
    .await;
    let client = client(&home);
    for n in 0..10 {
        let mut all = bytes(20_000);
        all.push(n);
        let mut tries = 0;
        while let Err(fault) = in_time(write(&client, &all)).await {
            assert!(fault.is_unknown(), "{fault}");
            tries += 1;
            assert!(tries < 5, "{fault}");
        }
        let (digest, mut came) = (Digest::of(&all), Vec::new());
        for _ in 0..99 {
            if came.len() == all.len() {
                break;
            }
            let (from, part, _) = in_time(read(&client, &digest, came.len() as u64)).await.unwrap();
            came.truncate(usize::try_from(from).unwrap());
            came.extend(part);
        }
        assert!(came == all);
    }
}
