//! Metrics as text that both the OpenMetrics and the Prometheus text format allow.
//!
//! The node exporter and promtool read the Prometheus format alone. The two formats differ in counters: OpenMetrics declares
//! `runs` for a sample `runs_total`, Prometheus declares `runs_total`. So a counter is declared by its help alone, with no type.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use super::text::one_line;

/// What a metric's number does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It rises and falls.
    Gauge,
    /// It never falls; its name ends in `_total`.
    Counter,
}

/// All samples of one name.
#[derive(Debug, Serialize)]
pub struct Family {
    /// The metric's name.
    pub name: &'static str,
    #[serde(skip)]
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
}

/// A number, with its label where the family has one.
#[derive(Debug, Serialize)]
struct Sample {
    #[serde(rename = "labels", serialize_with = "as_map")]
    label: Option<(&'static str, String)>,
    value: Number,
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A time or a share.
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
        }
    }
}

fn as_map<S: Serializer>(label: &Option<(&'static str, String)>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(label.iter().map(|(name, value)| (name, value)))
}

impl Family {
    /// A family without samples.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            samples: Vec::new(),
        }
    }

    /// With one sample, which has no label.
    pub fn of(self, value: Number) -> Self {
        let samples = vec![Sample { label: None, value }];
        Self { samples, ..self }
    }

    /// With a sample for each value of a label. The texts are printable, and distinct.
    pub fn by(self, label: &'static str, values: BTreeMap<String, Number>) -> Self {
        let sample = |(text, value)| Sample {
            label: Some((label, text)),
            value,
        };
        let samples = values.into_iter().map(sample).collect();
        Self { samples, ..self }
    }

    fn write(&self, text: &mut String) {
        let name = self.name;
        let _ = writeln!(text, "# HELP {name} {}", self.help);
        if self.kind == Kind::Gauge {
            let _ = writeln!(text, "# TYPE {name} gauge");
        }
        for Sample { label, value } in &self.samples {
            let _ = match label {
                Some((label, text_of_label)) => {
                    writeln!(text, "{name}{{{label}=\"{}\"}} {value}", escaped(text_of_label))
                }
                None => writeln!(text, "{name} {value}"),
            };
        }
    }
}

/// The whole text, up to its end mark.
pub fn exposition(families: &[Family]) -> String {
    let mut text = String::new();
    for family in families {
        family.write(&mut text);
    }
    text + "# EOF\n"
}

/// A text of others as a label's value: one line without control characters, and nothing that a workflow's runner takes for a
/// command.
pub fn printable(text: &str) -> String {
    one_line(text).replace("##[", "\\x23#[")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Page;

    #[test]
    fn a_family_is_help_type_and_samples_and_the_end_is_marked() {
        let values = [("a".to_owned(), Number::Whole(1)), ("b".to_owned(), Number::Real(2.5))];
        let families = [
            Family::new("x_size_bytes", Kind::Gauge, "Size.").of(Number::Whole(7)),
            Family::new("x_runs_total", Kind::Counter, "Runs.").by("job", values.into()),
            Family::new("x_idle", Kind::Gauge, "None."),
        ];
        assert_eq!(
            exposition(&families),
            "# HELP x_size_bytes Size.\n# TYPE x_size_bytes gauge\nx_size_bytes 7\n# HELP x_runs_total Runs.\n\
             x_runs_total{job=\"a\"} 1\nx_runs_total{job=\"b\"} 2.5\n# HELP x_idle None.\n# TYPE x_idle gauge\n# EOF\n"
        );
    }

    #[test]
    fn a_label_is_escaped_and_a_terminal_shows_the_text_that_a_file_has() {
        for (label, expected) in [
            ("a\"b\\c", "a\\\"b\\\\c"),
            ("a\nb\x1b[2J", "a\\\\x0ab\\\\x1b[2J"),
            ("a\u{200b}b", "a\\\\u{200b}b"),
            ("##[error]x", "\\\\x23#[error]x"),
            ("::warning::日本 } 1", "::warning::日本 } 1"),
        ] {
            let text = exposition(&[
                Family::new("x", Kind::Gauge, "X.").by("l", [(printable(label), Number::Whole(1))].into())
            ]);
            let line = format!("x{{l=\"{expected}\"}} 1\n");
            assert!(text.contains(&line), "{text}");
            let mut shown = Vec::new();
            Page::new(&mut shown, false).lines(&text).unwrap();
            assert_eq!(String::from_utf8(shown).unwrap(), text);
        }
    }
}
