//! The page about large tables: its statements run on a real pg_partman, in its order.

use std::path::Path;
use std::process::Command;

use postgres::{Client, NoTls};

use crate::common::{Run, not_run, sessctl};
use crate::schedule::with_pg_cron;

const PAGE: &str = include_str!("../docs/large-tables.md");

/// The page's blocks of SQL.
fn statements() -> Vec<&'static str> {
    PAGE.split("```sql\n")
        .skip(1)
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_recipe_with_pg_partman_runs_as_it_stands_and_keeps_what_it_says() {
    let Some(sandbox) = with_pg_cron() else { return };
    let folder = Command::new(sandbox.bindir().join("pg_config"))
        .arg("--sharedir")
        .output()
        .unwrap();
    let folder = String::from_utf8(folder.stdout).unwrap();
    if !Path::new(folder.trim()).join("extension/pg_partman.control").exists() {
        not_run(&format!(
            "pg_partman is not installed for {}",
            sandbox.bindir().display()
        ));
        return;
    }
    let run = |arguments: &[&str]| Run::of(sessctl().env("DATABASE_URL", sandbox.url()).args(arguments));
    run(&["migrate"]).ok();
    let mut admin = Client::connect(&sandbox.admin("postgres"), NoTls).unwrap();
    let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
            insert into public.user_sessions (user_id, session_id, platform, status, last_heartbeat_at, created_at, ended_at)
            select '00000000-0000-4000-8000-000000000001', n::text, 'web', case when n < 10 then 'active' else 'ended' end,
              now() - n * interval '10 days', case n when 9 then '0001-01-01' else now() - n * interval '20 days' end,
              case when n >= 10 then now() - n * interval '10 days' end
            from generate_series(1, 20) as n",
        )
        .unwrap();

    let statements = statements();
    let [install, swap, drop_old, jobs @ ..] = &statements[..] else {
        panic!("{statements:?}")
    };
    // The platform lets postgres install it, and gives it the rights.
    admin.batch_execute(install).unwrap();
    admin
        .batch_execute(
            "grant all on schema partman to postgres; grant all on all tables in schema partman to postgres;
            grant execute on all functions in schema partman to postgres;
            grant execute on all procedures in schema partman to postgres",
        )
        .unwrap();
    client.batch_execute(swap).unwrap();
    let count = |sql: &str| -> i64 {
        let mut client = Client::connect(&sandbox.url(), NoTls).unwrap();
        client.query_one(sql, &[]).unwrap().get(0)
    };
    assert_eq!(count("select count(*) from public.user_sessions"), 9);
    assert_eq!(count("select count(*) from public.user_sessions_old"), 11);
    let months = "select count(*) from pg_inherits where inhparent = 'public.user_sessions'::regclass";
    let all_months = count(months);
    assert!(all_months > 8, "{all_months}");
    run(&["end-inactive"]).exits(3).says("docs/large-tables.md");
    run(&["summary"])
        .ok()
        .says("web")
        .says("idle and due sessions are not counted");
    run(&["stats"]).exits(3).says("docs/large-tables.md");

    // A signed-in user has their own sessions, and no say in created_at.
    client
        .batch_execute(
            r#"set role authenticated;
            set request.jwt.claims = '{"sub":"00000000-0000-4000-8000-000000000001","role":"authenticated"}';
            insert into public.user_sessions (user_id, session_id, platform)
            values ('00000000-0000-4000-8000-000000000001', 'new', 'web');
            update public.user_sessions set last_heartbeat_at = now() where session_id = 'new'"#,
        )
        .unwrap();
    let forged = "insert into public.user_sessions (user_id, session_id, platform, created_at)
        values ('00000000-0000-4000-8000-000000000001', 'forged', 'web', '2000-01-01')";
    assert!(
        client
            .batch_execute(forged)
            .unwrap_err()
            .as_db_error()
            .unwrap()
            .message()
            .contains("permission denied")
    );
    client.batch_execute("reset role; reset request.jwt.claims").unwrap();
    client.batch_execute(drop_old).unwrap();

    for job in jobs {
        client.batch_execute(job).unwrap();
    }
    let commands = client
        .query("select jobname, command from cron.job order by jobid", &[])
        .unwrap();
    assert_eq!(commands.len(), 4);
    for command in &commands {
        client.batch_execute(command.get(1)).unwrap();
    }
    // Months before the last six are detached, and those before the last eight dropped.
    let kept = count(months);
    assert!(kept < all_months, "{kept} of {all_months}");
    let detached = "select count(*) from pg_class
        where relname ~ '^user_sessions_p' and relkind = 'r' and not relispartition";
    assert!(count(detached) <= 2, "{}", count(detached));
    assert_eq!(
        count("select count(*) from public.user_sessions where status = 'timeout' and end_reason = 'timeout'"),
        count("select count(*) from public.user_sessions where session_id <> 'new'")
    );
    assert_eq!(
        count("select count(*) from public.user_sessions where status = 'active'"),
        1
    );
}
