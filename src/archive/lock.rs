//! A run's folder of temporary files, which says whether the run is alive: the system holds its lock as long as the process lives.
//!
//! Where several machines share the folder, the lock of one may mean nothing to another. So what another machine made is removed
//! only when it is a day old.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// What the folders of temporary files are called. Engines skip names that begin with a dot.
const PREFIX: &str = ".sessctl-";
const SUFFIX: &str = ".tmp";

/// The file in it that is locked, and that names the machine.
const FILE: &str = "lock";

/// How long ago another machine's run may have written last, and still be alive.
const FOREIGN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How often, and how far apart, a run tries to be the only one that looks at the others.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A run's folder of temporary files, removed with the value.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Removes the folders of runs that are no longer alive, and makes one for this run.
    pub(super) fn take(dir: &Path, run: &str) -> io::Result<Self> {
        // One run at a time: else one could meet the folder of another between its making and its lock.
        let turn = File::open(dir)?;
        let is_alone = (0..ATTEMPTS).any(|attempt| {
            if attempt > 0 {
                sleep(PAUSE);
            }
            turn.try_lock().is_ok()
        });
        if is_alone {
            remove_dead(dir)?;
        }
        let path = dir.join(format!("{PREFIX}{run}{SUFFIX}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let make = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path.join(FILE))?;
            file.write_all(machine().as_bytes())?;
            file.sync_all()?;
            // A file system without locks: then its age tells.
            let _ = file.try_lock();
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(Self { path, _file: file }),
            Err(error) => {
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_dead(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        // Not what a link leads to.
        if is_ours && entry.file_type()?.is_dir() && is_dead(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn is_dead(path: &Path) -> bool {
    let file = path.join(FILE);
    let is_of_here = fs::read_to_string(&file).is_ok_and(|text| text == machine() && !text.is_empty());
    match File::open(&file).map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Ok(())) if is_of_here => true,
        _ => is_old(path),
    }
}

/// Whether nothing in a folder was written for a day.
fn is_old(path: &Path) -> bool {
    let written = |path: &Path| fs::symlink_metadata(path).and_then(|about| about.modified());
    let inner = fs::read_dir(path).into_iter().flatten().flatten();
    let times = inner.map(|entry| written(&entry.path())).chain([written(path)]);
    let newest = times.filter_map(Result::ok).max();
    newest.is_some_and(|time| {
        SystemTime::now()
            .duration_since(time)
            .is_ok_and(|age| age > FOREIGN_AGE)
    })
}

/// What no other machine has, nor this one after its next start; empty where that can't be known.
fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: &str = ".sessctl-00000000-0000-4000-8000-000000000001.tmp";

    /// The folder of a run that is not alive.
    fn dead(dir: &Path, machine: &str) -> PathBuf {
        let path = dir.join(DEAD);
        fs::create_dir(&path).unwrap();
        fs::write(path.join(FILE), machine).unwrap();
        fs::write(path.join("part-1.tmp"), "half").unwrap();
        path
    }

    fn age(path: &Path, hours: u64) {
        let time = SystemTime::now() - Duration::from_secs(hours * 60 * 60);
        for entry in fs::read_dir(path).unwrap() {
            File::open(entry.unwrap().path()).unwrap().set_modified(time).unwrap();
        }
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn the_files_of_a_dead_run_go_and_those_of_one_that_is_alive_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dead(dir.path(), &machine());
        let first = Lock::take(dir.path(), "a").unwrap();
        assert!(!path.exists());
        let second = Lock::take(dir.path(), "b").unwrap();
        assert!(first.path().exists() && second.path().exists());
        drop((first, second));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_another_machine_made_goes_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dead(dir.path(), "another");
        drop(Lock::take(dir.path(), "a").unwrap());
        assert!(path.exists());
        age(&path, 23);
        drop(Lock::take(dir.path(), "a").unwrap());
        assert!(path.exists());
        age(&path, 25);
        drop(Lock::take(dir.path(), "a").unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_link_under_such_a_name_is_left_alone() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("kept"), "").unwrap();
        std::os::unix::fs::symlink(other.path(), dir.path().join(DEAD)).unwrap();
        drop(Lock::take(dir.path(), "a").unwrap());
        assert!(other.path().join("kept").exists());
    }
}
