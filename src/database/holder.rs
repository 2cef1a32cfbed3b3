//! The session that holds a lock on the table, and what to do about it.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Holder {
    pid: i32,
    seconds: i64,
    state: String,
    query: String,
}

impl Holder {
    pub(super) fn hint(&self) -> String {
        let Self {
            pid,
            seconds,
            state,
            query,
        } = self;
        if !query.starts_with("autovacuum") {
            return format!(
                "process {pid} holds the table ({state}, for {seconds} s: {query}); wait for it, or end it with: select \
                 pg_terminate_backend({pid})"
            );
        }
        if query.contains("(to prevent wraparound)") {
            return format!(
                "autovacuum is running on the table to prevent wraparound, for {seconds} s so far, and does not yield: run it \
                 again when it is done; pg_stat_progress_vacuum shows how far it is"
            );
        }
        "autovacuum is running on the table; it yields to a statement that waits for one second: run it again (migrate with \
         --lock-timeout 2s)"
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autovacuum_yields_unless_it_prevents_wraparound() {
        let hint = |query: &str| {
            let holder = Holder {
                pid: 42,
                seconds: 60,
                state: "active".into(),
                query: query.into(),
            };
            holder.hint()
        };
        assert!(hint("autovacuum: VACUUM public.user_sessions").contains("it yields to a statement"));
        let wraparound = hint("autovacuum: VACUUM public.user_sessions (to prevent wraparound)");
        assert!(wraparound.contains("does not yield"), "{wraparound}");
        assert!(hint("select 1").contains("pg_terminate_backend(42)"));
    }
}
