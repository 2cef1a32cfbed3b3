//! `sessctl schedule` on a real pg_cron.

use std::process::Command;
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};
use serde_json::Value;
use sessctl::sandbox::{Grants, Options, Sandbox};

use crate::common::pty::on_terminal_with_keys;
use crate::common::running::{wait_for, wait_until};
use crate::common::{Db, Run, block_on, number, server, sessctl};

/// A server with pg_cron, or none where its package is not installed for this major version.
pub fn with_pg_cron() -> Option<Sandbox> {
    with_pg_cron_and(&[])
}

fn with_pg_cron_and(settings: &[&str]) -> Option<Sandbox> {
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
            settings: settings.iter().map(ToString::to_string).collect(),
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
    assert_eq!(installed["jobs"][0]["command"], "call sessctl.run_end_inactive(30)");
    let jobs: Value = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 3);
    run(&sandbox, &["schedule", "list", "--format", "csv"])
        .ok()
        .says("job,schedule,command,active,database,username,started,elapsed_ms,status,rows,message,met_limit")
        .says("sessctl-cleanup,17 * * * *,");
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
    run(&sandbox, &["doctor"]).ok().says("sessctl-cleanup (17 * * * *)");

    run(&sandbox, &["schedule", "remove"])
        .ok()
        .says("removed sessctl-cleanup, sessctl-end-inactive, sessctl-history");
    run(&sandbox, &["schedule", "remove"]).ok().says("nothing to remove");
    run(&sandbox, &["schedule", "list"]).ok().says("no job");
}

/// A migrated project whose jobs are never due, so that no run changes what a test has set.
fn with_jobs_that_never_run(numbers: &[&str]) -> Option<(Sandbox, Client)> {
    let sandbox = with_pg_cron()?;
    run(&sandbox, &["migrate", "--quiet"]).ok();
    let install = [
        "schedule",
        "install",
        "--end-inactive",
        "0 0 30 2 *",
        "--cleanup",
        "0 0 31 2 *",
    ];
    run(&sandbox, &[&install, numbers].concat()).ok();
    let client = Client::connect(&sandbox.url(), NoTls).unwrap();
    Some((sandbox, client))
}

/// Runs of the cleanup job, as pg_cron notes them: their statuses in order.
fn note_runs(client: &mut Client, statuses: &[&str], times: &str) {
    let first = number(client, "select coalesce(max(runid), 0) from cron.job_run_details");
    for (run, status) in (first + 1..).zip(statuses) {
        let sql = format!(
            "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
             select jobid, {run}, database, username, command, '{status}', case '{status}' when 'failed' then 'ERROR: out of luck' end,
               {times}, {times}
             from cron.job where jobname = 'sessctl-cleanup'"
        );
        client.batch_execute(&sql).unwrap();
    }
}

fn check(sandbox: &Sandbox, arguments: &[&str], name: &str) -> (String, String, String) {
    let run = run(sandbox, &[&["doctor", "--format", "json"], arguments].concat());
    crate::doctor::checks(&run)[name].clone()
}

#[test]
fn the_newest_run_decides_and_the_last_failure_stays_listed() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    note_runs(&mut client, &["failed"], "now() - interval '1 hour'");
    let (level, message, hint) = check(&sandbox, &[], "schedule");
    assert_eq!(
        (level.as_str(), hint.as_str()),
        ("problem", "run sessctl schedule list")
    );
    assert_eq!(message, "the last run of sessctl-cleanup failed: ERROR: out of luck");
    note_runs(&mut client, &["succeeded"; 35], "now()");
    let (level, message, _) = check(&sandbox, &[], "schedule");
    assert_eq!(level, "ok");
    assert!(
        message.starts_with("sessctl-cleanup (0 0 31 2 *; 1 of the last 36 runs failed)"),
        "{message}"
    );
    run(&sandbox, &["schedule", "list"]).ok().says("ERROR: out of luck");
    // A run that could not connect has no times.
    note_runs(&mut client, &["failed"], "null::timestamptz");
    assert_eq!(check(&sandbox, &[], "schedule").0, "problem");
    let listed = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
    assert_eq!(listed["jobs"][0]["runs"][0]["status"], "failed", "{listed}");
    // A run of the future is no news: it has not ended.
    note_runs(&mut client, &["succeeded", "running"], "now()");
    assert_eq!(check(&sandbox, &[], "schedule").0, "ok");
}

