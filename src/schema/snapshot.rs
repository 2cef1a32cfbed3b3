//! What the migrations of this binary make, as a text that people review: an object, its properties below it, the lines of
//! a long value below its name.
//!
//! ```text
//! function sessctl.example()
//!   arguments:
//!   body:
//!     begin
//!     end
//!   language: plpgsql
//! ```

use super::clients::CLIENT_RIGHTS;
use super::{Facts, Grant, Kind, Object, Properties};

const SNAPSHOT: &str = include_str!("snapshot.txt");
const SCRIPT: &str = include_str!("script.txt");

/// What the migrations of this binary make, on every version of the server.
///
/// # Panics
/// Where the embedded file is broken, which a test would have seen.
pub fn snapshot() -> Facts {
    read(SNAPSHOT).expect("src/schema/snapshot.txt is made by make snapshot")
}

/// What the original script makes, on every version of the server: with the rights that clients can use, of both of Supabase's
/// default grants.
///
/// # Panics
/// Where the embedded file is broken, which a test would have seen.
pub fn script() -> Facts {
    read(SCRIPT).expect("src/schema/script.txt is made by make snapshot")
}

/// The text of [`script`], from the facts of databases where it was pasted.
pub fn write_script(pasted: &[Facts]) -> String {
    let mut script = Facts::new();
    for (object, properties) in pasted.iter().flatten().filter(|(object, _)| object.kind != Kind::Role) {
        let is_told = |property: &String| {
            Grant::of(property).is_none_or(|grant| CLIENT_RIGHTS.contains(&grant.right)) && property != "owner"
        };
        let told = properties.iter().filter(|(property, _)| is_told(property));
        let told = told.map(|(property, value)| (property.clone(), value.clone()));
        script.entry(object.clone()).or_default().extend(told);
    }
    write(&script)
}

/// Facts as the snapshot's text.
pub fn write(facts: &Facts) -> String {
    let mut text = String::new();
    for (object, properties) in facts {
        text.push_str(&format!("{object}\n"));
        for (property, value) in properties {
            if value.is_empty() {
                text.push_str(&format!("  {property}:\n"));
            } else if value.contains('\n') {
                let lines = value.split('\n').map(|line| format!("    {line}\n"));
                text.push_str(&format!("  {property}:\n{}", lines.collect::<String>()));
            } else {
                text.push_str(&format!("  {property}: {value}\n"));
            }
        }
    }
    text
}

/// The facts in a text that [`write`] made.
fn read(text: &str) -> Result<Facts, String> {
    let mut facts = Facts::new();
    let (mut object, mut property, mut is_first_line) = (None, String::new(), true);
    // Not `lines`: a value may end in a carriage return.
    for line in text.split_terminator('\n') {
        let broken = || format!("not a line of a snapshot: {line}");
        if !line.starts_with(' ') {
            object = Some(line.parse::<Object>()?);
            continue;
        }
        let properties: &mut Properties = facts.entry(object.clone().ok_or_else(broken)?).or_default();
        if let Some(line) = line.strip_prefix("    ") {
            let value = properties.get_mut(&property).ok_or_else(broken)?;
            if !is_first_line {
                value.push('\n');
            }
            value.push_str(line);
            is_first_line = false;
        } else {
            let (name, value) = line.trim_start().split_once(':').ok_or_else(broken)?;
            name.clone_into(&mut property);
            properties.insert(property.clone(), value.strip_prefix(' ').unwrap_or_default().to_owned());
            is_first_line = true;
        }
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_written_and_read_the_same() {
        let values = [
            "",
            "one line",
            " : ",
            "\n",
            "\n\n",
            "two\nlines",
            "    four blanks\n\nlast\n",
            "a\r",
        ];
        let properties = values.iter().enumerate();
        let properties: Properties = properties
            .map(|(n, value)| (format!("p {n}"), (*value).into()))
            .collect();
        let objects = ["policy b", "policy a: b", "table x.y"];
        let facts: Facts = objects
            .map(|object| (object.parse().unwrap(), properties.clone()))
            .into();
        assert_eq!(read(&write(&facts)), Ok(facts));
    }

    #[test]
    fn a_broken_snapshot_is_an_error() {
        for text in [
            "  property: of nothing\n",
            "nothing\n",
            "table a\n  no colon\n",
            "table a\n    no property\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
