//! What a registry's refusal means: one table from its codes and statuses to a kind and a next step, with the registry's own words.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::adapters::oci::limits::ERROR_TEXT_MAX;
use crate::base::fault::{Fault, Kind};

/// The registry's codes (distribution specification, error codes; Harbor's and Distribution's own), the first that fits counts.
const CODES: &[(&str, Kind, Option<&str>)] = &[
    ("MANIFEST_BLOB_UNKNOWN", Kind::Conflict, Some("write what the manifest needs first")),
    ("BLOB_UPLOAD_UNKNOWN", Kind::Conflict, Some("the upload has to begin anew")),
    ("BLOB_UPLOAD_INVALID", Kind::Conflict, Some("the upload has to begin anew")),
    ("RANGE_INVALID", Kind::Conflict, Some("the upload has to begin anew")),
    ("BLOB_UNKNOWN", Kind::NotFound, None),
    ("MANIFEST_UNKNOWN", Kind::NotFound, None),
    ("NAME_UNKNOWN", Kind::NotFound, None),
    ("DIGEST_INVALID", Kind::Invalid, None),
    ("SIZE_INVALID", Kind::Invalid, None),
    ("MANIFEST_INVALID", Kind::Invalid, None),
    ("MANIFEST_UNVERIFIED", Kind::Invalid, None),
    ("NAME_INVALID", Kind::Invalid, None),
    ("TAG_INVALID", Kind::Invalid, None),
    ("UNAUTHORIZED", Kind::Refused, Some("log in with an account that has the right")),
    ("DENIED", Kind::Refused, Some("the account needs the right in this repository")),
    ("UNSUPPORTED", Kind::Refused, None),
    ("TOOMANYREQUESTS", Kind::Exhausted, Some("ask again later, or log in for a larger allowance")),
    // Harbor, where a project's quota, immutable tags or a policy on findings say no.
    ("QUOTA", Kind::Exhausted, Some("raise the project's quota")),
    (
        "PRECONDITION",
        Kind::Refused,
        Some("a rule of the project forbids it: immutable tags, or findings in the image"),
    ),
];

/// What the status alone says.
const STATUSES: &[(u16, Kind, Option<&str>)] = &[
    (400, Kind::Invalid, None),
    (401, Kind::Refused, Some("log in with an account that has the right")),
    (403, Kind::Refused, Some("the account needs the right in this repository")),
    (404, Kind::NotFound, None),
    (405, Kind::Refused, None),
    (408, Kind::Timeout, None),
    (409, Kind::Conflict, None),
    (412, Kind::Refused, Some("a rule of the registry forbids it: immutable tags, or findings in the image")),
    (413, Kind::Refused, Some("the registry, or a proxy before it, takes no body of that size")),
    (416, Kind::Conflict, None),
    (429, Kind::Exhausted, Some("ask again later, or log in for a larger allowance")),
    (507, Kind::Exhausted, Some("make room in the registry's storage")),
];

/// Words that mean a full disk, whatever the status (Distribution hands on the file system's).
const FULL: &[&str] =
    &["no space left on device", "disk quota exceeded", "quota exceeded", "exceeds the quota"];

