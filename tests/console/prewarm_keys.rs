//! Prewarms, an image that is brought first, and restarts: keys in, questions and commands out.

use longshore::base::ids::HostId;
use longshore::model::command::{Command, Target};
use longshore::model::coverage::{Coverage, Holds, HostHolds, SiteHolds};
use longshore::model::oci::Digest;
use longshore::model::operation::{OpKind, OpStatus, Progress};
use longshore::model::prewarm::{PrewarmAsk, Weight};
use longshore::model::query::{Query, Reply, Request};
use longshore::tui::app::Settings;
use longshore::tui::event::{Event, Ticket};

use crate::harness::Console;
use crate::world::{self, pool_id};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (60, 15)];

fn on_web(size: (u16, u16)) -> Console {
    let mut console = Console::new(size, world::feed());
    console.keys("1 /");
    console.text("feed/web");
    console.key("Enter");
    console.take();
    console
}

fn asked(console: &mut Console) -> (Ticket, PrewarmAsk) {
    match &console.commands()[..] {
        [(ticket, Request::Query(Query::Coverage(ask)))] => (*ticket, (**ask).clone()),
        other => panic!("how far the image is is asked for: {other:?}"),
    }
}

fn sent(console: &mut Console) -> Vec<Command> {
    let commands = console.commands().into_iter();
    commands.filter_map(|(_, r)| if let Request::Command(c) = r { Some(c) } else { None }).collect()
}

/// Four hosts of two sites of which two lack the image, and so many that do not answer.
fn coverage(silent: usize) -> Coverage {
    let host = |name: &str| HostId::new(name).unwrap();
    let holds = [("bj-01", Holds::Yes), ("bj-02", Holds::No), ("tc-01", Holds::Yes), ("tc-02", Holds::No)];
    let site = |name: &str, from: &str| SiteHolds {
        site: Some(name.parse().unwrap()),
        hosts: 2,
        lack: 1,
        from: from.to_owned(),
        has: Some(false),
        why: None,
        line: Some(format!("hq → {from}")),
        eta_ms: Some(42_000),
    };
    Coverage {
        image: "hq.example:5000/feed/web:v2".to_owned(),
        pool: Some(pool_id("feed/web")),
        weight: Some(Weight {
            digest: Digest::of(b"web"),
            ids: Vec::new(),
            layers: vec![400_000_000, 12_000_000],
            registry: "hq".parse().unwrap(),
        }),
        unweighed: None,
        hosts: holds
            .into_iter()
            .map(|(name, holds)| HostHolds { host: host(name), site: None, holds })
            .collect(),
        left_out: (0..silent)
            .map(|n| {
                let why = if n % 10 == 9 { "cordoned" } else { "it does not answer" };
                (host(&format!("ali-{n:02}")), why.to_owned())
            })
            .collect(),
        sites: vec![site("bj", "bj"), site("tc", "tc")],
        eta_ms: Some(42_000),
        warnings: vec!["hq → tc carries 10 Mbit/s: the pulls there take turns".to_owned()],
    }
}

fn told(console: &mut Console, coverage: Coverage) {
    let (ticket, _) = asked(console);
    console.event(Event::Replied(ticket, Reply::Coverage(Box::new(coverage))));
}

#[test]
fn a_prewarm_says_what_it_takes_and_asks_first() {
    let mut console = on_web((120, 40));
    console.key("p");
    let (ticket, ask) = asked(&mut console);
    let of_pool = PrewarmAsk { pool: Some(pool_id("feed/web")), ..PrewarmAsk::default() };
    assert_eq!(ask, of_pool);
    console.event(Event::Replied(ticket, Reply::Coverage(Box::new(coverage(1)))));
    let screen = console.screen();
    for words in ["2 of 4 hosts hold the image", "left out: 1 host (ali-00)", "Prewarm 2 hosts in PROD"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert_eq!(sent(&mut console), [], "nothing before the answer");
    console.pass(400);
    console.key("Enter");
    assert_eq!(sent(&mut console), [], "the button that leaves it has the focus");
    console.key("p");
    told(&mut console, coverage(0));
    console.pass(400);
    console.keys("Tab Enter");
    assert_eq!(sent(&mut console), [Command::Prewarm(Box::new(of_pool))]);
    // Where all have it there is nothing to ask.
    console.key("p");
    let mut all = coverage(0);
    all.hosts.iter_mut().for_each(|h| h.holds = Holds::Yes);
    told(&mut console, all);
    assert!(console.screen().contains("nothing to bring"), "{}", console.screen());
}

#[test]
fn the_question_keeps_its_buttons_on_every_screen() {
    for (w, h) in SIZES {
        for silent in [0, 30] {
            let mut console = on_web((w, h));
            console.key("p");
            told(&mut console, coverage(silent));
            let screen = console.screen();
            assert!(screen.contains("Cancel") && screen.contains("Prewarm 2 hosts"), "{w}x{h}: {screen}");
            insta::assert_snapshot!(format!("prewarm_{silent}_left_out_{w}x{h}"), screen);
        }
    }
}

#[test]
fn an_image_is_brought_before_all_others() {
    let mut console = on_web((120, 40));
    console.key("P");
    let [Command::Prioritise { image, line: None }] = &sent(&mut console)[..] else { panic!("one command") };
    let world = world::feed();
    assert_eq!(*image, world.pool(&pool_id("feed/web")).unwrap().pool.spec.image);
    assert!(console.screen().contains("first"), "{}", console.screen());
}

#[test]
fn a_restart_asks_first_and_can_be_ended() {
    let mut console = on_web((120, 40));
    console.key("R");
    let screen = console.screen();
    assert!(
        screen.contains("Restart feed/web in PROD") && screen.contains("longshore restart feed/web"),
        "{screen}"
    );
    console.pass(400);
    console.keys("Tab Enter");
    let target = Target::Pool(pool_id("feed/web"));
    assert_eq!(sent(&mut console), [Command::Restart { target }]);
    let mut world = world::feed();
    world::operation(&mut world, 77, "feed/web", OpKind::Restart, OpStatus::Running, Progress::default());
    let mut console = Console::new((120, 40), world);
    console.keys("4 /");
    console.text("op-77");
    console.keys("Enter c");
    assert!(console.screen().contains("what was renewed stays"), "{}", console.screen());
    console.pass(400);
    console.keys("Tab Enter");
    assert!(matches!(&sent(&mut console)[..], [Command::Cancel { op }] if op.0 == 77));
}

#[test]
fn a_session_that_only_looks_sends_nothing_of_it() {
    let settings = Settings { read_only: true, ..Settings::default() };
    let mut console = Console::with((120, 40), world::feed(), settings);
    console.keys("1 /");
    console.text("feed/web");
    console.key("Enter");
    console.take();
    for key in ["p", "P", "R"] {
        console.key(key);
        assert!(console.screen().contains("read-only"), "{key}: {}", console.screen());
        console.pass(400);
        console.keys("Tab Enter Esc");
        assert_eq!(sent(&mut console), [], "{key}");
    }
}
