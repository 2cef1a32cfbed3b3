//! `sessctl schedule` on a real pg_cron.

use std::process::Command;
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use serde_json::Value;
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::running::wait_for;
use crate::common::{Db, Run, block_on, server, sessctl};

/// A server with pg_cron, or none where its package is not installed for this major version.
pub fn with_pg_cron() -> Option<Sandbox> {
    let extensions = server().bindir().join("pg_config");
    let folder = Command::new(extensions).arg("--sharedir").output().ok();
    let folder = folder.map(|out| String::from_utf8(out.stdout).unwrap().trim().to_owned());
    if !folder.is_some_and(|folder| std::path::Path::new(&folder).join("extension/pg_cron.control").exists()) {
        crate::common::not_run(&format!("pg_cron is not installed for {}", server().bindir().display()));
        return None;
    }
    Some(
        block_on(Sandbox::start(&Options {
            pg_cron: true,
            ..Options::default()
        }))
        .unwrap(),
    )
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    Run::of(sessctl().env("DATABASE_URL", sandbox.url()).args(arguments))
}

#[test]
fn a_job_fires_ends_a_session_and_is_listed_with_its_rows() {
    let Some(sandbox) = with_pg_cron() else { return };
    run(&sandbox, &["schedule", "install"])
        .exits(3)
        .says("run sessctl migrate");
    run(&sandbox, &["migrate"]).ok();
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', now() - interval '2 hours' from generate_series(1, 3) n",
        )
        .unwrap();

    run(&sandbox, &["schedule", "install"])
        .ok()
        .says("scheduled sessctl-end-inactive at \"*/5 * * * *\"");
    // A second time changes the jobs in place.
    let installed = run(
        &sandbox,
        &[
            "schedule",
            "install",
            "--end-inactive",
            "* * * * *",
            "--minutes",
            "30",
            "--format",
            "json",
        ],
    )
    .ok()
    .json();
    assert_eq!(
        installed["jobs"][0]["command"],
        "select from generate_series(1, sessctl.end_inactive(30, 50000))"
    );
    let jobs: Value = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 2);
    run(&sandbox, &["schedule", "list", "--format", "csv"])
        .ok()
        .says("job,schedule,command,active,started,elapsed_ms,status,rows,message")
        .says("sessctl-cleanup,17 3 * * *,");
    run(&sandbox, &["schedule", "install", "--cleanup", "whenever"])
        .exits(3)
        .says("nothing was changed");

    // pg_cron begins a job at a full minute.
    let jobs = wait_for("a run of the job", || {
        thread::sleep(Duration::from_millis(500));
        let jobs = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
        (jobs["jobs"][1]["runs"][0]["status"] == "succeeded").then_some(jobs)
    });
    assert_eq!(jobs["jobs"][1]["name"], "sessctl-end-inactive");
    assert_eq!(jobs["jobs"][1]["runs"][0]["rows"], 3, "{jobs}");
    let ended = client
        .query_one(
            "select count(*) from public.user_sessions where status = 'timeout'",
            &[],
        )
        .unwrap();
    assert_eq!(ended.get::<_, i64>(0), 3);
    run(&sandbox, &["schedule", "list"]).ok().says("3 rows");
    run(&sandbox, &["doctor"]).ok().says("sessctl-cleanup (17 3 * * *)");

    client
        .batch_execute(
            "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time)
             select jobid, 100000, 'postgres', 'postgres', command, 'failed', 'ERROR: out of luck', now() from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    run(&sandbox, &["doctor"])
        .exits(1)
        .says("sessctl-cleanup failed once in the last day: ERROR: out of luck");

    client
        .batch_execute(
            "delete from cron.job_run_details where status = 'failed';
             select cron.alter_job(jobid, active := false) from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    run(&sandbox, &["doctor"]).says("sessctl-cleanup is switched off");
    run(&sandbox, &["schedule", "install"]).ok();
    run(&sandbox, &["doctor"]).ok().says("sessctl-cleanup (17 3 * * *)");

    run(&sandbox, &["schedule", "remove"])
        .ok()
        .says("removed sessctl-cleanup, sessctl-end-inactive");
    run(&sandbox, &["schedule", "remove"]).ok().says("nothing to remove");
    run(&sandbox, &["schedule", "list"]).ok().says("no job");
}

#[test]
fn migrate_gives_the_jobs_of_earlier_versions_the_commands_of_this_one() {
    let Some(sandbox) = with_pg_cron() else { return };
    run(&sandbox, &["migrate"]).ok();
    let install = [
        "schedule",
        "install",
        "--end-inactive",
        "1 2 * * *",
        "--minutes",
        "45",
        "--days",
        "365",
    ];
    run(&sandbox, &install).ok();
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    let mut alter = |change: &str| {
        client
            .batch_execute(&format!(
                "{change};
                 delete from sessctl.schema_history where version = (select max(version) from sessctl.schema_history)"
            ))
            .unwrap();
    };
    let jobs = || {
        let jobs = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
        let facts = |job: &Value| ["name", "schedule", "command", "active"].map(|key| job[key].clone());
        jobs["jobs"].as_array().unwrap().iter().map(facts).collect::<Vec<_>>()
    };
    let installed = jobs();

    alter(
        "select cron.alter_job(jobid, command => 'select public.cleanup_old_sessions(365)') from cron.job where jobname = 'sessctl-cleanup'; select cron.alter_job(jobid, command => 'select sessctl.end_inactive(45)', active => false) from cron.job where jobname = 'sessctl-end-inactive'",
    );
    run(&sandbox, &["migrate", "--dry-run"]).ok();
    assert_eq!(jobs()[0][2], "select public.cleanup_old_sessions(365)");
    let migrate = run(&sandbox, &["migrate"]).ok();
    let updated = "updated pg_cron job sessctl-cleanup: select from generate_series(1, sessctl.cleanup(365, 500000))";
    assert!(migrate.stderr.contains(updated), "{}", migrate.stderr);
    let mut expected = installed.clone();
    expected[1][3] = false.into();
    assert_eq!(jobs(), expected);

    // A command that no version scheduled, and a job of another role.
    alter("select cron.alter_job(jobid, command => 'select 1') from cron.job where jobname = 'sessctl-end-inactive'");
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    admin
        .batch_execute("select cron.schedule('sessctl-cleanup', '1 1 1 1 *', 'select sessctl.cleanup(1)')")
        .unwrap();
    let migrate = run(&sandbox, &["migrate"]).ok();
    let kept = "pg_cron job sessctl-end-inactive has a command of its own and keeps it: select 1";
    assert!(migrate.stderr.contains(kept), "{}", migrate.stderr);
    assert!(!migrate.stderr.contains("updated pg_cron job"), "{}", migrate.stderr);
    let of_admin = "select command from cron.job where username = 'supabase_admin'";
    let command: String = admin.query_one(of_admin, &[]).unwrap().get(0);
    assert_eq!(command, "select sessctl.cleanup(1)");
    admin
        .batch_execute("select cron.unschedule('sessctl-cleanup')")
        .unwrap();
    expected[1][2] = "select 1".into();
    assert_eq!(jobs(), expected);
}

#[test]
fn without_pg_cron_it_says_how_to_come_by_it() {
    let db = Db::migrated(Grants::Closed);
    for action in ["install", "list", "remove"] {
        db.sessctl(&["schedule", action])
            .exits(3)
            .says("pg_cron is not enabled");
    }
}

#[test]
fn a_dry_run_prints_sql_and_needs_no_database() {
    let run = Run::of(sessctl().args(["schedule", "install", "--dry-run", "--days", "30"])).ok();
    assert_eq!(
        run.stdout,
        "select cron.schedule('sessctl-end-inactive', '*/5 * * * *', 'select from generate_series(1, sessctl.end_inactive(60, 50000))');\n\
         select cron.schedule('sessctl-cleanup', '17 3 * * *', 'select from generate_series(1, sessctl.cleanup(30, 500000))');\n"
    );
}