#[derive(Deserialize)]
struct Body {
    errors: Option<Vec<One>>,
    /// Token services and proxies say it in other ways.
    #[serde(alias = "error_description", alias = "details")]
    message: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct One {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
    #[serde(default)]
    detail: serde_json::Value,
}

/// The codes of an error body; empty when it is something else.
pub(super) fn codes(body: &[u8]) -> Vec<String> {
    let read: Option<Body> = serde_json::from_slice(body).ok();
    let errors = read.and_then(|b| b.errors).into_iter().flatten();
    errors.filter_map(|e| e.code.as_str().map(str::to_owned)).collect()
}

/// The fault that an answer with an error status means.
pub(super) fn fault_of(host: &str, status: StatusCode, body: &[u8]) -> Fault {
    let (codes, said) = (codes(body), words(body));
    let by_code = codes.iter().find_map(|code| CODES.iter().find(|(word, ..)| code.contains(word)));
    let is_full = FULL.iter().any(|word| said.to_lowercase().contains(word));
    let (kind, hint) = if is_full {
        (Kind::Exhausted, Some("make room in the registry's storage, or raise the quota"))
    } else if status.is_server_error() && status.as_u16() != 507 {
        // It may have done its work before it failed: the outcome is unknown.
        (Kind::Unreachable, None)
    } else if let Some((_, kind, hint)) = by_code {
        (*kind, *hint)
    } else {
        let row = STATUSES.iter().find(|(number, ..)| *number == status.as_u16());
        row.map_or((Kind::Refused, None), |(_, kind, hint)| (*kind, *hint))
    };
    let mut fault = Fault::new(kind, format!("{host} answered {}", status_words(status)));
    if !said.is_empty() {
        fault = fault.with_reason(said);
    }
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

fn status_words(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_u16().to_string(), |r| format!("{} {r}", status.as_u16()))
}

/// What an error body says, in one line of bounded length: each error as `CODE: message (detail)`.
fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Body>(body) {
        Ok(Body { errors: Some(errors), .. }) => {
            errors.iter().map(one).filter(|e| !e.is_empty()).collect::<Vec<_>>().join("; ")
        }
        Ok(Body { message: Some(message), .. }) => plain(&message),
        Ok(_) => String::new(),
        // A page of HTML says nothing to people; a line of text does.
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            if text.starts_with('<') {
                String::new()
            } else {
                text.lines().next().unwrap_or_default().to_owned()
            }
        }
    };
    text.chars().take(ERROR_TEXT_MAX).collect()
}

fn one(error: &One) -> String {
    let (code, message, detail) = (plain(&error.code), plain(&error.message), plain(&error.detail));
    let mut out = [code, message].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(": ");
    if !detail.is_empty() && !out.contains(&detail) {
        out = format!("{out} ({detail})");
    }
    out
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(map) if map.is_empty() => String::new(),
        serde_json::Value::Array(list) if list.is_empty() => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Fault {
        fault_of("r.example", StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn the_registrys_own_words_and_code_come_along() {
        let fault = of(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"v1"}}]}"#,
        );
        assert_eq!(fault.kind, Kind::NotFound);
        let said = r#"r.example answered 404 Not Found: MANIFEST_UNKNOWN: manifest unknown ({"Tag":"v1"})"#;
        assert_eq!(fault.to_string(), said);
        let denied = of(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#);
        assert_eq!((denied.kind, denied.hint.is_some()), (Kind::Refused, true));
    }

    #[test]
    fn codes_count_before_statuses_and_full_disks_before_both() {
        for (status, body, kind) in [
            (400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#, Kind::Conflict),
            (404, r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#, Kind::Conflict),
            (404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#, Kind::NotFound),
            (404, "404 page not found", Kind::NotFound),
            (
                500,
                r#"{"errors":[{"code":"UNKNOWN","detail":{"Err":{"Err":28},"m":"write: no space left on device"}}]}"#,
                Kind::Exhausted,
            ),
            (
                403,
                r#"{"errors":[{"code":"DENIED","message":"adding 1 MiB exceeds the quota"}]}"#,
                Kind::Exhausted,
            ),
            (502, "<html>", Kind::Unreachable),
            (429, "", Kind::Exhausted),
            (418, "", Kind::Refused),
            (412, r#"{"errors":[{"code":"PRECONDITION","message":"immutable"}]}"#, Kind::Refused),
        ] {
            assert_eq!(of(status, body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn any_body_is_bounded_and_never_a_page() {
        for body in [
            "<html><body>Bad Gateway</body></html>",
            "",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"errors":null}"#,
            r#"{"errors":[3]}"#,
        ] {
            assert!(of(502, body).to_string().starts_with("r.example answered 502 Bad Gateway"), "{body}");
            assert!(!of(502, body).to_string().contains("html"));
        }
        assert!(of(400, &"x".repeat(1 << 20)).to_string().len() < ERROR_TEXT_MAX + 100);
    }
}
