//! The bounds on what the server sends: which messages reach the driver, and how much of one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum bytes of one answer, from one ReadyForQuery to the next. The longest that is asked for, a list of candidates, has
/// under a million; parsed and shown an answer takes up to thirty times its bytes.
pub(super) const MAX_ANSWER: usize = 1_500_000;

/// What a message costs beside its bytes: the driver keeps each row apart.
const MESSAGE_COST: usize = 256;

/// Why nothing more is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the server sent more than the {:.1} MB that sessctl takes as one answer", megabytes(.0))]
    TooMuch(usize),
    #[error("the server sent what is no message of PostgreSQL's")]
    NoMessage,
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: &usize) -> f64 {
    *bytes as f64 / 1e6
}

impl Refusal {
    /// The error message of the protocol that the driver gets in place of what follows: so it knows why the connection
    /// ends. The SQLSTATE is program_limit_exceeded.
    pub(super) fn message(&self) -> Vec<u8> {
        let body = format!("SFATAL\0VFATAL\0C54000\0M{self}\0\0");
        let length = u32::try_from(body.len() + 4).unwrap_or_default();
        [b"E", &length.to_be_bytes()[..], body.as_bytes()].concat()
    }
}

/// Maximum bytes of an answer, which what reads a large row may raise for that row alone.
#[derive(Clone)]
pub(super) struct AnswerLimit(pub(super) Arc<AtomicUsize>);

impl Default for AnswerLimit {
    fn default() -> Self {
        Self(Arc::new(MAX_ANSWER.into()))
    }
}

/// Where in the server's messages a stream is.
#[derive(Default)]
pub(super) struct Sieve {
    /// The bytes of a message's type and length, as far as they have come.
    header: Vec<u8>,
    /// How many bytes the message still has, and whether they are passed on.
    left: usize,
    is_kept: bool,
    /// What the answer has cost so far.
    spent: usize,
    limit: AnswerLimit,
    is_logged_in: bool,
}

impl Sieve {
    pub(super) fn new(limit: AnswerLimit) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Appends to `kept` what of the bytes is passed on.
    pub(super) fn sift(&mut self, mut bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), Refusal> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (message, after) = bytes.split_at(self.left.min(bytes.len()));
                if self.is_kept {
                    kept.extend_from_slice(message);
                }
                self.left -= message.len();
                bytes = after;
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            if let [kind, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.begin(*kind, u32::from_be_bytes(length) as usize)?;
                if self.is_kept {
                    kept.append(&mut self.header);
                }
                self.header.clear();
            }
        }
        Ok(())
    }

    /// A message begins: its type, and its length with the four bytes that give it.
    fn begin(&mut self, kind: u8, length: usize) -> Result<(), Refusal> {
        const READY_FOR_QUERY: u8 = b'Z';
        self.left = length.checked_sub(4).ok_or(Refusal::NoMessage)?;
        // NoticeResponse, NotificationResponse, ParameterStatus.
        self.is_kept = !matches!(kind, b'N' | b'A' | b'S');
        if self.is_kept || !self.is_logged_in {
            self.spent = self.spent.saturating_add(length).saturating_add(MESSAGE_COST);
        }
        let limit = self.limit.0.load(Ordering::Relaxed);
        if self.spent > limit {
            return Err(Refusal::TooMuch(limit));
        }
        if kind == READY_FOR_QUERY {
            self.spent = 0;
            self.is_logged_in = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    /// What is passed on, the bytes coming so many at a time.
    fn sifted(bytes: &[u8], at_once: usize) -> Result<Vec<u8>, Refusal> {
        let (mut sieve, mut kept) = (Sieve::default(), Vec::new());
        for part in bytes.chunks(at_once) {
            sieve.sift(part, &mut kept)?;
        }
        Ok(kept)
    }

    #[test]
    fn messages_pass_whole_and_notices_are_left_out_however_the_bytes_come() {
        let kept = [message(b'R', &[0; 4]), message(b'Z', b"I"), message(b'1', b"")].concat();
        let all = [
            message(b'N', b"notice"),
            message(b'R', &[0; 4]),
            message(b'S', b"a\0b\0"),
            message(b'Z', b"I"),
            message(b'A', b"x"),
            message(b'1', b""),
            message(b'N', b""),
        ]
        .concat();
        for at_once in 1..all.len() {
            assert_eq!(sifted(&all, at_once).unwrap(), kept, "{at_once}");
        }
    }

    #[test]
    fn an_answer_has_a_limit_and_the_next_one_the_same() {
        let half = message(b'D', &vec![0; MAX_ANSWER / 2]);
        let ready = message(b'Z', b"I");
        let answers = [&half[..], &ready, &half, &ready, &half, &ready].concat();
        assert!(sifted(&answers, 1000).is_ok());
        assert!(sifted(&[&half[..], &half].concat(), 1000).is_err());
        assert!(sifted(b"D\x7f\xff\xff\xff", 5).is_err());
        assert!(sifted(b"D\0\0\0\x03", 5).is_err());
        assert!(sifted(&message(b'D', b"").repeat(MAX_ANSWER / MESSAGE_COST), 1000).is_err());
    }

    #[test]
    fn a_larger_answer_is_taken_while_one_is_expected() {
        let mut sieve = Sieve::default();
        sieve.limit.0.store(3 * MAX_ANSWER, Ordering::Relaxed);
        let large = message(b'D', &vec![0; 2 * MAX_ANSWER]);
        assert!(sieve.sift(&large, &mut Vec::new()).is_ok());
        sieve.limit.0.store(MAX_ANSWER, Ordering::Relaxed);
        assert!(sieve.sift(&message(b'D', b""), &mut Vec::new()).is_err());
    }

    #[test]
    fn notices_count_until_the_login_is_done() {
        let flood = message(b'N', &[0; 1000]).repeat(MAX_ANSWER / 1000);
        assert!(sifted(&flood, 1000).is_err());
        let after = [message(b'Z', b"I"), flood].concat();
        assert_eq!(sifted(&after, 1000).unwrap(), message(b'Z', b"I"));
    }
}
