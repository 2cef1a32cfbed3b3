//! A page for a browser: one file, without a script and without anything from a network. What it shows is plain data; every text
//! is escaped here.

mod chart;
mod palette;
mod table;

use std::fmt::{self, Write as _};

pub use chart::{Chart, Series, Shape, Unit};
pub use table::Table;

use crate::output::one_line;

/// Maximum number of characters of a name.
const LONGEST: usize = 60;

/// Markup: what came from elsewhere is escaped in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// A text in one line, shortened, without any meaning to a browser.
    pub fn text(text: &str) -> Self {
        let mut short: String = text.chars().take(LONGEST).collect();
        if text.chars().nth(LONGEST).is_some() {
            short.push('…');
        }
        Self::long_text(&short)
    }

    /// The same in full length.
    pub fn long_text(text: &str) -> Self {
        let mut markup = String::with_capacity(text.len());
        for character in one_line(text).chars() {
            match character {
                '&' => markup.push_str("&amp;"),
                '<' => markup.push_str("&lt;"),
                '>' => markup.push_str("&gt;"),
                '"' => markup.push_str("&quot;"),
                '\'' => markup.push_str("&#39;"),
                other => markup.push(other),
            }
        }
        Self(markup)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A page: a title, a line below it, and sections.
pub struct Document {
    title: Markup,
    body: String,
}

impl Document {
    /// A page without a section.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let title = Markup::long_text(title);
        let body = format!(
            "<h1>{title}</h1>\n<p class=\"note\">{}</p>\n",
            Markup::long_text(subtitle)
        );
        Self { title, body }
    }

    /// Begins a section, with a sentence about it.
    pub fn section(&mut self, title: &str, note: &str) {
        let (title, note) = (Markup::long_text(title), Markup::long_text(note));
        let _ = writeln!(self.body, "<h2>{title}</h2>");
        if !note.0.is_empty() {
            let _ = writeln!(self.body, "<p class=\"note\">{note}</p>");
        }
    }

    /// A sentence of its own.
    pub fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", Markup::long_text(text));
    }

    /// A chart, with its numbers in a table beneath it.
    ///
    /// # Errors
    /// It can't be drawn.
    pub fn chart(&mut self, chart: &Chart<'_>) -> anyhow::Result<()> {
        let (svg, legend, table) = (chart.svg()?, chart.legend(), chart.table());
        let _ = write!(
            self.body,
            "<figure>\n{svg}{legend}</figure>\n<details><summary>{}: the numbers</summary>\n{table}</details>\n",
            Markup::long_text(chart.title())
        );
        Ok(())
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let _ = write!(self.body, "{table}");
    }

    /// The whole file.
    pub fn finish(self) -> String {
        let Self { title, body } = self;
        let (style, dark) = (include_str!("style.css"), palette::dark_rules());
        // No script runs and nothing is loaded, whatever the page holds.
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{style}{dark}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_others_is_markup() {
        for (text, expected) in [
            ("</script><script>", "&lt;/script&gt;&lt;script&gt;"),
            ("\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;"),
            ("a\0\x1b[2J\nb\u{202e}", "a\\x00\\x1b[2J\\x0ab\\u{202e}"),
            ("Grüße, 日本", "Grüße, 日本"),
        ] {
            assert_eq!(Markup::text(text).to_string(), expected);
        }
    }

    #[test]
    fn a_long_name_is_shortened_before_it_is_escaped() {
        assert_eq!(
            Markup::text(&"<".repeat(61)).to_string(),
            format!("{}…", "&lt;".repeat(60))
        );
        assert_eq!(Markup::text(&"<".repeat(60)).to_string(), "&lt;".repeat(60));
    }
}
