//! The checked-in snapshot is what the migrations make.

use sessctl::config::Target;
use sessctl::database::Database;
use sessctl::schema::{Facts, Found, snapshot, write_snapshot};

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
