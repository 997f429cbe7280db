//! Servers that fail, cut, lie, drip or point elsewhere: calls end with the true reason.

use proxy::Trouble;

use super::*;

#[tokio::test]
async fn what_fails_twice_is_asked_a_third_time_and_no_more() {
    let turns = Turns::default();
    let home = Proxy::serve(move |_| if turns.next() < 2 { status(503) } else { served() }).await;
    in_time(client(&home).manifest(&repository(), &tag())).await.unwrap();
    assert_eq!(home.seen().len(), 3);
    let body = br#"{"errors":[{"code":"UNKNOWN","message":"the storage is gone"}]}"#;
    let home = Proxy::serve(|_| Reply::Answer(500, vec![], body.to_vec())).await;
    let fault = fault_of(client(&home).manifest(&repository(), &tag())).await;
    assert_eq!((fault.kind, home.seen().len()), (Kind::Unreachable, 3));
    let words = fault.to_string();
    assert!(
        words.contains("given up after 3 tries") && words.contains("UNKNOWN: the storage is gone"),
        "{words}"
    );
}

#[tokio::test]
async fn a_pause_is_kept_in_seconds_and_as_a_date() {
    for pause in ["1", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let turns = Turns::default();
        let busy = move |_: &Seen| match turns.next() {
            0 => Reply::Answer(429, vec![("Retry-After", pause.to_owned())], vec![]),
            _ => served(),
        };
        let home = Proxy::serve(busy).await;
        in_time(client(&home).manifest(&repository(), &tag())).await.unwrap();
        assert_eq!(home.seen().len(), 2, "{pause}");
    }
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    let home =
        Proxy::serve(|_| Reply::Answer(429, vec![("Retry-After", "3600".to_owned())], body.to_vec())).await;
    let client = client(&home);
    let fault = fault_of(client.manifest(&repository(), &tag())).await;
    assert_eq!(fault.kind, Kind::Exhausted);
    assert!(fault.to_string().contains("TOOMANYREQUESTS: slow down"), "{fault}");
    // All calls leave it alone from then on.
    let fault = fault_of(client.tags(&repository(), None)).await;
    assert_eq!((fault.kind, home.seen().len()), (Kind::Exhausted, 1));
}

#[tokio::test]
async fn a_registry_that_is_always_busy_ends_too() {
    let home = Proxy::serve(|_| status(429)).await;
    assert_eq!(fault_of(client(&home).manifest(&repository(), &tag())).await.kind, Kind::Exhausted);
}

#[tokio::test]
async fn of_a_cut_blob_the_rest_can_be_had() {
    let all = bytes(50_000);
    for in_parts in [true, false] {
        let (turns, served) = (Turns::default(), all.clone());
        let home = Proxy::before("", move |seen| {
            let cut = if turns.next() == 0 { Trouble::Cut(20_000) } else { Trouble::None };
            (blob(seen, &served, in_parts), cut)
        })
        .await;
        let (client, digest) = (client(&home), Digest::of(&all));
        let (from, came, end) = in_time(read(&client, &digest, 0)).await.unwrap();
        assert_eq!((from, came.len(), end.map(|f| f.kind)), (0, 20_000, Some(Kind::Unreachable)));
        let (from, rest, end) = in_time(read(&client, &digest, 20_000)).await.unwrap();
        assert_eq!((from, end), (if in_parts { 20_000 } else { 0 }, None));
        assert!(rest == all[usize::try_from(from).unwrap()..]);
        let asked: Vec<_> = home.seen().iter().map(|s| s.header("range").map(str::to_owned)).collect();
        assert_eq!(asked, [None, Some("bytes=20000-".to_owned())], "each is one request");
    }
}

#[tokio::test]
async fn a_blob_that_never_comes_through_ends() {
    for trouble in [Trouble::Cut(0), Trouble::Longer(10), Trouble::Drip] {
        let all = bytes(3_000);
        let digest = Digest::of(&all);
        let home = Proxy::before("", move |seen| (blob(seen, &all, true), trouble)).await;
        let fault = fault_of(read_all(&client(&home), &digest)).await;
        assert!(
            matches!(fault.kind, Kind::Unreachable | Kind::Timeout | Kind::Invalid),
            "{trouble:?}: {fault}"
        );
        println!("{trouble:?}: {fault}");
        assert!(fault.to_string().starts_with("cannot read sha256:"), "{fault}");
    }
}

