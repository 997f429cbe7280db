//! Registries as rows: who answers there, what they are, what they hold; and what stands in them.

use crate::base::clock::Millis;
use crate::base::ids::{PoolId, RegistryName};
use crate::base::text;
use crate::model::harbor::Wellness;
use crate::model::host::Seen;
use crate::model::registry::{EndpointView, RegistryKind, RegistryView, TagRow};
use crate::model::world::World;
use crate::view::harbor;
use crate::view::units::{self, Grade};

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRow {
    /// Our name for it.
    pub name: RegistryName,
    /// How it stands.
    pub grade: Grade,
    /// `ok`, `1 of 2 answer`, `lost 2m`, `never seen`.
    pub state: String,
    /// `distribution` or `harbor`.
    pub kind: &'static str,
    /// What image references call it, sanitised.
    pub address: String,
    /// Sites whose hosts pull from it first.
    pub sites: String,
    /// Product and version, sanitised; empty when it does not tell.
    pub version: String,
    /// Where it keeps its content, sanitised.
    pub storage: String,
    /// Repositories; none while they are not counted.
    pub repositories: Option<u32>,
    /// Tags; none while they are not counted.
    pub tags: Option<u32>,
    /// How long the active endpoint took to answer.
    pub took_ms: Option<u64>,
    /// What a person should know of its endpoints, one sentence each.
    pub notes: Vec<String>,
}

/// All registries: those that need a person first, then by name.
pub fn rows(world: &World, now: Millis) -> Vec<RegistryRow> {
    let mut rows: Vec<RegistryRow> = world.registries.values().map(|r| row(r, now)).collect();
    rows.sort_by_key(|r| !r.grade.is_problem());
    rows
}

/// The word for a kind.
pub fn kind(kind: RegistryKind) -> &'static str {
    match kind {
        RegistryKind::Distribution => "distribution",
        RegistryKind::Harbor => "harbor",
    }
}

/// How a registry stands, in a grade and a few words.
pub fn stands(view: &RegistryView, now: Millis) -> (Grade, String) {
    let all = view.endpoints.len();
    let well = view.endpoints.iter().filter(|e| matches!(e.seen, Seen::At(_))).count();
    if well > 0 {
        return if well == all {
            (Grade::Ok, "ok".to_owned())
        } else {
            (Grade::Warn, format!("{well} of {all} answer"))
        };
    }
    let lost = view.endpoints.iter().filter_map(|e| match &e.seen {
        Seen::Lost { last, .. } => Some(*last),
        _ => None,
    });
    match lost.max() {
        Some(last) => (Grade::Lost, format!("lost {}", units::age(now.since(last)))),
        None if view.endpoints.iter().any(|e| matches!(e.seen, Seen::Never { why: Some(_) })) => {
            (Grade::Lost, "never seen".to_owned())
        }
        None => (Grade::Busy, "joining".to_owned()),
    }
}

/// How an endpoint stands, in one sentence.
pub fn endpoint(e: &EndpointView, now: Millis) -> String {
    let address = text::safe(&e.address);
    match &e.seen {
        Seen::At(at) => {
            let took = e.took_ms.map(|ms| format!(", in {ms} ms")).unwrap_or_default();
            format!("{address} answered {}{took}", units::ago(now.since(*at)))
        }
        Seen::Lost { last, why, .. } => {
            format!("{address} has not answered for {}: {}", units::age(now.since(*last)), text::safe(why))
        }
        Seen::Never { why: Some(why) } => format!("{address} has never answered: {}", text::safe(why)),
        Seen::Never { why: None } => format!("{address} is being asked for the first time"),
    }
}

/// Its product and version, as far as it tells them; Harbor tells them only to those whom it knows.
pub fn version(view: &RegistryView) -> Option<String> {
    let harbor = view.harbor.as_ref().and_then(|h| h.facts.as_ref()?.version.as_ref());
    let active = view.active.and_then(|i| view.endpoints.get(i));
    let told = active.into_iter().chain(&view.endpoints).find_map(|e| e.facts.as_ref()?.version.as_ref());
    harbor.map(|v| format!("Harbor {}", v.raw())).or_else(|| told.map(|v| v.raw().to_owned()))
}

