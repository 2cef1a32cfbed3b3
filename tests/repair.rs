//! `sessctl migrate --repair`: what drifted is put back, whatever it was, and nobody's rows or objects are touched.

use crate::common::{BOTH_GENERATIONS, Db};
use crate::verify::changes;

#[test]
fn explore() {
    for (name, sql) in changes(include_str!("drift/mutations.sql")) {
        for grants in BOTH_GENERATIONS {
            let db = Db::migrated(grants);
            if name.contains("outsider") {
                continue;
            }
            crate::migrate::fill(&db, 5);
            db.admin().batch_execute(sql).unwrap();
            let run = db.sessctl(&["migrate", "--repair"]);
            let verify = db.sessctl(&["verify"]);
            eprintln!("=== {name} {grants:?}: repair {} verify {}", run.code, verify.code);
            if run.code != 0 || verify.code != 0 {
                eprintln!("{}{}{}", run.stdout, run.stderr, verify.stdout);
            }
        }
    }
}
