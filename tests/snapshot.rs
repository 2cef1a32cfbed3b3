//! The checked-in snapshot is what the migrations make.

use sessctl::config::Target;
use sessctl::database::Database;
use sessctl::schema::{Facts, Found, script, snapshot, write_script, write_snapshot};

use crate::common::{BOTH_GENERATIONS, Db, block_on};

pub fn facts(db: &Db) -> Facts {
    block_on(async {
        let database = Database::connect(&Target::from_string(&db.url()).unwrap(), "test")
            .await
            .unwrap();
        Found::read(&database).await.unwrap().facts().clone()
    })
}

#[test]
fn snapshot_is_what_the_migrations_make_on_both_generations() {
    let [open, closed] = BOTH_GENERATIONS.map(|grants| facts(&Db::migrated(grants)));
    assert!(
        open == closed,
        "the migrations make of open grants something else than of closed ones"
    );
    if std::env::var_os("SESSCTL_WRITE_SNAPSHOT").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/snapshot.txt");
        std::fs::write(file, write_snapshot(&open)).unwrap();
    } else {
        assert!(
            open == snapshot(),
            "src/schema/snapshot.txt is stale: run make snapshot"
        );
    }
}

#[test]
fn the_scripts_facts_are_what_it_makes_on_both_generations() {
    let pasted = BOTH_GENERATIONS.map(|grants| facts(&Db::pasted(grants)));
    let text = write_script(&pasted);
    if std::env::var_os("SESSCTL_WRITE_SNAPSHOT").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/script.txt");
        std::fs::write(file, text).unwrap();
    } else {
        assert!(
            text == write_snapshot(&script()),
            "src/schema/script.txt is stale: run make snapshot"
        );
    }
}
