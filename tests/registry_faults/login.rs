//! Logins: what is asked for is given to whom it is for, and to nobody else.

use std::sync::Mutex;

use longshore::ports::registry::Action;

use super::*;

/// A token service that gives out `t0ken-0`, `t0ken-1` … to whoever knows the password, each valid for this many seconds.
async fn realm(life: u64) -> Proxy {
    let turns = Turns::default();
    Proxy::serve(move |seen| {
        // Basic me:secret.
        if seen.header("authorization") != Some("Basic bWU6c2VjcmV0") {
            return status(401);
        }
        json(&format!(r#"{{"token":"t0ken-{}","expires_in":{life}}}"#, turns.next()))
    })
    .await
}

fn wants_token(realm: &str) -> Reply {
    let ask = format!(r#"Bearer realm="http://{realm}/token?a=b",service="lab",scope="x""#);
    let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.to_vec();
    Reply::Answer(401, vec![("WWW-Authenticate", ask)], body)
}

#[tokio::test]
async fn a_login_goes_to_the_token_service_and_a_token_to_the_registry_only() {
    let blob_bytes = bytes(5_000);
    let (elsewhere_bytes, digest) = (blob_bytes.clone(), Digest::of(&blob_bytes));
    let store = Proxy::serve(move |seen| match seen.method.as_str() {
        "PUT" => status(201),
        _ => blob(seen, &elsewhere_bytes, true),
    })
    .await;
    let (service, store_at) = (realm(300).await, store.address.clone());
    let realm_at = service.address.clone();
    let home = Proxy::serve(move |seen| {
        if seen.header("authorization") != Some("Bearer t0ken-0")
            && seen.header("authorization") != Some("Bearer t0ken-1")
        {
            return wants_token(&realm_at);
        }
        match (seen.method.as_str(), seen.path.contains("/uploads/")) {
            ("POST", true) => {
                Reply::Answer(202, vec![("Location", format!("http://{store_at}/up?k=%2F1"))], vec![])
            }
            ("GET", _) => {
                Reply::Answer(307, vec![("Location", format!("http://{store_at}/b?sig=1"))], vec![])
            }
            _ => status(404),
        }
    })
    .await;
    let client = client_of(&[&home.address], true);
    assert_eq!(in_time(read_all(&client, &digest)).await.unwrap(), blob_bytes);
    in_time(write(&client, &blob_bytes)).await.unwrap();
    let at_store = store.seen();
    assert_eq!(at_store.len(), 2, "{at_store:?}");
    assert!(at_store.iter().all(|s| !s.has_login()), "{at_store:?}");
    let put = at_store.iter().find(|s| s.method == "PUT").unwrap();
    assert_eq!(
        (put.path.as_str(), put.body.as_slice()),
        (format!("/up?k=%2F1&digest={digest}").as_str(), blob_bytes.as_slice())
    );
    let asked = service.seen();
    assert_eq!(asked.len(), 2, "one token for reading, one for writing");
    assert_eq!(asked[0].path, "/token?a=b&service=lab&scope=repository%3Afeed%2Fweb%3Apull");
    assert!(asked[1].path.ends_with("scope=repository%3Afeed%2Fweb%3Apull%2Cpush"), "{}", asked[1].path);
    // The password went to the token service alone.
    assert!(home.seen().iter().all(|s| !s.head.contains("bWU6c2VjcmV0")));
}

#[tokio::test]
async fn a_401_loop_ends_after_two_and_says_what_we_may_not() {
    let service = realm(300).await;
    let at = service.address.clone();
    let home = Proxy::serve(move |_| wants_token(&at)).await;
    let client = client_of(&[&home.address], true);
    let fault = fault_of(write(&client, b"x")).await;
    assert_eq!(fault.kind, Kind::Refused);
    let words = fault.to_string();
    assert!(
        words.contains("does not let this account write to feed/web") && words.contains("UNAUTHORIZED"),
        "{words}"
    );
    assert_eq!(home.seen().len(), 2);
    // The token that is kept is shown first, and once more a new one.
    fault_of(write(&client, b"x")).await;
    assert_eq!((home.seen().len(), service.seen().len()), (4, 2));
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let service = realm(300).await;
    let (at, valid) = (service.address.clone(), Arc::new(Mutex::new(0)));
    let (all, now) = (bytes(5_000), Arc::clone(&valid));
    let home_bytes = all.clone();
    let home = Proxy::before("", move |seen| {
        let mut valid = now.lock().unwrap();
        if seen.header("authorization") != Some(&format!("Bearer t0ken-{valid}")) {
            return (wants_token(&at), proxy::Trouble::None);
        }
        // From now on this one is over, whatever its service said.
        *valid += 1;
        let cut = if *valid < 3 { proxy::Trouble::Cut(1_000) } else { proxy::Trouble::None };
        (blob(seen, &home_bytes, true), cut)
    })
    .await;
    let client = client_of(&[&home.address], true);
    let (digest, mut came) = (Digest::of(&all), Vec::new());
    for _ in 0..9 {
        if came.len() == all.len() {
            break;
        }
        came.extend(in_time(read(&client, &digest, came.len() as u64)).await.unwrap().1);
    }
    assert!(came == all);
    assert_eq!(service.seen().len(), 3);
}

#[tokio::test]
async fn an_upload_whose_token_ends_before_the_put_begins_anew_once() {
    let service = realm(300).await;
    let at = service.address.clone();
    let home = Proxy::serve(move |seen| {
        let token = seen.header("authorization").map(str::to_owned);
        match (seen.method.as_str(), token.as_deref()) {
            ("POST", Some("Bearer t0ken-0" | "Bearer t0ken-1")) => {
                Reply::Answer(202, vec![("Location", "/v2/feed/web/blobs/uploads/1?s=1".to_owned())], vec![])
            }
            ("PUT", Some("Bearer t0ken-1")) => status(201),
            ("DELETE", Some(_)) => status(204),
            _ => wants_token(&at),
        }
    })
    .await;
    in_time(write(&client_of(&[&home.address], true), &bytes(50_000))).await.unwrap();
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn a_short_token_is_asked_for_again_and_a_wrong_password_is_said() {
    let service = realm(1).await;
    let at = service.address.clone();
    let home = Proxy::serve(move |seen| if seen.has_login() { served() } else { wants_token(&at) }).await;
    let client = client_of(&[&home.address], true);
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    assert_eq!(service.seen().len(), 2);
    let stranger = client_of(&[&home.address], false);
    let fault = fault_of(stranger.manifest(&repository(), &tag())).await;
    assert_eq!(fault.kind, Kind::Refused);
    assert!(fault.to_string().contains("the token service wants a login"), "{fault}");
}

#[tokio::test]
async fn a_token_with_fewer_rights_is_foreseen() {
    // {"access":[{"type":"repository","name":"feed/web","actions":["pull"]}]}
    let claims =
        "eyJhY2Nlc3MiOlt7InR5cGUiOiJyZXBvc2l0b3J5IiwibmFtZSI6ImZlZWQvd2ViIiwiYWN0aW9ucyI6WyJwdWxsIl19XX0";
    let service = Proxy::serve(move |_| json(&format!(r#"{{"access_token":"e30.{claims}.x"}}"#))).await;
    let at = service.address.clone();
    let home = Proxy::serve(move |seen| if seen.has_login() { json("{}") } else { wants_token(&at) }).await;
    let client = client_of(&[&home.address], false);
    assert!(in_time(client.may(&repository(), Action::Pull)).await.unwrap());
    assert!(!in_time(client.may(&repository(), Action::Push)).await.unwrap());
}

#[tokio::test]
async fn a_name_and_a_password_are_shown_to_their_registry_when_it_asks() {
    let home = Proxy::serve(|seen| match seen.header("authorization") {
        Some("Basic bWU6c2VjcmV0") => served(),
        _ => Reply::Answer(401, vec![("WWW-Authenticate", "Basic realm=\"x\"".to_owned())], vec![]),
    })
    .await;
    let client = client_of(&[&home.address], true);
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    in_time(client.manifest(&repository(), &tag())).await.unwrap();
    assert_eq!(home.seen().len(), 3);
    let fault = fault_of(client_of(&[&home.address], false).manifest(&repository(), &tag())).await;
    assert_eq!((fault.kind, fault.hint.as_deref()), (Kind::Refused, Some("log in to the registry first")));
    let wrong =
        Proxy::serve(|_| Reply::Answer(401, vec![("WWW-Authenticate", "Basic".to_owned())], vec![])).await;
    let fault = fault_of(client_of(&[&wrong.address], true).manifest(&repository(), &tag())).await;
    assert_eq!((fault.kind, wrong.seen().len()), (Kind::Refused, 2));
}

#[tokio::test]
async fn another_host_that_wants_a_login_gets_none() {
    let thief =
        Proxy::serve(|_| Reply::Answer(401, vec![("WWW-Authenticate", "Basic realm=x".to_owned())], vec![]))
            .await;
    let at = thief.address.clone();
    let home = Proxy::serve(move |seen| match seen.header("authorization") {
        Some(_) => Reply::Answer(302, vec![("Location", format!("http://{at}/x"))], vec![]),
        None => Reply::Answer(401, vec![("WWW-Authenticate", "Basic realm=x".to_owned())], vec![]),
    })
    .await;
    let fault = fault_of(client_of(&[&home.address], true).manifest(&repository(), &tag())).await;
    assert_eq!(fault.kind, Kind::Refused);
    let seen = thief.seen();
    assert!(seen.len() == 1 && !seen[0].has_login(), "{seen:?}");
}
