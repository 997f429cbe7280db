//! SHA-256 of bytes that pass by: what every digest of the registries is made of.

use std::fmt::Write;

use sha2::Digest;

/// A sum that grows with the bytes given to it.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum of all that was taken in, in 64 hexadecimal digits.
    pub fn hex(self) -> String {
        let mut out = String::with_capacity(64);
        for byte in self.0.finalize() {
            // (Writing to a string does not fail.)
            let _ = write!(out, "{byte:02x}");
        }
        out
    }
}

/// The sum of these bytes, in 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut sum = Sha256::default();
    sum.update(bytes);
    sum.hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        let mut parts = Sha256::default();
        parts.update(b"a");
        parts.update(b"bc");
        assert_eq!(parts.hex(), abc);
    }
}
