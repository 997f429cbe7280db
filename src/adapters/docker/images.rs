//! The list of images: each reference with what it stands for.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::adapters::docker::client::nonsense;
use crate::adapters::docker::limits::{IMAGES, TEXT_MAX};
use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::model::host::Image;

/// One row of `GET /images/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    size: i64,
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
        };
        let named = |tag: &String| tag != NAMELESS && tag.len() <= TEXT_MAX;
        out.extend(row.repo_tags.unwrap_or_default().into_iter().filter(named).map(|t| (t, image.clone())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_an_image_is_listed() {
        let body = br#"[{"Id":"sha256:ab","RepoTags":["app:1","app:latest"],"Created":1700000000,"Size":42},
            {"Id":"sha256:cd","RepoTags":null,"Created":1,"Size":-1},{"Id":"sha256:ef","RepoTags":["<none>:<none>"]}]"#;
        let images = read(body).unwrap();
        let ab = Image { id: "sha256:ab".into(), created: Millis(1_700_000_000_000), size: 42 };
        assert_eq!(
            images,
            [("app:1", ab.clone()), ("app:latest", ab)].map(|(t, i)| (t.to_owned(), i)).into()
        );
        assert!(read(b"{}").is_err());
    }
}
