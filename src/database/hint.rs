//! What an error of the server, a pooler or the network means here, and what to do about it.

use std::error::Error as StdError;
use std::io;

use humantime::format_duration;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::connect::ConnectError;
use super::tls;
use crate::config::{EXPANDED, SupabaseHost, Target};
use crate::failure::Failure;

/// Turns an error into what a person reads: `what` could not be done, why, and what to do next.
pub(super) fn explain(error: &Error, what: &str) -> Failure {
    let failure = Failure::new(format!("{what}: {}", reason(error))).because(anyhow::anyhow!("{}", details(error)));
    match error.as_db_error().and_then(statement_hint) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// [`explain`] for a connection that did not come about.
pub(super) fn explain_connect(error: &ConnectError, target: &Target) -> Failure {
    let (host, _) = target.address();
    let what = format!("can't connect to {target}");
    let error = match error {
        ConnectError::Driver(error) => error,
        ConnectError::Lookup(error) => {
            let reason = format!("error connecting to server: {error}");
            return unreached(&what, &reason, network_hint(error, &host));
        }
        ConnectError::Silence(limit) => {
            let reason = format!("no answer within {}", format_duration(*limit));
            return unreached(&what, &reason, network_hint(&io::ErrorKind::TimedOut.into(), &host));
        }
    };
    if let Some(sentence) = tls::explain(error, &host) {
        return Failure::new(format!("{what}: {sentence}")).because(anyhow::anyhow!("{}", details(error)));
    }
    let failure = match error.as_db_error() {
        Some(db) => hinted(
            Failure::new(format!("{what}: {}", server_message(db))),
            login_hint(db, target.is_expanded),
        ),
        None if error.to_string().contains("password missing") => Failure::new(format!("{what}: {}", reason(error)))
            .hint("the server wants a password: put it into the connection string or into PGPASSWORD"),
        None => unreached(
            &what,
            &reason(error),
            io_error(error).and_then(|io| network_hint(io, &host)),
        ),
    };
    failure.because(anyhow::anyhow!("{}", details(error)))
}

/// The failure of a connection to a server that was not reached. It is transient, unless the hint says that it is not.
fn unreached(what: &str, reason: &str, hint: Option<Hint>) -> Failure {
    let failure = Failure::new(format!("{what}: {reason}")).because(anyhow::anyhow!("{reason}, no SQLSTATE"));
    match hint {
        Some(hint) => hinted(failure, Some(hint)),
        None => failure.transient(),
    }
}

fn hinted(failure: Failure, hint: Option<Hint>) -> Failure {
    match hint {
        Some(Hint { text, transient: true }) => failure.hint(text).transient(),
        Some(Hint { text, transient: false }) => failure.hint(text),
        None => failure,
    }
}

/// The server's message, with its detail where that one lists objects.
pub fn server_message(db: &DbError) -> String {
    match db.detail().filter(|_| is_about_objects(db)) {
        Some(detail) => format!("{} ({})", db.message(), detail.replace('\n', "; ")),
        None => db.message().to_owned(),
    }
}

/// Whether an error's detail names objects, transactions or sessions alone. Any other may show a row ("Failing row
/// contains (…)", "Key (ip)=(…)"), and so may whatever a function raises; neither is printed, not even with --verbose.
fn is_about_objects(db: &DbError) -> bool {
    let codes = [
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        SqlState::FEATURE_NOT_SUPPORTED,
        SqlState::OBJECT_IN_USE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    // A DO block in a migration of ours has a context too: it is no function with arguments.
    let is_ours = |line: &str| line.starts_with("SQL statement ") || !line.contains('(');
    codes.contains(db.code()) && db.where_().unwrap_or_default().lines().all(is_ours)
}

/// The lines of an error's context that say in which functions it was raised. The others may show values: the text of a
/// statement, the parameters of a portal.
pub fn functions(db: &DbError) -> Vec<&str> {
    let context = db.where_().unwrap_or_default();
    let is_function = |line: &&str| line.contains(" function ") && !line.contains('"');
    context.lines().filter(is_function).collect()
}

pub(super) fn reason(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => server_message(db),
        None => chain(error),
    }
}

/// An error and what lies below it, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let below = error.to_string();
        if !text.contains(&below) {
            text = format!("{text}: {below}");
        }
        cause = error.source();
    }
    text
}

fn details(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{}, SQLSTATE {}", db.severity(), db.code().code());
            let objects = [
                ("schema", db.schema()),
                ("table", db.table()),
                ("column", db.column()),
                ("constraint", db.constraint()),
            ];
            for (kind, name) in objects {
                if let Some(name) = name {
                    text = format!("{text}, {kind} {name}");
                }
            }
            text
        }
        None => format!("{}, no SQLSTATE", chain(error)),
    }
}

