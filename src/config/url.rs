//! Takes a URL apart.

use std::net::Ipv6Addr;

use super::error::{Error, Part};
use super::parameters::{Pair, is_placeholder, is_port, known};

pub(super) fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let ours = ["postgres", "postgresql"]
        .iter()
        .any(|name| scheme.eq_ignore_ascii_case(name));
    ours.then_some(rest)
}

/// Splits what follows `postgres://`.
///
/// A raw `@` may stand in one place only, so the last one ends the password, and everything in
/// front of it that looks like another part of the URL is an unescaped character.
pub(super) fn split_url(rest: &str) -> Result<Vec<Pair>, Error> {
    if rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(Error::Whitespace);
    }
    if rest.ends_with(['"', '\'']) {
        return Err(Error::Quote);
    }
    let mut pairs = Vec::new();
    let (credentials, location) = match rest.rsplit_once('@') {
        Some((credentials, location)) => (Some(credentials), location),
        None => (None, rest),
    };
    if let Some(credentials) = credentials {
        if ends_inside_a_parameter(credentials) {
            return Err(Error::Unescaped {
                part: Part::Parameters,
                characters: vec!['@'],
            });
        }
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        // The password first: with a `/` in it, what stands before its `:` is a user all the same.
        if let Some(password) = password {
            if password.starts_with('[') && password.ends_with(']') {
                return Err(match is_placeholder(password) {
                    true => Error::Placeholder(Part::Password),
                    false => Error::BracketedPassword,
                });
            }
            pairs.push(Pair::new("password", decode(password, "@:/?#", Part::Password)?));
        }
        pairs.push(Pair::new("user", decode(user, "@/?#", Part::User)?));
    }

    let (location, query) = match location.split_once('?') {
        Some((location, query)) => (location, Some(query)),
        None => (location, None),
    };
    let (authority, database) = match location.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (location, None),
    };
    split_authority(authority, &mut pairs)?;
    if let Some(database) = database {
        pairs.push(Pair::new("dbname", decode(database, "/#", Part::Database)?));
    }
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        if parameter.is_empty() {
            continue;
        }
        let unreadable = Error::Malformed("a parameter without `=` behind the ? of the URL: write key=value");
        let (key, value) = parameter.split_once('=').ok_or(unreadable)?;
        pairs.push(Pair {
            key: decode(key, "#", Part::Parameters)?,
            value: decode(value, "#", Part::Parameters)?,
            bounded: false,
        });
    }
    Ok(pairs)
}

/// Whether a text in front of an `@` ends in a parameter that we know: then the `@` belongs to the
/// parameter's value, and the user's password is not to blame.
fn ends_inside_a_parameter(credentials: &str) -> bool {
    let Some((_, query)) = credentials.rsplit_once('?') else {
        return false;
    };
    let last = query.rsplit('&').next().unwrap_or(query);
    last.split_once('=').is_some_and(|(key, _)| known(key).is_some())
}

fn split_authority(authority: &str, pairs: &mut Vec<Pair>) -> Result<(), Error> {
    let mut addresses = authority.split(',');
    let address = addresses.next().unwrap_or_default();
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or(Error::Host)?;
        let host = decode(host, "#", Part::Host)?;
        let without_zone = host.split('%').next().unwrap_or_default();
        without_zone.parse::<Ipv6Addr>().map_err(|_| Error::Host)?;
        let port = if port.is_empty() {
            Some("")
        } else {
            port.strip_prefix(':')
        };
        (host, port.ok_or(Error::Host)?)
    } else {
        if address.parse::<Ipv6Addr>().is_ok() {
            return Err(Error::Brackets);
        }
        let (host, port) = address.split_once(':').unwrap_or((address, ""));
        (decode(host, "#", Part::Host)?, port)
    };
    // Before the parameters are looked at: without its `@`, a URL has the password here, and
    // the rest of it further on.
    if !is_port(port) {
        return Err(Error::Port);
    }
    if addresses.next().is_some() {
        return Err(Error::SeveralHosts);
    }
    pairs.push(Pair::new("host", host));
    pairs.push(Pair::new("port", port.to_owned()));
    Ok(())
}

/// Decodes percent-encoding, after making sure that nothing was left unescaped.
fn decode(text: &str, forbidden: &str, part: Part) -> Result<String, Error> {
    let bytes = text.as_bytes();
    let is_escape = |index: usize| {
        let digits = bytes.get(index + 1..index + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut characters = Vec::new();
    for (index, character) in text.char_indices() {
        let raw = forbidden.contains(character) || character == '%' && !is_escape(index);
        if raw && !characters.contains(&character) {
            characters.push(character);
        }
    }
    if !characters.is_empty() {
        return Err(Error::Unescaped { part, characters });
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Error::NotText(part))?;
    if decoded.contains('\0') {
        Err(Error::NotText(part))
    } else {
        Ok(decoded.into_owned())
    }
}
