//! `sessctl summary`: its counts, and the terminal on which it is drawn again and again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use postgres::Client;
use serde_json::{Value, json};
use sessctl::sandbox::Grants;

use crate::common::pty::on_terminal;
use crate::common::running::{signal, wait_for};
use crate::common::{Db, Run, clean, sessctl_on};

#[test]
fn summary_counts_idle_sessions_and_those_that_the_next_sweep_ends() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, last_heartbeat_at, last_activity_at)
             select '00000000-0000-4000-8000-000000000001', s.id, s.platform, s.status, now() - s.seen, now() - s.seen
             from (values
               ('a', 'web', 'active', interval '20 minutes'), ('b', 'web', 'active', '50 minutes'), ('c', 'web', 'active', '70 minutes'),
               ('d', 'web', 'idle', '2 hours'), ('e', 'ios-widget', 'idle', '1 minute'), ('f', 'ios-widget', 'ended', '2 hours'),
               ('g', 'ios-widget', 'timeout', '2 hours')
             ) as s (id, platform, status, seen);
             update public.user_sessions set last_heartbeat_at = 'infinity', last_activity_at = 'infinity' where session_id = 'c'",
        )
        .unwrap();
    // The trigger wrote updated_at, which counts where the others are in the future.
    db.admin()
        .batch_execute(
            "alter table public.user_sessions disable trigger user;
             update public.user_sessions set updated_at = now() - interval '70 minutes' where session_id = 'c';
             alter table public.user_sessions enable trigger user",
        )
        .unwrap();
    let counts = |command: &mut Command| {
        let json = Run::of(command).ok().json();
        let row = |n: usize| ["active_count", "idle_count", "due_count"].map(|key| json["platforms"][n][key].clone());
        let totals = ["total_active", "total_idle", "total_due"].map(|key| json[key].clone());
        json!([row(0), row(1), totals])
    };
    let arguments = ["summary", "--format", "json"];
    assert_eq!(
        counts(&mut db.command(&arguments)),
        json!([[3, 1, 1], [0, 1, 0], [3, 2, 1]])
    );
    // The setting counts until a sweep has run, then its minutes.
    let mut with_setting = db.command(&arguments);
    with_setting.env("SESSCTL_END_INACTIVE_MINUTES", "40");
    assert_eq!(counts(&mut with_setting)[2], json!([3, 2, 2]));
    db.sessctl(&["end-inactive", "--minutes", "1440"]).ok();
    assert_eq!(counts(&mut with_setting)[2], json!([3, 2, 0]));
    let due = db
        .sessctl(&["end-inactive", "--minutes", "30", "--dry-run", "--format", "json"])
        .ok()
        .json()["ended"]
        .clone();
    db.client()
        .batch_execute("update sessctl.job set threshold = 30 where name = 'end-inactive'")
        .unwrap();
    assert_eq!(counts(&mut with_setting)[2], json!([3, 2, due]));
    assert_eq!(due, 2);
    // A platform without an active session has no age.
    let shown = db.sessctl(&["summary"]).ok().stdout;
    assert!(
        shown.contains("ios-widget  0       0    1     -            -"),
        "{shown}"
    );
}

#[test]
fn summary_says_of_active_sessions_what_the_view_says() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_activity_at)
             select '00000000-0000-4000-8000-000000000001', n::text, (array['web', 'ios-widget', 'ios-internal'])[1 + n % 3],
               (array['active', 'idle', 'ended', 'timeout'])[1 + n / 3 % 4],
               case n % 7 when 0 then '0001-01-01' when 1 then 'infinity' when 2 then '-infinity' else now() - n * interval '3 minutes' end,
               case n % 5 when 0 then 'infinity' when 1 then '-infinity' else now() - n * interval '1 minute' end
             from generate_series(1, 400) n",
        )
        .unwrap();
    let counted = || db.sessctl(&["summary", "--format", "json"]).ok();
    let ours = counted().json();
    let role = format!("looker_{}", db.name);
    db.admin()
        .batch_execute(&format!(
            "create role {role} login bypassrls password 'look';
             grant select on public.user_sessions, public.active_sessions_summary to {role}"
        ))
        .unwrap();
    let run = Run::of(&mut sessctl_on(
        db.url_as(&role, "look"),
        &["summary", "--format", "json"],
    ));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    let run = run.ok();
    assert!(
        run.stderr.contains("idle and due sessions are not counted"),
        "{}",
        run.stderr
    );
    let views = run.json();
    assert_eq!(ours["total_active"], views["total_active"]);
    assert_eq!(
        (&views["total_idle"], &views["platforms"][0]["due_count"]),
        (&Value::Null, &Value::Null)
    );
    for (our, view) in ours["platforms"]
        .as_array()
        .unwrap()
        .iter()
        .zip(views["platforms"].as_array().unwrap())
    {
        for key in ["platform", "active_count", "oldest_session", "latest_activity"] {
            assert_eq!(our[key], view[key], "{key}");
        }
        let [ours, views] = [our, view].map(|row| row["avg_session_minutes"].as_f64().unwrap());
        // Time passes between the two.
        assert!((ours..ours + 10.0).contains(&views), "{ours} {views}");
    }
}

