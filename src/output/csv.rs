//! CSV for spreadsheets.

/// Rows with a header, each as long as the header.
pub type Rows = (Vec<&'static str>, Vec<Vec<String>>);

/// A field of CSV: quoted where it must be, and never a formula to the spreadsheet that opens it.
pub(super) fn csv_field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
