//! The console on a still picture, without an engine: to look at terminals. `cargo run --example console`.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    dead_code,
    reason = "a tool for the people who design the screens"
)]

#[path = "../tests/console/world.rs"]
mod world;

use std::sync::Arc;

use longshore::base::clock::SystemClock;
use longshore::engine::handle::{Call, Handle};
use longshore::model::command::{Refusal, RefusalKind};
use longshore::model::query::Reply;
use longshore::tui::run::{Options, run};
use tokio::sync::{mpsc, watch};

#[tokio::main]
async fn main() {
    let (calls, mut asked) = mpsc::channel(64);
    let (publish, world) = watch::channel(Arc::new(world::feed()));
    tokio::spawn(async move {
        let _keep = publish;
        while let Some(call) = asked.recv().await {
            if let Call::Ask { reply, .. } = call {
                let still = Refusal::new(RefusalKind::Unavailable, "this is a still picture")
                    .hint("run `longshore demo`");
                let _gone = reply.send(Reply::Refused(still));
            }
        }
    });
    let options = Options {
        read_only: false,
        theme: None,
        no_color: false,
        ascii: false,
        environment: "PROD".into(),
        user: "alice".into(),
        pause_ms: None,
        clock: Arc::new(SystemClock),
    };
    eprintln!("ended: {:?}", run(Handle::new(calls, world), options).await);
}
