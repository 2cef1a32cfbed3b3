//! The connection string in a `.env` file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::VARIABLES;
use super::regular::{self, Unreadable};
use crate::failure::Failure;

/// What takes the place of a `$` to see whether it is replaced: a character that no connection string holds.
const STAND_IN: char = '\u{e000}';

/// A connection string that a file gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) text: String,
    /// Whether a `$NAME` in it was replaced by the value of a variable.
    pub(super) is_expanded: bool,
    /// Whether other users of the machine may read the file.
    pub(super) is_exposed: bool,
}

/// The first of our variables that the file gives a value. A file that does not exist gives none.
///
/// # Errors
/// A file that can't be read, or a line of one of our variables that can't be; never with anything that the file holds.
pub(super) fn read(file: &Path) -> Result<Option<Entry>, Failure> {
    let Some((bytes, about)) = regular::read(file).map_err(unreadable)? else {
        return Ok(None);
    };
    let found = find(&bytes)?;
    Ok(found.map(|(text, is_expanded)| Entry {
        text,
        is_expanded,
        is_exposed: about.permissions().mode() & 0o077 != 0,
    }))
}

fn unreadable(why: Unreadable) -> Failure {
    match why {
        Unreadable::NotRegular => Failure::usage(".env is not a regular file")
            .hint("replace it with a file of lines NAME=value, or set DATABASE_URL in the environment"),
        Unreadable::TooLarge => Failure::usage(".env is larger than 1 MB")
            .hint("leave only lines NAME=value in it, or set DATABASE_URL in the environment"),
        Unreadable::Io(error) => Failure::usage(".env is there and can't be read")
            .hint("give this user the right to read it, or set DATABASE_URL in the environment")
            .because(error),
    }
}

/// The first of our variables with a value, and whether a `$` was expanded in it.
fn find(bytes: &[u8]) -> Result<Option<(String, bool)>, Failure> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Failure::usage(".env is a UTF-16 file").hint("save it as UTF-8"));
    }
    let text = String::from_utf8_lossy(bytes);
    // What dotenvy reads: our lines, and the readable ones of other names, whose values `$NAME` may stand for.
    let mut readable = String::new();
    let mut ours = Vec::new();
    for Assignment { line, name, text } in assignments(text.trim_start_matches('\u{feff}')) {
        let value = parse_one(text);
        let is_ours = VARIABLES.contains(&name);
        if is_ours && (value.is_none() || text.contains('\u{fffd}')) {
            return Err(
                Failure::usage(format!(".env, line {line}: the value of {name} can't be read"))
                    .hint("write NAME=value; put a value with spaces, #, $ or quotes into single quotes"),
            );
        }
        if value.is_some() {
            readable.push_str(text);
            readable.push('\n');
        }
        if is_ours {
            ours.push((name, text));
        }
    }
    let entries: Vec<(String, String)> = dotenvy::from_read_iter(readable.as_bytes()).flatten().collect();
    let mut values = entries
        .into_iter()
        .filter(|(name, _)| VARIABLES.contains(&name.as_str()));
    let given: Vec<(&str, &str, String)> = ours
        .into_iter()
        .zip(values.by_ref())
        .map(|((name, text), (_, value))| (name, text, value))
        .filter(|(_, _, value)| !value.trim().is_empty())
        .collect();
    let first = VARIABLES
        .iter()
        .find_map(|wanted| given.iter().find(|(name, _, _)| name == wanted));
    Ok(first.map(|(_, text, value)| (value.clone(), is_expanded(text, value))))
}

/// Whether dotenvy replaced a `$` of this assignment: without any its value would be another one.
fn is_expanded(text: &str, value: &str) -> bool {
    let mut marked = String::new();
    let mut backslashes = 0;
    for character in text.chars() {
        let is_escaped = backslashes % 2 == 1;
        marked.push(if character == '$' && !is_escaped {
            STAND_IN
        } else {
            character
        });
        backslashes = if character == '\\' { backslashes + 1 } else { 0 };
    }
    let plain = parse_one(&marked).flatten().map(|value| value.replace(STAND_IN, "$"));
    plain.is_none_or(|plain| plain != value)
}

/// The value of a text that holds one assignment or none, by itself; `None` where dotenvy can't read it.
fn parse_one(text: &str) -> Option<Option<String>> {
    let line = format!("{text}\n");
    let mut entries = dotenvy::from_read_iter(line.as_bytes());
    match (entries.next(), entries.next()) {
        (None, _) => Some(None),
        (Some(Ok((_, value))), None) => Some(Some(value)),
        _ => None,
    }
}

/// A line that gives a name a value, or the lines of a quoted value.
struct Assignment<'a> {
    /// The number of its first line, from 1.
    line: usize,
    name: &'a str,
    text: &'a str,
}

