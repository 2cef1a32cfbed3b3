//! `sessctl sandbox` and `sessctl demo`: a Supabase project's shape, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use postgres::{Client, NoTls};

use crate::common::running::{signal, wait_until};
use crate::common::{BOTH_GENERATIONS, Db, Run, clean, not_run, server, sessctl, url_as};
use crate::schedule::with_pg_cron;

/// A folder for temporary files that another user can enter: the server runs as one where this is root.
fn temporary() -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o755)).unwrap();
    temporary
}

/// A sandbox without a command.
fn start(temporary: &Path) -> Child {
    let mut command = sessctl();
    command.arg("sandbox").env("TMPDIR", temporary);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// A sandbox that has started, its connection string, and the folder it writes to.
fn waiting() -> (Child, String, tempfile::TempDir) {
    let temporary = temporary();
    let mut child = start(temporary.path());
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

/// The processes with a path below the folder in their arguments: number and command, in a line.
fn processes(temporary: &Path) -> Vec<String> {
    let out = Command::new("ps").args(["-A", "-o", "pid=,args="]).output().unwrap();
    let lines = String::from_utf8_lossy(&out.stdout).into_owned();
    let below = format!("{}/", temporary.display());
    let ours = lines.lines().filter(|line| line.contains(&below));
    ours.map(|line| line.trim().to_owned()).collect()
}

#[track_caller]
fn is_gone(temporary: &Path) {
    wait_until("an empty folder", || folders(temporary).is_empty());
    // The folder goes last: what is left now has yet to read that its input has ended, or has just removed it.
    let mut left = processes(temporary);
    left.retain(|line| !(line.contains("sandbox-watcher") || line.contains("sandbox-gate")));
    assert!(left.is_empty(), "{left:?}");
    wait_until("the end of its processes", || processes(temporary).is_empty());
    assert!(folders(temporary).is_empty());
}

/// Whether a process ignores SIGHUP, the first signal; unknown without /proc.
fn ignores_hangup(process: &str) -> Option<bool> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 == 1)
}

/// The signals that stop a sandbox; what these tests ignore themselves, it ignores too.
fn stops() -> Vec<&'static str> {
    if ignores_hangup("self") == Some(true) {
        not_run("SIGHUP: it is ignored here");
        return vec!["-INT", "-TERM"];
    }
    vec!["-INT", "-TERM", "-HUP"]
}

#[test]
fn nothing_is_left_behind_after_a_stop_or_a_crash() {
    for name in stops().into_iter().chain(["-KILL"]) {
        let (mut child, url, temporary) = waiting();
        Client::connect(&url, NoTls).unwrap();
        assert_eq!(folders(temporary.path()).len(), 1);
        signal(name, child.id());
        child.wait().unwrap();
        is_gone(temporary.path());
        assert!(Client::connect(&url, NoTls).is_err());
    }
}

/// What a sandbox writes on its way, from the folder itself to the server's own start; all but the last by initdb.
const MOMENTS: [&str; 5] = [
    "",
    "server.log",
    "data/PG_VERSION",
    "data/global/pg_control",
    "data/postmaster.opts",
];

/// A sandbox that has just come to write a file.
fn starting(moment: &str) -> (Child, tempfile::TempDir) {
    let temporary = temporary();
    let child = start(temporary.path());
    wait_until(moment, || {
        folders(temporary.path()).iter().any(|dir| dir.join(moment).exists())
    });
    (child, temporary)
}

