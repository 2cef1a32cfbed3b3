//! The examples of a release: each names this version, and its commands run.

use std::fs;

use sessctl::sandbox::Grants;

use crate::common::Db;
use crate::{VERSION, dist};

#[test]
fn the_examples_name_this_version_and_their_commands_run() {
    let db = Db::migrated(Grants::Closed);
    let mut commands = 0;
    for entry in fs::read_dir(dist().join("examples")).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("latest") && !text.contains('@') || text.contains(&format!("@v{VERSION}")),
            "{text}"
        );
        let named = text.contains(&format!("/sessctl:{VERSION}")) || text.contains(&format!("/verify@v{VERSION}"));
        assert!(named, "{} names no version", file.display());
        for line in text.lines() {
            let arguments: Vec<String> =
                if let Some((_, list)) = line.split_once("args: ").or(line.split_once("command: ")) {
                    serde_json::from_str(list).unwrap()
                } else if let Some((_, rest)) = line.split_once(&format!(":{VERSION}\" ")) {
                    let own = rest.split(" --app").next().unwrap();
                    own.split(' ').map(ToOwned::to_owned).collect()
                } else {
                    continue;
                };
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            db.sessctl(&arguments).ok();
            commands += 1;
        }
    }
    assert_eq!(commands, 5);
}