/// What to do about a statement that the server refused.
fn statement_hint(db: &DbError) -> Option<String> {
    let code = db.code();
    let is_one_of = |codes: &[SqlState]| codes.contains(code);
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return Some(
            "something holds a lock: select pid, state, query from pg_stat_activity where pid in (select pid from pg_locks \
             where granted and relation = 'public.user_sessions'::regclass)"
                .into(),
        );
    }
    let is_undefined = is_undefined(code);
    if (is_undefined || *code == SqlState::UNDEFINED_OBJECT)
        && let Some(function) = db.where_().and_then(function_in)
    {
        return Some(format!(
            "{function} is no function of sessctl's; a trigger calls it, and it finds what it needs only with a search_path of \
             its own: alter function {function} set search_path = public, extensions"
        ));
    }
    let text = if is_undefined {
        "the database is not migrated far enough: run sessctl migrate"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE && db.hint().is_none() {
        "connect as the owner of the schema, postgres; docs/schedule.md and docs/ci.md have the roles for maintenance and for CI"
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        READ_ONLY
    } else if is_one_of(&[SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY]) {
        "the server has no room left: enlarge it in the dashboard, or free space; nothing of this statement was kept"
    } else if is_one_of(&[SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]) {
        "other transactions got in the way each time: run it again when less is going on"
    } else if *code == SqlState::QUERY_CANCELED && !db.message().contains("user request") {
        "it took longer than --timeout or the server's statement_timeout allows: give it more time with --timeout 5m, or with \
         ?options=-c%20statement_timeout%3D5min at the end of the connection string"
    } else {
        return db.hint().map(ToOwned::to_owned);
    };
    Some(text.into())
}

/// Whether the server did not find something by its name.
pub(super) fn is_undefined(code: &SqlState) -> bool {
    [
        SqlState::UNDEFINED_FUNCTION,
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_COLUMN,
    ]
    .contains(code)
}

/// What to do where the table does not exist, if that is not to migrate. `elsewhere`: the schemas that have one of its name.
/// `has_history`: the history says that it was made, so that migrate alone would not make it again.
pub(crate) fn missing_table_hint(elsewhere: &[String], has_history: bool) -> Option<String> {
    match elsewhere.first() {
        Some(schema) => Some(format!(
            "{schema}.user_sessions exists; if that is the table, move it back: alter table {schema}.user_sessions set schema \
             public"
        )),
        None if has_history => Some(
            "the table was there once: restore it from a backup, or start with an empty one: sessctl migrate --repair"
                .into(),
        ),
        None => None,
    }
}

/// What a role is told that sees its own sessions alone.
pub(crate) const FILTERED: &str =
    "row level security applies to this role, and hides sessions from it: use postgres, or a role with BYPASSRLS";

/// What to do about a server that takes no writes. Supabase sets a project to read-only when its disk is full.
pub(crate) const READ_ONLY: &str = "the server takes no writes. If it is a replica, use the primary's connection string. If the project is read-only because its \
     disk is full, run sessctl cleanup over the direct connection (poolers refuse options) with \
     ?options=-c%20default_transaction_read_only%3Doff at the end of its string; that frees space for new rows, and the disk \
     keeps its size";

/// The innermost function of an error's context that is not sessctl's. Only its signature is taken: the rest may show values.
pub(crate) fn function_in(context: &str) -> Option<&str> {
    const OURS: [&str; 6] = [
        "sessctl.",
        "public.calculate_session_duration(",
        "public.update_user_sessions_updated_at_column(",
        "public.end_inactive_sessions(",
        "public.cleanup_old_sessions(",
        "inline_code_block",
    ];
    let functions = context
        .lines()
        .filter_map(|line| line.strip_prefix("PL/pgSQL function "));
    functions
        .filter_map(|rest| rest.split_once(" line ").map(|(name, _)| name))
        .find(|name| !OURS.iter().any(|ours| name.starts_with(ours)))
}

struct Hint {
    text: &'static str,
    /// Whether trying again may work.
    transient: bool,
}

