//! Whether each change of a session is streamed to the clients that listen.

use super::scene::Scene;
use super::{Answer, Finding, ok, warning};

pub(super) async fn check(scene: &Scene<'_>) -> Answer {
    let publications: Vec<String> = scene.ask(include_str!("realtime.sql")).await?;
    Ok(Some(judge(&publications)))
}

fn judge(publications: &[String]) -> Finding {
    if publications.is_empty() {
        return ok("the table is in no publication");
    }
    warning(
        format!(
            "the table is in {}: end-inactive and cleanup stream an event for each row",
            publications.join(", ")
        ),
        "remove it from the publication unless clients listen to it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_are_named() {
        assert_eq!(judge(&[]), ok("the table is in no publication"));
        let finding = judge(&["mine".into(), "supabase_realtime".into()]);
        assert!(finding.message.starts_with("the table is in mine, supabase_realtime: "));
    }
}
