//! CSV for spreadsheets.

use std::borrow::Cow;
use std::io::Write;

use anyhow::Result;

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
            writer.write_record(row.iter().map(|field| inert(field).into_owned()))?;
        }
        writer.flush()?;
    }
    Ok(out.write_all(&text)?)
}

/// A field that is no formula to the spreadsheet that opens it.
fn inert(field: &str) -> Cow<'_, str> {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{field}").into()
    } else {
        field.into()
    }
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
            "n,field\n0,plain\n1, spaced \n2,\n3,\"a,b\"\n4,\"a \"\"b\"\"\"\n5,\"two\nlines\"\n6,\"a\rb\"\n7,'=1+1\n8,'-1\n9,'+1\n10,'@a\n\
             11,'\ta\n12,\"'\ra\"\n13,é\n14,1\n"
        );
    }
}
