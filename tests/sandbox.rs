//! `sessctl sandbox` and `sessctl demo`: a Supabase project's shape, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use postgres::{Client, NoTls};

use crate::common::running::{signal, wait_until};
use crate::common::{BOTH_GENERATIONS, Db, Run, sessctl};

/// A sandbox without a command, its connection string, and the folder it writes to.
fn waiting() -> (Child, String, tempfile::TempDir) {
    let temporary = tempfile::tempdir().unwrap();
    // The server runs as another user where this is root, and must reach its folder.
    std::fs::set_permissions(temporary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = sessctl()
        .arg("sandbox")
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    (child, url.trim().to_owned(), temporary)
}

fn folders(temporary: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[track_caller]
fn is_gone(url: &str, temporary: &Path) {
    wait_until("an empty folder", || folders(temporary).is_empty());
    assert!(Client::connect(url, NoTls).is_err());
}

#[test]
fn nothing_is_left_behind_after_a_stop_or_a_crash() {
    for name in ["-INT", "-TERM", "-KILL"] {
        let (mut child, url, temporary) = waiting();
        Client::connect(&url, NoTls).unwrap();
        assert_eq!(folders(temporary.path()).len(), 1);
        signal(name, child.id());
        child.wait().unwrap();
        is_gone(&url, temporary.path());
    }
}

#[test]
fn a_command_gets_the_connection_string_and_gives_its_exit_code() {
    let run = Run::of(sessctl().args(["sandbox", "--", "sh", "-c", "echo $DATABASE_URL; exit 7"])).exits(7);
    assert!(run.stdout.starts_with("postgresql://postgres:postgres@127.0.0.1:"));
    Run::of(sessctl().args(["sandbox", "--", "no-such-program"]))
        .exits(3)
        .says("can't run no-such-program");
    Run::of(sessctl().args(["sandbox", "--pg-bindir", "/nowhere"]))
        .exits(2)
        .says("no postgres and initdb in /nowhere");
}

#[test]
fn postgres_is_no_superuser_and_auth_is_not_its_to_alter() {
    for grants in BOTH_GENERATIONS {
        let db = Db::fresh(grants);
        let mut client = db.client();
        let row = client
            .query_one("select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = current_user", &[])
            .unwrap();
        let attributes: Vec<bool> = (0..5).map(|index| row.get(index)).collect();
        assert_eq!(attributes, [false, true, true, true, true]);
        for sql in [
            "create table auth.mine (id int)",
            "alter table auth.users add column mine int",
            "drop function auth.uid()",
        ] {
            assert!(client.batch_execute(sql).is_err(), "{sql}");
        }
        client
            .batch_execute("create table public.refers (user_id uuid references auth.users (id))")
            .unwrap();
        let relevant = "select has_table_privilege('anon', 'public.refers', 'SELECT'), has_table_privilege('service_role', 'public.refers', 'INSERT'), has_table_privilege('anon', 'public.refers', 'TRUNCATE')";
        let row = client.query_one(relevant, &[]).unwrap();
        let open = grants == BOTH_GENERATIONS[0];
        assert_eq!(
            (row.get::<_, bool>(0), row.get::<_, bool>(1), row.get::<_, bool>(2)),
            (open, open, true)
        );
    }
}

#[test]
fn auth_functions_read_the_claims_of_a_request() {
    let db = Db::fresh(BOTH_GENERATIONS[1]);
    let user = "00000000-0000-4000-8000-000000000009";
    let row = db
        .api("authenticated", Some(user))
        .query_one("select auth.uid()::text, auth.role(), auth.jwt() ->> 'sub'", &[])
        .unwrap();
    assert_eq!(
        (row.get::<_, String>(0).as_str(), row.get::<_, String>(1).as_str()),
        (user, "authenticated")
    );
    let none = db
        .client()
        .query_one("select auth.uid()::text, auth.role()", &[])
        .unwrap();
    assert_eq!(
        (none.get::<_, Option<String>>(0), none.get::<_, Option<String>>(1)),
        (None, None)
    );
}

#[test]
fn the_demo_shows_the_whole_job_and_what_to_do_next() {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temporary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = Run::of(sessctl().arg("demo").env("TMPDIR", temporary.path()))
        .ok()
        .says("$ sessctl end-inactive --minutes 60\nended 900 sessions last seen before ")
        .says("$ sessctl cleanup --days 90\ndeleted 2,100 sessions that ended before ")
        .says("export DATABASE_URL=")
        .says("sessctl migrate --dry-run");
    assert!(run.stdout.lines().count() < 60);
    assert!(folders(temporary.path()).is_empty());
}
