//! A row of the summary.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};

/// A platform with active or idle sessions. Its times are texts: clients can write ones that no calendar here holds.
#[derive(Deserialize, Serialize)]
pub(super) struct Platform {
    pub(super) platform: String,
    pub(super) active_count: u64,
    /// Absent, as the next, where the views of schema sessctl can't be read.
    pub(super) idle_count: Option<u64>,
    pub(super) due_count: Option<u64>,
    /// Absent where none is active.
    pub(super) avg_session_minutes: Option<f64>,
    #[serde(deserialize_with = "utc")]
    pub(super) oldest_session: Option<String>,
    #[serde(deserialize_with = "utc")]
    pub(super) latest_activity: Option<String>,
}

/// A time as RFC 3339 in UTC; one that no calendar here holds stays as it is.
fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let time = Option::<String>::deserialize(deserializer)?;
    Ok(time.map(|time| match DateTime::parse_from_rfc3339(&time) {
        Ok(parsed) => parsed.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Micros, true),
        Err(_) => time,
    }))
}
