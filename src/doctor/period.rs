//! How often a schedule of pg_cron is due, and when next.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike};

/// A leap day may be eight years away from the next one.
const DAYS: u64 = 9 * 366;

/// A schedule of pg_cron.
enum Schedule {
    /// Each time so many seconds after the run before.
    Seconds(i64),
    /// On certain days at certain minutes, which are in ascending order and counted from midnight.
    Minutes(Box<dyn Fn(NaiveDate) -> bool>, Vec<i64>),
}

impl Schedule {
    /// None where it is none that pg_cron knows.
    fn parse(schedule: &str) -> Option<Self> {
        let text = schedule.trim().to_ascii_lowercase();
        if let Some(number) = text.strip_suffix("seconds").or_else(|| text.strip_suffix("second")) {
            let seconds = number.trim().parse().ok().filter(|seconds| *seconds > 0);
            return seconds.map(Self::Seconds);
        }
        let fields = match text.as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return None;
        };
        let (minutes, hours) = (field(minutes, 0..=59, &[])?, field(hours, 0..=23, &[])?);
        let is_due = due_days(days, months, weekdays)?;
        let times = (0..24 * 60)
            .filter(|time| hours >> (time / 60) & 1 == 1 && minutes >> (time % 60) & 1 == 1)
            .collect();
        Some(Self::Minutes(is_due, times))
    }
}

/// The longest time between two runs in a row, in seconds. Absent where the schedule is due less than twice in nine years, or
/// is none that pg_cron knows. It is the same in every time zone.
pub(super) fn longest_gap(schedule: &str) -> Option<i64> {
    let (is_due, times) = match Schedule::parse(schedule)? {
        Schedule::Seconds(seconds) => return Some(seconds),
        Schedule::Minutes(is_due, times) => (is_due, times),
    };
    let (first, last) = (*times.first()?, *times.last()?);
    let within_a_day = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let start = NaiveDate::from_ymd_opt(2024, 1, 1)?;
    let due: Vec<i64> = (0..DAYS)
        .zip(0..)
        .filter(|(offset, _)| start.checked_add_days(Days::new(*offset)).is_some_and(&is_due))
        .map(|(_, day)| day)
        .collect();
    let between_days = due.windows(2).map(|pair| (pair[1] - pair[0]) * 24 * 60 + first - last);
    between_days.max().map(|minutes| minutes.max(within_a_day) * 60)
}

/// When a schedule is due next, by the clock of its time zone. Of one in seconds it is the latest possible time. Absent as above.
pub(super) fn next_run(schedule: &str, now: NaiveDateTime) -> Option<NaiveDateTime> {
    let (is_due, times) = match Schedule::parse(schedule)? {
        Schedule::Seconds(seconds) => return now.checked_add_signed(TimeDelta::try_seconds(seconds)?),
        Schedule::Minutes(is_due, times) => (is_due, times),
    };
    // The run of this minute has begun.
    let minute = i64::from(now.hour() * 60 + now.minute());
    if let Some(time) = times.iter().find(|time| **time > minute && is_due(now.date())) {
        return at(now.date(), *time);
    }
    let days = (1..DAYS).filter_map(|offset| now.date().checked_add_days(Days::new(offset)));
    at(days.into_iter().find(|day| is_due(*day))?, *times.first()?)
}

/// The minute of a day.
fn at(day: NaiveDate, minute: i64) -> Option<NaiveDateTime> {
    day.and_hms_opt(0, 0, 0)?.checked_add_signed(TimeDelta::minutes(minute))
}