/// Where it keeps its content: in the operator's words, else in Harbor's.
pub fn storage(view: &RegistryView) -> Option<String> {
    let harbor = view.harbor.as_ref().and_then(|h| h.facts.as_ref()?.storage.as_ref());
    view.registry.storage.clone().or_else(|| harbor.map(|s| s.raw().to_owned()))
}

fn row(view: &RegistryView, now: Millis) -> RegistryRow {
    let (mut grade, mut state) = stands(view, now);
    let active = view.active.and_then(|i| view.endpoints.get(i));
    let quiet = |e: &&EndpointView| !matches!(e.seen, Seen::At(_) | Seen::Never { why: None });
    let mut notes: Vec<String> = view.endpoints.iter().filter(quiet).map(|e| endpoint(e, now)).collect();
    if active.and_then(|e| e.facts.as_ref()).is_some_and(|f| !f.lists) {
        notes.push(
            "it does not list its repositories to us: they are shown as far as rules and pools name them"
                .into(),
        );
    }
    if let Some(told) = &view.harbor {
        notes.extend(harbor::notes(told));
        if grade == Grade::Ok && !harbor::is_well(told) {
            let sick = told.health.as_ref().is_some_and(|h| h.status != Wellness::Well);
            (grade, state) = (Grade::Warn, if sick { "parts ill" } else { "partly read" }.to_owned());
        }
    }
    let registry = &view.registry;
    RegistryRow {
        name: registry.name.clone(),
        grade,
        state,
        kind: kind(registry.kind),
        address: text::safe(&registry.address).into_owned(),
        sites: registry.sites.iter().map(crate::base::ids::SiteName::as_str).collect::<Vec<_>>().join(", "),
        version: version(view).map(|v| text::safe(&v).into_owned()).unwrap_or_default(),
        storage: storage(view).map(|s| text::safe(&s).into_owned()).unwrap_or_default(),
        repositories: view.counted.map(|c| c.repositories),
        tags: view.counted.map(|c| c.tags),
        took_ms: active.and_then(|e| e.took_ms),
        notes,
    }
}

/// All that is known of a registry, as `key: value` lines.
pub fn described(world: &World, name: &RegistryName, now: Millis) -> Vec<String> {
    let Some(view) = world.registries.get(name) else { return vec!["this registry is gone".to_owned()] };
    let (row, registry) = (row(view, now), &view.registry);
    let or_none = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
    let mut out = vec![
        format!("registry: {name} ({})", row.kind),
        format!("address: {}", row.address),
        format!("state: {}", row.state),
        format!("sites: {}", if row.sites.is_empty() { "none pulls from it first" } else { &row.sites }),
        format!("version: {}", or_none(&row.version)),
        format!("storage: {}", or_none(&row.storage)),
        format!("requests: {} at a time at most", registry.parallel),
    ];
    if registry.plain_http {
        out.push("transport: plain HTTP, as it was told; what goes there can be read on the way".to_owned());
    }
    out.extend(registry.ca.as_deref().map(|ca| format!("authorities: {}", text::safe(ca))));
    out.push(match view.counted {
        Some(c) => format!(
            "holds: {} in {}, counted {}",
            text::count(u64::from(c.tags), "tag"),
            repositories(u64::from(c.repositories)),
            units::ago(now.since(c.at))
        ),
        None => "holds: not counted yet".to_owned(),
    });
    for (i, e) in view.endpoints.iter().enumerate() {
        let used = if view.active == Some(i) { " (calls go here)" } else { "" };
        out.push(format!("endpoint: {}{used}", endpoint(e, now)));
    }
    out.extend(view.harbor.iter().flat_map(|told| harbor::described(told, now)));
    out
}

/// `1 repository`, `3 repositories`.
pub fn repositories(n: u64) -> String {
    if n == 1 { "1 repository".to_owned() } else { format!("{n} repositories") }
}