#[test]
fn a_run_that_can_not_connect_is_a_problem() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    client
        .batch_execute(
            "update cron.job set nodename = '/nonexistent', schedule = '* * * * *' where jobname = 'sessctl-end-inactive'",
        )
        .unwrap();
    wait_until("a run that failed", || {
        number(
            &mut client,
            "select count(*) from cron.job_run_details where status = 'failed'",
        ) > 0
    });
    let (level, message, _) = check(&sandbox, &[], "schedule");
    assert_eq!(level, "problem");
    assert!(
        message.starts_with("the last run of sessctl-end-inactive failed: "),
        "{message}"
    );
    // install puts the host right.
    run(&sandbox, &["schedule", "install", "--end-inactive", "0 0 30 2 *"]).ok();
    assert_eq!(check(&sandbox, &[], "schedule").0, "ok");
}

#[test]
fn a_job_in_another_database_is_named_and_put_right_and_one_of_another_user_refused() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&["--days", "365"]) else {
        return;
    };
    client
        .batch_execute(
            "select cron.alter_job(jobid, database := 'template1') from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    run(&sandbox, &["schedule", "list"])
        .ok()
        .says("sessctl-cleanup  0 0 31 2 *  in database template1, as postgres");
    let (level, message, hint) = check(&sandbox, &[], "schedule");
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("problem", "sessctl-cleanup runs in database template1, not in this one")
    );
    let expected =
        "run sessctl schedule install --minutes 60 --days 365 --end-inactive '0 0 30 2 *' --cleanup '0 0 31 2 *'";
    assert_eq!(hint, expected);
    let install = [
        "schedule",
        "install",
        "--minutes",
        "60",
        "--days",
        "365",
        "--end-inactive",
        "0 0 30 2 *",
        "--cleanup",
        "0 0 31 2 *",
    ];
    run(&sandbox, &install).ok();
    assert_eq!(check(&sandbox, &[], "schedule").0, "ok");

    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    admin
        .batch_execute(
            "insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname)
             select schedule, 'select sessctl.cleanup(30)', nodename, nodeport, database, 'supabase_auth_admin', jobname
             from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    let (level, message, hint) = check(&sandbox, &[], "schedule");
    assert_eq!(level, "problem");
    assert_eq!(
        message,
        "sessctl-cleanup is there twice, of users postgres and supabase_auth_admin"
    );
    assert!(hint.contains("select cron.unschedule("), "{hint}");
    run(&sandbox, &["schedule", "list"])
        .ok()
        .says("as supabase_auth_admin")
        .says("as postgres");
    run(&sandbox, &install)
        .exits(3)
        .says("user supabase_auth_admin has a job sessctl-cleanup already; nothing was changed")
        .says("select cron.unschedule(");
    assert_eq!(number(&mut client, "select count(*) from cron.job where active"), 4);
}

