//! What a failed statement calls for.

use tokio_postgres::Error;

/// What a failed statement calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone: a new one.
    Lost,
    /// Another transaction was in the way: the same again.
    Contended,
    /// The server's statement_timeout: a smaller batch.
    TooSlow,
    /// Some of the batch's rows can't be done: the others alone.
    Rows,
    /// Trying again is no use.
    Fatal,
}

impl Fault {
    /// Whether the same may work later.
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Lost | Self::Contended)
    }

    pub(super) fn of(error: &Error) -> Self {
        error.code().map_or(Self::Lost, |code| Self::of_code(code.code()))
    }

    fn of_code(code: &str) -> Self {
        match code {
            // Shutdown, crash, still starting, and the connection exceptions.
            "57P01" | "57P02" | "57P03" => Self::Lost,
            code if code.starts_with("08") => Self::Lost,
            // SC001: a batch of an older generation, see sessctl.run_begin_batch.
            "40P01" | "40001" | "55P03" | "SC001" => Self::Contended,
            "57014" | "25P04" => Self::TooSlow,
            // SC002: a lock on something else than the sessions, see sessctl.cleanup_delete.
            "SC002" => Self::Rows,
            code if is_about_the_server(code) => Self::Fatal,
            // A constraint, a value that does not fit, a view's check option, what a trigger raises.
            _ => Self::Rows,
        }
    }
}

/// Whether no other batch would do better: rights, what is missing, resources, faults of the server. As in sessctl.run_next.
fn is_about_the_server(code: &str) -> bool {
    match code.as_bytes() {
        [b'0', class, ..] => *class != b'0',
        [b'2', b'5' | b'6' | b'8' | b'9', ..] | [b'3' | b'5' | b'F', ..] => true,
        [b'4', b'0'..=b'3', ..] | [b'H', b'V', ..] | [b'X', b'X', ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_call_for_what_may_help() {
        for (code, fault) in [
            ("57P01", Fault::Lost),
            ("08006", Fault::Lost),
            ("40001", Fault::Contended),
            ("55P03", Fault::Contended),
            ("SC001", Fault::Contended),
            ("57014", Fault::TooSlow),
            ("25P04", Fault::TooSlow),
            ("23503", Fault::Rows),
            ("P0001", Fault::Rows),
            ("SC002", Fault::Rows),
            ("21000", Fault::Rows),
            ("27000", Fault::Rows),
            ("ABC12", Fault::Rows),
            ("0A000", Fault::Fatal),
            ("42P01", Fault::Fatal),
            ("53100", Fault::Fatal),
            ("XX000", Fault::Fatal),
            ("42501", Fault::Fatal),
            ("25006", Fault::Fatal),
        ] {
            assert_eq!(Fault::of_code(code), fault, "{code}");
        }
    }
}
