//! An engine's log bytes to lines: frames taken apart, stamps read, long lines split. Bounded, whatever arrives.

use std::collections::VecDeque;

use crate::adapters::docker::stamp;
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::logs::LINE_MAX;
use crate::ports::runtime::RawLine;

/// Longest stamp with its blank (`2026-11-20T21:42:32.123456789+01:00 `).
const STAMP_MAX: usize = 36;

/// Takes multiplexed output apart: `[stream, 0, 0, 0, length (4 bytes, big-endian)]`, then so many bytes.
#[derive(Default)]
pub(super) struct Demux {
    head: [u8; 8],
    have: usize,
    left: usize,
}

/// A piece of one frame.
pub(super) struct Piece<'a> {
    pub(super) stderr: bool,
    /// The first piece of its frame.
    pub(super) first: bool,
    pub(super) bytes: &'a [u8],
}

impl Demux {
    /// Calls `take` with each piece in `data`. A frame may be spread over any number of pieces; nothing is kept of it.
    pub(super) fn feed(&mut self, mut data: &[u8], mut take: impl FnMut(Piece<'_>)) -> Outcome<()> {
        let mut first = false;
        while !data.is_empty() {
            if self.left == 0 {
                let (now, rest) = data.split_at(data.len().min(8 - self.have));
                self.head[self.have..self.have + now.len()].copy_from_slice(now);
                self.have += now.len();
                data = rest;
                if self.have < 8 {
                    return Ok(());
                }
                let [stream, 0, 0, 0, a, b, c, d] = self.head else { return Err(bad_frame()) };
                if stream > 3 {
                    return Err(bad_frame());
                }
                self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                self.have = 0;
                first = true;
                continue;
            }
            let (now, rest) = data.split_at(data.len().min(self.left));
            self.left -= now.len();
            data = rest;
            take(Piece { stderr: self.head[0] >= 2, first, bytes: now });
            first = false;
        }
        Ok(())
    }
}

fn bad_frame() -> Fault {
    Fault::new(Kind::Bug, "the engine's output has a frame that makes no sense")
}

/// Puts the lines of one stream together.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    at: Millis,
    /// Bytes at a place where a stamp is due, until it is whole.
    stamp: Vec<u8>,
    stamp_due: bool,
    /// A terminal's log has a stamp wherever the engine has split a long line, at the very place where we do.
    stamp_after_split: bool,
}

/// A log on its way from bytes to lines.
pub(super) struct Assembler {
    framed: Option<Demux>,
    out: Line,
    err: Line,
}

impl Assembler {
    /// `tty`: the container has a terminal, so its log has no frames and one stream only.
    pub(super) fn new(tty: bool) -> Assembler {
        let fresh = || Line { stamp_due: true, stamp_after_split: tty, ..Line::default() };
        Assembler { framed: (!tty).then(Demux::default), out: fresh(), err: fresh() }
    }

    /// Takes bytes and appends the lines that became whole.
    pub(super) fn feed(&mut self, data: &[u8], lines: &mut VecDeque<RawLine>) -> Outcome<()> {
        let Assembler { framed, out, err } = self;
        let Some(demux) = framed else {
            out.feed(data, false, lines);
            return Ok(());
        };
        demux.feed(data, |piece| {
            let line = if piece.stderr { &mut *err } else { &mut *out };
            if piece.first {
                if line.text.len() >= LINE_MAX {
                    line.emit(piece.stderr, lines);
                }
                // Engines stamp every frame, also those that go on with a long line.
                line.stamp_due = true;
            }
            line.feed(piece.bytes, piece.stderr, lines);
        })
    }

    /// The last lines without an end.
    pub(super) fn finish(&mut self, lines: &mut VecDeque<RawLine>) {
        for (line, stderr) in [(&mut self.out, false), (&mut self.err, true)] {
            line.settle_stamp();
            if !line.text.is_empty() {
                line.emit(stderr, lines);
            }
        }
    }
}

impl Line {
    fn feed(&mut self, mut data: &[u8], stderr: bool, lines: &mut VecDeque<RawLine>) {
        while let Some(next) = data.first() {
            if self.stamp_due {
                data = self.take_stamp(data);
                continue;
            }
            if self.text.len() >= LINE_MAX && *next != b'\n' {
                self.emit(stderr, lines);
                self.stamp_due = self.stamp_after_split;
                continue;
            }
            // The line end may stand right after a full line.
            let room = LINE_MAX.saturating_sub(self.text.len());
            let window = data.get(..=room).unwrap_or(data);
            if let Some(end) = window.iter().position(|b| *b == b'\n') {
                self.text.extend_from_slice(window.get(..end).unwrap_or_default());
                data = data.get(end + 1..).unwrap_or_default();
                self.emit(stderr, lines);
                self.stamp_due = true;
            } else {
                let (now, rest) = data.split_at(room.min(data.len()));
                self.text.extend_from_slice(now);
                data = rest;
            }
        }
    }