/// The program in a terminal of its own, its process id in a file.
fn watching(db: &Db, file: &Path) -> thread::JoinHandle<(String, i32)> {
    let mut command = clean("sh");
    command
        .args([
            "-c",
            "echo $$ > \"$1\"; exec \"$0\" summary --watch 1s",
            env!("CARGO_BIN_EXE_sessctl"),
        ])
        .arg(file)
        .env("DATABASE_URL", db.url())
        .env("TERM", "xterm");
    thread::spawn(move || on_terminal(100, &mut command))
}

/// Waits for the backend of a watch that has answered after this moment.
fn backend_after(admin: &mut Client, db: &Db, moment: &str) -> i32 {
    let sql = format!(
        "select array_agg(pid) from pg_stat_activity where datname = '{}' and application_name like 'sessctl%summary'
         having count(*) filter (where query_start > {moment} and state = 'idle') > 0",
        db.name
    );
    let pids: Vec<i32> = wait_for("an answer to a watch", || {
        Some(admin.query_opt(&sql, &[]).unwrap()?.get(0))
    });
    assert_eq!(pids.len(), 1, "one connection");
    pids[0]
}

#[test]
fn a_watch_redraws_until_it_is_stopped_and_connects_again() {
    let db = Db::migrated(Grants::Closed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let watch = watching(&db, &file);
    let mut admin = db.admin();
    let first = backend_after(&mut admin, &db, "'-infinity'");
    crate::migrate::fill(&db, 3);
    admin
        .batch_execute("create table public.moment as select clock_timestamp() as at")
        .unwrap();
    let moment = "(select at from public.moment)";
    assert_eq!(backend_after(&mut admin, &db, moment), first);
    admin
        .batch_execute(&format!("select pg_terminate_backend({first})"))
        .unwrap();
    let second = wait_for("another connection", || {
        let sql = "select pid from pg_stat_activity where datname = $1 and application_name like 'sessctl%summary' and pid <> $2 and state = 'idle'";
        Some(admin.query_opt(sql, &[&db.name, &first]).unwrap()?.get::<_, i32>(0))
    });
    assert_ne!(first, second);
    admin
        .batch_execute("update public.moment set at = clock_timestamp()")
        .unwrap();
    backend_after(&mut admin, &db, moment);
    signal("-INT", fs::read_to_string(&file).unwrap().trim().parse().unwrap());
    let (shown, code) = watch.join().unwrap();
    assert_eq!(code, 0, "{shown}");
    let frames: Vec<&str> = shown.split("\x1b[H\x1b[2J").collect();
    assert!(frames.len() > 3, "{shown:?}");
    assert!(frames[1].contains("no session is active"), "{shown:?}");
    assert!(frames[frames.len() - 1].contains("total"), "{shown:?}");
    assert!(shown.contains("connecting again"), "{shown:?}");
}

#[test]
fn a_watch_ends_with_the_error_where_it_can_not_connect_again() {
    let db = Db::migrated(Grants::Closed);
    let folder = tempfile::tempdir().unwrap();
    let watch = watching(&db, &folder.path().join("pid"));
    let mut admin = db.admin();
    let pid = backend_after(&mut admin, &db, "'-infinity'");
    crate::common::admin("postgres")
        .batch_execute(&format!("alter database {} allow_connections false", db.name))
        .unwrap();
    admin
        .batch_execute(&format!("select pg_terminate_backend({pid})"))
        .unwrap();
    let (shown, code) = watch.join().unwrap();
    assert_eq!(code, 3, "{shown}");
    assert!(shown.contains("not currently accepting connections"), "{shown:?}");
}

#[test]
fn a_watch_without_a_terminal_is_refused() {
    let db = Db::migrated(Grants::Closed);
    db.sessctl(&["summary", "--watch", "5s"]).exits(2).says("hint: ");
    for (arguments, term) in [
        (&["summary", "--watch", "5s"][..], "dumb"),
        (&["summary", "--watch", "5s", "--quiet"], "xterm"),
        (&["summary", "--watch", "5s", "--format", "json"], "xterm"),
        (&["summary", "--watch", "0s"], "xterm"),
        (&["summary", "--watch", "often"], "xterm"),
    ] {
        let (shown, code) = on_terminal(80, db.command(arguments).env("TERM", term));
        assert_eq!(code, 2, "{arguments:?}: {shown}");
    }
}