/// What to do about a login that was refused. Poolers give nearly everything the same SQLSTATE, so the text decides.
fn login_hint(db: &DbError, is_expanded: bool) -> Option<Hint> {
    let text = db.message().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let code = db.code().code();
    let (text, transient) = if says(&["tenant or user not found", "enotfound tenant/user"]) {
        (
            "the pooler's host is another project's, or the user lacks .REF (postgres.REF): copy the string from the \
             dashboard under Connect; it is not the password",
            false,
        )
    } else if says(&["ecircuitbreaker", "circuit breaker"]) {
        (
            "too many failed logins: stop all clients, wait two minutes, then correct the password",
            false,
        )
    } else if says(&["allow_list", "allow list"]) {
        (
            "the project's network restrictions keep this address out: add it in the dashboard, Database Settings",
            false,
        )
    } else if says(&["ssl connection is required", "ssl off", "no encryption", "ssl required"]) {
        ("use sslmode=require or better", false)
    } else if says(&[
        "max clients reached",
        "max client connections",
        "no more connections allowed",
    ]) || code == "53300"
    {
        (
            "the pool is full: fewer clients, or a larger pool in the dashboard, Database Settings",
            true,
        )
    } else if code.starts_with("28") || says(&["failed sasl auth", "password authentication failed"]) {
        let otherwise = "check the user, then the password; in a URL write : / ? # @ % of the password as %3A %2F %3F %23 %40 %25; \
             it is not tried again, poolers ban who insists";
        (if is_expanded { EXPANDED } else { otherwise }, false)
    } else if code == "3D000" {
        ("check the database's name; on Supabase it is postgres", false)
    } else if code == "57P03" {
        (
            "the server is starting or stopping: try again, or give it time with --wait 30s",
            true,
        )
    } else {
        return None;
    };
    Some(Hint { text, transient })
}

/// What to do about a server that was not reached.
fn network_hint(io: &io::Error, host: &str) -> Option<Hint> {
    let is_direct = SupabaseHost::of(host) == Some(SupabaseHost::Direct);
    let kind = io.kind();
    let unresolved = io.to_string().contains("lookup address information");
    let unreachable = matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable);
    let text = if (unresolved || unreachable) && is_direct {
        "this host has an IPv6 address only: use the session pooler's connection string, in the dashboard under Connect"
    } else if unresolved {
        return Some(Hint {
            text: "check the host's name",
            transient: false,
        });
    } else if unreachable {
        "there is no way to this address from here: check the network, or use the session pooler's connection string"
    } else if kind == io::ErrorKind::ConnectionRefused {
        "nothing listens there: a paused project, a network restriction, a ban after failed logins, or a wrong port; \
         for a server that is starting there is --wait 30s"
    } else if kind == io::ErrorKind::TimedOut {
        "nobody answered: check host and port, and whether a firewall is in between"
    } else if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::PermissionDenied {
        return Some(Hint {
            text: "check the socket's folder and the port",
            transient: kind == io::ErrorKind::NotFound,
        });
    } else {
        return None;
    };
    Some(Hint { text, transient: true })
}

fn io_error(error: &Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECT: &str = "db.abcdefghijklmnopqrst.supabase.co";
    const POOLER: &str = "aws-0-eu-central-1.pooler.supabase.com";

    fn hint_for(kind: io::ErrorKind, text: &str, host: &str) -> (String, bool) {
        let hint = network_hint(&io::Error::new(kind, text), host).unwrap();
        (hint.text.to_owned(), hint.transient)
    }

    #[test]
    fn the_function_that_failed_is_the_innermost_one_that_is_not_ours() {
        let ours = "PL/pgSQL function sessctl.end_inactive_batch(timestamp with time zone) line 22 at SQL statement";
        let theirs = "PL/pgSQL function public.audit() line 3 at SQL statement";
        assert_eq!(function_in(ours), None);
        assert_eq!(
            function_in(&format!("SQL statement \"select 1\"\n{theirs}\n{ours}")),
            Some("public.audit()")
        );
        assert_eq!(function_in("PL/pgSQL function inline_code_block line 1 at RAISE"), None);
    }

    #[test]
    fn a_direct_host_that_is_not_reached_leads_to_the_session_pooler() {
        let lookup = "failed to lookup address information: Name or service not known";
        for (kind, text) in [
            (io::ErrorKind::Other, lookup),
            (io::ErrorKind::NetworkUnreachable, "Network is unreachable"),
            (io::ErrorKind::HostUnreachable, "No route to host"),
        ] {
            assert!(
                hint_for(kind, text, DIRECT)
                    .0
                    .contains("IPv6 address only: use the session pooler's")
            );
        }
        assert_eq!(
            hint_for(io::ErrorKind::Other, lookup, POOLER),
            ("check the host's name".into(), false)
        );
        assert!(
            hint_for(io::ErrorKind::NetworkUnreachable, "unreachable", "10.0.0.1")
                .0
                .contains("no way to this address")
        );
    }

    #[test]
    fn a_refused_connection_and_silence_may_be_transient() {
        let (hint, transient) = hint_for(io::ErrorKind::ConnectionRefused, "Connection refused", POOLER);
        assert!(hint.contains("a paused project") && transient);
        let (hint, transient) = hint_for(io::ErrorKind::TimedOut, "connection timed out", POOLER);
        assert!(hint.contains("nobody answered") && transient);
    }
}
