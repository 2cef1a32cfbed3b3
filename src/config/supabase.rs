//! What the name of a Supabase host says about it.

/// The hosts of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SupabaseHost {
    /// REF.supabase.co: HTTP, no database.
    Api,
    /// db.REF.supabase.co: the database itself, on IPv6 alone unless the project pays for an IPv4 address.
    Direct,
    /// REGION.pooler.supabase.com: the shared pooler.
    Pooler,
}

impl SupabaseHost {
    /// Which of a project's hosts this is, if it is one.
    pub(crate) fn of(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        if host.ends_with(".pooler.supabase.com") {
            return Some(Self::Pooler);
        }
        let name = host.strip_suffix(".supabase.co")?;
        match name.split_once('.') {
            None => Some(Self::Api),
            Some(("db", _)) => Some(Self::Direct),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_by_name() {
        for (host, expected) in [
            ("abcdefghijklmnopqrst.supabase.co", Some(SupabaseHost::Api)),
            ("db.abcdefghijklmnopqrst.supabase.co", Some(SupabaseHost::Direct)),
            ("DB.abcdefghijklmnopqrst.Supabase.CO", Some(SupabaseHost::Direct)),
            ("aws-0-eu-central-1.pooler.supabase.com", Some(SupabaseHost::Pooler)),
            ("supabase.co", None),
            ("db.supabase.co.example.com", None),
            ("localhost", None),
        ] {
            assert_eq!(SupabaseHost::of(host), expected, "{host}");
        }
    }
}
