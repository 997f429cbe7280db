//! Raw mode of the local terminal for `exec -t`, undone when the guard is dropped.

use std::io::stdin;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::base::fault::{Fault, Kind, Outcome};

/// While it lives, standard input is raw.
pub struct RawTty {
    before: Termios,
}

impl RawTty {
    /// Makes standard input raw.
    pub fn enter() -> Outcome<RawTty> {
        let failed = |e: nix::Error| {
            Fault::new(Kind::Refused, format!("standard input is not a terminal: {e}"))
                .hint("leave out -t where there is no terminal")
        };
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).map_err(failed)?;
        Ok(RawTty { before })
    }
}

impl Drop for RawTty {
    fn drop(&mut self) {
        // Nothing can be done if the terminal has gone away meanwhile.
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }
}
