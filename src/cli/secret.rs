//! Passwords: from standard input, or from the terminal without showing them. Never from an argument.

use tokio::sync::mpsc;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::cli::cx::{Cx, Stop};

/// The longest password, in bytes: as the token service takes it.
const PASSWORD_MAX: usize = 1_024;
/// The shortest one that people may choose for themselves (NIST SP 800-63B, 5.1.1.1).
pub const PASSWORD_MIN: usize = 8;

/// A password that somebody chooses: asked for twice on a terminal, and not too short.
pub async fn chosen(cx: &mut Cx<'_>, from_stdin: bool, prompt: &str) -> Result<String, Stop> {
    let password = if from_stdin {
        all_of_stdin(cx).await?
    } else {
        let mut keys = Hidden::open(cx)?;
        let first = keys.ask(cx, &format!("{prompt}: ")).await?;
        if keys.ask(cx, "once more: ").await? != first {
            return Err(Stop::said("the two are not the same: nothing was changed"));
        }
        first
    };
    long_enough(password)
}

fn long_enough(password: String) -> Result<String, Stop> {
    if password.chars().count() < PASSWORD_MIN {
        let text = format!("a password has at least {PASSWORD_MIN} characters: nothing was changed");
        return Err(
            Stop::said(text).hint("a few words that belong to nothing else are good and easy to keep")
        );
    }
    Ok(password)
}

/// A password or secret that somebody has.
pub async fn known(cx: &mut Cx<'_>, from_stdin: bool, prompt: &str) -> Result<String, Stop> {
    if from_stdin {
        return all_of_stdin(cx).await;
    }
    Hidden::open(cx)?.ask(cx, &format!("{prompt}: ")).await
}

/// A password that somebody has, and one that somebody chooses; from standard input, a line each.
pub async fn known_and_chosen(
    cx: &mut Cx<'_>,
    from_stdin: bool,
    prompts: &[String; 2],
) -> Result<[String; 2], Stop> {
    if !from_stdin {
        let has = known(cx, false, &prompts[0]).await?;
        return Ok([has, chosen(cx, false, &prompts[1]).await?]);
    }
    let bytes = bytes_of_stdin(cx, 2 * PASSWORD_MAX).await?;
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(end);
    let bare = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let has = read(bare(first))?;
    Ok([has, long_enough(read(bare(rest.strip_prefix(b"\n").unwrap_or(rest)))?)?])
}

fn read(bytes: Vec<u8>) -> Result<String, Stop> {
    let wrong = |why: &str| Stop::usage(&Fault::new(Kind::Invalid, format!("the password {why}")));
    if bytes.len() > PASSWORD_MAX {
        return Err(wrong(&format!("has more than {PASSWORD_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    match text.as_str() {
        "" => Err(wrong("is empty")),
        t if t.chars().any(char::is_control) => Err(wrong("has line ends or control characters in it")),
        _ => Ok(text),
    }
}

/// Everything on standard input but the last line end.
async fn all_of_stdin(cx: &mut Cx<'_>) -> Result<String, Stop> {
    read(bytes_of_stdin(cx, PASSWORD_MAX).await?)
}

async fn bytes_of_stdin(cx: &mut Cx<'_>, most: usize) -> Result<Vec<u8>, Stop> {
    let mut blocks = cx.print.io.keys.read();
    let mut bytes = Vec::new();
    let interrupted = cx.interrupted();
    tokio::pin!(interrupted);
    while bytes.len() <= most + 4 {
        tokio::select! {
            block = blocks.recv() => match block {
                Some(block) => bytes.extend(block),
                None => break,
            },
            () = &mut interrupted => return Err(Stop::said("stopped: nothing was changed")),
        }
    }
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// The keyboard, of which nothing is shown.
struct Hidden {
    blocks: mpsc::Receiver<Vec<u8>>,
    typed: std::collections::VecDeque<u8>,
    _raw: Box<dyn Send>,
}

impl Hidden {
    fn open(cx: &mut Cx<'_>) -> Result<Hidden, Stop> {
        let raw: Outcome<Box<dyn Send>> = cx.print.io.keys.raw();
        let no_terminal = |_| {
            let fault = Fault::new(Kind::Invalid, "there is no terminal to ask for the password on");
            Stop::usage(&fault.hint("hand it in with --password-stdin, as in: pass show NAME | longshore …"))
        };
        let raw = raw.map_err(no_terminal)?;
        Ok(Hidden { blocks: cx.print.io.keys.read(), typed: std::collections::VecDeque::new(), _raw: raw })
    }

    /// One line. The terminal hands every key through: what keys do on a line is done here.
    async fn ask(&mut self, cx: &mut Cx<'_>, prompt: &str) -> Result<String, Stop> {
        cx.print.raw_error(prompt.as_bytes());
        let mut line = Vec::new();
        let done = loop {
            let Some(key) = self.key().await else { break false };
            match key {
                b'\r' | b'\n' => break true,
                // Ctrl-C, Ctrl-D
                3 | 4 => break false,
                // Ctrl-U
                21 => line.clear(),
                // Backspace takes a whole character.
                8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
                key => line.push(key),
            }
        };
        cx.print.raw_error(b"\r\n");
        if done { read(line) } else { Err(Stop::said("stopped: nothing was changed")) }
    }

    async fn key(&mut self) -> Option<u8> {
        while self.typed.is_empty() {
            self.typed.extend(self.blocks.recv().await?);
        }
        self.typed.pop_front()
    }
}
