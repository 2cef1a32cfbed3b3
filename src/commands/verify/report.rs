//! How `sessctl verify` shows a verdict.

use std::io;

use serde::Serialize;

use super::lines::lines;
use crate::failure::exit;
use crate::output::{Page, Report, Rows, Style, annotation};
use crate::schema::{ADOPT, Difference, Kind, Object, Pending, UNRECORDED, Verdict};

/// A verdict on a database.
#[derive(Serialize)]
pub(super) struct Verified {
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    #[serde(skip)]
    pub(super) target: String,
}

impl Verified {
    /// The differences by class, with the style of the class and its annotation in a workflow: level and title.
    fn classes(&self) -> [(&'static str, Style, &'static str, &'static str, &[Difference]); 3] {
        let Verdict {
            drift, extra, allowed, ..
        } = &self.verdict;
        [
            ("drift", Style::Bad, "error", "schema drift", drift),
            ("extra", Style::Dim, "notice", "extra object", extra),
            ("allowed", Style::Dim, "notice", "allowed object", allowed),
        ]
    }
}

impl Report for Verified {
    fn table(&self, out: &mut Page<'_>) -> io::Result<()> {
        let Verdict {
            version,
            unrecorded,
            pending,
            drift,
            ..
        } = &self.verdict;
        for Pending { version, name } in pending.iter().filter(|_| !unrecorded) {
            let label = out.paint(Style::Warning, "pending");
            out.line(label + format!("  V{version} {name}"))?;
        }
        for (class, style, _, _, differences) in self.classes() {
            for difference in differences {
                let mut label = out.paint(style, &format!("{class:7}"));
                for line in lines(difference) {
                    out.line(label + "  " + line)?;
                    label = " ".repeat(7).into();
                }
            }
        }
        for allowed in &self.verdict.absent {
            let label = out.paint(Style::Dim, "absent ");
            out.line(label + format!("  {allowed} is allowed, and not there"))?;
        }
        let (style, line) = if self.verdict.ok {
            (
                Style::Good,
                format!("up to date: the schema is that of version {version}"),
            )
        } else if *unrecorded {
            (Style::Bad, format!("{UNRECORDED} ({}): {ADOPT}", self.target))
        } else {
            let hint = self.verdict.hint();
            let line = format!(
                "differs from the schema of this sessctl: {} pending, {} drifted ({}): {hint}",
                pending.len(),
                drift.len(),
                self.target
            );
            (Style::Bad, line)
        };
        out.line(out.paint(style, &line))
    }

    fn csv(&self) -> Option<Rows> {
        let header = vec!["class", "object", "property", "expected", "found", "note"];
        let pending = self.verdict.pending.iter().map(|Pending { version, name }| {
            let object = Object::new(Kind::Migration, format!("V{version} {name}")).to_string();
            ["pending", &object, "present", "yes", "no", ""]
                .map(Into::into)
                .to_vec()
        });
        let differences = self.classes().into_iter().flat_map(|(class, .., differences)| {
            differences.iter().map(move |d| {
                vec![
                    class.into(),
                    d.object.to_string(),
                    d.property.clone(),
                    d.expected.clone().unwrap_or_default(),
                    d.found.clone().unwrap_or_default(),
                    d.note.unwrap_or_default().into(),
                ]
            })
        });
        let absent = self.verdict.absent.iter().map(|allowed| {
            ["absent", &allowed.to_string(), "present", "", "no", ""]
                .map(Into::into)
                .to_vec()
        });
        Some((header, pending.chain(differences).chain(absent).collect()))
    }

    fn github(&self) -> Option<Vec<String>> {
        let Verdict {
            unrecorded, pending, ..
        } = &self.verdict;
        let copy =
            unrecorded.then(|| annotation("error", "no history of migrations", &format!("{UNRECORDED}: {ADOPT}")));
        let pending = pending
            .iter()
            .filter(|_| !unrecorded)
            .map(|Pending { version, name }| annotation("error", "pending migration", &format!("V{version} {name}")));
        let differences = self
            .classes()
            .into_iter()
            .flat_map(|(_, _, level, title, differences)| {
                differences
                    .iter()
                    .map(move |d| annotation(level, title, &lines(d).join(" | ")))
            });
        let absent = self.verdict.absent.iter();
        let absent = absent.map(|allowed| {
            annotation(
                "notice",
                "allowed object",
                &format!("{allowed} is allowed, and not there"),
            )
        });
        Some(
            copy.into_iter()
                .chain(pending)
                .chain(differences)
                .chain(absent)
                .collect(),
        )
    }

    fn code(&self) -> u8 {
        if self.verdict.ok { exit::DONE } else { exit::NO }
    }
}
