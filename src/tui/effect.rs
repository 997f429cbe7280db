//! What the console asks of the outside: data, so that it can be recorded and tested.

use crate::base::ids::{ContainerId, HostId};
use crate::model::logs::LogRequest;
use crate::model::query::Request;
use crate::tui::event::{TailId, Ticket};

/// Something that the loop shall do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a request to the engine.
    Ask(Ticket, Request),
    /// Open a log.
    OpenTail(TailId, LogRequest),
    /// Close a log.
    CloseTail(TailId),
    /// Put text on the clipboard of the person's own terminal (OSC 52).
    Copy(String),
    /// Leave the screen to a shell in a container, then come back.
    Exec {
        /// The host.
        host: HostId,
        /// The container.
        container: ContainerId,
    },
    /// Write text to a new file.
    SaveFile {
        /// Name of the file, in the working directory.
        name: String,
        /// What it shall hold.
        text: String,
    },
    /// Capture the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Stop the process as Ctrl-Z does (job control).
    Suspend,
    /// Draw everything anew: something else wrote on the screen.
    Redraw,
    /// End the console.
    Quit,
}
