//! Texts that are safe to print, and numbers as people read them.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::ops::Add;

/// One line in which nothing steers a terminal, a log or a spreadsheet. Whatever is printed goes through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// What was made inert before, with the escape sequences of our own styles.
    pub(super) fn styled(text: String) -> Self {
        Self(text)
    }

    /// The start of a long text, in its style.
    pub(super) fn shortened(&self, max: usize) -> Self {
        let (mut shown, mut is_code, mut short) = (0, false, String::new());
        for character in self.0.chars() {
            is_code |= character == '\x1b';
            if is_code {
                is_code = character != 'm';
                short.push(character);
                continue;
            }
            shown += 1;
            match shown.cmp(&max) {
                Ordering::Less => short.push(character),
                Ordering::Equal => short.push('…'),
                Ordering::Greater => {}
            }
        }
        if shown > max { Self(short) } else { self.clone() }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(one_line(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl<T: Into<Text>> Add<T> for Text {
    type Output = Self;

    fn add(self, more: T) -> Self {
        Self(self.0 + &more.into().0)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text in one line: control characters, line breaks and invisible marks are written as escapes.
pub fn one_line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(clean, "\\x{:02x}", u32::from(character));
        } else if is_invisible(character) {
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(character));
        } else {
            clean.push(character);
        }
    }
    clean
}

/// A line as it is written: in one line, and no command to the runner of a workflow, which takes one that begins with `::`
/// or holds `##[` for one.
pub fn inert(line: &str) -> String {
    no_command(&line.into())
}

pub(super) fn no_command(line: &Text) -> String {
    let line = line.0.replace("##[", "\\x23#[");
    match line.trim_start().strip_prefix("::") {
        Some(rest) => format!("{}\\x3a:{rest}", &line[..line.len() - rest.len() - 2]),
        None => line,
    }
}

/// Marks that take no room, reorder what follows them or end a line: they hide as well as an escape sequence does.
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A number as people read it: 1,234,567.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that matters, as PostgreSQL counts them: 1 kB is 1,024 bytes.
pub fn size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if number < 10 * 1024 {
            break;
        }
        (number, unit) = (number / 1024 + number / 512 % 2, larger);
    }
    format!("{} {unit}", count(number))
}

/// Seconds in the two largest units that matter.
pub fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds.max(0)),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Numbers as bars beside each other, from 0 to the largest one; a blank where there is none. Of more than `width` numbers each
/// bar shows the largest of as many in a row.
pub fn sparkline(numbers: &[Option<f64>], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = |numbers: &[Option<f64>]| numbers.iter().flatten().copied().reduce(f64::max);
    let max = largest(numbers).unwrap_or_default();
    let bar = |number: f64| {
        BARS.iter()
            .rev()
            .zip(0_u8..)
            .find(|(_, below)| number > max * f64::from(7 - below) / 8.0)
    };
    let bars = numbers.chunks(numbers.len().div_ceil(width.max(1)).max(1)).map(largest);
    bars.map(|number| number.map_or(' ', |number| bar(number).map_or(BARS[0], |(bar, _)| *bar)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_one_line_and_inert() {
        for (text, expected) in [
            ("a\nb\rc\u{85}d\u{2028}e", "a\\x0ab\\x0dc\\x85d\\u{2028}e"),
            ("\x1b[2J\x07\u{9b}31m\0\x7f\t", "\\x1b[2J\\x07\\x9b31m\\x00\\x7f\\x09"),
            (
                "a\u{200b}b\u{202e}c\u{ad}d\u{2067}e\u{feff}",
                "a\\u{200b}b\\u{202e}c\\u{ad}d\\u{2067}e\\u{feff}",
            ),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("Grüße, 日本, é, 🙂", "Grüße, 日本, é, 🙂"),
        ] {
            assert_eq!(Text::from(text).to_string(), expected);
        }
    }

    #[test]
    fn a_long_text_is_shortened_within_its_style() {
        let styled = |text: &str| Text::styled(format!("\x1b[1m{text}\x1b[0m"));
        for (text, expected) in [
            (Text::from("abcd"), Text::from("abcd")),
            (Text::from("abcde"), Text::from("abc…")),
            (styled("abcd"), styled("abcd")),
            (styled("ééééé"), styled("ééé…")),
        ] {
            assert_eq!(text.shortened(4), expected);
        }
    }

    #[test]
    fn a_sparkline_goes_from_nothing_to_the_largest_number() {
        let numbers =
            |numbers: &[i32]| -> Vec<Option<f64>> { numbers.iter().map(|number| Some((*number).into())).collect() };
        assert_eq!(sparkline(&numbers(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), 60), "▁▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[Some(0.0), None, Some(0.5)], 60), "▁ █");
        assert_eq!(sparkline(&numbers(&[0, 0]), 60), "▁▁");
        assert_eq!(sparkline(&[None, None], 60), "  ");
        assert_eq!(sparkline(&[], 60), "");
        assert_eq!(sparkline(&numbers(&[0, 8, 0, 0, 4]), 3), "█▁▄");
    }

    #[test]
    fn a_size_is_in_the_unit_that_postgresql_shows() {
        const MB: u64 = 1024 * 1024;
        for (bytes, shown) in [
            (0, "0 bytes"),
            (8_192, "8,192 bytes"),
            (16_384, "16 kB"),
            (9 * MB, "9,216 kB"),
            (12 * MB, "12 MB"),
            (12 * 1024 * MB, "12 GB"),
            (u64::MAX, "16,777,216 TB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn no_line_is_a_command_to_a_workflow_s_runner() {
        for (text, expected) in [
            ("::stop-commands::x", "\\x3a:stop-commands::x"),
            ("  ::warning::x", "  \\x3a:warning::x"),
            ("a ##[error]x", "a \\x23#[error]x"),
            ("error: a::b", "error: a::b"),
        ] {
            assert_eq!(inert(text), expected);
        }
    }
}
