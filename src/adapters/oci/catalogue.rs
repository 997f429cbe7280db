//! What a registry says of itself and what it lists: repositories and tags by pages, rights.

use std::str::FromStr;
use std::sync::PoisonError;

use bytes::Bytes;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::adapters::oci::Inner;
use crate::adapters::oci::call::{Call, Got, Place};
use crate::adapters::oci::challenge::{CATALOG, Challenge, scope, word};
use crate::adapters::oci::limits::{ERROR_CAP, LIST_CAP, PAGE};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Repository, Tag};
use crate::model::registry::{LoginKind, Page, RegistryFacts};
use crate::ports::registry::Action;

#[derive(Deserialize)]
struct Listed {
    repositories: Option<Vec<String>>,
    /// An emptied repository's are `null` in Distribution.
    tags: Option<Vec<String>>,
}

/// The target of `rel="next"` in the `Link` headers (RFC 8288).
pub(super) fn next_link(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok());
    let all = all.collect::<Vec<_>>().join(",");
    let mut rest = all.as_str();
    while let Some((target, after)) = rest.split_once('<').and_then(|(_, link)| link.split_once('>')) {
        let (given, next) = after.find('<').map_or((after, ""), |at| after.split_at(at));
        let is_next = given.split(';').any(|p| {
            let (name, value) = p.split_once('=').unwrap_or((p, ""));
            let value = value.trim_matches(['"', ',', ' ']);
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|v| v.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = next;
    }
    None
}

impl Inner {
    /// A call without a body to whichever endpoint is well.
    pub(super) fn get(&self, what: String, path: String, scopes: Vec<String>) -> Call {
        Call {
            what,
            method: Method::GET,
            place: Place::Path(path),
            scopes,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: self.caller.auth.limits.answer,
            cap: Some(ERROR_CAP),
        }
    }

    /// The page that follows an answer, unless it is the one that was asked for: that list would have no end.
    pub(super) fn next_of(&self, asked: &str, got: &Got) -> Outcome<Option<String>> {
        let Some(link) = next_link(&got.headers) else { return Ok(None) };
        let next = self.caller.auth.origins.next_page(&got.url, &link)?;
        if next == asked {
            return Err(Fault::new(
                Kind::Invalid,
                "the registry's list has no end: its next page is the same one",
            ));
        }
        Ok(Some(next))
    }

    async fn page<T: FromStr<Err = Fault>>(
        &self,
        call: Call,
        pick: fn(Listed) -> Option<Vec<String>>,
    ) -> Outcome<Page<T>> {
        let what = call.what.clone();
        let Place::Path(path) = &call.place else { return Err(Fault::new(Kind::Bug, "a list has a path")) };
        let call = Call { deadline: self.caller.auth.limits.list, cap: Some(LIST_CAP), ..call.clone() };
        let got = self.caller.send(&call).await?.ok().map_err(|why| why.because(format!("cannot {what}")))?;
        let wrong = |why: String| Fault::new(Kind::Invalid, why).because(format!("cannot {what}"));
        let listed: Listed = serde_json::from_slice(&got.body).map_err(|why| wrong(why.to_string()))?;
        let items = pick(listed).unwrap_or_default().iter().map(|t| t.parse()).collect::<Outcome<Vec<T>>>();
        Ok(Page {
            items: items.map_err(|why| why.because(format!("cannot {what}")))?,
            next: self.next_of(path, &got)?,
        })
    }

    /// A path to go on with must be one that we gave out.
    fn resumed(next: Option<&str>, first: String, prefix: &str) -> Outcome<String> {
        match next {
            None => Ok(first),
            Some(next) if next.starts_with(prefix) && !next.contains("..") => Ok(next.to_owned()),
            Some(next) => Err(Fault::new(Kind::Invalid, format!("{next:?} is no page of this list"))),
        }
    }

    pub(super) async fn repositories(&self, next: Option<&str>) -> Outcome<Page<Repository>> {
        let path = Inner::resumed(next, format!("/v2/_catalog?n={PAGE}"), "/v2/_catalog")?;
        let call = self.get("list the repositories".to_owned(), path, vec![CATALOG.to_owned()]);
        let refused = |why: Fault| match why.kind {
            // Registries of many customers have no such list at all.
            Kind::NotFound => Fault { kind: Kind::Refused, ..why }.hint("name the repositories one by one"),
            _ => why,
        };
        self.page(call, |l| l.repositories).await.map_err(refused)
    }

    pub(super) async fn tags(&self, of: &Repository, next: Option<&str>) -> Outcome<Page<Tag>> {
        let prefix = format!("/v2/{of}/tags/list");
        let path = Inner::resumed(next, format!("{prefix}?n={PAGE}"), &prefix)?;
        let call = self.get(format!("list the tags of {of}"), path, vec![scope(of, Action::Pull)]);
        self.page(call, |l| l.tags).await
    }

    pub(super) async fn facts(&self) -> Outcome<RegistryFacts> {
        let ping = self.get("ask whether it is there".to_owned(), "/v2/".to_owned(), Vec::new());
        let got = self.caller.send(&ping).await?;
        if !got.status.is_success() {
            return Err(got.fault().because("this does not answer as a registry does"));
        }
        let login = match self.caller.auth.known() {
            None => LoginKind::None,
            Some(Challenge::Basic) => LoginKind::Basic,
            Some(Challenge::Bearer { .. }) => LoginKind::Token,
        };
        let known = *self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = match known {
            Some(lists) => lists,
            None => self.look_whether_it_lists().await,
        };
        Ok(RegistryFacts { version: None, login, lists })
    }

    /// Asked until there is an answer, once; a list that is slow to come is a list all the same.
    async fn look_whether_it_lists(&self) -> bool {
        let path = "/v2/_catalog?n=1".to_owned();
        let call = self.get("list the repositories".to_owned(), path, vec![CATALOG.to_owned()]);
        let call = Call { cap: Some(LIST_CAP), ..call };
        let lists = match self.caller.send(&call).await {
            Ok(got) => got.status.is_success(),
            Err(fault) if fault.kind == Kind::Refused => false,
            Err(_) => return true,
        };
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner) = Some(lists);
        lists
    }

    pub(super) async fn may(&self, of: &Repository, action: Action) -> Outcome<bool> {
        if self.caller.auth.known().is_none() {
            // What it asks for is learnt from any call.
            let ping = self.get("ask whether it is there".to_owned(), "/v2/".to_owned(), Vec::new());
            let got = self.caller.send(&ping).await?;
            if !got.status.is_success() && got.status != StatusCode::NOT_FOUND {
                return Err(got.fault());
            }
        }
        let granted = self.caller.auth.granted(&scope(of, action)).await?;
        Ok(granted.is_none_or(|all| all.iter().any(|a| a == word(action) || a == "*")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (link, wanted) in [
            (r#"</v2/_catalog?last=b&n=2>; rel="next""#, Some("/v2/_catalog?last=b&n=2")),
            (r#"<https://r/x?a=1,2>;rel=next"#, Some("https://r/x?a=1,2")),
            (r#"</first>; rel="first", </x>; title="y"; rel="prev next""#, Some("/x")),
            (r#"</first>; rel="first""#, None),
            ("", None),
            ("<", None),
            ("<x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            assert_eq!(next_link(&headers).as_deref(), wanted, "{link}");
        }
    }
}
