//! The charts of the page.

use anyhow::Result;

use super::days::{Day, Group};
use super::html::Facts;
use crate::html::{Chart, Document, Markup, Series, Shape, Unit};
use crate::output::count;

#[allow(clippy::cast_precision_loss)]
fn numbers(days: &[Day], number: impl Fn(&Day) -> Option<u64>) -> Vec<Option<f64>> {
    days.iter().map(|day| Some(number(day)? as f64)).collect()
}

/// The name of a group: `others` is what several of them are, and `none` what those without a name are.
fn name(group: &Group, others: &str, none: &str) -> Markup {
    match &group.name {
        _ if group.members > 1 => Markup::text(&format!("{} other {others}", count(group.members))),
        Some(name) => Markup::text(name),
        None => Markup::text(none),
    }
}

impl Facts<'_> {
    /// A section for each chart. `all`: the days of all sessions.
    ///
    /// # Errors
    /// A chart can't be drawn.
    pub(super) fn charts(&self, page: &mut Document, all: &[Day]) -> Result<()> {
        let with_sessions: Vec<&Day> = all.iter().filter(|day| day.started > 0).collect();
        if let ([only], 2..) = (&with_sessions[..], all.len()) {
            page.paragraph(&format!("All sessions of these days started on {}.", only.day));
        }
        let chart = |title, label, shape, unit| Chart::new(title, label, &self.all.days, shape, unit);
        let by_platform = |number: fn(&Day) -> u64| -> Vec<Series> {
            let series = |group: &Group| {
                let numbers = numbers(&group.days, |day| Some(number(day)));
                (name(group, "platforms", "no platform"), numbers)
            };
            self.platforms.iter().map(series).collect()
        };
        let total = |number: fn(&Day) -> u64| (Markup::text("all"), numbers(all, |day| Some(number(day))));
        page.section("Sessions", "Sessions that started on each day, by platform.");
        let label = "A bar for each day, divided by platform.";
        let sessions = chart("Sessions per day by platform", label, Shape::Stacked, Unit::Count);
        let sessions = sessions.of(by_platform(|day| day.started));
        page.chart(&sessions.with_total(total(|day| day.started), false))?;
        page.section(
            "Users",
            "Distinct users with a session that started on the day. A user of several platforms is in the bar of each; the line counts \
             each user once.",
        );
        let label = "A bar for each day, divided by platform, and a line of all users.";
        let users = chart("Users per day by platform", label, Shape::Stacked, Unit::Count);
        let users = users.of(by_platform(|day| day.users));
        page.chart(&users.with_total(total(|day| day.users), true))?;
        page.section(
            "Durations",
            "Half of the sessions of a day were not longer than the median, 95 of 100 not longer than p95. One that ended by timeout, \
             or is not over, counts to its last sign of life.",
        );
        let duration = |number: fn(&Day) -> Option<i64>| numbers(all, |day| u64::try_from(number(day)?).ok());
        let label = "A line for the median and one for the 95th percentile.";
        let durations = chart("Duration of sessions per day", label, Shape::Lines, Unit::Seconds).of(vec![
            (Markup::text("median"), duration(|day| day.median_seconds)),
            (Markup::text("p95"), duration(|day| day.p95_seconds)),
        ]);
        page.chart(&durations)?;
        page.section(
            "How sessions end",
            "Of the sessions that started on the day and are over, the share of each end reason.",
        );
        let label = "A bar for each day, divided by end reason.";
        page.chart(&chart("End reasons per day", label, Shape::Stacked, Unit::Share).of(self.shares()))
    }

    /// Of each reason, its share in the sessions of a day that are over.
    #[allow(clippy::cast_precision_loss)]
    fn shares(&self) -> Vec<Series> {
        let reasons = &self.reasons;
        let over = |day: usize| reasons.iter().map(|group| group.days[day].started).sum::<u64>();
        let over: Vec<u64> = (0..self.all.days.len()).map(over).collect();
        let share = |(day, over): (&Day, &u64)| (*over > 0).then(|| day.started as f64 / *over as f64);
        let shares = |group: &Group| group.days.iter().zip(&over).map(share).collect();
        let named = reasons
            .iter()
            .map(|group| (name(group, "reasons", "no reason"), shares(group)));
        named.collect()
    }
}
