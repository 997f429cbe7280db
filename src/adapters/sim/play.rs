//! Plays a container whose command is `sh -c SCRIPT`: what a small script would do is worked out once, on its own time.

use std::collections::BTreeMap;

use crate::adapters::sim::Ms;

/// What a script does, in milliseconds from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Play {
    /// Lines in order: when, on standard error, text.
    pub lines: Vec<(Ms, bool, String)>,
    /// Files that it makes, and when.
    pub touched: BTreeMap<String, Ms>,
    /// When it ends and how; `None` when it goes on for ever.
    pub end: Option<(Ms, i64)>,
    /// What it does when it is asked to end. Without a trap the first process of a container ignores TERM (Linux).
    pub on_term: Option<(Ms, i64)>,
}

/// A script as it is played.
#[derive(Default)]
struct Player {
    play: Play,
    at: Ms,
    status: i64,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Works out a script. Known are `echo`, `printf`, `sleep`, `exit`, `touch`, `trap … TERM`, `for … in` and `while true`.
pub(super) fn play(script: &str) -> Play {
    let mut player = Player::default();
    let ended = player.all(&statements(script));
    player.flush();
    if ended != Flow::Forever {
        player.play.end = Some((player.at, player.status));
    }
    player.play
}

#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Exit,
    Forever,
}

impl Player {
    fn all(&mut self, statements: &[String]) -> Flow {
        let mut rest = statements.iter();
        while let Some(statement) = rest.next() {
            let flow = match statement.strip_prefix("for ").and_then(|s| s.split_once(" in ")) {
                Some((name, values)) => {
                    let body: Vec<&str> =
                        rest.by_ref().map(String::as_str).take_while(|s| *s != "done").collect();
                    self.each(name.trim(), values, &body)
                }
                None => self.one(statement),
            };
            if flow != Flow::On {
                return flow;
            }
        }
        Flow::On
    }

    fn each(&mut self, name: &str, values: &str, body: &[&str]) -> Flow {
        for value in values.split_whitespace() {
            let filled = body.iter().map(|s| s.trim_start_matches("do ").replace(&format!("${name}"), value));
            let flow = self.all(&filled.collect::<Vec<_>>());
            if flow != Flow::On {
                return flow;
            }
        }
        Flow::On
    }

    fn one(&mut self, statement: &str) -> Flow {
        let (statement, to_err) = match statement.strip_suffix(">&2") {
            Some(rest) => (rest.trim_end(), true),
            None => (statement, false),
        };
        let (program, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        let bare = rest.trim().trim_matches(['\'', '"']);
        self.status = 0;
        match program {
            "while" => return Flow::Forever,
            "exit" => {
                self.status = bare.parse().unwrap_or(0);
                return Flow::Exit;
            }
            "sleep" => self.at += seconds(bare),
            "echo" => self.put(format!("{bare}\n").as_bytes(), to_err),
            "printf" => self.put(&unescaped(bare), to_err),
            "touch" => {
                self.play.touched.entry(bare.to_string()).or_insert(self.at);
            }
            "trap" => {
                let handler = rest.trim().trim_end_matches("TERM").trim().trim_matches('\'');
                self.play.on_term = Some(handler).filter(|h| !h.is_empty()).and_then(|h| play(h).end);
            }
            "true" | ":" | "" => {}
            _ => {
                self.put(format!("sh: {program}: not found\n").as_bytes(), true);
                self.status = 127;
            }
        }
        Flow::On
    }

    fn put(&mut self, bytes: &[u8], to_err: bool) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line(to_err);
            } else {
                let buffer = if to_err { &mut self.err } else { &mut self.out };
                buffer.push(*byte);
            }
        }
    }

    fn end_line(&mut self, of_err: bool) {
        let buffer = std::mem::take(if of_err { &mut self.err } else { &mut self.out });
        let text = String::from_utf8_lossy(&buffer);
        self.play.lines.push((self.at, of_err, text.strip_suffix('\r').unwrap_or(&text).to_string()));
    }

    fn flush(&mut self) {
        for of_err in [false, true] {
            if !(if of_err { &self.err } else { &self.out }).is_empty() {
                self.end_line(of_err);
            }
        }
    }
}

/// The statements of a script: parted by `;` and line ends, but not inside single quotes.
pub(super) fn statements(script: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = script.split(|c: char| {
        quoted ^= c == '\'';
        !quoted && (c == ';' || c == '\n')
    });
    parts.map(|s| s.trim().to_string()).filter(|s| !s.is_empty()).collect()
}

/// Seconds with a fraction, in milliseconds.
fn seconds(text: &str) -> Ms {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let thousandths: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse().unwrap_or(0) * 1000 + thousandths.parse().unwrap_or(0)
}

/// The bytes of a `printf` format without arguments: `\NNN` in octal, `\n`, `\r`, `\t`, `\\`.
fn unescaped(format: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = format.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let digits = rest.iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
        if digits > 0 {
            let (octal, after) = rest.split_at(digits);
            let value = octal.iter().fold(0_u32, |value, b| value * 8 + u32::from(b - b'0'));
            out.extend(u8::try_from(value & 0xff));
            rest = after;
            continue;
        }
        out.push(match rest.first() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => b'\\',
        });
        rest = rest.get(1..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_played_on_their_own_time() {
        let it =
            play("for i in 1 2; do echo out$i; done; sleep 0.3; echo err >&2; touch /tmp/x; sleep 2; exit 3");
        let lines: Vec<_> = it.lines.iter().map(|(at, err, text)| (*at, *err, text.as_str())).collect();
        assert_eq!(lines, [(0, false, "out1"), (0, false, "out2"), (300, true, "err")]);
        assert_eq!((it.end, it.touched.get("/tmp/x"), it.on_term), (Some((2300, 3)), Some(&300), None));
        let it = play("trap 'sleep 1; exit 7' TERM; while true; do sleep 0.1; done");
        assert_eq!((it.end, it.on_term), (None, Some((1000, 7))));
        let it = play(r"printf 'bad\377\302\233\r\n'; printf 'no end'");
        assert_eq!(it.lines, [(0, false, "bad\u{fffd}\u{9b}".into()), (0, false, "no end".to_string())]);
        assert_eq!(play("nothing").end, Some((0, 127)));
    }
}