/// Whether a day is due. As in cron, a day of the month or one of the week is enough where both are named.
fn due_days(days: &str, months: &str, weekdays: &str) -> Option<Box<dyn Fn(NaiveDate) -> bool>> {
    const MONTHS: [&str; 13] = [
        "", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let either = !days.starts_with('*') && !weekdays.starts_with('*');
    let on_the_last = days == "$";
    let days = if on_the_last { 0 } else { field(days, 1..=31, &[])? };
    let months = field(months, 1..=12, &MONTHS)?;
    let weekdays = field(weekdays, 0..=7, &WEEKDAYS)?;
    // Sunday is 0, and 7 too.
    let weekdays = weekdays | weekdays >> 7;
    Some(Box::new(move |date: NaiveDate| {
        let is_last = date.succ_opt().is_none_or(|next| next.month() != date.month());
        let of_month = days >> date.day() & 1 == 1 || on_the_last && is_last;
        let of_week = weekdays >> date.weekday().num_days_from_sunday() & 1 == 1;
        let day = if either {
            of_month || of_week
        } else {
            of_month && of_week
        };
        months >> date.month() & 1 == 1 && day
    }))
}

/// The values of a field such as `*/5`, `1-5,7` or `mon`, a bit each.
fn field(text: &str, range: std::ops::RangeInclusive<u64>, names: &[&str]) -> Option<u64> {
    let value = |text: &str| {
        let named = names
            .iter()
            .zip(0..)
            .find(|(name, _)| !name.is_empty() && **name == text);
        let value = named.map(|(_, value)| value).or_else(|| text.parse().ok())?;
        range.contains(&value).then_some(value)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (values, step) = match part.split_once('/') {
            Some((values, step)) => (values, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match values.split_once('-') {
            _ if values == "*" => (*range.start(), *range.end()),
            Some((first, last)) => (value(first)?, value(last)?),
            None => (value(values)?, value(values)?),
        };
        for value in (first..=last).step_by(step) {
            bits |= 1 << value;
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_of_a_schedule() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        for (schedule, gap) in [
            ("* * * * *", MINUTE),
            ("*/5 * * * *", 5 * MINUTE),
            (" */7  * * * * ", 7 * MINUTE),
            ("17 * * * *", HOUR),
            ("17 3 * * *", DAY),
            ("0 8-18 * * *", 14 * HOUR),
            ("0 8-18/2,20 * * mon-fri", 2 * DAY + 12 * HOUR),
            ("0 0 * * 7", 7 * DAY),
            ("0 0 1 * *", 31 * DAY),
            ("0 0 1 * sun", 7 * DAY),
            ("0 0 $ * *", 31 * DAY),
            ("0 0 29 feb *", 1461 * DAY),
            ("30 seconds", 30),
            ("1 second", 1),
            ("@hourly", HOUR),
        ] {
            assert_eq!(longest_gap(schedule), Some(gap), "{schedule}");
        }
    }

    #[test]
    fn what_is_never_due_or_no_schedule_has_no_gap() {
        for schedule in [
            "0 0 30 2 *",
            "",
            "whenever",
            "* * * *",
            "60 * * * *",
            "*/0 * * * *",
            "5-x * * * *",
            "@reboot",
            "0 seconds",
        ] {
            assert_eq!(longest_gap(schedule), None, "{schedule}");
        }
    }

    #[test]
    fn the_next_run_of_a_schedule() {
        let time = |text: &str| NaiveDateTime::parse_from_str(text, "%F %T").unwrap();
        for (schedule, now, next) in [
            ("* * * * *", "2026-11-26 10:00:00", "2026-11-26 10:01:00"),
            ("*/5 * * * *", "2026-11-26 10:04:59", "2026-11-26 10:05:00"),
            ("*/5 * * * *", "2026-11-26 10:05:00", "2026-11-26 10:10:00"),
            ("17 * * * *", "2026-11-26 23:17:30", "2026-11-27 00:17:00"),
            ("41 3 * * *", "2026-12-31 03:41:00", "2027-01-01 03:41:00"),
            ("41 3 * * *", "2026-12-31 03:40:59", "2026-12-31 03:41:00"),
            ("0 0 $ * *", "2026-11-26 10:00:00", "2026-11-30 00:00:00"),
            ("0 8 * * mon", "2026-11-26 10:00:00", "2026-11-30 08:00:00"),
            ("0 0 29 feb *", "2026-11-26 10:00:00", "2028-02-29 00:00:00"),
            ("30 seconds", "2026-11-26 10:00:00", "2026-11-26 10:00:30"),
        ] {
            assert_eq!(
                next_run(schedule, time(now)),
                Some(time(next)),
                "{schedule} after {now}"
            );
        }
        for schedule in ["0 0 30 2 *", "@reboot", "9223372036854775807 seconds"] {
            assert_eq!(next_run(schedule, time("2026-11-26 10:00:00")), None, "{schedule}");
        }
    }
}