/// The assignments of a file.
///
/// One takes several lines only if its value begins with a quote and the next quote of that kind stands on a later line,
/// with nothing but a comment behind it. So `MOTD=don't` and `NAME="half` do not hide the lines below, and what stands
/// inside a multi-line value is not taken for a line of its own.
fn assignments(text: &str) -> Vec<Assignment<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let first = rest.split('\n').next().unwrap_or_default();
        let taken = quoted_lines(rest, first).unwrap_or(first);
        if let Some((name, _)) = split_name(first) {
            found.push(Assignment {
                line,
                name,
                text: taken.trim(),
            });
        }
        line += taken.matches('\n').count() + 1;
        rest = rest.get(taken.len() + 1..).unwrap_or_default();
    }
    found
}

/// The name that a line begins with, and what follows it.
fn split_name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => line,
    };
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '.';
    let (name, rest) = line.split_at(line.find(|character| !is_part(character)).unwrap_or(line.len()));
    (!name.is_empty()).then_some((name, rest))
}

/// The lines of a value that is quoted over several, from the start of `rest`, whose first line is `first`.
fn quoted_lines<'a>(rest: &'a str, first: &str) -> Option<&'a str> {
    let (_, after) = split_name(first)?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let start = first.len() - value.len() + 1;
    let mut escaped = false;
    for (index, character) in rest[start..].char_indices() {
        if character == quote && !escaped {
            let end = start + index + 1;
            let tail = rest[end..].split('\n').next().unwrap_or_default();
            let is_end = tail.trim().is_empty() || tail.trim_start().starts_with('#');
            return (is_end && end > first.len()).then(|| &rest[..end + tail.len()]);
        }
        escaped = character == '\\' && !escaped && quote == '"';
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (String, bool) {
        find(text.as_bytes()).unwrap().unwrap()
    }

    fn refused(text: &str) -> String {
        find(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn lines_of_other_names_are_skipped_whatever_they_hold() {
        for other in [
            "APP_NAME=My App",
            "MOTD=don't",
            "HALF=\"half",
            "HALF='half",
            "-x",
            "just words",
            "=",
            "KEY",
            "A B=c",
            "TRAILING=backslash\\",
            "DATABASE_URL_OLD=my old one",
            "# DATABASE_URL=my comment",
            "KEY=\"-----BEGIN-----\nDATABASE_URL=inside the key\n-----END-----\"",
            "KEY='-----BEGIN-----\nDATABASE_URL=inside the key\n-----END-----' # mine",
        ] {
            for end in ["\n", "\r\n"] {
                let text = format!("{other}{end}DATABASE_URL=\"good\"{end}{other}{end}");
                assert_eq!(found(&text), ("good".into(), false), "{text}");
            }
        }
        let latin = b"NAME=M\xfcller\nDATABASE_URL=good";
        assert_eq!(find(latin).unwrap().unwrap().0, "good");
    }

    #[test]
    fn a_byte_order_mark_export_and_comments_are_fine() {
        for text in [
            "\u{feff}DATABASE_URL=good",
            "export DATABASE_URL=good",
            "  export\tDATABASE_URL = 'good'  # comment\r\n",
            "DATABASE_URL=good  ",
            "SUPABASE_DB_URL=other\nDATABASE_URL=good",
            "DATABASE_URL=\nSUPABASE_DB_URL=good",
            "DATABASE_URL=''\nDATABASE_URL=good",
        ] {
            assert_eq!(found(text).0, "good", "{text}");
        }
        assert_eq!(find(b"").unwrap(), None);
        assert_eq!(find(b"\xef\xbb\xbf\n\n").unwrap(), None);
    }

    #[test]
    fn a_line_of_ours_that_can_not_be_read_is_named_by_its_number() {
        for line in [
            "DATABASE_URL=secret word",
            "DATABASE_URL='secret",
            "DATABASE_URL=don'tsecret",
            "DATABASE_URL: secret",
            "DATABASE_URL secret",
            "export SUPABASE_DB_URL=secret\\x",
            "DATABASE_URL=${secret",
        ] {
            let message = refused(&format!("A='1\n2'\r\n\n{line}\nB=1\n"));
            assert!(message.starts_with(".env, line 4: the value of "), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        assert!(find(b"DATABASE_URL=s\xfccret").is_err());
        assert!(find(b"\xff\xfeD\0A\0").is_err());
    }

    #[test]
    fn a_dollar_that_was_replaced_is_noticed() {
        for (value, is_expanded) in [
            ("a$b", true),
            ("a${OTHER}b", true),
            ("\"a${b}\"", true),
            ("a\\\\$b", true),
            ("a$", true),
            ("'a$b'", false),
            ("a\\$b", false),
            ("ab # for $5", false),
            ("ab", false),
        ] {
            let text = format!("OTHER=x\nDATABASE_URL={value}");
            assert_eq!(found(&text).1, is_expanded, "{value}");
        }
        assert_eq!(found("OTHER=x\nDATABASE_URL=a${OTHER}b").0, "axb");
        assert_eq!(found("DATABASE_URL='a$b'").0, "a$b");
    }
}
