//! What Harbor says of itself, its room, the quotas of all projects.

use longshore::model::harbor::view::Quotas;
use longshore::model::harbor::{HarborFacts, Quota, Space};
use longshore::ports::registry_admin::Estate;

use crate::server::{Server, json, reply};
use crate::{BASIC, fixture, harbor};

#[tokio::test]
async fn version_and_storage_are_asked_for_with_a_log_in() {
    let server = Server::start(|_| json(fixture!("systeminfo.json")));
    let facts = harbor(&server.address).about().await.unwrap();
    let wanted = HarborFacts {
        version: Some("v2.12.1-0a1b2c3d".into()),
        storage: Some("s3".into()),
        read_only: Some(false),
    };
    assert_eq!(facts, wanted);
    assert_eq!(server.lines(), ["GET /api/v2.0/systeminfo"]);
    assert_eq!(server.requests()[0].headers["authorization"], BASIC);
    // To nobody it tells neither.
    let nobody = Server::start(|_| json(r#"{"auth_mode":"db_auth"}"#));
    assert_eq!(harbor(&nobody.address).about().await.unwrap(), HarborFacts::default());
}

#[tokio::test]
async fn a_size_of_nothing_is_no_room() {
    for (body, wanted) in [
        (fixture!("volumes.json"), Some(Space { total: 107_374_182_400, free: 53_687_091_200 })),
        (r#"{"storage":[{"total":0,"free":0}]}"#, None),
        (r#"{"storage":[]}"#, None),
        ("{}", None),
    ] {
        let server = Server::start(move |_| json(body));
        assert_eq!(harbor(&server.address).space().await.unwrap(), wanted, "{body}");
        assert_eq!(server.lines(), ["GET /api/v2.0/systeminfo/volumes"]);
    }
}

#[tokio::test]
async fn quotas_of_all_projects_come_in_one_list() {
    let server = Server::start(|_| reply(200, &[("X-Total-Count", "3")], fixture!("quotas.json")));
    let all = harbor(&server.address).quotas().await.unwrap();
    let rows: Vec<_> = all
        .iter()
        .map(|q| (q.project.as_ref().map(longshore::base::text::Untrusted::raw), q.quota))
        .collect();
    assert_eq!(
        rows,
        [
            (Some("library"), Quota { used: 5_242_880, limit: None }),
            (Some("feed"), Quota { used: 734_003_200, limit: Some(10_737_418_240) }),
            (None, Quota { used: 0, limit: None }),
        ]
    );
    assert_eq!(Quotas::of(&all).fullest.and_then(|f| f.project).unwrap().raw(), "feed");
    assert_eq!(server.lines(), ["GET /api/v2.0/quotas?reference=project&page=1&page_size=100"]);
}