#[test]
fn nothing_is_left_behind_by_a_start_that_is_killed() {
    for moment in MOMENTS {
        let (mut child, temporary) = starting(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        is_gone(temporary.path());
    }
    // Before it has written anything.
    for delay in [0, 1, 2, 4, 8, 16] {
        let temporary = temporary();
        let mut child = start(temporary.path());
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        is_gone(temporary.path());
    }
}

#[test]
fn nothing_is_left_behind_by_a_start_that_is_stopped() {
    for name in stops() {
        for moment in MOMENTS {
            let (mut child, temporary) = starting(moment);
            signal(name, child.id());
            assert_eq!(child.wait().unwrap().code(), Some(130), "{name} {moment}");
            assert!(folders(temporary.path()).is_empty(), "{name} {moment}");
            is_gone(temporary.path());
        }
    }
}

#[test]
fn a_hangup_stops_the_command_too_unless_nohup_has_it_ignored() {
    let temporary = temporary();
    let started = |program: &[&str]| {
        let script = "echo started; exec sleep 600";
        let mut command = clean(program[0]);
        command.args(&program[1..]).args(["sandbox", "--", "sh", "-c", script]);
        let mut child = command
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut String::new())
            .unwrap();
        child
    };
    let program = env!("CARGO_BIN_EXE_sessctl");
    if stops().contains(&"-HUP") {
        let mut child = started(&[program]);
        signal("-HUP", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
        is_gone(temporary.path());
    }
    let mut child = started(&["nohup", program]);
    match ignores_hangup(&child.id().to_string()) {
        Some(ignored) => assert!(ignored),
        None => not_run("a sandbox under nohup: there is no /proc here"),
    }
    signal("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    is_gone(temporary.path());
}

#[test]
fn the_folder_is_private_and_the_server_is_told_nothing_of_the_environment() {
    let temporary = temporary();
    let secret = "postgresql://production.example.org";
    let names = [
        "DATABASE_URL",
        "SUPABASE_DB_URL",
        "PGPASSWORD",
        "PGOPTIONS",
        "PGSSLMODE",
        "TOKEN",
    ];
    let mut child = sessctl()
        .arg("sandbox")
        .env("TMPDIR", temporary.path())
        .envs(names.map(|name| (name, secret)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut String::new())
        .unwrap();
    let dir = folders(temporary.path()).remove(0);
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let socket = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    assert!(
        socket
            .into_iter()
            .any(|path| path.metadata().unwrap().file_type().is_socket())
    );
    if Path::new("/proc/self/environ").exists() {
        let processes = processes(temporary.path());
        for program in ["sandbox-watcher", "bin/postgres"] {
            let line = processes.iter().find(|line| line.contains(program)).unwrap();
            let number = line.split(' ').next().unwrap();
            let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            assert!(environment.contains("LC_ALL=C"), "{environment}");
            for told in names.iter().chain(&[secret]) {
                assert!(!environment.contains(told), "{program}: {environment}");
            }
        }
    } else {
        not_run("the environment of the sandbox's processes: there is no /proc here");
    }
    signal("-TERM", child.id());
    child.wait().unwrap();
}

#[test]
fn a_folder_for_temporary_files_with_odd_characters_will_do() {
    let temporary = temporary();
    let odd = temporary.path().join("it's a \"test\" \\ folder");
    std::fs::create_dir(&odd).unwrap();
    std::fs::set_permissions(&odd, PermissionsExt::from_mode(0o755)).unwrap();
    Run::of(sessctl().args(["sandbox", "--", "true"]).env("TMPDIR", &odd)).ok();
    is_gone(&odd);
}

#[test]
fn a_folder_for_temporary_files_that_will_not_do_is_named_at_once() {
    let temporary = temporary();
    let folder = |name: &str, mode: u32| {
        let path = temporary.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let refused = |path: &Path, reason: &str| {
        Run::of(sessctl().args(["sandbox", "--", "true"]).env("TMPDIR", path))
            .exits(2)
            .says(&path.display().to_string())
            .says(reason)
            .says("set TMPDIR to another folder");
    };
    refused(&folder("a,b", 0o755), "its path has a comma");
    refused(&folder(&"long".repeat(30), 0o755), "bytes too long for a socket");
    refused(&temporary.path().join("missing"), "there is no such folder");
    let closed = folder("closed", 0o700);
    if closed.metadata().unwrap().uid() == 0 {
        refused(&closed, "the server runs as user nobody, who may not enter it");
    } else {
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o500)).unwrap();
        refused(&closed, "ermission denied");
    }
    assert!(folders(&closed).is_empty());
}

#[test]
fn a_command_and_the_demo_get_no_variables_of_libpq() {
    let of_another = [
        ("PGSSLMODE", "require"),
        ("PGOPTIONS", "--none"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("SUPABASE_DB_URL", "x"),
    ];
    let mut command = sessctl();
    command.envs(of_another).env("KEPT", "yes");
    let run = Run::of(command.args(["sandbox", "--", "env"])).ok();
    let names: Vec<&str> = run.stdout.lines().map(|line| line.split('=').next().unwrap()).collect();
    assert!(names.contains(&"DATABASE_URL") && names.contains(&"KEPT"), "{names:?}");
    let others: Vec<&&str> = names
        .iter()
        .filter(|name| name.starts_with("PG") || **name == "SUPABASE_DB_URL")
        .collect();
    assert!(others.is_empty(), "{others:?}");
    // Where its report goes with the test.
    let temporary = temporary();
    Run::of(sessctl().arg("demo").envs(of_another).env("TMPDIR", temporary.path())).ok();
}

#[test]
fn each_sandbox_has_a_password_of_its_own() {
    let (mut first, url, _temporary) = waiting();
    let (mut second, other, _folder) = waiting();
    let password = |url: &str| url.split([':', '@']).nth(2).unwrap().to_owned();
    assert_eq!(password(&url).len(), 32);
    assert_ne!(password(&url), password(&other));
    for role in ["postgres", "authenticator", "supabase_auth_admin", "supabase_admin"] {
        let with = |password: &str| {
            let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
            Client::connect(&url_as(role, password, port.parse().unwrap(), "postgres"), NoTls)
        };
        with(&password(&url)).unwrap();
        for wrong in ["postgres", &password(&other)] {
            let refusal = with(wrong).err().unwrap();
            assert_eq!(refusal.code().unwrap().code(), "28P01", "{role}");
        }
    }
    for child in [&mut first, &mut second] {
        signal("-TERM", child.id());
        child.wait().unwrap();
    }
}

#[test]
fn the_socket_asks_for_the_password_too() {
    let socket = format!("host='{}' port={}", server().dir().display(), server().port());
    for role in ["postgres", "supabase_admin"] {
        let without = format!("{socket} user={role} dbname=postgres");
        assert!(Client::connect(&without, NoTls).is_err());
        Client::connect(&format!("{without} password={}", server().password()), NoTls).unwrap();
    }
}

#[test]
fn a_command_gets_the_connection_string_and_gives_its_exit_code() {
    let run = Run::of(sessctl().args(["sandbox", "--", "sh", "-c", "echo $DATABASE_URL; exit 7"])).exits(7);
    let (start, end) = ("postgresql://postgres:", "/postgres?sslmode=disable\n");
    assert!(
        run.stdout.starts_with(start) && run.stdout.ends_with(end),
        "{}",
        run.stdout
    );
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
fn no_login_can_give_itself_the_servers_programs_or_files() {
    let db = Db::fresh(BOTH_GENERATIONS[1]);
    for login in ["postgres", "supabase_auth_admin"] {
        let mut client = Client::connect(&server().url_of(login, &db.name), NoTls).unwrap();
        let own = format!("escape_{login}_{}", db.name);
        client.batch_execute(&format!("create role {own} login")).unwrap();
        for role in [
            "pg_execute_server_program",
            "pg_read_server_files",
            "pg_write_server_files",
            "supabase_admin",
        ] {
            for sql in [
                format!("grant {role} to {login}"),
                format!("grant {role} to {own}"),
                format!("create role {own}_member in role {role}"),
                format!("create role {own}_group role {role}; grant {own}_group to {login}; set role {role}"),
                format!("alter role {role} login"),
                format!("alter role {role} nosuperuser"),
                format!("set session authorization {role}"),
            ] {
                let error = client.batch_execute(&sql).unwrap_err();
                let code = error.code().unwrap().code();
                assert!(["42501", "42939", "0LP01"].contains(&code), "{sql}: {error:?}");
            }
        }
        for sql in [
            "copy (select 1) to program 'true'",
            "create temp table taken (line text); copy taken from program 'env'",
            "create temp table taken (line text); copy taken from '/etc/passwd'",
            "copy (select 1) to '/tmp/given'",
            "select pg_read_file('/etc/passwd')",
            "select pg_ls_dir('/')",
            "select lo_import('/etc/passwd')",
            "alter system set archive_command = 'true'",
            "create function public.run() returns void language c as 'libc', 'abort'",
        ] {
            let error = client.batch_execute(sql).unwrap_err();
            assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error:?}");
        }
        client.batch_execute(&format!("drop role {own}")).unwrap();
    }
}

#[test]
fn pg_cron_needs_no_password_for_a_jobs_owner_and_is_no_way_to_the_superuser() {
    let Some(sandbox) = with_pg_cron() else { return };
    let socket = format!("host='{}' port={}", sandbox.dir().display(), sandbox.port());
    let connect = |role: &str| Client::connect(&format!("{socket} user={role} dbname=postgres"), NoTls);
    connect("postgres").unwrap();
    assert!(connect("supabase_admin").is_err());
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
    let temporary = temporary();
    let run = Run::of(sessctl().arg("demo").env("TMPDIR", temporary.path()))
        .ok()
        .says("$ sessctl end-inactive --minutes 60\nended 900 sessions last seen before ")
        .says("$ sessctl cleanup --days 90\ndeleted 2,100 sessions that ended before ")
        .says("export DATABASE_URL=")
        .says("sessctl migrate --dry-run");
    assert!(run.stdout.lines().count() < 60);
    // The report alone is left, in a folder that nobody else sees into.
    let report = Path::new(run.stdout.lines().last().unwrap());
    let page = std::fs::read_to_string(report).unwrap();
    assert!(
        page.starts_with("<!DOCTYPE html>") && page.contains("<figure>"),
        "{page}"
    );
    let folder = report.parent().unwrap();
    assert_eq!(folders(temporary.path()), [folder]);
    assert_eq!(folders(folder), [report]);
    assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
}
