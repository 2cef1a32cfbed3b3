//! The pg_cron jobs: the command of each, which `schedule install` schedules and `migrate` brings up to date.

use super::{Earlier, JOBS, JobSpec, Removal, Work};

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
    /// Of anonymize.
    pub(crate) removal: Removal,
}

impl CronArguments {
    /// Those of this work.
    pub(crate) fn of(work: &Work) -> Self {
        Self {
            threshold: work.threshold,
            option: work.include_idle || work.keep_referenced,
            removal: work.removal,
        }
    }
}

impl JobSpec {
    /// What pg_cron runs for this job: a single call, which may commit after each batch.
    pub(crate) fn cron_command(&self, arguments: CronArguments) -> String {
        let CronArguments {
            threshold,
            option,
            removal,
        } = arguments;
        let option = match &self.earlier {
            None => removal.arguments(),
            Some(Earlier { cron_option, .. }) if option => format!(", {cron_option} => true"),
            Some(_) => String::new(),
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
        let Some(earlier) = &self.earlier else {
            return self.anonymize_arguments(text);
        };
        let (threshold, option) = if let Some(call) = text.strip_prefix("call") {
            let arguments = arguments(call, self.procedure)?;
            match arguments.split_once(',') {
                None => (arguments, false),
                Some((threshold, option)) => {
                    let value = option
                        .strip_prefix(&format!("{}=>", earlier.cron_option))
                        .unwrap_or(option);
                    (threshold.to_owned(), value.parse().ok()?)
                }
            }
        } else {
            let call = text.strip_prefix("select")?;
            let rows = call.strip_prefix("fromgenerate_series(1,");
            let call = rows.and_then(|call| call.strip_suffix(')')).unwrap_or(call);
            let functions = [earlier.function, earlier.public_function];
            let arguments = functions.iter().find_map(|function| arguments(call, function))?;
            let limit = format!(",{}", earlier.cron_limit);
            let with_option = arguments.strip_suffix(&format!("{limit},true"));
            let arguments = with_option
                .or_else(|| arguments.strip_suffix(&limit))
                .unwrap_or(&arguments);
            (arguments.to_owned(), with_option.is_some())
        };
        let threshold = threshold.parse().ok()?;
        self.range.contains(&i64::from(threshold)).then_some(CronArguments {
            threshold,
            option,
            removal: Removal::default(),
        })
    }

    /// The same, of a text without spaces, where a [`Removal`] follows the threshold.
    fn anonymize_arguments(&self, text: &str) -> Option<CronArguments> {
        let call = text
            .strip_prefix("call")?
            .strip_prefix(self.procedure)?
            .strip_prefix('(')?;
        let end = call.find(|character: char| !character.is_ascii_digit())?;
        let threshold = call[..end].parse().ok()?;
        let rest = call[end..].strip_suffix(')')?;
        let removal = Removal::all().find(|removal| removal.arguments().replace(' ', "") == rest)?;
        self.range.contains(&i64::from(threshold)).then_some(CronArguments {
            threshold,
            option: false,
            removal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::{ANONYMIZE, Address, CLEANUP, END_INACTIVE};

    fn arguments(threshold: i32, option: bool) -> CronArguments {
        CronArguments {
            threshold,
            option,
            removal: Removal::default(),
        }
    }

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
            let arguments = Some(arguments(threshold, option));
            assert_eq!(END_INACTIVE.cron_arguments(command), arguments, "{command}");
        }
        for (command, threshold) in [
            ("select public.cleanup_old_sessions(365)", 365),
            ("call sessctl.run_cleanup(90)", 90),
        ] {
            assert_eq!(CLEANUP.cron_arguments(command), Some(arguments(threshold, false)));
        }
        for job in [&END_INACTIVE, &CLEANUP] {
            for option in [false, true] {
                let arguments = arguments(7, option);
                assert_eq!(job.cron_arguments(&job.cron_command(arguments)), Some(arguments));
            }
        }
    }

    #[test]
    fn the_commands_of_anonymize_say_what_it_removes() {
        for removal in Removal::all() {
            let arguments = CronArguments {
                removal,
                ..arguments(30, false)
            };
            assert_eq!(
                ANONYMIZE.cron_arguments(&ANONYMIZE.cron_command(arguments)),
                Some(arguments)
            );
        }
        assert_eq!(
            ANONYMIZE.cron_arguments(" CALL sessctl.run_anonymize( 7,ip=>'truncate' ) ;"),
            Some(CronArguments {
                removal: Removal::new(Address::Truncate, &[]),
                ..arguments(7, false)
            })
        );
        for command in [
            "call sessctl.run_anonymize()",
            "call sessctl.run_anonymize(0)",
            "call sessctl.run_anonymize(30, 'truncate')",
            "call sessctl.run_anonymize(30, ip => 'hash')",
            "call sessctl.run_anonymize(30); select 1",
        ] {
            assert_eq!(ANONYMIZE.cron_arguments(command), None, "{command}");
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