#[tokio::test]
async fn a_manifest_is_never_other_than_its_digest_says() {
    for (trouble, kind) in [
        (Trouble::Flip(30), Kind::Invalid),
        (Trouble::Cut(20), Kind::Unreachable),
        (Trouble::Longer(3), Kind::Unreachable),
        (Trouble::Drip, Kind::Timeout),
    ] {
        let home = Proxy::before("", move |_| (served(), trouble)).await;
        let fault = fault_of(client(&home).manifest(&repository(), &tag())).await;
        assert_eq!(fault.kind, kind, "{trouble:?}: {fault}");
        let is_damage = trouble == Trouble::Flip(30);
        assert_eq!(fault.to_string().contains("the content has the digest"), is_damage, "{fault}");
        println!("{trouble:?}: {fault}");
    }
    let home = Proxy::serve(|_| Reply::Answer(200, vec![("Content-Type", OCI.to_owned())], manifest())).await;
    let other = Reference::Digest(Digest::of(b"other"));
    assert_eq!(fault_of(client(&home).manifest(&repository(), &other)).await.kind, Kind::Invalid);
    let huge =
        Proxy::serve(|_| Reply::Answer(200, vec![("Content-Type", OCI.to_owned())], vec![b' '; 5 << 20]))
            .await;
    assert_eq!(fault_of(client(&huge).manifest(&repository(), &tag())).await.kind, Kind::Invalid);
}

#[tokio::test]
async fn silence_circles_and_other_protocols_end() {
    let silent = Proxy::serve(|_| Reply::Silence).await;
    let fault = fault_of(client(&silent).manifest(&repository(), &tag())).await;
    assert_eq!(fault.kind, Kind::Timeout, "{fault}");
    for to in ["/v2/feed/web/manifests/v1", "ftp://127.0.0.1/x", "http://me:x@127.0.0.1/", "http://"] {
        let home = Proxy::serve(move |_| Reply::Answer(302, vec![("Location", to.to_owned())], vec![])).await;
        let fault = fault_of(client(&home).manifest(&repository(), &tag())).await;
        assert_eq!(fault.kind, Kind::Refused, "{to}: {fault}");
    }
    let dead = format!("127.0.0.1:{}", registry::free_port());
    let fault = fault_of(client_of(&[&dead], false).manifest(&repository(), &tag())).await;
    assert_eq!(fault.kind, Kind::Unreachable);
    assert!(fault.to_string().contains("cannot be reached"), "{fault}");
}

#[tokio::test]
async fn pages_are_followed_to_their_end_and_never_in_circles_or_abroad() {
    for (link, is_ok) in [
        ("</v2/feed/web/tags/list?last=b>; rel=\"next\"", true),
        ("<http://evil.example/v2/feed/web/tags/list?last=b>; rel=\"next\"", false),
        ("</v2/feed/web/tags/list?n=1000>; rel=\"next\"", false),
    ] {
        let home = Proxy::serve(move |seen| match seen.path.contains("last=b") {
            false => Reply::Answer(
                200,
                vec![("Link", link.to_owned())],
                br#"{"name":"x","tags":["a","b"]}"#.to_vec(),
            ),
            true => json(r#"{"name":"x","tags":null}"#),
        })
        .await;
        let client = client(&home);
        let first = in_time(client.tags(&repository(), None)).await;
        assert_eq!(first.is_ok(), is_ok, "{link}");
        let Ok(first) = first else { continue };
        let last = in_time(client.tags(&repository(), first.next.as_deref())).await.unwrap();
        assert_eq!((first.items.len(), last.items.len(), last.next), (2, 0, None));
    }
    for body in ["", "<html>", "[]", r#"{"tags":["../x"]}"#, r#"{"tags":3}"#] {
        let home = Proxy::serve(move |_| json(body)).await;
        assert_eq!(fault_of(client(&home).tags(&repository(), None)).await.kind, Kind::Invalid, "{body}");
    }
}

#[tokio::test]
async fn another_endpoint_takes_over_and_the_first_is_asked_again_later() {
    let dead = format!("127.0.0.1:{}", registry::free_port());
    let second = Proxy::serve(|_| served()).await;
    let client = client_of(&[&dead, &second.address], false);
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    assert_eq!(client.active(), 1);
    let sick = Proxy::serve(|_| status(502)).await;
    let client = client_of(&[&sick.address, &second.address], false);
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    assert_eq!(sick.seen().len(), 1);
}
