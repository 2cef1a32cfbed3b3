//! Takes key=value pairs apart.

use super::error::Error;
use super::parameters::{Pair, is_word, known};
use super::supabase::SupabaseHost;

/// Splits `key=value key='value'`, with libpq's rules for spaces, quotes and backslashes.
pub(super) fn split_pairs(text: &str) -> Result<Vec<Pair>, Error> {
    let first = text.split('=').next().unwrap_or_default().trim_end();
    if known(first).is_none() {
        let lower = text.to_ascii_lowercase();
        let web = ["http://", "https://", "ws://", "wss://"];
        if lower.contains("postgres://") || lower.contains("postgresql://") {
            return Err(Error::Prefix);
        } else if web.iter().any(|scheme| lower.starts_with(scheme))
            || text.split(['/', ':']).next().and_then(SupabaseHost::of).is_some()
        {
            return Err(Error::WebAddress);
        } else if lower.contains("://") {
            return Err(Error::Scheme);
        } else if !is_word(first) || first == text {
            return Err(Error::NotAConnectionString);
        }
    }

    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| character == '=' || character.is_whitespace());
        let (key, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start().strip_prefix('=').map(str::trim_start);
        let after = after.ok_or(Error::Malformed(
            "a word without `=`: put single quotes around a value that holds spaces",
        ))?;
        let quoted = after.starts_with('\'');
        let (value, after) = take_value(after)?;
        pairs.push(Pair {
            key: key.to_owned(),
            value,
            // A later quote may be the one that was meant to close this value.
            bounded: quoted && !after.contains('\''),
        });
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// Takes one value off the front of a text, and gives what follows it.
fn take_value(text: &str) -> Result<(String, &str), Error> {
    let (text, quoted) = match text.strip_prefix('\'') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => {
                let after = &text[index + 1..];
                if after.starts_with(|next: char| !next.is_whitespace()) {
                    return Err(Error::Malformed("a quote inside a quoted value: write it as \\'"));
                }
                return Ok((value, after));
            }
            _ if !quoted && character.is_whitespace() => return Ok((value, &text[index..])),
            _ => value.push(character),
        }
    }
    if quoted {
        Err(Error::Malformed(
            "a quoted value without its closing quote: add it, and write a quote inside as \\'",
        ))
    } else {
        Ok((value, ""))
    }
}
