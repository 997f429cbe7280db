//! Themes: roles mapped to styles, read from TOML, for terminals with true colour, 256, 16 or no colours.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::base::fault::{Fault, Kind, Outcome};

macro_rules! roles {
    ($($role:ident = $name:literal),* $(,)?) => {
        /// What a piece of the screen means; a theme says how it looks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names in the theme files say what each is for")]
        pub enum Role { $($role),* }
        impl Role {
            /// Every role with its name in a theme file.
            pub const ALL: &[(Role, &str)] = &[$((Role::$role, $name)),*];
        }
    };
}

roles! {
    Text = "text", Dim = "dim", Title = "title", TitleFocus = "title.focus", Border = "border",
    BorderFocus = "border.focus", Header = "header", Prod = "prod", Practice = "practice", Column = "column",
    Cursor = "cursor", CursorAway = "cursor.away", Ok = "ok", Busy = "busy", Warn = "warn", Bad = "bad", Lost = "lost",
    Off = "off", Staged = "staged", Key = "key", Note = "note", Match = "match", Dialog = "dialog",
    DialogBorder = "dialog.border", Button = "button", ButtonFocus = "button.focus", Input = "input", Error = "error",
    Warning = "warning", Debug = "debug", Spark = "spark", Lane0 = "lane0", Lane1 = "lane1", Lane2 = "lane2",
    Lane3 = "lane3", Lane4 = "lane4", Lane5 = "lane5", Lane6 = "lane6", Lane7 = "lane7",
}

/// The lanes of merged logs take these colours in turn.
pub const LANES: [Role; 8] =
    [Role::Lane0, Role::Lane1, Role::Lane2, Role::Lane3, Role::Lane4, Role::Lane5, Role::Lane6, Role::Lane7];

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: monochrome.
    None,
    /// The 16 of the ANSI standard.
    Sixteen,
    /// The xterm palette.
    TwoFiftySix,
    /// 24 bits.
    True,
}

impl Depth {
    /// Judges by the usual environment variables.
    pub fn detect(no_color: bool, term: &str, colorterm: &str) -> Depth {
        if no_color || term == "dumb" {
            Depth::None
        } else if colorterm.contains("truecolor") || colorterm.contains("24bit") || term.contains("direct") {
            Depth::True
        } else if term.contains("256") {
            Depth::TwoFiftySix
        } else {
            Depth::Sixteen
        }
    }
}

/// A theme, resolved for one terminal.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    /// Its name.
    pub name: String,
    /// The background that it is made for, to check contrasts against.
    pub background: Option<Color>,
    styles: Vec<Style>,
}

impl Theme {
    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role as usize).copied().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    inherits: Option<String>,
    background: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, (String, String)>,
    #[serde(default)]
    roles: BTreeMap<String, Look>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    add: String,
}

/// The themes that come with the program: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
    ("monochrome", include_str!("../../themes/monochrome.toml")),
];

/// A theme that comes with the program. Without colours it is always `monochrome`.
///
/// # Errors
/// When there is none of that name.
pub fn built_in(name: &str, depth: Depth) -> Outcome<Theme> {
    let name = if depth == Depth::None { "monochrome" } else { name };
    read(built_in_text(name)?, depth)
}

fn built_in_text(name: &str) -> Outcome<&'static str> {
    let found = BUILT_IN.iter().find(|(n, _)| *n == name);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = BUILT_IN.iter().map(|(n, _)| *n).collect();
        Fault::new(Kind::NotFound, format!("there is no theme {name:?}"))
            .hint(format!("use one of {}, or the path of a theme file", names.join(", ")))
    })
}

/// Reads a theme file; it may inherit from a built-in one.
///
/// # Errors
/// When the text is not a theme, a colour is unknown or a role is missing.
pub fn read(text: &str, depth: Depth) -> Outcome<Theme> {
    let bad = |why: String| Fault::new(Kind::Invalid, why).because("the theme cannot be read");
    let mut file: File = toml::from_str(text).map_err(|e| bad(e.message().to_owned()))?;
    if let Some(parent) = file.inherits.clone() {
        let base: File = toml::from_str(built_in_text(&parent)?).map_err(|e| bad(e.message().to_owned()))?;
        let (own_palette, own_roles) = (file.palette, file.roles);
        file.palette = base.palette.into_iter().chain(own_palette).collect();
        file.roles = base.roles.into_iter().chain(own_roles).collect();
        file.background = file.background.or(base.background);
    }
    let mut styles = Vec::with_capacity(Role::ALL.len());
    for (_, name) in Role::ALL {
        let look = file.roles.get(*name).ok_or_else(|| bad(format!("the role {name:?} is missing")))?;
        styles.push(style(look, &file.palette, depth).map_err(|why| bad(format!("role {name:?}: {why}")))?);
    }
    let background = file.background.as_deref().and_then(hex);
    Ok(Theme { name: file.name, background, styles })
}

