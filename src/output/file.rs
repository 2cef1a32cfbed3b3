//! A file that is written as a whole, or not at all.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

/// Puts a text in place of a file in one step: a reader sees the old text or the new one, and the old one stays whatever fails.
/// The new file has the rights that the user's umask leaves.
///
/// # Errors
/// The system's, or that something else than a regular file has the name.
pub fn replace(file: &Path, text: &str) -> io::Result<()> {
    replaced(file, text).map_err(|error| {
        // Without the path of the new file, which no longer exists.
        let text = error.to_string();
        match text.split_once(" at path \"") {
            Some((reason, _)) => io::Error::new(error.kind(), reason),
            None => error,
        }
    })
}

fn replaced(file: &Path, text: &str) -> io::Result<()> {
    // A link stays a link.
    let file = match fs::canonicalize(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => file.to_owned(),
        found => found?,
    };
    if fs::metadata(&file).is_ok_and(|about| !about.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A name that no reader of *.prom takes.
    let mut new = Builder::new()
        .prefix(".sessctl-")
        .suffix(".new")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_text_takes_the_place_of_a_file_behind_a_link_too() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.prom"), folder.path().join("link"));
        replace(&file, "1").unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, "2").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(folder.path(), "1").is_err());
        let error = replace(&folder.path().join("no/folder"), "1").unwrap_err();
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
