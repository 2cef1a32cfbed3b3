//! JSON for programs.

use std::fmt::Write as _;

use super::text::reorders;

/// JSON in which nothing steers a terminal: what the serializer leaves raw inside strings is escaped too.
pub(super) fn plain_json(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_control() || reorders(character) {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}
