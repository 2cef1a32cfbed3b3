//! Sessions that stand in finished parts of an archive, and are deleted where they have not changed since.

use std::collections::VecDeque;

use super::strategy::Candidates;
use crate::archive::Finished;

/// The parts of a round, in the order in which their sessions are deleted.
#[derive(Debug)]
pub(super) struct Archived {
    parts: VecDeque<Part>,
    /// Where the scan goes on; absent where nothing is left behind.
    position: Option<String>,
}

#[derive(Debug)]
struct Part {
    /// It stays from the first session on that is gone, or may be.
    file: Finished,
    sessions: Candidates,
}

/// The sessions of a batch, as the server takes them: a list each of places, versions and ids, a space between two.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    pub(super) rows: String,
    pub(super) versions: String,
    pub(super) ids: String,
}

impl Archived {
    pub(super) fn new(parts: Vec<Finished>, position: Option<String>) -> Self {
        let part = |mut file: Finished| Part {
            sessions: Candidates::of(std::mem::take(&mut file.sessions)),
            file,
        };
        Self {
            parts: parts.into_iter().map(part).collect(),
            position,
        }
    }

    /// Sessions of one part, each as "row_id:row_version:id".
    pub(super) fn next(&self, max_rows: i32) -> Option<&str> {
        self.parts.front().map(|part| part.sessions.next(max_rows))
    }

    /// A batch is about to be sent: should its answer be lost, the part stays.
    pub(super) fn begin(&mut self) -> bool {
        let stayed = self.parts.front().is_some_and(|part| part.file.stays);
        self.keep(true);
        stayed
    }

    /// The server said that no session of the batch is gone.
    pub(super) fn keep(&mut self, stays: bool) {
        if let Some(part) = self.parts.front_mut() {
            part.file.stays = stays;
        }
    }

    pub(super) fn advance(&mut self, max_rows: i32, deleted: u64, set_aside: u64) {
        if let Some(part) = self.parts.front_mut() {
            part.sessions.advance(max_rows, deleted, set_aside);
            if part.sessions.is_done() {
                // With its file, where none of its sessions is gone: a later run archives them again.
                self.parts.pop_front();
            }
        }
    }

    /// Where the scan goes on, once all is done.
    pub(super) fn position_behind(&mut self) -> Option<Option<String>> {
        self.parts.is_empty().then(|| self.position.take())
    }
}

impl Lists {
    /// Absent where the rows are places alone.
    pub(super) fn of(sessions: &str) -> Option<Self> {
        if !sessions.contains(':') {
            return None;
        }
        let mut lists = Self::default();
        for session in sessions.split(' ') {
            let mut parts = session.splitn(3, ':');
            for list in [&mut lists.rows, &mut lists.versions, &mut lists.ids] {
                if !list.is_empty() {
                    list.push(' ');
                }
                list.push_str(parts.next().unwrap_or_default());
            }
        }
        Some(lists)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn part(dir: &Path, name: &str, sessions: &str) -> Finished {
        let path = dir.join(name);
        fs::write(&path, "").unwrap();
        Finished {
            relative: name.into(),
            path,
            sessions: sessions.into(),
            rows: 0,
            bytes: 0,
            stays: false,
        }
    }

    #[test]
    fn a_part_stays_when_a_session_of_it_is_gone_and_goes_when_none_is() {
        let dir = tempfile::tempdir().unwrap();
        let parts = vec![part(dir.path(), "a", "1:1:1 2:2:2"), part(dir.path(), "b", "3:3:3")];
        let mut archived = Archived::new(parts, Some("(9,1)".into()));
        assert_eq!(archived.next(9), Some("1:1:1 2:2:2"));
        assert!(!archived.begin());
        archived.advance(1, 1, 0);
        assert_eq!(archived.next(9), Some("2:2:2"));
        assert!(archived.begin());
        archived.advance(1, 0, 0);
        assert!(archived.position_behind().is_none());
        archived.begin();
        archived.keep(false);
        archived.advance(9, 0, 0);
        assert_eq!(archived.position_behind(), Some(Some("(9,1)".into())));
        assert!(dir.path().join("a").exists() && !dir.path().join("b").exists());
    }

    #[test]
    fn a_part_whose_batch_has_no_answer_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut archived = Archived::new(vec![part(dir.path(), "a", "1:1:1")], None);
        archived.begin();
        drop(archived);
        assert!(dir.path().join("a").exists());
    }

    #[test]
    fn a_batch_is_three_lists() {
        assert_eq!(Lists::of("(0,1) (0,2)"), None);
        let lists = Lists::of("(0,1):7:a (0,2):8:b").unwrap();
        let expected = ["(0,1) (0,2)", "7 8", "a b"];
        assert_eq!([lists.rows, lists.versions, lists.ids], expected);
    }
}
