//! The grammar of image references: `[registry[:port]/]path[:tag][@digest]` (distribution/reference).

/// Longest name before the tag, in bytes.
const NAME_MAX: usize = 255;

/// Checks a reference.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(reference: &str) -> Result<(), String> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let slash = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[slash..].find(':') {
        Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
        None => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    if let Some(digest) = digest {
        check_digest(digest)?;
    }
    check_name(name)
}

fn check_tag(tag: &str) -> Result<(), String> {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    match (tag.is_empty(), first && rest && tag.len() <= 128) {
        (true, _) => Err("the tag after `:` is empty".to_owned()),
        (_, false) => Err(format!("{tag:?} is not a tag")),
        (_, true) => Ok(()),
    }
}

fn check_digest(digest: &str) -> Result<(), String> {
    let fine = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let long_enough = if algorithm == "sha256" { hex.len() == 64 } else { hex.len() >= 32 };
        !algorithm.is_empty()
            && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
            && long_enough
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if fine { Ok(()) } else { Err(format!("{digest:?} is not a digest (sha256: and 64 hexadecimal digits)")) }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.len() > NAME_MAX {
        return Err(format!("the name has more than {NAME_MAX} characters"));
    }
    let path = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => {
            check_registry(first)?;
            path
        }
        _ => name,
    };
    match path.split('/').find(|part| !is_component(part)) {
        None => Ok(()),
        Some("") => Err("a part between two `/` is empty".to_owned()),
        Some(part) if part.bytes().any(|b| b.is_ascii_uppercase()) => {
            Err(format!("{part:?} has upper-case letters"))
        }
        Some(part) => Err(format!("{part:?} is not part of an image's name")),
    }
}

/// A first part is a registry when it cannot be part of a path: it has a `.`, a `:`, an upper-case letter, or is `localhost`.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), String> {
    let bad = || Err(format!("{registry:?} is not the address of a registry"));
    let (host, port) = match registry.rfind(':').filter(|_| !registry.ends_with(']')) {
        Some(colon) => (&registry[..colon], Some(&registry[colon + 1..])),
        None => (registry, None),
    };
    if port.is_some_and(|p| p.parse::<u16>().is_err()) {
        return bad();
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return if inner.parse::<std::net::Ipv6Addr>().is_ok() { Ok(()) } else { bad() };
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if host.split('.').all(label) { Ok(()) } else { bad() }
}

/// Lower-case letters and digits, parted by `.`, `_`, `__` or dashes.
fn is_component(part: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = [bytes.first(), bytes.last()].into_iter().all(|b| b.is_some_and(|b| letter(*b)));
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let digest = format!("a@sha256:{}", "0a".repeat(32));
        for good in [
            "nginx",
            "nginx:1.27",
            "library/nginx",
            "ghcr.io/a/b-c__d.e:v1",
            "localhost:5000/x",
            "[::1]:5000/x:y",
            "r.example:5000/feed/web:v2.31",
            "a--b",
            &digest,
            &digest.replace("a@", "h.example/a:1@"),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "Nginx",
            "nginx:",
            "nginx: 1",
            "a//b",
            "/a",
            "a/",
            "a___b",
            "-a",
            "a@sha256:12",
            "h.example:x/a",
            "a:.b",
            "a b",
            "é",
            "a:1:2",
            ":",
            "@",
            "https://x.example/a",
        ] {
            assert!(check(bad).is_err(), "{bad} passed");
        }
    }
}
