//! Every command through pgbouncer, in session and in transaction mode, over one server connection.

use std::process::Command;

use sessctl::sandbox::Grants;

use crate::common::pgbouncer::{BOTH_MODES, PgBouncer};
use crate::common::running::Running;
use crate::common::{Db, Run, number, sessctl_on};

/// One user, 400 sessions to end, 300 to delete, one that stays.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, started_at, status, last_heartbeat_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 's' || i, 'web', now() - interval '2 years',
    case when i <= 401 then 'active' else 'ended' end,
    case when i <= 400 then now() - interval '5 hours' else now() end,
    case when i > 401 then now() - interval '1 year' end
  from generate_series(1, 701) i";

fn through(pooler: &PgBouncer, db: &Db, arguments: &[&str]) -> Command {
    sessctl_on(pooler.url(&db.name), arguments)
}

/// Starts all, then waits for all.
fn at_once(commands: impl Iterator<Item = Command>) -> Vec<Run> {
    let running: Vec<Running> = commands.map(Running::start).collect();
    running.into_iter().map(Running::end).collect()
}

#[test]
fn every_command_works_through_a_pooler() {
    for mode in BOTH_MODES {
        let Some(pooler) = PgBouncer::start(mode) else { return };
        let db = Db::fresh(Grants::Closed);
        let run = |arguments: &[&str]| Run::of(&mut through(&pooler, &db, arguments)).ok();
        run(&["migrate", "--dry-run"]).says("create table");
        run(&["migrate"]).says("migrations applied");
        run(&["migrate"]).says("nothing to do");
        db.admin().batch_execute(SEED).unwrap();
        assert_eq!(
            run(&["end-inactive", "--dry-run", "--format", "json"]).json()["ended"],
            400,
            "{mode:?}"
        );
        assert_eq!(
            run(&["cleanup", "--dry-run", "--format", "json"]).json()["deleted"],
            300,
            "{mode:?}"
        );
        let small = ["--batch-size", "50", "--format", "json"];
        assert_eq!(
            run(&[&["end-inactive"], &small[..]].concat()).json()["ended"],
            400,
            "{mode:?}"
        );
        assert_eq!(
            run(&[&["cleanup"], &small[..]].concat()).json()["deleted"],
            300,
            "{mode:?}"
        );
        assert_eq!(
            run(&["summary", "--format", "json"]).json()["total_active"],
            1,
            "{mode:?}"
        );
        run(&["verify"]);
        run(&["status"]);
    }
}

#[test]
fn migrate_builds_indexes_of_a_filled_table_through_a_pooler() {
    // create index concurrently, which waits for every other transaction: with eight at once over one connection too.
    for mode in BOTH_MODES {
        let Some(pooler) = PgBouncer::start(mode) else { return };
        let db = Db::pasted(Grants::Open);
        db.admin().batch_execute(SEED).unwrap();
        for run in at_once((0..8).map(|_| through(&pooler, &db, &["migrate"]))) {
            run.ok();
        }
        Run::of(&mut through(&pooler, &db, &["verify"])).ok();
    }
}

#[test]
fn twenty_runs_one_after_another_share_a_server_connection() {
    for mode in BOTH_MODES {
        let Some(pooler) = PgBouncer::start(mode) else { return };
        let db = Db::migrated(Grants::Closed);
        db.admin().batch_execute(SEED).unwrap();
        let commands: [&[&str]; 5] = [
            &["summary"],
            &["end-inactive", "--batch-size", "50"],
            &["migrate"],
            &["cleanup"],
            &["end-inactive", "--dry-run"],
        ];
        for arguments in commands.iter().cycle().take(20) {
            Run::of(&mut through(&pooler, &db, arguments)).ok();
        }
    }
}

#[test]
fn eight_runs_at_once_share_a_server_connection() {
    for mode in BOTH_MODES {
        let Some(pooler) = PgBouncer::start(mode) else { return };
        let db = Db::fresh(Grants::Closed);
        for run in at_once((0..8).map(|_| through(&pooler, &db, &["migrate"]))) {
            run.ok();
        }
        db.admin().batch_execute(SEED).unwrap();
        let sweep = ["end-inactive", "--batch-size", "20", "--format", "json"];
        let runs = at_once((0..8).map(|_| through(&pooler, &db, &sweep)));
        let total: i64 = runs
            .into_iter()
            .map(|run| run.ok().json()["ended"].as_i64().unwrap())
            .sum();
        assert_eq!(total, 400, "{mode:?}");
        let mixed: [&[&str]; 4] = [
            &["summary"],
            &["cleanup", "--batch-size", "20"],
            &["migrate"],
            &["cleanup", "--dry-run"],
        ];
        for run in at_once(
            mixed
                .iter()
                .cycle()
                .take(8)
                .map(|arguments| through(&pooler, &db, arguments)),
        ) {
            run.ok();
        }
        let left = "select count(*) from public.user_sessions where status = 'ended'";
        assert_eq!(number(&mut db.client(), left), 0, "{mode:?}");
    }
}
