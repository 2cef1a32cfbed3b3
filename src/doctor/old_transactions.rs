//! Transactions that keep vacuum from removing dead rows.

use serde::Deserialize;

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

/// A transaction older than this is a warning, in seconds.
const OLD: i64 = 15 * 60;

#[derive(Deserialize)]
struct Transaction {
    pid: i32,
    seconds: Option<i64>,
    state: Option<String>,
}

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let oldest: Option<Transaction> = scene.ask(include_str!("old_transactions.sql")).await?;
    Ok(Some(judge(oldest.as_ref())))
}

fn judge(oldest: Option<&Transaction>) -> Finding {
    let Some((transaction, seconds)) = oldest.and_then(|t| Some((t, t.seconds.filter(|seconds| *seconds > OLD)?)))
    else {
        return ok("none");
    };
    let state = transaction.state.as_deref().unwrap_or("unknown");
    warning(
        format!(
            "process {} has had a transaction open for {} min ({state})",
            transaction.pid,
            seconds / 60
        ),
        format!(
            "it keeps vacuum from removing dead rows; end it with: select pg_terminate_backend({})",
            transaction.pid
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_of_over_a_quarter_of_an_hour_is_a_warning_that_names_its_process() {
        let of = |seconds| Transaction {
            pid: 42,
            seconds,
            state: Some("idle in transaction".into()),
        };
        assert_eq!(judge(None), ok("none"));
        assert_eq!(judge(Some(&of(None))), ok("none"));
        assert_eq!(judge(Some(&of(Some(900)))), ok("none"));
        let finding = judge(Some(&of(Some(1_000))));
        assert_eq!(
            finding.message,
            "process 42 has had a transaction open for 16 min (idle in transaction)"
        );
        assert!(finding.hint.unwrap().contains("pg_terminate_backend(42)"));
    }
}
