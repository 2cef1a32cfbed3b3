//! What anonymize removes from a session.

use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is done to an IP address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    /// It goes.
    #[default]
    Remove,
    /// Its network stays: 24 bits of an IPv4 address, 48 of an IPv6 one.
    Truncate,
}

/// What else is removed, and may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// The column user_agent.
    UserAgent,
    /// The column location_info.
    Location,
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| "it is \"user-agent\" or \"location\"".into())
    }
}

/// What anonymize removes from a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    ip: Address,
    keeps_user_agent: bool,
    keeps_location: bool,
}

impl Removal {
    /// All of it but what is kept.
    pub fn new(ip: Address, keep: &[Kept]) -> Self {
        Self {
            ip,
            keeps_user_agent: keep.contains(&Kept::UserAgent),
            keeps_location: keep.contains(&Kept::Location),
        }
    }

    /// Every one that there is.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let addresses = [Address::Remove, Address::Truncate].into_iter();
        addresses.flat_map(|ip| {
            [(false, false), (true, false), (false, true), (true, true)].map(|(keeps_user_agent, keeps_location)| {
                Self {
                    ip,
                    keeps_user_agent,
                    keeps_location,
                }
            })
        })
    }

    /// The argument `ip` of the database's functions.
    pub(super) fn ip(self) -> &'static str {
        match self.ip {
            Address::Remove => "remove",
            Address::Truncate => "truncate",
        }
    }

    /// The argument `keep` of the database's functions, a `text[]`.
    pub(super) fn keep(self) -> &'static str {
        match (self.keeps_user_agent, self.keeps_location) {
            (false, false) => "{}",
            (true, false) => "{user-agent}",
            (false, true) => "{location}",
            (true, true) => "{user-agent,location}",
        }
    }

    /// The names of what goes, a `text[]`, as in the record of a run.
    pub(crate) fn removes(self) -> String {
        let names = [
            (self.ip == Address::Remove, "address"),
            (true, "host"),
            (!self.keeps_user_agent, "user-agent"),
            (!self.keeps_location, "location"),
        ];
        let names: Vec<&str> = names.iter().filter(|(goes, _)| *goes).map(|(_, name)| *name).collect();
        format!("{{{}}}", names.join(","))
    }

    /// What follows the days in a call of the procedure.
    pub(super) fn arguments(self) -> String {
        let mut arguments = String::new();
        if self.ip != Address::Remove {
            arguments.push_str(&format!(", ip => '{}'", self.ip()));
        }
        if self.keep() != "{}" {
            arguments.push_str(&format!(", keep => '{}'", self.keep()));
        }
        arguments
    }

    /// The flags of the command, a space before each. `prefix` stands before their names.
    pub(crate) fn flags(self, prefix: &str) -> String {
        let mut flags = String::new();
        if self.ip != Address::Remove {
            flags.push_str(&format!(" --{prefix}ip {}", self.ip()));
        }
        if self.keep() != "{}" {
            flags.push_str(&format!(" --{prefix}keep {}", self.keep().trim_matches(['{', '}'])));
        }
        flags
    }
}

/// From the names in the record of a run.
#[derive(Debug, Deserialize)]
pub(crate) struct Removed(Vec<String>);

impl From<&Removed> for Removal {
    fn from(Removed(names): &Removed) -> Self {
        let is_kept = |name: &str| !names.iter().any(|removed| removed == name);
        Self {
            ip: if is_kept("address") {
                Address::Truncate
            } else {
                Address::Remove
            },
            keeps_user_agent: is_kept("user-agent"),
            keeps_location: is_kept("location"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_named_in_calls_and_flags() {
        let all = Removal::default();
        assert_eq!((all.arguments(), all.flags("")), (String::new(), String::new()));
        let least = Removal::new(Address::Truncate, &[Kept::Location, Kept::UserAgent]);
        assert_eq!(least.arguments(), ", ip => 'truncate', keep => '{user-agent,location}'");
        assert_eq!(
            least.flags("anonymize-"),
            " --anonymize-ip truncate --anonymize-keep user-agent,location"
        );
        assert_eq!(Removal::all().count(), 8);
        assert_eq!(Removal::default().removes(), "{address,host,user-agent,location}");
        assert_eq!(least.removes(), "{host}");
    }

    #[test]
    fn the_record_says_what_is_removed() {
        let removed = |names: &[&str]| Removal::from(&Removed(names.iter().map(ToString::to_string).collect()));
        assert_eq!(
            removed(&["address", "host", "user-agent", "location"]),
            Removal::default()
        );
        assert_eq!(
            removed(&["host", "location"]),
            Removal::new(Address::Truncate, &[Kept::UserAgent])
        );
    }
}
