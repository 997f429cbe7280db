//! What an engine's error text means: one table from its words to a kind, a sentence and a next step.

use serde::Deserialize;

use crate::adapters::docker::limits::ERROR_TEXT_MAX;
use crate::base::fault::{Fault, Kind};

/// One row: when the text holds all `words`, the fault has this kind, and this sentence if there is one.
/// `{}` in the sentence is the part of the text that `part` finds.
struct Row {
    words: &'static [&'static str],
    kind: Kind,
    sentence: Option<&'static str>,
    part: Part,
    hint: Option<&'static str>,
}

/// Which part of the text goes into the sentence.
#[derive(Clone, Copy)]
enum Part {
    None,
    /// Between the first pair of double quotes after this word.
    QuotedAfter(&'static str),
    /// The word after this one.
    WordAfter(&'static str),
    /// The port of the last `address:port` before this word.
    PortBefore(&'static str),
}

/// First match wins. Texts are those of Docker Engine 1.13 to 29 and of the runtimes runc and crun.
const TABLE: &[Row] = &[
    row(&["port is already allocated"], Kind::Conflict, "port {} is already taken on this host")
        .part(Part::PortBefore("failed: port is already"))
        .hint("free the port, or let the engine choose one by leaving out the published number"),
    row(&["address already in use"], Kind::Conflict, "port {} is already taken on this host")
        .part(Part::PortBefore(": bind: address"))
        .hint("free the port, or let the engine choose one by leaving out the published number"),
    row(&["executable file not found"], Kind::Refused, "the image has no program \"{}\"")
        .part(Part::QuotedAfter("exec:"))
        .hint("check the pool's command and entrypoint"),
    row(&["executable file", "not found in $path"], Kind::Refused, "the image has no program \"{}\"")
        .part(Part::WordAfter("executable file"))
        .hint("check the pool's command and entrypoint"),
    row(&["exec:", "no such file or directory"], Kind::Refused, "the image has no program \"{}\"")
        .part(Part::QuotedAfter("exec:"))
        .hint("check the pool's command and entrypoint"),
    row(&["exec:", "permission denied"], Kind::Refused, "the program \"{}\" may not be executed")
        .part(Part::QuotedAfter("exec:")),
    row(&["no command specified"], Kind::Refused, "neither the image nor the pool says what to run")
        .hint("give the pool a command"),
    row(&["exec format error"], Kind::Refused, "the image is made for another architecture"),
    row(&["bind source path does not exist: "], Kind::Refused, "the host has no path {} to mount")
        .part(Part::WordAfter("does not exist:")),
    row(&["no space left on device"], Kind::Exhausted, "the host's disk is full")
        .hint("make room where the engine keeps its data"),
    row(&["disk quota exceeded"], Kind::Exhausted, "the host's disk quota is used up"),
    row(&["cannot allocate memory"], Kind::Exhausted, "the host has no memory left"),
    row(&["out of memory"], Kind::Exhausted, "the host has no memory left"),
    row(&["too many open files"], Kind::Exhausted, "the engine has no file descriptors left"),
    row(&["resource temporarily unavailable"], Kind::Exhausted, "the host has no processes left"),
    row(
        &["non-overlapping ipv4 address pool"],
        Kind::Exhausted,
        "the engine has no address range left for a network",
    ),
    row(
        &["all predefined address pools"],
        Kind::Exhausted,
        "the engine has no address range left for a network",
    ),
    row(&["no available ipv4 addresses"], Kind::Exhausted, "the network has no address left"),
    row(&["toomanyrequests"], Kind::Exhausted, "the registry allows no more pulls for now")
        .hint("wait, or log in to the registry on this machine"),
    row(&["no basic auth credentials"], Kind::Refused, "the registry wants a login").hint("docker login"),
    row(&["unauthorized"], Kind::Refused, "the registry refused the login").hint("docker login"),
    row(&["pull access denied"], Kind::NotFound, "the registry has no such image, or wants a login"),
    row(&["manifest unknown"], Kind::NotFound, "the registry has no such image"),
    row(&["manifest for ", " not found"], Kind::NotFound, "the registry has no such image"),
    row(
        &["no matching manifest for"],
        Kind::NotFound,
        "the registry has the image, but not for this host's architecture",
    ),
    row(&["no such image"], Kind::NotFound, "the image is not on this host"),
    row(&["dial tcp"], Kind::Refused, "the host cannot reach the registry"),
    row(&["server gave http response to https"], Kind::Refused, "the registry speaks no TLS")
        .hint("list it under insecure-registries in the engine's configuration"),
    row(&["already in use by container"], Kind::Conflict, "the name is taken by another container"),
    row(&["has active endpoints"], Kind::Conflict, "the network is still in use"),
    row(
        &["removal of container", "already in progress"],
        Kind::Conflict,
        "the container is being removed already",
    ),
    row(&["is not running"], Kind::Conflict, "the container is not running"),
    row(&["is paused"], Kind::Conflict, "the container is paused"),
    row(&["client version", "is too"], Kind::Refused, "the engine speaks another version of its API"),
];

const fn row(words: &'static [&'static str], kind: Kind, sentence: &'static str) -> Row {
    Row { words, kind, sentence: Some(sentence), part: Part::None, hint: None }
}

impl Row {
    const fn part(mut self, part: Part) -> Row {
        self.part = part;
        self
    }

    const fn hint(mut self, hint: &'static str) -> Row {
        self.hint = Some(hint);
        self
    }
}

/// The body of an engine's error answer.
#[derive(Deserialize)]
struct Said {
    message: String,
}

/// The fault of an answer with a status of 400 or more.
pub(super) fn from_answer(status: u16, body: &[u8]) -> Fault {
    let text = match serde_json::from_slice::<Said>(body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let kind = match status {
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        400 => Kind::Invalid,
        502..=504 => Kind::Unreachable,
        _ => Kind::Refused,
    };
    if text.trim().is_empty() {
        return Fault::new(kind, format!("the engine answered with status {status} and no reason"));
    }
    from_text(kind, &text)
}

/// The fault of an error text; `otherwise` is its kind when no row of the table knows the text.
pub(super) fn from_text(otherwise: Kind, text: &str) -> Fault {
    let lower = text.to_lowercase();
    let Some(row) = TABLE.iter().find(|row| row.words.iter().all(|word| lower.contains(word))) else {
        return Fault::new(otherwise, shorten(text));
    };
    let part = find(row.part, text, &lower);
    let fault = match (row.sentence, row.part, part) {
        (Some(sentence), Part::None, _) => Fault::new(row.kind, sentence),
        (Some(sentence), _, Some(part)) => Fault::new(row.kind, sentence.replacen("{}", part, 1)),
        // The sentence lacks its part: the engine's own words are better.
        _ => Fault::new(row.kind, shorten(text)),
    };
    match row.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

fn find<'a>(part: Part, text: &'a str, lower: &str) -> Option<&'a str> {
    // Lower-casing may change the length of a text beyond ASCII: then its offsets are of no use.
    if lower.len() != text.len() {
        return None;
    }
    match part {
        Part::None => None,
        Part::QuotedAfter(word) => {
            let rest = text.get(lower.find(word)? + word.len()..)?;
            // Old engines escape the quotes within their text.
            let start = rest.find('"')? + 1;
            let rest = rest.get(start..)?;
            let end = rest.find('"')?;
            rest.get(..end).map(|found| found.trim_end_matches('\\'))
        }
        Part::WordAfter(word) => {
            let rest = text.get(lower.find(word)? + word.len()..)?;
            rest.split_whitespace().next().map(|found| found.trim_matches(['`', '\'', '"']))
        }
        Part::PortBefore(word) => {
            let before = text.get(..lower.rfind(word)?)?;
            let digits = before.rsplit(':').next()?;
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits.get(..end).filter(|d| !d.is_empty())
        }
    }
}

/// The end of a long text tells more than its beginning: engines put the cause last.
fn shorten(text: &str) -> String {
    let text = text.trim().trim_start_matches("Error response from daemon: ");
    if text.len() <= ERROR_TEXT_MAX {
        return text.to_owned();
    }
    let mut from = text.len() - ERROR_TEXT_MAX;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    format!("…{}", text.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real texts, one a line: expected kind, expected sentence, the engine's words.
    const TEXTS: &str = include_str!("../../../fixtures/docker/errors.tsv");

    #[test]
    fn real_texts_become_short_sentences() {
        let mut read = 0;
        for line in TEXTS.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            let [kind, sentence, text] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let fault = from_text(Kind::Bug, text);
            assert_eq!(
                (format!("{:?}", fault.kind), fault.to_string()),
                (kind.into(), sentence.into()),
                "{text}"
            );
            read += 1;
        }
        assert!(read >= 15, "only {read} texts");
    }

    #[test]
    fn the_status_decides_when_the_text_is_unknown() {
        let kinds = [404, 409, 400, 500, 503].map(|s| from_answer(s, br#"{"message":"hm"}"#).kind);
        assert_eq!(kinds, [Kind::NotFound, Kind::Conflict, Kind::Invalid, Kind::Refused, Kind::Unreachable]);
        assert_eq!(from_answer(500, b"").to_string(), "the engine answered with status 500 and no reason");
        let long = from_answer(500, "é".repeat(5_000).as_bytes());
        assert!(long.to_string().len() <= ERROR_TEXT_MAX + 3);
    }
}
