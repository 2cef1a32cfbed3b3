//! What every transaction of ours begins with.

use std::time::Duration;

/// Objects that somebody put into `public` under the names of built-in functions and operators are out of sight, times are
/// written in UTC, and nothing waits long for a lock. Where the client is gone the transaction ends within 12 seconds, whatever it
/// does: keepalives find it out in ten, and a statement that is running looks every two.
const SETTINGS: &str = "set local search_path = pg_catalog, pg_temp; set local timezone = 'UTC'; \
    set local lock_timeout = '5s'; set local idle_in_transaction_session_timeout = '5s'; \
    set local tcp_keepalives_idle = 4; set local tcp_keepalives_interval = 2; set local tcp_keepalives_count = 3";

/// Not every server has it, and those on other systems refuse every value but 0.
const CHECK_CLIENT: &str = "case when pg_catalog.current_setting('client_connection_check_interval', true) is not null \
    and pg_catalog.version() ~ 'linux|darwin|bsd' \
    then pg_catalog.set_config('client_connection_check_interval', '2s', true) end";

/// The beginning of a transaction, with settings of the caller's. Its statements take at most `limit` each, or less where the
/// server's own statement_timeout is less; without a limit that alone counts.
pub(super) fn begin(settings: &str, limit: Option<Duration>) -> String {
    let mut sql = format!("begin isolation level read committed; {SETTINGS}; ");
    if !settings.is_empty() {
        sql += settings;
        sql += "; ";
    }
    sql += "select ";
    sql += CHECK_CLIENT;
    if let Some(limit) = limit {
        // 0 is no limit there.
        sql += &format!(
            ", pg_catalog.set_config('statement_timeout', least({}, nullif(1000 * extract(epoch from \
             pg_catalog.current_setting('statement_timeout')::pg_catalog.interval), 0))::integer::text, true)",
            limit.as_millis().clamp(1, i32::MAX as u128)
        );
    }
    sql
}
