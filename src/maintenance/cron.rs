//! The pg_cron jobs: the command of each, which `schedule install` schedules and `migrate` brings up to date.

use super::{JOBS, JobSpec};

/// The job that removes old rows of pg_cron about runs of these jobs: its name, its schedule and its command.
pub(crate) const HISTORY: (&str, &str, &str) =
    ("sessctl-history", "41 3 * * *", "select sessctl.trim_cron_history(14)");

/// The names of the pg_cron jobs.
pub(crate) fn names() -> Vec<&'static str> {
    JOBS.iter().map(|job| job.cron_job).chain([HISTORY.0]).collect()
}

/// What a command of pg_cron gives a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CronArguments {
    /// Minutes or days.
    pub(crate) threshold: i32,
    /// Whether the job's option is on: include_idle or keep_referenced.
    pub(crate) option: bool,
}

impl JobSpec {
    /// What pg_cron runs for this job: a single call, which may commit after each batch.
    pub(crate) fn cron_command(&self, arguments: CronArguments) -> String {
        let CronArguments { threshold, option } = arguments;
        let option = if option {
            format!(", {} => true", self.cron_option)
        } else {
            String::new()
        };
        format!("call {}({threshold}{option})", self.procedure)
    }

    /// The arguments in a command that a version of sessctl scheduled for this job, or that calls its procedure or function
    /// alone; absent where the command is another one.
    pub(crate) fn cron_arguments(&self, command: &str) -> Option<CronArguments> {
        let text: String = command.chars().filter(|character| !character.is_whitespace()).collect();
        let text = text.to_ascii_lowercase();
        let text = text.strip_suffix(';').unwrap_or(&text);
        let arguments = |call: &str, function: &str| {
            let arguments = call.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')?;
            Some(arguments.to_owned())
        };
        let (threshold, option) = if let Some(call) = text.strip_prefix("call") {
            let arguments = arguments(call, self.procedure)?;
            match arguments.split_once(',') {
                None => (arguments, false),
                Some((threshold, option)) => {
                    let value = option
                        .strip_prefix(&format!("{}=>", self.cron_option))
                        .unwrap_or(option);
                    (threshold.to_owned(), value.parse().ok()?)
                }
            }
        } else {
            let call = text.strip_prefix("select")?;
            let rows = call.strip_prefix("fromgenerate_series(1,");
            let call = rows.and_then(|call| call.strip_suffix(')')).unwrap_or(call);
            let functions = [self.function, self.public_function];
            let arguments = functions.iter().find_map(|function| arguments(call, function))?;
            let limit = format!(",{}", self.earlier_cron_limit);
            let with_option = arguments.strip_suffix(&format!("{limit},true"));
            let arguments = with_option
                .or_else(|| arguments.strip_suffix(&limit))
                .unwrap_or(&arguments);
            (arguments.to_owned(), with_option.is_some())
        };
        let threshold = threshold.parse().ok()?;
        self.range
            .contains(&i64::from(threshold))
            .then_some(CronArguments { threshold, option })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::{CLEANUP, END_INACTIVE};

    #[test]
    fn every_command_that_was_ever_scheduled_is_understood() {
        for (command, threshold, option) in [
            ("call sessctl.run_end_inactive(60)", 60, false),
            ("CALL sessctl.run_end_inactive(61, include_idle => true);", 61, true),
            ("call sessctl.run_end_inactive(62, true)", 62, true),
            ("call sessctl.run_end_inactive(63,\nfalse)", 63, false),
            (
                "select from generate_series(1, sessctl.end_inactive(60, 50000))",
                60,
                false,
            ),
            (
                "SELECT FROM generate_series(1, sessctl.end_inactive(30,\n50000)) ;",
                30,
                false,
            ),
            (
                "select from generate_series(1, sessctl.end_inactive(29, 50000, true))",
                29,
                true,
            ),
            ("select sessctl.end_inactive(61)", 61, false),
            ("select sessctl.end_inactive(62, 50000);", 62, false),
            (" select public.end_inactive_sessions(5256000)", 5_256_000, false),
        ] {
            let arguments = Some(CronArguments { threshold, option });
            assert_eq!(END_INACTIVE.cron_arguments(command), arguments, "{command}");
        }
        for (command, threshold) in [
            ("select public.cleanup_old_sessions(365)", 365),
            ("call sessctl.run_cleanup(90)", 90),
        ] {
            let option = false;
            assert_eq!(
                CLEANUP.cron_arguments(command),
                Some(CronArguments { threshold, option })
            );
        }
        for job in JOBS {
            for option in [false, true] {
                let arguments = CronArguments { threshold: 7, option };
                assert_eq!(job.cron_arguments(&job.cron_command(arguments)), Some(arguments));
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
            "select sessctl.run_end_inactive(60)",
            "call sessctl.run_cleanup(90)",
            "call sessctl.run_end_inactive(60, keep_referenced => true)",
            "call sessctl.run_end_inactive(60, true, '10 minutes')",
            "call sessctl.run_end_inactive(60); call sessctl.run_end_inactive(60)",
        ] {
            assert_eq!(END_INACTIVE.cron_arguments(command), None, "{command}");
        }
    }
}
