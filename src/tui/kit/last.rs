//! The last pass over every cell before it may leave: hostile characters become `?`, and without UTF-8 all is ASCII.

use ratatui::buffer::Buffer;

use crate::base::text::is_hostile;

/// What stands for our signs in a terminal without UTF-8.
const ASCII: &[(&str, &str)] = &[
    ("─━", "-"),
    ("│┃", "|"),
    ("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    ("■", "#"),
    ("◧", "o"),
    ("□·", "."),
    ("▸→", ">"),
    ("…", "~"),
    ("▁", "_"),
    ("▂", "."),
    ("▃", ":"),
    ("▄", "-"),
    ("▅", "="),
    ("▆", "+"),
    ("▇", "*"),
    ("█", "#"),
    ("✓", "v"),
];

/// True when a cell's symbol may be sent to a terminal.
pub fn is_clean(symbol: &str) -> bool {
    !symbol.chars().any(is_hostile)
}

/// Makes a whole buffer safe, and ASCII if asked.
pub fn pass(buf: &mut Buffer, ascii: bool) {
    for cell in &mut buf.content {
        let symbol = cell.symbol();
        if symbol.len() == 1 && (b' '..=b'~').contains(&symbol.as_bytes()[0]) {
            continue;
        }
        if !is_clean(symbol) {
            cell.set_symbol("?");
        } else if ascii && !symbol.is_ascii() {
            let plain = ASCII.iter().find(|(ours, _)| ours.contains(symbol)).map_or("?", |(_, plain)| plain);
            cell.set_symbol(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn nothing_hostile_stays_in_a_cell() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 4, 1));
        buf[(0, 0)].set_symbol("\u{1b}]52;c;x\u{7}");
        buf[(1, 0)].set_symbol("a\u{202e}");
        buf[(2, 0)].set_symbol("■");
        buf[(3, 0)].set_symbol("é");
        pass(&mut buf, false);
        assert_eq!(
            buf.content.iter().map(ratatui::buffer::Cell::symbol).collect::<Vec<_>>(),
            ["?", "?", "■", "é"]
        );
        pass(&mut buf, true);
        assert_eq!(
            buf.content.iter().map(ratatui::buffer::Cell::symbol).collect::<Vec<_>>(),
            ["?", "?", "#", "?"]
        );
    }
}
