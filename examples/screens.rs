//! Prints screens of the console as text: `cargo run --example screens [COLUMNS ROWS] [KEYS]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a tool for the people who design the screens"
)]

#[path = "../tests/console/harness.rs"]
mod harness;
#[path = "../tests/console/world.rs"]
mod world;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: u16| args.get(at).and_then(|a| a.parse().ok()).unwrap_or(or);
    let mut console = harness::Console::new((number(0, 120), number(1, 40)), world::feed());
    console.rest();
    console.logs();
    for key in args.iter().skip(2) {
        console.key(key);
    }
    println!("{}", console.screen());
}