#[test]
fn a_job_that_is_off_comes_back_with_its_own_numbers() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&["--minutes", "30", "--days", "365"]) else {
        return;
    };
    client
        .batch_execute("select cron.alter_job(jobid, active := false) from cron.job where jobname = 'sessctl-cleanup'")
        .unwrap();
    let (level, message, hint) = check(&sandbox, &[], "schedule");
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("warning", "sessctl-cleanup is switched off")
    );
    let expected =
        "run sessctl schedule install --minutes 30 --days 365 --end-inactive '0 0 30 2 *' --cleanup '0 0 31 2 *'";
    assert_eq!(hint, expected);
    run(&sandbox, &["doctor"]).ok();
    run(&sandbox, &["doctor", "--fail-on", "warning"]).exits(1);
    // A year is kept, and nothing under it is past retention.
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, ended_at, started_at, last_heartbeat_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'ended', now() - n * interval '100 days',
               now() - n * interval '101 days', now() - n * interval '100 days'
             from generate_series(1, 4) n",
        )
        .unwrap();
    let (_, message, hint) = check(&sandbox, &[], "past-retention");
    assert_eq!(message, "1 session that ended over 365 days ago");
    assert!(hint.starts_with("run sessctl cleanup --days 365,"), "{hint}");
    assert_eq!(
        check(&sandbox, &["--days", "90"], "past-retention").1,
        "4 sessions that ended over 90 days ago"
    );
    let (level, message, _) = check(&sandbox, &[], "cleanup-job");
    assert_eq!(level, "warning");
    assert_eq!(message, "has not run yet; the oldest session has been due for 35 d 0 h");
}

#[test]
fn a_job_with_fewer_days_that_takes_over_half_of_the_table_must_be_confirmed() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'ended', now() - interval '1 year', now() - interval '100 days'
             from generate_series(1, 10) n",
        )
        .unwrap();
    client.batch_execute("call sessctl.run_cleanup(365)").unwrap();
    let mut days = || -> String {
        let sql = "select command from cron.job where jobname = 'sessctl-cleanup'";
        client.query_one(sql, &[]).unwrap().get(0)
    };
    let install = ["schedule", "install"];
    run(&sandbox, &[&install[..], &["--days", "365"]].concat()).ok();
    run(&sandbox, &install)
        .exits(3)
        .says("over half of the table")
        .says("the last run kept 365 days")
        .says("--yes");
    let on_a_terminal = |keys: &str| {
        let mut command = sessctl();
        on_terminal_with_keys(80, keys, command.env("DATABASE_URL", sandbox.url()).args(install)).1
    };
    assert_eq!(on_a_terminal("n\n"), 3);
    assert_eq!(days(), "call sessctl.run_cleanup(365)");
    assert_eq!(on_a_terminal("y\n"), 0);
    assert_eq!(days(), "call sessctl.run_cleanup(90)");
    run(&sandbox, &[&install[..], &["--days", "30", "--yes"]].concat()).ok();
    assert_eq!(days(), "call sessctl.run_cleanup(30)");
    // Half of the table stays.
    run(&sandbox, &[&install[..], &["--days", "120"]].concat()).ok();
    run(&sandbox, &[&install[..], &["--days", "30", "--dry-run"]].concat()).ok();
}

#[test]
fn a_scheduler_that_is_dead_is_a_problem_and_so_is_a_job_that_it_no_longer_starts() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    let schedulers = "select count(*) from pg_stat_activity where application_name = 'pg_cron scheduler'";
    wait_until("the scheduler", || number(&mut admin, schedulers) == 1);
    assert_eq!(check(&sandbox, &[], "schedule").0, "ok");
    wait_until("the scheduler's end", || {
        admin
            .batch_execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_cron scheduler'",
            )
            .unwrap();
        number(&mut admin, schedulers) == 0
    });
    run(&sandbox, &["schedule", "install"]).ok();
    client
        .batch_execute(
            "select sessctl.end_inactive(60), sessctl.cleanup(90);
             update sessctl.run set source = 'pg_cron', started_at = now() - interval '3 days'",
        )
        .unwrap();
    let (level, message, _) = check(&sandbox, &[], "schedule");
    assert_eq!(level, "problem");
    assert!(message.ends_with("is not running, so no job starts"), "{message}");
    for (job, every) in [("end-inactive-job", "5 min"), ("cleanup-job", "hour")] {
        let (level, message, hint) = check(&sandbox, &[], job);
        assert_eq!(
            (level.as_str(), hint.as_str()),
            ("problem", "run sessctl schedule list: it shows what pg_cron ran")
        );
        assert_eq!(
            message,
            format!("the last run was 3 d 0 h ago (pg_cron), and one is expected every {every}")
        );
    }
    // A run of anybody's is one.
    run(&sandbox, &["end-inactive"]).ok();
    assert_eq!(check(&sandbox, &[], "end-inactive-job").0, "ok");
}

