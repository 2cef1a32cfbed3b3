//! Annotations of a GitHub workflow.

use super::text::one_line;

/// A workflow command as GitHub reads it: in one line, and what would end it early is encoded.
pub fn annotation(level: &str, title: &str, message: &str) -> String {
    let message = one_line(message).replace('%', "%25");
    format!("::{level} title=sessctl: {title}::{message}")
}