    /// Collects bytes until the blank after the stamp; what is no stamp becomes text.
    fn take_stamp<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let room = STAMP_MAX - self.stamp.len();
        let window = data.get(..room.min(data.len())).unwrap_or(data);
        match window.iter().position(|b| *b == b' ' || *b == b'\n') {
            Some(end) => {
                let blank = window.get(end) == Some(&b' ');
                self.stamp.extend_from_slice(window.get(..end).unwrap_or_default());
                let rest = data.get(end + usize::from(blank)..).unwrap_or_default();
                if !self.settle_stamp() && blank {
                    self.text.push(b' ');
                }
                rest
            }
            None => {
                self.stamp.extend_from_slice(window);
                if self.stamp.len() >= STAMP_MAX {
                    self.settle_stamp();
                }
                data.get(window.len()..).unwrap_or_default()
            }
        }
    }

    /// Reads the collected stamp; what is no stamp becomes text. True when it was one.
    fn settle_stamp(&mut self) -> bool {
        self.stamp_due = false;
        let collected = std::mem::take(&mut self.stamp);
        if let Some((nanos, [])) = stamp::take(&collected) {
            if self.text.is_empty() {
                self.at = Millis(nanos / 1_000_000);
            }
            return true;
        }
        self.text.extend_from_slice(&collected);
        false
    }

    fn emit(&mut self, stderr: bool, lines: &mut VecDeque<RawLine>) {
        let bytes = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        let whole = String::from_utf8_lossy(bytes);
        let mut text: &str = &whole;
        // A replaced byte takes three: the text may have become longer than a line may be.
        while text.len() > LINE_MAX {
            let (now, rest) = text.split_at(text.floor_char_boundary(LINE_MAX));
            lines.push_back(RawLine { at: self.at, stderr, text: now.into() });
            text = rest;
        }
        lines.push_back(RawLine { at: self.at, stderr, text: text.into() });
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: &str = "2026-11-20T21:42:32.123456789Z";
    const T1: &str = "2026-11-20T21:42:33Z";

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut out = vec![stream, 0, 0, 0];
        out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend(text);
        out
    }

    fn read(tty: bool, pieces: &[&[u8]]) -> Vec<(i64, bool, String)> {
        let mut lines = VecDeque::new();
        let mut assembler = Assembler::new(tty);
        for piece in pieces {
            assembler.feed(piece, &mut lines).unwrap();
        }
        assembler.finish(&mut lines);
        lines.into_iter().map(|l| (l.at.0 - 1_795_210_952_000, l.stderr, l.text.raw().to_owned())).collect()
    }

    #[test]
    fn streams_are_told_apart_and_stamped() {
        let mut data = frame(1, format!("{T0} one\r\n").as_bytes());
        data.extend(frame(2, format!("{T1} two\x1b[2J\n").as_bytes()));
        data.extend(frame(1, format!("{T1} \n").as_bytes()));
        data.extend(frame(1, format!("{T1} no end \u{fffd}").as_bytes()));
        let wanted = [
            (123, false, "one".to_owned()),
            (1000, true, "two\x1b[2J".to_owned()),
            (1000, false, String::new()),
            (1000, false, "no end \u{fffd}".to_owned()),
        ];
        assert_eq!(read(false, &[&data]), wanted);
        // However the bytes are cut.
        let bytes: Vec<&[u8]> = data.chunks(1).collect();
        assert_eq!(read(false, &bytes), wanted);
    }

    #[test]
    fn a_long_line_is_split_and_its_later_stamps_are_left_out() {
        let piece = "x".repeat(LINE_MAX);
        let mut data = frame(1, format!("{T0} {piece}").as_bytes());
        data.extend(frame(1, format!("{T1} {piece}").as_bytes()));
        data.extend(frame(1, format!("{T1} rest\n").as_bytes()));
        let lines = read(false, &[&data]);
        let shape: Vec<_> = lines.iter().map(|(at, _, text)| (*at, text.len())).collect();
        assert_eq!(shape, [(123, LINE_MAX), (1000, LINE_MAX), (1000, 4)]);
    }

    #[test]
    fn a_short_line_over_two_frames_is_one_line() {
        let mut data = frame(1, format!("{T0} half ").as_bytes());
        data.extend(frame(1, format!("{T1} and half\n").as_bytes()));
        assert_eq!(read(false, &[&data]), [(123, false, "half and half".to_owned())]);
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let data = format!("{T0} a\r\n{T1} b c\r\nno stamp here\r\n");
        let wanted = [(123, "a"), (1000, "b c"), (1000, "no stamp here")];
        let lines = read(true, &[data.as_bytes()]);
        assert_eq!(lines.iter().map(|(at, _, t)| (*at, t.as_str())).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn nonsense_frames_are_a_fault() {
        let mut assembler = Assembler::new(false);
        assert!(assembler.feed(b"<html>no frame</html>", &mut VecDeque::new()).is_err());
    }

    proptest! {
        #[test]
        fn lines_stay_bounded_and_bytes_are_never_lost(
            data in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400, tty in any::<bool>()
        ) {
            let framed = frame(1, &data);
            let all: &[u8] = if tty { &data } else { &framed };
            let (left, right) = all.split_at(cut.min(all.len()));
            prop_assert_eq!(read(tty, &[left, right]), read(tty, &[all]));
        }
    }
}