fn style(look: &Look, palette: &BTreeMap<String, (String, String)>, depth: Depth) -> Result<Style, String> {
    let mut style = Style::default();
    for (name, ground) in [(&look.fg, false), (&look.bg, true)] {
        let Some(name) = name else { continue };
        let Some((rich, plain)) = palette.get(name) else {
            return Err(format!("no colour {name:?} in the palette"));
        };
        let rgb = hex(rich).ok_or_else(|| format!("{rich:?} is not a colour like #a1b2c3"))?;
        let ansi: Color = plain.parse().map_err(|_| format!("{plain:?} is not one of the 16 colours"))?;
        let colour = match depth {
            Depth::None => Color::Reset,
            Depth::Sixteen => ansi,
            Depth::TwoFiftySix => Color::Indexed(nearest(rgb)),
            Depth::True => rgb,
        };
        style = if ground { style.bg(colour) } else { style.fg(colour) };
    }
    for word in look.add.split_whitespace() {
        style = style.add_modifier(match word {
            "bold" => Modifier::BOLD,
            "dim" => Modifier::DIM,
            "italic" => Modifier::ITALIC,
            "underlined" => Modifier::UNDERLINED,
            "reversed" => Modifier::REVERSED,
            _ => return Err(format!("{word:?} is none of bold, dim, italic, underlined, reversed")),
        });
    }
    Ok(style)
}

fn hex(text: &str) -> Option<Color> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6)?;
    let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    Some(Color::Rgb(part(0)?, part(2)?, part(4)?))
}

/// The nearest colour of xterm's 6x6x6 cube or its grey ramp.
fn nearest(colour: Color) -> u8 {
    let Color::Rgb(r, g, b) = colour else { return 7 };
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0u8..6).min_by_key(|i| STEPS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let far =
        |x: [u8; 3]| -> u32 { x.iter().zip([r, g, b]).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let (ri, gi, bi) = (step(r), step(g), step(b));
    let cube = far([STEPS[usize::from(ri)], STEPS[usize::from(gi)], STEPS[usize::from(bi)]]);
    let grey = (0u8..24).min_by_key(|i| far([8 + i * 10; 3])).unwrap_or(0);
    if far([8 + grey * 10; 3]) < cube { 232 + grey } else { 16 + 36 * ri + 6 * gi + bi }
}

/// The contrast ratio of two colours by WCAG 2.1 (1 to 21); `None` for colours that are the terminal's own.
pub fn contrast(a: Color, b: Color) -> Option<f64> {
    let light = |c: Color| {
        let Color::Rgb(r, g, b) = c else { return None };
        let channel = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        Some(0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b))
    };
    let (a, b) = (light(a)?, light(b)?);
    Some((a.max(b) + 0.05) / (a.min(b) + 0.05))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_theme_resolves_every_role_at_every_depth() {
        for (name, text) in BUILT_IN {
            for depth in [Depth::None, Depth::Sixteen, Depth::TwoFiftySix, Depth::True] {
                let theme = read(text, depth).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(theme.styles.len(), Role::ALL.len());
                assert_eq!(theme.name, *name);
            }
        }
    }

    #[test]
    fn text_can_be_read_on_its_background() {
        for (name, text) in BUILT_IN {
            let theme = read(text, Depth::True).unwrap();
            for (role, role_name) in Role::ALL {
                if matches!(role, Role::Border) {
                    continue;
                }
                let style = theme.style(*role);
                let (Some(fg), Some(bg)) = (style.fg, style.bg.or(theme.background)) else { continue };
                let ratio = contrast(fg, bg).unwrap();
                assert!(ratio >= 4.5, "{name}: {role_name} has a contrast of {ratio:.2}");
            }
        }
    }

    #[test]
    fn without_colours_the_cursor_row_is_reversed() {
        let theme = built_in("dark", Depth::None).unwrap();
        assert!(theme.style(Role::Cursor).add_modifier.contains(Modifier::REVERSED));
        let coloured = |s: Style| [s.fg, s.bg].into_iter().flatten().any(|c| c != Color::Reset);
        assert!(!Role::ALL.iter().any(|(role, _)| coloured(theme.style(*role))));
        assert!(built_in("nope", Depth::True).is_err());
    }

    #[test]
    fn depth_is_judged_by_the_environment() {
        assert_eq!(Depth::detect(true, "xterm-256color", "truecolor"), Depth::None);
        assert_eq!(Depth::detect(false, "xterm-256color", ""), Depth::TwoFiftySix);
        assert_eq!(Depth::detect(false, "linux", ""), Depth::Sixteen);
        assert_eq!(nearest(Color::Rgb(255, 0, 0)), 196);
    }
}