#[test]
fn a_run_that_met_its_limit_is_listed_so() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    for (job, runid) in [("sessctl-cleanup", 1000), ("sessctl-end-inactive", 1001)] {
        client
            .batch_execute(&format!(
                "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
                 select jobid, {runid}, database, username, command, 'succeeded', '5 rows', now() - interval '2 minutes', now()
                 from cron.job where jobname = '{job}'"
            ))
            .unwrap();
    }
    client
        .batch_execute(
            "insert into sessctl.run (id, job, source, cutoff, started_at, finished_at, outcome, rows_done)
             values (gen_random_uuid(), 'cleanup', 'pg_cron', now(), now() - interval '1 minute', now(), 'incomplete', 5);
             update sessctl.job set last_run = (select id from sessctl.run) where name = 'cleanup'",
        )
        .unwrap();
    let jobs = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
    assert_eq!(jobs["jobs"][0]["runs"][0]["met_limit"], true, "{jobs}");
    assert_eq!(jobs["jobs"][1]["runs"][0]["met_limit"], false, "{jobs}");
    run(&sandbox, &["schedule", "list"])
        .ok()
        .says("5 rows, and met its limit");
    let (level, message, _) = check(&sandbox, &[], "cleanup-job");
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("warning", "the last run met its limit 1 min ago (pg_cron)")
    );
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
    let updated = "updated pg_cron job sessctl-cleanup: call sessctl.run_cleanup(365)";
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
fn options_of_the_jobs_stay_through_a_migration_and_in_hints() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&["--include-idle", "--keep-referenced"]) else {
        return;
    };
    let commands = |client: &mut Client| -> Vec<String> {
        let rows = client
            .query("select command from cron.job order by jobname limit 2", &[])
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let installed = [
        "call sessctl.run_cleanup(90, keep_referenced => true)",
        "call sessctl.run_end_inactive(60, include_idle => true)",
    ];
    assert_eq!(commands(&mut client), installed);
    client
        .batch_execute(
            "select cron.alter_job(jobid, command := 'CALL sessctl.run_end_inactive(60, true);')
             from cron.job where jobname = 'sessctl-end-inactive';
             select cron.alter_job(jobid, active := false) from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    let (_, _, hint) = check(&sandbox, &[], "schedule");
    assert!(
        hint.starts_with("run sessctl schedule install --minutes 60 --days 90 --include-idle "),
        "{hint}"
    );
    assert!(hint.contains(" --keep-referenced"), "{hint}");
    client
        .batch_execute(
            "delete from sessctl.schema_history where version = (select max(version) from sessctl.schema_history)",
        )
        .unwrap();
    run(&sandbox, &["migrate"]).ok();
    assert_eq!(commands(&mut client), installed);
}

#[test]
fn a_job_commits_after_each_batch_in_a_background_worker_too() {
    let Some(sandbox) = with_pg_cron_and(&["cron.use_background_workers=on"]) else {
        return;
    };
    run(&sandbox, &["migrate", "--quiet"]).ok();
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', now() - interval '2 hours'
             from generate_series(1, 2000) n",
        )
        .unwrap();
    run(&sandbox, &["schedule", "install", "--end-inactive", "* * * * *"]).ok();
    wait_until("a run that ended all", || {
        thread::sleep(Duration::from_millis(500));
        let failed = "select count(*) from cron.job_run_details where status = 'failed'";
        assert_eq!(number(&mut client, failed), 0);
        let sql = "select count(*) from sessctl.run where source = 'pg_cron' and batches > 1 and rows_done = 2000";
        number(&mut client, sql) == 1
    });
}

