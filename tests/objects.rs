//! `src/schema/objects/` has the text of each function and view as the migrations leave it, a file each.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sessctl::schema::{Facts, Kind};

use crate::common::{BOTH_GENERATIONS, Db};
use crate::snapshot::facts;

/// The files of functions and views by name, without their ending.
fn files() -> Vec<(String, String)> {
    files_in("src/schema/objects")
}

/// The files of a folder, not of those in it.
fn files_in(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            assert_eq!(path.extension().unwrap(), "sql", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Functions and views, their kind first, without arguments.
fn ours(facts: &Facts) -> Vec<String> {
    let objects = facts.keys().filter(|o| matches!(o.kind, Kind::Function | Kind::View));
    let names = objects.map(|object| object.to_string().split('(').next().unwrap().to_owned());
    names.collect()
}

#[test]
fn every_function_and_view_has_exactly_one_file() {
    let in_files: Vec<String> = files()
        .iter()
        .map(|(name, sql)| {
            let statement = sql.lines().skip_while(|line| line.starts_with("--"));
            let statement = statement.collect::<Vec<_>>().join("\n");
            assert!(
                statement.len() < sql.len() && sql.ends_with(";\n"),
                "{name} is no comment and a statement"
            );
            assert_eq!(sql.matches("create or replace").count(), 1, "{name}");
            let object = statement.strip_prefix("create or replace ").unwrap();
            let end = object.find(['(', '\n']).unwrap_or(object.len());
            let words: Vec<&str> = object[..end].split_whitespace().take(2).collect();
            assert_eq!(words[1], name, "a file has the name of what it holds");
            // To the facts a procedure is a function of its own kind.
            words.join(" ").replacen("procedure", "function", 1)
        })
        .collect();
    let in_files_once: BTreeSet<&String> = in_files.iter().collect();
    assert_eq!(in_files.len(), in_files_once.len());
    let in_database = ours(&facts(&Db::migrated(BOTH_GENERATIONS[0])));
    assert_eq!(BTreeSet::from_iter(&in_database), in_files_once);
    assert_eq!(
        in_database.len(),
        in_files.len(),
        "one of them is overloaded: {in_database:#?}"
    );
}

#[test]
fn the_files_change_nothing_in_a_migrated_database() {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let before = facts(&db);
        let mut client = db.client();
        let mut transaction = client.transaction().unwrap();
        for (name, sql) in files() {
            transaction
                .batch_execute(&sql)
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        transaction.commit().unwrap();
        let after = facts(&db);
        for (object, properties) in &after {
            assert_eq!(Some(properties), before.get(object), "{object}");
        }
        assert_eq!(after.len(), before.len());
        db.sessctl(&["verify", "--strict"]).ok();
    }
}

#[test]
fn the_files_of_tables_make_the_columns_that_the_migrations_make() {
    let db = Db::fresh(BOTH_GENERATIONS[1]);
    let wanted = facts(&Db::migrated(BOTH_GENERATIONS[1]));
    let mut client = db.client();
    client.batch_execute("create schema sessctl").unwrap();
    for (name, sql) in files_in("src/schema/objects/tables") {
        client
            .batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let columns = |facts: Facts| -> Facts {
        let columns = facts.into_iter().filter(|(object, _)| object.kind == Kind::Column);
        columns
            .map(|(object, mut properties)| {
                properties.remove("comment");
                (object, properties)
            })
            .collect()
    };
    let (made, wanted) = (columns(facts(&db)), columns(wanted));
    for (object, properties) in &wanted {
        assert_eq!(Some(properties), made.get(object), "{object}");
    }
    assert_eq!(made.len(), wanted.len());
}
