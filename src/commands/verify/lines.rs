//! A difference in lines for people.

use crate::schema::Difference;

/// Maximum number of changed lines that a table or an annotation shows of a long value.
const SHOWN_LINES: usize = 6;

/// Maximum number of characters that it shows of each.
const SHOWN_CHARACTERS: usize = 120;

/// One difference in one line, without the values where they are long.
fn sentence(difference: &Difference, is_long: bool) -> String {
    let Difference {
        object,
        property,
        expected,
        found,
        note,
        ..
    } = difference;
    let what = match (expected, found) {
        (Some(_), Some(_)) if property == "present" => format!("{object} is missing"),
        (None, Some(found)) if property == "present" && found != "yes" && !is_long => {
            format!("{object} is extra: {found}")
        }
        (None, _) if property == "present" => format!("{object} is extra"),
        (Some(_), _) if is_long => format!("{object}: {property} differs"),
        (None, _) if is_long => format!("{object}: extra {property}"),
        (Some(expected), Some(found)) => format!("{object}: {property} is {found} instead of {expected}"),
        (Some(expected), None) => format!("{object}: {property} is absent instead of {expected}"),
        (None, found) => format!("{object}: extra {property}: {}", found.as_deref().unwrap_or_default()),
    };
    match note {
        Some(note) => format!("{what} ({note})"),
        None => what,
    }
}

/// One difference: a sentence, and the first changed lines of a long value, each bounded.
pub(in crate::commands) fn lines(difference: &Difference) -> Vec<String> {
    let changed = difference.changed_lines();
    let mut lines = vec![sentence(difference, !changed.is_empty())];
    lines.extend(changed.iter().take(SHOWN_LINES).map(|line| {
        let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
        let end = if shown.len() < line.len() { "…" } else { "" };
        shown + end
    }));
    match changed.len().saturating_sub(SHOWN_LINES) {
        0 => {}
        1 => lines.push("… 1 more line differs".into()),
        more => lines.push(format!("… {more} more lines differ")),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Class, Kind, Object};

    fn of(expected: &str, found: &str) -> Vec<String> {
        lines(&Difference {
            object: Object::new(Kind::Function, "a()"),
            property: "body".into(),
            expected: Some(expected.into()),
            found: Some(found.into()),
            note: None,
            class: Class::Drift,
        })
    }

    #[test]
    fn short_values_are_part_of_the_sentence() {
        assert_eq!(of("x", "y"), ["function a(): body is y instead of x"]);
    }

    #[test]
    fn of_long_values_the_changed_lines_are_shown() {
        assert_eq!(
            of("begin\n x\n y\nend", "begin\n x\n z\nend\n-- more"),
            ["function a(): body differs", "-  y", "+  z", "+ -- more"]
        );
        assert_eq!(of("begin\nend", "end"), ["function a(): body differs", "- begin"]);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let found = format!("\x1b[2J\r{}\n{}", "é".repeat(1_000_000), "line\n".repeat(1000));
        let shown = of("begin\nend", &found);
        assert_eq!(shown.len(), 8);
        assert_eq!(shown[1], "- begin");
        let start = "+ \x1b[2J\réé";
        assert!(shown[3].starts_with(start) && shown[3].ends_with("é…"), "{}", shown[3]);
        assert!(shown[3].chars().count() < 140);
        assert_eq!(shown[7], "… 998 more lines differ");
    }

    #[test]
    fn long_texts_without_a_line_in_common_are_compared() {
        let text = |name: &str| (0..50_000).map(|n| format!("{name} {n}\n")).collect::<String>();
        assert_eq!(of(&text("a"), &text("b")).len(), 8);
    }
}
