//! CSV for spreadsheets.

use std::io::Write;

use anyhow::Result;

use super::text::one_line;

/// Rows with a header, each as long as the header.
pub type Rows = (Vec<&'static str>, Vec<Vec<String>>);

/// Writes rows below their header.
///
/// # Errors
/// The writer's, or a row that is not as long as the header.
pub(super) fn write((header, rows): &Rows, out: &mut dyn Write) -> Result<()> {
    let mut text = Vec::new();
    {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::Any(b'\n'))
            .from_writer(&mut text);
        writer.write_record(header)?;
        for row in rows {
            writer.write_record(row.iter().map(|field| inert(field)))?;
        }
        writer.flush()?;
    }
    Ok(out.write_all(&text)?)
}

/// A field in one line that is no formula to the spreadsheet that opens it, also where that one cuts lines at semicolons.
fn inert(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut at_start = true;
    for character in one_line(field).chars() {
        if at_start && "=+-@＝＋－＠".contains(character) {
            text.push('\'');
        }
        text.push(character);
        at_start = character == ';';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_only_where_they_must_be_and_never_formulas() {
        let fields = [
            "plain",
            " spaced ",
            "",
            "a,b",
            "a \"b\"",
            "two\nlines",
            "a\rb",
            "=1+1",
            "-1",
            "+1",
            "@a",
            "\ta",
            "\ra",
            "é",
            "1",
            "a;=1;b",
            "＝1",
            "\x1b[2J\u{202e}",
        ];
        let rows = (
            vec!["n", "field"],
            fields
                .iter()
                .enumerate()
                .map(|(n, field)| vec![n.to_string(), (*field).to_owned()])
                .collect(),
        );
        let mut out = Vec::new();
        write(&rows, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "n,field\n0,plain\n1, spaced \n2,\n3,\"a,b\"\n4,\"a \"\"b\"\"\"\n5,two\\x0alines\n6,a\\x0db\n7,'=1+1\n8,'-1\n9,'+1\n10,'@a\n\
             11,\\x09a\n12,\\x0da\n13,é\n14,1\n15,a;'=1;b\n16,'＝1\n17,\\x1b[2J\\u{202e}\n"
        );
    }
}
