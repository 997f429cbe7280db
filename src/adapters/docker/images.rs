//! The list of images: each reference with what it stands for.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::adapters::docker::client::{Client, nonsense};
use crate::adapters::docker::encode;
use crate::adapters::docker::limits::{IMAGE, IMAGES, TEXT_MAX};
use crate::base::clock::Millis;
use crate::base::fault::{Kind, Outcome};
use crate::base::text::Untrusted;
use crate::model::host::Image;
use crate::model::prewarm::HeldImage;

/// One row of `GET /images/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    size: i64,
}

/// The digest of `REPOSITORY@DIGEST`; none for `<none>@<none>`.
fn sum(digest: &str) -> Option<Untrusted> {
    let (_, sum) = digest.rsplit_once('@')?;
    (sum.len() <= TEXT_MAX && sum.contains(':')).then(|| sum.into())
}

/// How an engine calls an image that has no name any more.
const NAMELESS: &str = "<none>:<none>";

/// Reads the whole list. One row that makes no sense spoils it: a part is not the whole.
pub(super) fn read(body: &[u8]) -> Outcome<BTreeMap<String, Image>> {
    let rows: Vec<Row> = serde_json::from_slice(body).map_err(|why| nonsense(IMAGES, &why.to_string()))?;
    let mut out = BTreeMap::new();
    for row in rows {
        let image = Image {
            id: row.id.as_str().into(),
            created: Millis(row.created.saturating_mul(1000)),
            size: u64::try_from(row.size).unwrap_or(0),
            digest: row.repo_digests.iter().flatten().find_map(|d| sum(d)),
        };
        let named = |tag: &String| tag != NAMELESS && tag.len() <= TEXT_MAX;
        out.extend(row.repo_tags.unwrap_or_default().into_iter().filter(named).map(|t| (t, image.clone())));
    }
    Ok(out)
}

/// What `GET /images/{name}/json` says of an image, in so far as we need it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    id: String,
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
}

/// What a reference stands for; `None` when it is not there.
pub(super) async fn held(client: &Client, image: &str) -> Outcome<Option<HeldImage>> {
    match client.get(IMAGE, &format!("/images/{}/json", encode(image))).await {
        Ok(answer) => detail(&answer.body).map(Some),
        Err(fault) if fault.kind == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn detail(body: &[u8]) -> Outcome<HeldImage> {
    let said: Detail = serde_json::from_slice(body).map_err(|why| nonsense(IMAGE, &why.to_string()))?;
    let digests = said.repo_digests.unwrap_or_default();
    let fits = |d: &String| d.len() <= TEXT_MAX;
    Ok(HeldImage {
        id: said.id.as_str().into(),
        digests: digests.into_iter().filter(fits).map(|d| d.as_str().into()).collect(),
        size: u64::try_from(said.size).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_an_image_is_listed() {
        let body = br#"[{"Id":"sha256:ab","RepoTags":["app:1","app:latest"],"RepoDigests":["app@sha256:77"],"Created":1700000000,"Size":42},
            {"Id":"sha256:cd","RepoTags":null,"Created":1,"Size":-1},{"Id":"sha256:ef","RepoTags":["<none>:<none>"]}]"#;
        let images = read(body).unwrap();
        let ab = Image {
            id: "sha256:ab".into(),
            created: Millis(1_700_000_000_000),
            size: 42,
            digest: Some("sha256:77".into()),
        };
        assert_eq!(
            images,
            [("app:1", ab.clone()), ("app:latest", ab)].map(|(t, i)| (t.to_owned(), i)).into()
        );
        assert!(read(b"{}").is_err());
    }

    #[test]
    fn digests_of_registries_are_read_and_what_was_built_there_has_none() {
        let sum = "ab".repeat(32);
        let body = format!(r#"{{"Id":"sha256:11","RepoDigests":["hq.example/a/b@sha256:{sum}"],"Size":7}}"#);
        let image = detail(body.as_bytes()).unwrap();
        assert!(image.is(&format!("sha256:{sum}").parse().unwrap()));
        assert!(!image.is(&format!("sha256:{}", "cd".repeat(32)).parse().unwrap()));
        let built = detail(br#"{"Id":"sha256:11","RepoDigests":null,"Size":7}"#).unwrap();
        assert_eq!((built.sums().count(), built.size), (0, 7));
        assert!(detail(b"[]").is_err());
    }
}
