//! The console: a pure state machine (`app`), its drawing (`draw`, `panes`, `kit`) and the loop around it (`run`).

pub mod app;
pub mod bytes;
pub mod draw;
pub mod effect;
pub mod event;
pub mod keys;
pub mod kit;
pub mod logbuf;
pub mod panes;
pub mod run;
pub mod screen;
pub mod term;
pub mod theme;
pub mod verbs;
