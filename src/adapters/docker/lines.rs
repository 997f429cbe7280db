//! Newline-separated JSON from an endless answer (events, a pull): one bounded line at a time.

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::adapters::docker::limits::STREAM_LINE_MAX;

/// Splits a stream into lines; a line beyond [`STREAM_LINE_MAX`] is skipped, not kept.
#[derive(Default)]
pub(super) struct Splitter {
    rest: BytesMut,
    skipping: bool,
}

impl Splitter {
    /// Takes what has arrived. Call [`Splitter::line`] until it gives nothing before the next piece.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.rest.extend_from_slice(data);
    }

    /// The next whole line without its end; empty lines are left out.
    pub(super) fn line(&mut self) -> Option<BytesMut> {
        loop {
            let Some(end) = self.rest.iter().position(|b| *b == b'\n') else {
                if self.rest.len() > STREAM_LINE_MAX {
                    self.rest.clear();
                    self.skipping = true;
                }
                return None;
            };
            let line = self.rest.split_to(end);
            self.rest.advance(1);
            let whole = !std::mem::take(&mut self.skipping);
            if whole && line.len() <= STREAM_LINE_MAX && !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

/// A body read line by line.
pub(super) struct Lines {
    body: Incoming,
    splitter: Splitter,
}

impl Lines {
    pub(super) fn new(body: Incoming) -> Lines {
        Lines { body, splitter: Splitter::default() }
    }

    /// The next line; `None` at the orderly end. May be dropped half-way without loss.
    pub(super) async fn next(&mut self) -> Option<Result<BytesMut, hyper::Error>> {
        loop {
            if let Some(line) = self.splitter.line() {
                return Some(Ok(line));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.splitter.push(data);
                    }
                }
                Err(why) => return Some(Err(why)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(line) = splitter.line() {
                lines.push(line.to_vec());
            }
        }
        lines
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let big = vec![b'x'; STREAM_LINE_MAX];
        let lines = all(&[b"a\n", &big, &big, &big, b"tail\nb\n\n\r\n", b"c"]);
        assert_eq!(lines, [b"a".to_vec(), b"b".to_vec()]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,60}", cut in 0usize..60) {
            let bytes = text.as_bytes();
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(all(&[left, right]), all(&[bytes]));
        }
    }
}
