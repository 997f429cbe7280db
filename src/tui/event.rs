//! What can happen to the console: the only things that change its state.

use std::sync::Arc;

use crate::base::clock::Millis;
use crate::model::logs::LogChunk;
use crate::model::query::Reply;
use crate::model::world::World;
use crate::tui::keys::Key;

/// The number of a request, by which its answer finds back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The number of an open log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TailId(pub u64);

/// Something that happened. [`App::update`](crate::tui::app::App::update) gets it together with the present time.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted. It reaches text fields only.
    Paste(String),
    /// The wheel was turned: so many lines down, or up when negative.
    Scroll(i32),
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
    /// The engine published a new snapshot.
    World(Arc<World>),
    /// A request was answered.
    Replied(Ticket, Reply),
    /// An open log brought something.
    Tail(TailId, LogChunk),
    /// Something outside the console (a shell, a saved file) ended: a sentence for the foot.
    Told(String),
    /// Time has passed.
    Tick(Millis),
}
