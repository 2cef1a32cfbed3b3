//! What the names of Supabase's hosts say.

/// Whether a host is a project's API: REF.supabase.co, where the database is db.REF.supabase.co.
pub(super) fn is_api_host(host: &str) -> bool {
    host.strip_suffix(".supabase.co")
        .is_some_and(|project| !project.contains('.'))
}
