//! The colours of the charts. The drawing has those of a light page; the page's style sheet replaces each by its dark one.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// On a light page, and on a dark one. Each differs from the others in both, and stands out from the ground.
pub(super) type Pair = ((u8, u8, u8), (u8, u8, u8));

/// Of text and of what is drawn over all.
pub(super) const INK: Pair = ((0x3F, 0x46, 0x4F), (0xC3, 0xC9, 0xD1));
/// Of the lines behind the data.
pub(super) const GRID: Pair = ((0xDD, 0xE0, 0xE4), (0x33, 0x39, 0x42));
/// Of the series, in their order; the last is for all others together.
pub(super) const SERIES: [Pair; 8] = [
    ((0x42, 0x69, 0xD0), (0x7F, 0x9C, 0xF0)),
    ((0xC2, 0x41, 0x0C), (0xF0, 0x88, 0x3E)),
    ((0x2E, 0x8B, 0x57), (0x56, 0xC9, 0x8A)),
    ((0x8F, 0x45, 0xC4), (0xC7, 0x92, 0xEA)),
    ((0xA8, 0x7A, 0x08), (0xE3, 0xB3, 0x41)),
    ((0xD6, 0x33, 0x6C), (0xF7, 0x83, 0xAC)),
    ((0x0E, 0x7C, 0x86), (0x4F, 0xC3, 0xCF)),
    ((0x7B, 0x81, 0x8A), (0x9C, 0xA3, 0xAF)),
];

pub(super) fn light((light, _): Pair) -> RGBColor {
    RGBColor(light.0, light.1, light.2)
}

/// As the drawing and the style sheet write a colour.
pub(super) fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The rules that replace each colour on a dark page.
pub(super) fn dark_rules() -> String {
    let mut rules = String::from("@media (prefers-color-scheme: dark) {\n");
    for (light, dark) in SERIES.iter().chain([&INK, &GRID]) {
        let (light, dark) = (hex(*light), hex(*dark));
        let _ = writeln!(rules, "  svg [fill=\"{light}\"] {{ fill: {dark}; }}");
        let _ = writeln!(rules, "  svg [stroke=\"{light}\"] {{ stroke: {dark}; }}");
    }
    rules.push_str("}\n");
    rules
}
