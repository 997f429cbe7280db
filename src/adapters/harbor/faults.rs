//! What Harbor's statuses and error bodies mean: one table to a kind and a next step; Harbor's own code stays in the reasons.

use std::time::Duration;

use serde::Deserialize;

use crate::base::fault::{Fault, Kind};

/// Longest text that is kept of an error.
const TEXT_MAX: usize = 1024;

/// `{"errors":[{"code","message"}]}` (`Errors` in the API description; before 2.1 the description had the bare list).
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Named { errors: Vec<One> },
    Bare(Vec<One>),
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Status, kind, our sentence, next step. Statuses are those of the API description, and those of proxies before it.
const TABLE: &[(u16, Kind, &str, Option<&str>)] = &[
    (400, Kind::Invalid, "it does not understand the call", None),
    (
        401,
        Kind::Refused,
        "it does not accept our log-in",
        Some("check the name and the password: registry login"),
    ),
    (
        403,
        Kind::Refused,
        "our log-in may not do that",
        Some("replication needs an administrator of Harbor, members an admin of the project"),
    ),
    (404, Kind::NotFound, "there is no such thing", None),
    (405, Kind::Refused, "it does not offer that", None),
    (409, Kind::Conflict, "it is there already", None),
    (412, Kind::Refused, "its state does not allow that", None),
    (413, Kind::Refused, "the call is too large for it", None),
    (415, Kind::Invalid, "it does not understand the call", None),
    (422, Kind::Invalid, "it does not understand the call", None),
    (429, Kind::Refused, "it gets too many calls", None),
    (500, Kind::Refused, "it failed inside", Some("its own log says why: core")),
    (502, Kind::Unreachable, "the proxy before it does not reach it", None),
    (503, Kind::Unreachable, "it is not ready", None),
    (504, Kind::Unreachable, "the proxy before it does not reach it", None),
    (507, Kind::Exhausted, "it has no space left", None),
];

/// The fault for an answer with an error status.
pub(super) fn of(
    status: u16,
    body: &[u8],
    html: bool,
    target: Option<&str>,
    wait: Option<Duration>,
) -> Fault {
    if (300..400).contains(&status) {
        let target = shorten(target.unwrap_or("somewhere else"));
        return Fault::new(Kind::Refused, format!("it sends us on to {target} (status {status})"))
            .hint("we do not follow, since the password would go along: add the registry with that address");
    }
    let row = TABLE.iter().find(|(known, ..)| *known == status);
    let fault = match row {
        Some((_, kind, sentence, hint)) => {
            let fault = Fault::new(*kind, format!("{sentence} (status {status})"));
            hint.map_or(fault.clone(), |hint| fault.hint(hint))
        }
        None => Fault::new(Kind::Refused, format!("it answered with status {status}")),
    };
    let fault = match wait {
        Some(wait) => fault.with_reason(format!("it asks to wait {} s", wait.as_secs())),
        None => fault,
    };
    if html {
        return fault.with_reason("a page came instead of Harbor's words: is a proxy before it?");
    }
    words(body).into_iter().fold(fault, Fault::with_reason)
}

/// A page with a good status: the address leads to something else.
pub(super) fn a_page(status: u16) -> Fault {
    Fault::new(Kind::Bug, format!("a page came instead of an answer (status {status})"))
        .hint("check that the address is Harbor's own")
}

/// A body that is not what the API description says.
pub(super) fn not_understood(why: &serde_json::Error) -> Fault {
    Fault::new(Kind::Bug, format!("its answer makes no sense: {why}"))
        .hint("check that the address is Harbor's own, and its version")
}

/// Harbor's own words with their codes; other text as it is.
fn words(body: &[u8]) -> Vec<String> {
    let Ok(Body::Named { errors: said } | Body::Bare(said)) = serde_json::from_slice::<Body>(body) else {
        let text = String::from_utf8_lossy(body);
        return if text.trim().is_empty() { vec![] } else { vec![shorten(text.trim())] };
    };
    let line = |one: One| match (one.code.is_empty(), one.message.is_empty()) {
        (false, false) => shorten(&format!("{}: {}", one.code, one.message)),
        (true, _) => shorten(&one.message),
        (false, true) => shorten(&one.code),
    };
    said.into_iter().map(line).filter(|line| !line.is_empty()).take(4).collect()
}

fn shorten(text: &str) -> String {
    let mut end = TEXT_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < text.len() { "…" } else { "" };
    format!("{}{more}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harbors_code_stays_in_the_words() {
        let body = br#"{"errors":[{"code":"CONFLICT","message":"The project member specified already exist"}],"x":1}"#;
        let fault = of(409, body, false, None, None);
        assert_eq!(fault.kind, Kind::Conflict);
        assert_eq!(
            fault.to_string(),
            "it is there already (status 409): CONFLICT: The project member specified already exist"
        );
        let bare = of(404, br#"[{"code":"NOT_FOUND"}]"#, false, None, None);
        assert_eq!(bare.to_string(), "there is no such thing (status 404): NOT_FOUND");
    }

    #[test]
    fn bodies_of_other_kinds_do_not_break_the_sentence() {
        for body in
            ["", "{}", "null", "[1]", r#"{"errors":null}"#, "plain \u{1b}[2J words", "{\"errors\":[{}]}"]
        {
            let fault = of(500, body.as_bytes(), false, None, None);
            assert!(fault.to_string().starts_with("it failed inside (status 500)"), "{fault}");
            assert!(!fault.to_string().contains('\u{1b}'));
        }
        let long = of(418, "é".repeat(9_000).as_bytes(), false, None, None);
        assert!(long.to_string().len() < TEXT_MAX + 64, "{long}");
        let page = of(502, b"<html>secret</html>", true, None, None);
        assert!(!page.to_string().contains("html"), "{page}");
    }

    #[test]
    fn a_redirect_is_told_and_not_followed() {
        let fault = of(302, b"", false, Some("https://elsewhere.example/"), None);
        assert_eq!(fault.kind, Kind::Refused);
        assert!(fault.to_string().contains("https://elsewhere.example/"));
    }
}