#[test]
fn a_job_commits_after_each_batch_and_one_that_leaves_sessions_fails_with_the_cause() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'ended', now() - interval '1 year',
               now() - interval '200 days' + n * interval '1 second'
             from generate_series(1, 2000) n;
             create table public.events (session uuid references public.user_sessions (id));
             create index on public.events (session);
             insert into public.events select id from public.user_sessions where session_id = '7';
             alter role postgres set default_transaction_isolation = 'repeatable read';
             select cron.alter_job(jobid, schedule := '* * * * *') from cron.job where jobname = 'sessctl-cleanup'",
        )
        .unwrap();
    let listed = wait_for("a run of the job", || {
        thread::sleep(Duration::from_millis(500));
        let jobs = run(&sandbox, &["schedule", "list", "--format", "json"]).ok().json();
        (jobs["jobs"][0]["runs"][0]["status"] == "failed").then_some(jobs)
    });
    client
        .batch_execute("select cron.alter_job(jobid, active := false) from cron.job where jobname = 'sessctl-cleanup'")
        .unwrap();
    let cause = "cleanup: 1 session: kept by constraint events_session_fkey of table public.events";
    let last = &listed["jobs"][0]["runs"][0];
    assert!(last["message"].as_str().unwrap().contains(cause), "{listed}");
    assert_eq!(number(&mut client, "select count(*) from public.user_sessions"), 1);
    let first = "select count(*) from sessctl.run
        where source = 'pg_cron' and batches > 1 and rows_done = 1999 and rows_failed = 1 and outcome = 'failed'";
    assert_eq!(number(&mut client, first), 1);
    run(&sandbox, &["schedule", "list"]).ok().says(cause);
    let (level, message, _) = check(&sandbox, &[], "cleanup-job");
    assert_eq!(level, "problem");
    assert!(message.contains("kept by constraint events_session_fkey"), "{message}");
}

#[test]
fn the_history_of_sessctls_own_jobs_is_trimmed_and_that_of_others_stays() {
    let Some((_sandbox, mut client)) = with_jobs_that_never_run(&[]) else {
        return;
    };
    client
        .batch_execute(
            "select cron.schedule('of-the-team', '0 0 30 2 *', 'select sessctl.cleanup(3000)');
             insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
             select j.jobid, 100 * v.number + j.jobid, j.database, j.username, j.command, v.status,
               now() - v.age * interval '1 day', now() - v.age * interval '1 day'
             from cron.job as j,
               (values (1, 'failed', null), (2, 'succeeded', 15), (3, 'failed', null), (4, 'succeeded', 13), (5, 'failed', null))
                 as v (number, status, age);
             -- Of a job that is gone.
             insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
             values (99, 99, 'postgres', 'postgres', 'call sessctl.run_cleanup(90)', 'succeeded', '2026-01-01', '2026-01-01'),
               (99, 98, 'postgres', 'postgres', 'select 1', 'succeeded', '2026-01-01', '2026-01-01')",
        )
        .unwrap();
    let command = "select command from cron.job where jobname = 'sessctl-history'";
    let command: String = client.query_one(command, &[]).unwrap().get(0);
    let removed: i64 = client.query_one(&command, &[]).unwrap().get(0);
    // Of three jobs the run 15 days ago and the one before it that has no times; and the one of the job that is gone.
    assert_eq!(removed, 7);
    let left = "select string_agg((d.runid / 100)::text, '' order by d.runid) from cron.job_run_details as d
        left join cron.job as j using (jobid) where (j.jobname = $1) is not false and (j.jobid is null) = ($1 is null)";
    for (job, expected) in [
        (Some("sessctl-cleanup"), "345"),
        (Some("sessctl-history"), "345"),
        (Some("of-the-team"), "12345"),
        (None, "0"),
    ] {
        let runs: String = client.query_one(left, &[&job]).unwrap().get(0);
        assert_eq!(runs, expected, "{job:?}");
    }
    for days in ["0", "null"] {
        client
            .batch_execute(&format!("select sessctl.trim_cron_history({days})"))
            .unwrap_err();
    }
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
fn idle_sessions_are_included_where_asked_for_and_stay_so() {
    let Some((sandbox, mut client)) = with_jobs_that_never_run(&["--include-idle", "--minutes", "30"]) else {
        return;
    };
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, last_heartbeat_at)
             values ('00000000-0000-4000-8000-000000000001', 'idle', 'web', 'idle', now() - interval '100 years');
             delete from sessctl.schema_history where version = (select max(version) from sessctl.schema_history)",
        )
        .unwrap();
    let (level, message, hint) = check(&sandbox, &["--expect-every", "5m"], "idle");
    assert_eq!(
        (level.as_str(), message.as_str()),
        ("warning", "1 idle session not seen for over 30 minutes")
    );
    assert!(hint.contains("--minutes 30 --include-idle"), "{hint}");
    run(&sandbox, &["migrate"]).ok();
    let sql = "select command from cron.job where jobname = 'sessctl-end-inactive'";
    let command: String = client.query_one(sql, &[]).unwrap().get(0);
    client.batch_execute(&command).unwrap();
    assert_eq!(
        number(
            &mut client,
            "select count(*) from public.user_sessions where status = 'timeout'"
        ),
        1
    );
    assert_eq!(check(&sandbox, &[], "idle").0, "ok");
    client
        .batch_execute("select cron.alter_job(jobid, active := false) from cron.job")
        .unwrap();
    let hint = check(&sandbox, &[], "schedule").2;
    assert!(hint.contains(" --include-idle"), "{hint}");
}

