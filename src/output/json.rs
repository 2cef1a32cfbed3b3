//! JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::text::is_invisible;

/// What has a form in JSON: all that serializes. A trait of its own, since a boxed report can't be asked to serialize.
pub trait Json {
    /// That form.
    ///
    /// # Errors
    /// A value that JSON does not have.
    fn json(&self) -> serde_json::Result<Value>;
}

impl<T: Serialize> Json for T {
    fn json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }
}

/// JSON in which nothing steers a terminal: what the serializer leaves raw inside strings is escaped too.
pub(super) fn plain(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_control() || is_invisible(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}
