//! What the containers of the promises do: a real engine runs these with `sh -c`, a simulator recognises them by text.

/// Runs until it is stopped; does not end itself at TERM (it is process 1 without a handler).
pub const IDLE: &str = "sleep 600";
/// Ends 1 s after TERM with status 7.
pub const POLITE: &str = "trap 'sleep 1; exit 7' TERM; while true; do sleep 0.1; done";
/// Ignores TERM: only KILL ends it (137).
pub const STUBBORN: &str = "trap '' TERM; while true; do sleep 0.1; done";
/// Ends at once with status 3.
pub const FAILS: &str = "exit 3";
/// Writes three lines, one to standard error, one more, and then idles.
pub const TALKS: &str =
    "for i in 1 2 3; do echo out$i; done; sleep 0.3; echo err1 >&2; sleep 0.3; echo last; sleep 600";
/// What [`TALKS`] writes: the text, and whether it goes to standard error.
pub const TALKS_LINES: &[(&str, bool)] =
    &[("out1", false), ("out2", false), ("out3", false), ("err1", true), ("last", false)];
/// Writes a and b, half a second later c and d, and ends.
pub const SPELLS: &str = "echo a; echo b; sleep 0.5; echo c; echo d";
/// Writes escapes, bytes that are no UTF-8, and a last line without an end, and ends.
pub const HOSTILE: &str =
    r"printf '\033]52;c;eA==\007\033[2J\302\233\342\200\256x\n'; printf 'bad\377utf\r\n'; printf 'no end'";
/// What [`HOSTILE`] writes.
pub const HOSTILE_LINES: &[&str] =
    &["\u{1b}]52;c;eA==\u{7}\u{1b}[2J\u{9b}\u{202e}x", "bad\u{fffd}utf", "no end"];
/// Uses all of one core.
pub const BUSY: &str = "while true; do :; done";
/// Is healthy by [`SICKENS_CHECK`] for 4 s, then not any more.
pub const SICKENS: &str = "sleep 4; touch /tmp/sick; sleep 600";
/// The health check of [`SICKENS`].
pub const SICKENS_CHECK: &str = "test ! -e /tmp/sick";
/// A program that no image has.
pub const NO_PROGRAM: &str = "no-such-program";

/// Run in a container: writes `out`, to standard error `err`, ends with 5.
pub const EXEC_TALKS: &str = "echo out; echo err >&2; exit 5";
/// Run in a container with a terminal: tells its size after a second, as `ROWS COLUMNS`.
pub const EXEC_SIZE: &str = "sleep 1; stty size";
/// Run in a container: repeats its input, then writes `end`.
pub const EXEC_REPEATS: &str = "cat; echo end";