#[test]
fn a_dry_run_prints_sql_and_needs_no_database() {
    let run = Run::of(sessctl().args(["schedule", "install", "--dry-run", "--days", "30"])).ok();
    assert_eq!(
        run.stdout,
        "select cron.schedule('sessctl-end-inactive', '*/5 * * * *', 'call sessctl.run_end_inactive(60)');\n\
         select cron.schedule('sessctl-cleanup', '17 * * * *', 'call sessctl.run_cleanup(30)');\n\
         select cron.schedule('sessctl-history', '41 3 * * *', 'select sessctl.trim_cron_history(14)');\n"
    );
}

#[test]
fn where_an_archive_is_required_pg_crons_cleanup_is_named_and_deletes_nothing() {
    let Some(sandbox) = with_pg_cron() else { return };
    run(&sandbox, &["migrate", "--quiet"]).ok();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    run(&sandbox, &["cleanup", "--archive", archive.to_str().unwrap()]).ok();
    let what = "pg_cron's job sessctl-cleanup has none: it deletes nothing";
    for arguments in [&["status"][..], &["doctor"]] {
        let run = run(&sandbox, arguments);
        assert!(!(run.stdout + &run.stderr).contains(what), "{arguments:?}");
    }
    run(&sandbox, &["schedule", "install"])
        .ok()
        .says(what)
        .says("select cron.unschedule('sessctl-cleanup')");
    run(&sandbox, &["status"])
        .ok()
        .says(what)
        .says("cleanup requires an archive");
    run(&sandbox, &["doctor"]).exits(1).says(what);
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
             select '00000000-0000-4000-8000-000000000001', 'old', 'web', 'ended', o.at, o.at
             from (select now() - interval '200 days') as o (at)",
        )
        .unwrap();
    let error = client.batch_execute("call sessctl.run_cleanup(90)").unwrap_err();
    assert!(
        error.as_db_error().unwrap().message().contains("requires an archive"),
        "{error:?}"
    );
    assert_eq!(number(&mut client, "select count(*) from public.user_sessions"), 1);
    run(&sandbox, &["cleanup", "--no-archive-required"])
        .ok()
        .says("deleted 1 session");
    let run = run(&sandbox, &["status"]).ok();
    assert!(!(run.stdout + &run.stderr).contains(what));
}
