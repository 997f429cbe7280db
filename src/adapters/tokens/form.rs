//! What comes in with a request: query and form fields, and the credentials of the Basic scheme.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::fault::{Fault, Kind, Outcome};

/// The fields of a query or of an `application/x-www-form-urlencoded` body, in order.
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them.
    ///
    /// # Errors
    /// `Invalid` when an escape makes no sense or the text is not UTF-8.
    pub fn read(text: &str) -> Outcome<Fields> {
        let parts = text.split('&').filter(|p| !p.is_empty());
        let fields = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        });
        fields.collect::<Outcome<_>>().map(Fields)
    }

    /// The first value of a field, if it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|v| !v.is_empty())
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn decode(text: &str) -> Outcome<String> {
    let wrong = || Fault::new(Kind::Invalid, "a field of the request cannot be read");
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                high.ok_or_else(wrong)? * 16 + low.ok_or_else(wrong)?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// Name and secret of an `Authorization: Basic …` header.
pub fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_may_repeat() {
        let fields = Fields::read("service=a%20b&scope=x%3Ay&scope=z+w&empty=&bare").unwrap();
        assert_eq!(fields.get("service"), Some("a b"));
        assert_eq!(fields.all("scope").collect::<Vec<_>>(), ["x:y", "z w"]);
        assert_eq!((fields.get("empty"), fields.get("bare"), fields.get("none")), (None, None, None));
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff"] {
            assert!(Fields::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_read_up_to_the_first_colon() {
        let header = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(basic(&header("robot$feed+ci:a:b")), Some(("robot$feed+ci".into(), "a:b".into())));
        assert_eq!(basic(&header("nocolon")), None);
        assert_eq!(basic("Bearer x"), None);
        assert_eq!(basic("Basic !"), None);
    }
}
