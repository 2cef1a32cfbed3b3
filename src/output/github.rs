//! Annotations of a GitHub workflow.

use super::text::one_line;

/// A workflow command as GitHub reads it; what would end it early is encoded.
pub fn annotation(level: &str, title: &str, message: &str) -> String {
    let message = one_line(message)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    format!("::{level} title=sessctl: {title}::{message}")
}
