//! The pg_cron jobs: the command of each, which `schedule install` schedules and `migrate` brings up to date.

use super::{END_INACTIVE, JOBS, JobSpec};

/// The names of the pg_cron jobs.
pub(crate) fn names() -> Vec<&'static str> {
    JOBS.iter().map(|job| job.cron_job).collect()
}

impl JobSpec {
    /// What pg_cron runs for this job. One row comes back for each session, so that pg_cron's log has their number. A run is
    /// one transaction under the server's statement_timeout (two minutes on the platform), so its rows are limited; a
    /// backlog takes several runs.
    /// include_idle is of no meaning to a cleanup.
    pub(crate) fn cron_command(&self, threshold: i32, include_idle: bool) -> String {
        let Self {
            function, cron_limit, ..
        } = self;
        let idle = if include_idle && self.has_idle() { ", true" } else { "" };
        format!("select from generate_series(1, {function}({threshold}, {cron_limit}{idle}))")
    }

    /// Whether the job may do idle sessions too.
    fn has_idle(&self) -> bool {
        self.name == END_INACTIVE.name
    }

    /// Whether a command that [`Self::cron_threshold`] understands does idle sessions too.
    pub(crate) fn cron_includes_idle(&self, command: &str) -> bool {
        command.to_ascii_lowercase().contains("true")
    }

    /// The minutes or days in a command that a version of sessctl scheduled for this job, or that calls its function alone;
    /// absent where the command is another one.
    pub(crate) fn cron_threshold(&self, command: &str) -> Option<i32> {
        let text: String = command.chars().filter(|character| !character.is_whitespace()).collect();
        let text = text.to_ascii_lowercase();
        let call = text.strip_suffix(';').unwrap_or(&text).strip_prefix("select")?;
        let rows = call.strip_prefix("fromgenerate_series(1,");
        let call = rows.and_then(|call| call.strip_suffix(')')).unwrap_or(call);
        let argument = [self.function, self.public_function].iter().find_map(|function| {
            let arguments = call.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')?;
            let limit = format!(",{}", self.cron_limit);
            let idle = format!("{limit},true");
            if let (true, Some(arguments)) = (self.has_idle(), arguments.strip_suffix(&idle)) {
                return Some(arguments);
            }
            Some(arguments.strip_suffix(&limit).unwrap_or(arguments))
        })?;
        let threshold = argument.parse().ok()?;
        self.range.contains(&i64::from(threshold)).then_some(threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::CLEANUP;

    #[test]
    fn every_command_that_was_ever_scheduled_is_understood() {
        for (command, minutes) in [
            ("select from generate_series(1, sessctl.end_inactive(60, 50000))", 60),
            ("SELECT FROM generate_series(1, sessctl.end_inactive(30,\n50000)) ;", 30),
            (
                "select from generate_series(1, sessctl.end_inactive(29, 50000, true))",
                29,
            ),
            ("select sessctl.end_inactive(61)", 61),
            ("select sessctl.end_inactive(62, 50000);", 62),
            (" select public.end_inactive_sessions(5256000)", 5_256_000),
        ] {
            assert_eq!(END_INACTIVE.cron_threshold(command), Some(minutes), "{command}");
        }
        assert_eq!(
            CLEANUP.cron_threshold("select public.cleanup_old_sessions(365)"),
            Some(365)
        );
        for job in JOBS {
            for include_idle in [false, true] {
                let command = job.cron_command(7, include_idle);
                assert_eq!(job.cron_threshold(&command), Some(7));
                assert_eq!(job.cron_includes_idle(&command), include_idle && job.has_idle());
            }
        }
    }

    #[test]
    fn another_command_is_not() {
        for command in [
            "",
            "select 1",
            "select sessctl.end_inactive()",
            "select sessctl.end_inactive(0)",
            "select sessctl.end_inactive(60, 1000)",
            "select sessctl.end_inactive(99999999999)",
            "select sessctl.end_inactive(60); delete from public.user_sessions",
            "select sessctl.cleanup(90)",
            "select sessctl.end_inactive(60, true)",
            "select sessctl.end_inactive(60, 50000, false)",
            "select sessctl.end_inactive(60), sessctl.end_inactive(60)",
            "select from generate_series(1, sessctl.end_inactive(60, 50000)), public.other",
            "call sessctl.end_inactive(60)",
        ] {
            assert_eq!(END_INACTIVE.cron_threshold(command), None, "{command}");
        }
    }
}
