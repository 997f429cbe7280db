//! Random keys, sizes and worlds: never a panic, never a hostile character, never a byte for an equal frame.

use std::sync::Arc;

use longshore::base::text::is_hostile;
use longshore::tui::event::Event;
use longshore::tui::screen::encode;
use proptest::prelude::*;

use crate::harness::Console;
use crate::world;

const KEYS: [&str; 58] = [
    "j",
    "k",
    "g",
    "G",
    "h",
    "l",
    "q",
    "s",
    "u",
    "+",
    "-",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "0",
    "n",
    "N",
    "t",
    "w",
    "p",
    "i",
    "d",
    "y",
    "x",
    "a",
    "c",
    "/",
    ":",
    "?",
    "&",
    "Enter",
    "Esc",
    "Tab",
    "Shift-Tab",
    "Up",
    "Down",
    "PgDn",
    "Backspace",
    "Ctrl-D",
    "Ctrl-S",
    "Space",
    "A",
    "D",
    "H",
    "R",
    "U",
    "o",
    "z",
    "Left",
    "Right",
    "7",
    "8",
    "r",
    "X",
    "P",
];

fn worlds() -> [longshore::model::world::World; 9] {
    [
        world::feed(),
        world::empty(),
        world::hostile(),
        world::many(12, 2),
        longshore::model::world::World::default(),
        crate::fleet::hostile(),
        crate::fleet::thousand(),
        crate::images::hostile(),
        crate::images::sites(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn keys_and_worlds_never_harm_the_screen(
        steps in proptest::collection::vec((0usize..65, 0usize..9, 0u16..140, 0u16..50), 1..60),
    ) {
        let all = worlds();
        let mut console = Console::new((100, 30), all[0].clone());
        for (key, which, w, h) in steps {
            match key {
                58..60 => console.event(Event::World(Arc::new(all[which].clone()))),
                60..62 => console.event(Event::Resize(w, h)),
                62 => console.pass(500),
                63 => console.logs(),
                64 => drop(console.answered(700, true)),
                _ => console.key(KEYS[key]),
            }
            let buf = console.buffer();
            let hostile = buf.content.iter().any(|c| c.symbol().chars().any(is_hostile));
            prop_assert!(!hostile);
        }
    }
}

#[test]
fn a_storm_of_sizes_is_survived() {
    let mut console = Console::new((120, 40), world::feed());
    console.keys("j + ?");
    for i in 0..400u32 {
        let (w, h) = match i % 5 {
            0 => (0, 0),
            1 => (1, 1),
            2 => (65535, 65535),
            3 => ((i * 7 % 200) as u16, (i * 3 % 60) as u16),
            _ => (40, 10),
        };
        console.event(Event::Resize(w, h));
        if i % 7 == 0 {
            console.key(KEYS[i as usize % KEYS.len()]);
        }
        if i % 5 != 2 || i % 50 == 2 {
            console.buffer();
        }
    }
}

#[test]
fn an_idle_fleet_costs_no_bytes() {
    let mut console = Console::new((120, 40), world::many(10, 20));
    console.rest();
    let mut shown = console.buffer();
    let mut bytes = 0;
    for second in 1..=60u64 {
        console.pass(1_000);
        let mut world = world::many(10, 20);
        world.revision = second;
        world.at = console.now;
        console.event(Event::World(Arc::new(world)));
        let next = console.buffer();
        bytes += encode(&shown, &next, true).len();
        shown = next;
    }
    assert!(bytes <= 60 * 75, "{bytes} bytes in a minute");
    assert!(encode(&shown, &console.buffer(), true).is_empty());
}

#[test]
fn hostile_text_is_shown_and_never_sent() {
    let mut console = Console::new((120, 40), world::hostile());
    let bytes = encode(&ratatui::buffer::Buffer::empty(ratatui::layout::Rect::ZERO), &console.buffer(), true);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        !text.contains("\x1b]")
            && !text.contains('\u{9b}')
            && !text.contains('\u{202e}')
            && !text.contains('\x07')
    );
    // Only cursor moves, styles, clearing and mode 2026 leave.
    for part in text.split('\x1b').skip(1) {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map(|at| &part[at..=at]);
        assert!(part.starts_with('[') && matches!(end, Some("H" | "m" | "J" | "h" | "l")), "{part:?}");
    }
    console.keys("Tab Tab");
    assert!(console.screen().contains("\\e]52"));
}
