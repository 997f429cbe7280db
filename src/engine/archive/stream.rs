//! Blobs on their way, checked: the last bytes are only given when length and digest are right.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::Sha256;
use crate::engine::archive::unchecked;
use crate::engine::registry::Steady;
use crate::model::oci::{Digest, Repository};
use crate::ports::registry::RegistryClient;

/// What has passed of one blob.
struct Check {
    digest: Digest,
    size: u64,
    passed: u64,
    sum: Option<Sha256>,
}

impl Check {
    fn new(digest: &Digest, size: u64) -> Outcome<Check> {
        if digest.algorithm() != "sha256" {
            return Err(unchecked(digest));
        }
        Ok(Check { digest: digest.clone(), size, passed: 0, sum: Some(Sha256::default()) })
    }

    fn is_over(&self) -> bool {
        self.passed == self.size && self.sum.is_none()
    }

    /// Takes a piece in; the last one only passes when all is right.
    fn take(&mut self, bytes: &Bytes) -> Outcome<()> {
        self.passed += bytes.len() as u64;
        if let Some(sum) = &mut self.sum {
            sum.update(bytes);
        }
        if self.passed > self.size {
            let (digest, size) = (&self.digest, self.size);
            return Err(Fault::new(Kind::Invalid, format!("{digest} has more than {size} bytes")));
        }
        if self.passed == self.size { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Outcome<()> {
        let Some(sum) = self.sum.take() else { return Ok(()) };
        let found = Digest::of_sum(&sum.hex());
        if found == self.digest {
            return Ok(());
        }
        Err(Fault::new(Kind::Invalid, format!("its bytes have the digest {found}, not {}", self.digest))
            .hint("it is damaged where it came from, or on the way: nothing points to it"))
    }
}

/// Bytes of which the last are only given when length and digest are right.
///
/// # Errors
/// When the digest cannot be checked at all.
pub fn checked(
    bytes: BoxStream<'static, Outcome<Bytes>>,
    digest: &Digest,
    size: u64,
) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
    let begin = (bytes, Check::new(digest, size)?);
    Ok(stream::unfold(Some(begin), |state| async move {
        let (mut bytes, mut check) = state?;
        if check.size == 0 && !check.is_over() {
            return check.end().err().map(|fault| (Err(fault), None));
        }
        if check.is_over() {
            return None;
        }
        let piece = match bytes.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(fault)) => return Some((Err(fault), None)),
            None => {
                let (at, size) = (check.passed, check.size);
                let text = format!("{} ends after {at} of {size} bytes", check.digest);
                return Some((Err(Fault::new(Kind::Invalid, text)), None));
            }
        };
        match check.take(&piece) {
            Ok(()) => Some((Ok(piece), Some((bytes, check)))),
            Err(fault) => Some((Err(fault), None)),
        }
    })
    .boxed())
}

/// The bytes of a registry's blob, checked. Where the registry breaks off, it is asked for the rest.
///
/// # Errors
/// When the digest cannot be checked at all.
pub fn of_registry(
    client: &Arc<dyn RegistryClient>,
    of: &Repository,
    digest: &Digest,
    size: u64,
) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
    let steady = Steady::new(client.clone(), of.clone(), digest.clone(), size);
    let where_from = format!("{digest} of {of} cannot be read");
    let bytes = stream::try_unfold((steady, where_from), |(mut steady, where_from)| async move {
        let next = steady.next().await.map_err(|fault| fault.because(where_from.clone()))?;
        Ok(next.map(|bytes| (bytes, (steady, where_from))))
    });
    checked(bytes.boxed(), digest, size)
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    async fn pass(parts: &[&'static [u8]], digest: &Digest, size: u64) -> Outcome<Vec<u8>> {
        let parts: Vec<Outcome<Bytes>> = parts.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        let out: Vec<Bytes> = checked(stream::iter(parts).boxed(), digest, size)?.try_collect().await?;
        Ok(out.concat())
    }

    #[tokio::test]
    async fn the_last_bytes_pass_only_when_all_are_right() {
        let digest = Digest::of(b"abcdef");
        assert_eq!(pass(&[b"abc", b"def"], &digest, 6).await.unwrap(), b"abcdef");
        assert_eq!(pass(&[], &Digest::of(b""), 0).await.unwrap(), b"");
        for (parts, size) in [
            (&[&b"abc"[..], b"deg"][..], 6),
            (&[&b"abc"[..]][..], 6),
            (&[&b"abc"[..], b"defg"][..], 6),
            (&[&b"abc"[..], b"def"][..], 5),
        ] {
            assert_eq!(pass(parts, &digest, size).await.unwrap_err().kind, Kind::Invalid, "{parts:?} {size}");
        }
        assert!(pass(&[], &digest, 0).await.is_err(), "nothing is not six bytes");
        let other: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        assert_eq!(pass(&[], &other, 0).await.unwrap_err().kind, Kind::Refused);
    }
}