/// Platforms in a few words, sanitised: `linux/amd64, arm64`: the operating system stands once when it is the same.
pub fn platforms(tag: &TagRow) -> String {
    let mut out = Vec::new();
    let mut os = "";
    for p in &tag.platforms {
        let whole = p.to_string();
        out.push(if p.os == os { whole.get(os.len() + 1..).unwrap_or(&whole).to_owned() } else { whole });
        os = &p.os;
    }
    text::safe(&out.join(", ")).into_owned()
}

/// Pools in a few words: `feed/web and 2 more`.
pub fn pools(used_by: &[PoolId]) -> String {
    match used_by {
        [] => "-".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// All that is known of a tag, as `key: value` lines.
pub fn described_tag(tag: &TagRow, name: &str, now: Millis) -> Vec<String> {
    let unknown = || "not read yet".to_owned();
    let mut out = vec![
        format!("tag: {name}"),
        format!("digest: {}", tag.digest.as_ref().map_or_else(unknown, ToString::to_string)),
        format!("size: {}", tag.size.map_or_else(unknown, |n| format!("{} ({n} bytes)", text::bytes(n)))),
        format!("platforms: {}", if tag.platforms.is_empty() { unknown() } else { platforms(tag) }),
        format!("made: {}", tag.created.map_or_else(unknown, |at| units::ago(now.since(at)))),
    ];
    out.extend(tag.used_by.iter().map(|p| format!("used-by: {p}")));
    out.extend(tag.labels.iter().map(|(k, v)| format!("label: {k}={v}")));
    out.extend(tag.why.as_ref().map(|why| format!("fault: {why}")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oci::Platform;
    use crate::model::registry::Registry;

    const NOW: Millis = Millis(1_000_000);

    fn view(seen: &[Seen]) -> RegistryView {
        let registry: Registry =
            serde_json::from_str(r#"{"name":"hq","address":"hq.example","storage":"\u001b[2Js3"}"#).unwrap();
        let endpoint = |(i, seen): (usize, &Seen)| EndpointView {
            address: format!("e{i}:5000"),
            seen: seen.clone(),
            took_ms: Some(12),
            facts: None,
        };
        let mut view = RegistryView::never(registry);
        view.endpoints = seen.iter().enumerate().map(endpoint).collect();
        view
    }

    #[test]
    fn health_is_said_in_words_and_never_better_than_it_is() {
        let lost = |ago| Seen::Lost { last: Millis(NOW.0 - ago), since: NOW, why: "cut\u{7}".into() };
        let never = |why: Option<&str>| Seen::Never { why: why.map(str::to_owned) };
        let stands = |seen: &[Seen]| stands(&view(seen), NOW);
        assert_eq!(stands(&[Seen::At(NOW), Seen::At(NOW)]), (Grade::Ok, "ok".into()));
        assert_eq!(stands(&[Seen::At(NOW), lost(90_000)]), (Grade::Warn, "1 of 2 answer".into()));
        assert_eq!(stands(&[lost(90_000), lost(200_000)]), (Grade::Lost, "lost 1m".into()));
        assert_eq!(stands(&[never(Some("refused"))]), (Grade::Lost, "never seen".into()));
        assert_eq!(stands(&[never(None)]), (Grade::Busy, "joining".into()));
        let row = row(&view(&[Seen::At(NOW), lost(90_000)]), NOW);
        assert_eq!(row.notes, ["e1:5000 has not answered for 1m: cut\\x07"]);
        assert_eq!((row.storage.as_str(), row.tags), ("\\e[2Js3", None));
    }

    #[test]
    fn platforms_name_the_system_once() {
        let platform = |a: &str, v: Option<&str>| Platform {
            os: "linux".into(),
            architecture: a.into(),
            variant: v.map(str::to_owned),
        };
        let mut tag: TagRow = serde_json::from_str(r#"{"tag":"v1"}"#).unwrap();
        tag.platforms = vec![platform("amd64", None), platform("arm64", Some("v8"))];
        assert_eq!(platforms(&tag), "linux/amd64, arm64/v8");
        tag.platforms = vec![platform("\u{1b}[31m", None)];
        assert_eq!(platforms(&tag), "linux/\\e[31m");
    }
}
