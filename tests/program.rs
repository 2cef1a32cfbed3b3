//! The program as a shell sees it: where the connection string comes from, formats, exit codes, secrets, hostile values.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sessctl::sandbox::Grants;

use crate::common::fake_server::FakeServer;
use crate::common::proxy::Proxy;
use crate::common::pty::on_terminal;
use crate::common::running::Running;
use crate::common::{Db, ORIGINAL_SCRIPT, Run, clean, not_run, server, sessctl, sessctl_on};

const SECRET: &str = "s3cr3t-Wörd";

/// The program in an empty folder, with a `.env` file or without.
fn in_folder(env_file: Option<&str>) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(text) = env_file {
        std::fs::write(folder.path().join(".env"), text).unwrap();
    }
    let mut command = sessctl();
    command.current_dir(folder.path()).arg("status");
    (folder, command)
}

#[test]
fn the_connection_string_comes_from_the_flag_then_the_environment_then_a_file() {
    let db = Db::migrated(Grants::Closed);
    let bad = "postgresql://nobody@127.0.0.1:1/nowhere";
    let (_folder, mut command) = in_folder(Some(&format!("DATABASE_URL={bad}")));
    Run::of(command.env("DATABASE_URL", bad).args(["--database-url", &db.url()])).ok();
    let (_folder, mut command) = in_folder(Some(&format!("DATABASE_URL={bad}")));
    Run::of(command.env("DATABASE_URL", db.url()).env("SUPABASE_DB_URL", bad)).ok();
    let (_folder, mut command) = in_folder(Some(&format!("DATABASE_URL={bad}")));
    Run::of(command.env("SUPABASE_DB_URL", db.url())).ok();
    let (_folder, mut command) = in_folder(Some(&format!("# mine\nSUPABASE_DB_URL='{}'\n", db.url())));
    Run::of(&mut command).ok();
    let (_folder, mut command) = in_folder(None);
    Run::of(command.args([
        "--database-url",
        &format!(
            "host=127.0.0.1 port={} user=postgres password={} dbname={}",
            server().port(),
            server().password(),
            db.name
        ),
    ]))
    .ok();
}

#[test]
fn without_a_connection_string_the_ways_to_give_one_are_said() {
    let (_folder, mut command) = in_folder(None);
    Run::of(&mut command)
        .exits(2)
        .says("no database named")
        .says("DATABASE_URL")
        .says("--database-url")
        .says(".env");
}

#[test]
fn lines_of_other_names_in_an_env_file_are_no_matter() {
    let db = Db::migrated(Grants::Closed);
    let url = db.url();
    for file in [
        format!("APP_NAME=My App\nMOTD=don't\nDATABASE_URL={url}\n"),
        format!("\u{feff}# mine\r\nexport DATABASE_URL=\"{url}\"\r\nMOTD='\r\n"),
        format!("KEY=\"two\nDATABASE_URL=lines\"\nDATABASE_URL={url}"),
        format!("URL={url}\nDATABASE_URL=${{URL}}\n"),
    ] {
        let (_folder, mut command) = in_folder(Some(&file));
        Run::of(&mut command).ok();
    }
}

#[test]
fn a_line_of_an_env_file_that_can_not_be_read_is_named_and_not_shown() {
    let (_folder, mut command) = in_folder(Some("MOTD=don't\nDATABASE_URL=postgres://u:pass word@h/d"));
    let run = Run::of(command.arg("--verbose"))
        .exits(2)
        .says(".env, line 2: the value of DATABASE_URL can't be read");
    assert!(!run.stderr.contains("word@"));
}

#[test]
fn only_a_regular_file_of_a_sensible_size_is_read_as_an_env_file() {
    let (folder, mut command) = in_folder(None);
    let file = folder.path().join(".env");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    Run::of(&mut command).exits(2).says(".env is not a regular file");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    Run::of(&mut command).exits(2).says(".env is not a regular file");
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, "A=b\n".repeat(300_000)).unwrap();
    Run::of(&mut command).exits(2).says(".env is larger than 1 MB");
}

#[test]
fn a_dollar_replaced_in_an_env_file_is_the_hint_of_a_failed_login() {
    let server = FakeServer::refusing("28P01", "password authentication failed");
    let url = |password: &str| {
        format!(
            "DATABASE_URL=postgres://postgres:{password}@127.0.0.1:{}/postgres\n",
            server.port()
        )
    };
    let (_folder, mut command) = in_folder(Some(&url("hun$ter")));
    Run::of(&mut command).exits(3).says("hint: in .env, $NAME was replaced");
    // The hint is true: in single quotes nothing is replaced.
    let quoted = url("hun$ter").replace("=postgres", "='postgres").replace('\n', "'");
    let (_folder, mut command) = in_folder(Some(&quoted));
    Run::of(&mut command).exits(3).says("hint: check the user");
    // And where what is left is no connection string.
    let (_folder, mut command) = in_folder(Some("DATABASE_URL=$DB\n"));
    Run::of(&mut command).exits(2).says("no database named");
    let (_folder, mut command) = in_folder(Some("DATABASE_URL=x$DB\n"));
    Run::of(&mut command).exits(2).says("hint: in .env, $NAME was replaced");
}

#[test]
fn a_variable_that_is_no_text_is_refused_rather_than_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, mut command) = in_folder(Some("DATABASE_URL=postgres://u@127.0.0.1:1/d"));
    command.env("DATABASE_URL", std::ffi::OsStr::from_bytes(b"postgres://u:\xff@h/d"));
    Run::of(&mut command)
        .exits(2)
        .says("the environment variable DATABASE_URL is not UTF-8 text");
}

#[test]
fn a_readable_env_file_is_warned_about() {
    let db = Db::migrated(Grants::Closed);
    let (folder, mut command) = in_folder(Some(&format!("DATABASE_URL={}", db.url())));
    let file = folder.path().join(".env");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    Run::of(&mut command).ok().says("chmod 600 .env");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!Run::of(&mut command).ok().stderr.contains("chmod"));
}

#[test]
fn no_output_ever_shows_the_password() {
    let encoded = "s3cr3t-W%C3%B6rd";
    let port = server().port();
    for (url, code) in [
        (format!("postgresql://postgres:{encoded}@127.0.0.1:{port}/postgres"), 3),
        (format!("postgresql://postgres:{encoded}@127.0.0.1:1/postgres"), 3),
        (format!("postgresql://postgres:{SECRET}@x@127.0.0.1:{port}/postgres"), 2),
        (format!("postgresql://postgres:{SECRET}#x@127.0.0.1:{port}/postgres"), 2),
        (
            format!("postgresql://postgres:{SECRET}@127.0.0.1:{port}/postgres?colour={SECRET}"),
            2,
        ),
        (
            format!("host=127.0.0.1 port={port} user=postgres password={SECRET} tint=1"),
            2,
        ),
        (format!("host=127.0.0.1 port={port} user=postgres password={SECRET}"), 3),
    ] {
        for command in [
            "migrate",
            "end-inactive",
            "cleanup",
            "summary",
            "verify",
            "status",
            "doctor",
        ] {
            let run = Run::of(sessctl().env("DATABASE_URL", &url).args([command, "--verbose"])).exits(code);
            for secret in [SECRET, encoded, "s3cr3t"] {
                assert!(
                    !run.stderr.contains(secret) && !run.stdout.contains(secret),
                    "{command}: {}",
                    run.stderr
                );
            }
        }
        let help = Run::of(sessctl().env("DATABASE_URL", &url).args(["cleanup", "--help"])).ok();
        assert!(!help.stdout.contains("s3cr3t"));
    }
}

#[test]
fn a_wrong_password_and_a_missing_server_say_what_to_do() {
    let db = Db::migrated(Grants::Closed);
    let wrong = db.url_as("postgres", "wrong");
    Run::of(sessctl().env("DATABASE_URL", &wrong).arg("cleanup"))
        .exits(3)
        .says(&format!(
            "can't connect to postgres@127.0.0.1:{}/{}",
            server().port(),
            db.name
        ))
        .says("password authentication failed")
        .says("%40");
    let nowhere = "postgresql://postgres@127.0.0.1:1/postgres";
    Run::of(sessctl().env("DATABASE_URL", nowhere).arg("summary"))
        .exits(3)
        .says("nothing listens there")
        .says("--wait 30s");
    Run::of(
        sessctl()
            .env("DATABASE_URL", db.url().replace(&db.name, "gone"))
            .arg("summary"),
    )
    .exits(3)
    .says("on Supabase it is postgres");
    Run::of(
        sessctl()
            .env("DATABASE_URL", "https://abcdefghij.supabase.co")
            .arg("summary"),
    )
    .exits(2)
    .says("the API's address");
}

#[test]
fn values_from_the_database_never_steer_a_terminal_or_a_spreadsheet() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "alter table public.user_sessions drop constraint user_sessions_platform_check;
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform) values
               ('00000000-0000-4000-8000-000000000001', '1', E'\\x1b[2J\\x1b]0;owned\\x07\\u202e'),
               ('00000000-0000-4000-8000-000000000001', '2', '=cmd|''/c calc''!A1'),
               ('00000000-0000-4000-8000-000000000001', '3', E'two\\nlines, \"quoted\"');
             create policy \"\x1b[31mred\" on public.user_sessions for select to anon using (true);",
        )
        .unwrap();
    for arguments in [
        &["summary"][..],
        &["summary", "--format", "json"],
        &["verify"],
        &["verify", "--format", "github"],
    ] {
        let run = db.sessctl(arguments);
        assert!(
            !run.stdout.contains('\x1b') && !run.stdout.contains('\x07') && !run.stdout.contains('\u{202e}'),
            "{}",
            run.stdout
        );
    }
    let csv = db.sessctl(&["summary", "--format", "csv"]).ok().stdout;
    assert!(csv.contains("\n'=cmd|"), "{csv}");
    assert!(csv.contains("\"two\\x0alines, \"\"quoted\"\"\""), "{csv}");
}

/// What a name or a value of others may hold, and what is seen of it.
const HOSTILE: [(&str, &str); 6] = [
    ("\x1b[31mred", "\\x1b[31mred"),
    ("=cmd|'/c calc'!A1", "=cmd|'/c calc'!A1"),
    ("two\nlines\rof it", "two\\x0alines\\x0dof it"),
    ("::stop-commands::pause", "::stop-commands::pause"),
    ("zero\u{200b}width", "zero\\u{200b}width"),
    ("right\u{202e}left", "right\\u{202e}left"),
];

#[test]
fn the_names_of_policies_are_one_line_in_every_format() {
    let db = Db::migrated(Grants::Closed);
    let mut client = db.client();
    for (name, _) in HOSTILE {
        let quoted = name.replace('"', "\"\"");
        client
            .batch_execute(&format!(
                "create policy \"{quoted}\" on public.user_sessions for select to anon using (true)"
            ))
            .unwrap();
    }
    for format in ["table", "csv", "github"] {
        let run = db.sessctl(&["verify", "--format", format]).exits(1);
        let shown = run.stdout.replace('\n', "");
        let hidden = |c: char| c.is_control() || "\u{200b}\u{202e}".contains(c);
        assert!(!shown.contains(hidden), "{format}: {:?}", run.stdout);
        // One line each; the table has one more below, the header of CSV one above, and a summary nothing.
        let lines = if format == "github" { 6 } else { 7 };
        assert_eq!(run.stdout.lines().count(), lines, "{format}: {}", run.stdout);
        for (_, seen) in HOSTILE {
            assert!(run.stdout.contains(seen), "{format}: no {seen:?} in {}", run.stdout);
        }
        assert!(format == "github" || !run.stdout.contains("\n::"), "{}", run.stdout);
    }
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1);
    let names = json.json()["drift"].to_string();
    assert!(names.contains("two\\nlines") && !json.stdout.trim_end().contains(char::is_control));
}

#[test]
fn no_line_begins_with_what_somebody_wrote_for_a_workflow_s_runner() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "alter table public.user_sessions drop constraint user_sessions_platform_check;
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform)
               values ('00000000-0000-4000-8000-000000000001', '1', '::stop-commands::x ##[error]y')",
        )
        .unwrap();
    let run = db
        .sessctl(&["summary"])
        .ok()
        .says("\\x3a:stop-commands::x \\x23#[error]y");
    assert!(
        !run.stdout.contains("\n::") && !run.stdout.contains("##["),
        "{}",
        run.stdout
    );
}

#[test]
fn what_a_trigger_raises_has_no_line_of_its_own() {
    let db = Db::migrated(Grants::Closed);
    db.client()
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as $$
             begin
               raise exception E'x\\n::stop-commands::y\\n\\x1b[2J' using hint = E'a\\n::error::b', detail = E'c\\n::d';
             end $$;
             create trigger refuse before delete on public.user_sessions for each row execute function public.refuse();
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
               select '00000000-0000-4000-8000-000000000001', 'old', 'web', 'ended', t, t
               from (select now() - interval '200 days') as t (t)",
        )
        .unwrap();
    let run = db.sessctl(&["cleanup", "--verbose"]).exits(3);
    assert!(
        !run.stderr.contains('\x1b') && !run.stderr.contains("\n::"),
        "{}",
        run.stderr
    );
    run.says("x\\x0a::stop-commands::y\\x0a\\x1b[2J")
        .says("could not do 1 session (");
}

#[test]
fn no_error_shows_what_a_row_holds() {
    const ADDRESS: &str = "203.0.113.77";
    let old = format!(
        "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
         insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at, ip_address)
           select '00000000-0000-4000-8000-000000000001', 'a session', 'web', 'ended', t, t, '{ADDRESS}'
           from (select now() - interval '200 days') as t (t);"
    );
    let trigger = |body: &str| {
        format!(
            "create table public.kept (id uuid primary key, session_id text not null, ip inet unique check (ip is null));
             create function public.keep() returns trigger language plpgsql as $f$ begin {body}; return old; end $f$;
             create trigger keep before delete on public.user_sessions for each row execute function public.keep()"
        )
    };
    for (sql, seen) in [
        // Failing row contains (…).
        (
            trigger("insert into public.kept values (old.id, old.session_id, old.ip_address)"),
            "constraint kept_ip_check",
        ),
        // Key (…)=(…) already exists.
        (
            trigger("insert into public.kept values (old.id, host(old.ip_address)), (old.id, host(old.ip_address))"),
            "constraint kept_pkey",
        ),
        // Whatever a trigger says of a row, under a code whose detail is shown otherwise.
        (
            trigger("raise exception 'no' using errcode = '2BP01', detail = host(old.ip_address)"),
            "function public.keep(): no",
        ),
        // The context of a dynamic statement is its text.
        (
            trigger(
                "execute format('insert into public.kept values (%L, %L, %L)', old.id, old.session_id, old.ip_address)",
            ),
            "table kept",
        ),
    ] {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(&(old.clone() + &sql)).unwrap();
        let run = db.sessctl(&["cleanup", "--verbose"]).exits(3);
        assert!(!format!("{run:?}").contains(ADDRESS), "{}", run.stderr);
        assert!(!run.stderr.contains("Failing row"), "{}", run.stderr);
        run.says(seen);
    }
    let db = Db::fresh(Grants::Closed);
    db.client().batch_execute(ORIGINAL_SCRIPT).unwrap();
    db.client()
        .batch_execute(&format!(
            "{old} alter table public.user_sessions drop constraint user_sessions_platform_check;
             update public.user_sessions set platform = '{ADDRESS}'"
        ))
        .unwrap();
    let run = db.sessctl(&["migrate", "--yes", "--verbose"]).exits(3);
    assert!(!format!("{run:?}").contains(ADDRESS), "{}", run.stderr);
    run.says("constraint \"user_sessions_platform_check\"");
}

#[test]
fn the_statement_of_who_holds_a_lock_is_shown_without_its_values() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 1);
    let mut holder = db.client();
    holder
        .batch_execute("begin; lock table public.user_sessions; select 1 where 'private' = 'values'")
        .unwrap();
    let run = db.sessctl(&["cleanup", "--max-retries", "0"]).exits(3);
    assert!(!run.stderr.contains("private"), "{}", run.stderr);
    run.says("lock table public.user_sessions");
}

#[test]
fn a_refused_argument_is_one_line_and_shows_no_connection_string() {
    let url = format!("postgres://u:{SECRET}@h/d");
    for arguments in [
        &["status", &url][..],
        &["status", "--sslmode", &url],
        &[&url],
        &["status", &format!("--sslmode={url}")],
        &["status", &format!("--tint={url}")],
        &["status", &format!("host=h password={SECRET}")],
        &["verify", "--allow", &url],
        &["cleanup", "--days", &url],
    ] {
        let run = Run::of(sessctl().args(arguments)).exits(2);
        assert!(!run.stderr.contains("s3cr3t"), "{arguments:?}: {}", run.stderr);
    }
    for argument in ["x\n::stop-commands::y", "x\x1b[2J", "::stop-commands::y"] {
        let run = Run::of(sessctl().args(["--color", "always", argument])).exits(2);
        let is_clean = !run.stderr.contains("\n::") && !run.stderr.contains("\x1b[2J");
        assert!(is_clean, "{argument:?}: {}", run.stderr);
    }
}

#[test]
fn colour_comes_only_when_wanted() {
    let db = Db::migrated(Grants::Closed);
    assert!(!db.sessctl(&["status"]).ok().stdout.contains('\x1b'));
    assert!(
        db.sessctl(&["status", "--verbose", "--color", "always"])
            .ok()
            .stdout
            .contains("\x1b[32mapplied\x1b[0m")
    );
    assert!(!db.sessctl(&["status", "--color", "never"]).ok().stdout.contains('\x1b'));
}

#[test]
fn on_a_terminal_there_is_colour_and_on_a_dumb_one_none() {
    let db = Db::migrated(Grants::Closed);
    crate::migrate::fill(&db, 3);
    for (arguments, term, is_styled) in [
        (&["status"][..], "xterm", true),
        (&["status"], "dumb", false),
        (&["status"], "", false),
        (&["status", "--color", "never"], "xterm", false),
        (&["status", "--color", "always"], "dumb", true),
        (&["cleanup", "--days", "1"], "xterm", true),
        // A bar would need a cursor that moves.
        (&["cleanup", "--days", "1"], "dumb", false),
        (&["summary"], "dumb", false),
        (&["--nonsense"], "dumb", false),
        (&["--help"], "dumb", false),
    ] {
        // A workflow sets CI, and may have a terminal.
        for (columns, ci) in [(80, "true"), (40, ""), (1, "true")] {
            let (shown, code) = on_terminal(columns, db.command(arguments).env("TERM", term).env("CI", ci));
            assert_eq!(code, if arguments == ["--nonsense"] { 2 } else { 0 }, "{shown}");
            assert_eq!(
                shown.contains('\x1b'),
                is_styled,
                "{arguments:?} {term} {columns}: {shown:?}"
            );
            assert!(is_styled || !shown.contains('\r'), "{shown:?}");
        }
    }
    let (shown, _) = on_terminal(80, db.command(&["status"]).env("TERM", "xterm").env("NO_COLOR", "1"));
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn a_closed_or_full_standard_output_is_no_panic() {
    let db = Db::migrated(Grants::Closed);
    for (script, code) in [
        ("exec \"$0\" status >&-", 0),
        ("exec \"$0\" --help >&-", 0),
        ("exec \"$0\" status 2>&- >&-", 0),
        ("exec \"$0\" status >/dev/full", 3),
        ("exec \"$0\" --help >/dev/full", 3),
        ("{ \"$0\" man; echo $? >&2; } | true", 0),
        ("{ \"$0\" --help; echo $? >&2; } | true", 0),
    ] {
        let mut command = clean("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_sessctl")]);
        let run = Run::of(command.env("DATABASE_URL", db.url())).exits(code);
        assert!(
            !run.stdout.contains('\x1b') && !run.stderr.contains('3'),
            "{script}: {run:?}"
        );
    }
}

#[test]
fn summary_counts_by_platform_and_says_so_when_nobody_is_active() {
    let db = Db::migrated(Grants::Closed);
    db.sessctl(&["summary"]).ok().says("no session is active or idle");
    assert_eq!(
        db.sessctl(&["summary", "--format", "json"]).ok().json(),
        serde_json::json!({ "platforms": [], "total_active": 0, "total_idle": 0, "total_due": 0 })
    );
    crate::migrate::fill(&db, 3);
    let mut client = db.client();
    client
        .batch_execute("update public.user_sessions set platform = 'ios-widget', started_at = now() - interval '3 hours 12 minutes' where session_id = '3'")
        .unwrap();
    db.sessctl(&["summary"]).ok().says("3 h 12 min").says("total");
    let json = db.sessctl(&["summary", "--format", "json"]).ok().json();
    assert_eq!(json["total_active"], 3);
    assert_eq!(json["platforms"][0]["platform"], "web");
    assert_eq!(json["platforms"][0]["active_count"], 2);
    assert_eq!(
        json["platforms"][1]["avg_session_minutes"].as_f64().unwrap().round(),
        192.0
    );
    assert!(json["platforms"][1]["oldest_session"].as_str().unwrap().ends_with('Z'));
    db.sessctl(&["summary", "--format", "csv"])
        .ok()
        .says("platform,active_count,avg_session_minutes,oldest_session,latest_activity,idle_count,due_count\nweb,2,");
    db.sessctl(&["migrate", "--format", "csv"])
        .exits(2)
        .says("can't be written as csv");
    // Whatever start clients make up: a session counts as if it had started between 2000 and now.
    for (start, minutes) in [
        ("infinity", 0.0),
        ("2999-01-01", 0.0),
        ("1999-12-31", 13e6),
        ("0001-01-01", 13e6),
        ("-infinity", 13e6),
    ] {
        client
            .batch_execute(&format!(
                "update public.user_sessions set started_at = '{start}' where platform = 'ios-widget'"
            ))
            .unwrap();
        let json = db.sessctl(&["summary", "--format", "json"]).ok().json();
        let average = json["platforms"][1]["avg_session_minutes"].as_f64().unwrap();
        assert!((minutes..minutes * 2.0 + 1.0).contains(&average), "{start}: {average}");
    }
}

#[test]
fn the_json_of_maintenance_has_the_documented_keys() {
    let db = Db::migrated(Grants::Closed);
    for (command, count) in [("end-inactive", "ended"), ("cleanup", "deleted")] {
        let json = db.sessctl(&[command, "--format", "json"]).ok().json();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected = vec![
            "batches",
            "cutoff",
            "dry_run",
            "elapsed_ms",
            "failed",
            "interrupted",
            "left",
            "settled",
            "skipped",
            count,
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert!(json["cutoff"].as_str().unwrap().ends_with('Z'));
    }
}

#[test]
fn completions_and_the_manual_are_made_from_the_command_line() {
    not_run("completions loaded in powershell and elvish: no packages of them");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        Run::of(sessctl().args(["completions", shell]))
            .ok()
            .says("end-inactive");
    }
    let shells: [(&str, &[&str], &str, &str); 3] = [
        ("bash", &["--norc", "-c"], "complete -p sessctl", "-F _sessctl"),
        ("zsh", &["-f", "-c"], "print $_comps[sessctl]", "_sessctl"),
        (
            "fish",
            &["--no-config", "-c"],
            "complete -C 'sessctl end-in'",
            "end-inactive",
        ),
    ];
    for (shell, options, question, answer) in shells {
        if Command::new(shell).arg("--version").output().is_err() {
            not_run(&format!("the completions in a real {shell}, which is not installed"));
            continue;
        }
        let completions = Run::of(sessctl().args(["completions", shell])).ok().stdout;
        let before = if shell == "zsh" {
            "autoload -U compinit; compinit -u -D"
        } else {
            ""
        };
        let script = format!("{before}\n{completions}\n{question}");
        // What a shell keeps of a session goes into a home of its own.
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(shell);
        command.args(options).arg(script).env("HOME", home.path());
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "ZDOTDIR"] {
            command.env_remove(name);
        }
        let loaded = Run::of(&mut command).ok();
        assert!(loaded.stdout.contains(answer), "{shell}: {loaded:?}");
    }
    let man = Run::of(sessctl().arg("man")).ok().stdout;
    assert!(man.starts_with(".ie") && man.contains("end\\-inactive") && man.contains("\\-\\-max\\-runtime"));
}

#[test]
fn waiting_is_for_servers_that_start_and_not_for_wrong_passwords() {
    let db = Db::migrated(Grants::Closed);
    let proxy = Proxy::to_the_server();
    let wrong = proxy.url_as("postgres", "wrong", &db.name);
    Run::of(&mut sessctl_on(wrong, &["status", "--wait", "30s"])).exits(3);
    assert_eq!(proxy.connections().len(), 1);

    proxy.refuse_new(true);
    let starting = Running::start(sessctl_on(proxy.url(&db.name), &["status", "--wait", "1h"]));
    proxy.wait_for_refusals(2);
    proxy.refuse_new(false);
    starting.end().ok();

    proxy.refuse_new(true);
    let before = proxy.refusals();
    Run::of(&mut sessctl_on(proxy.url(&db.name), &["status", "--wait", "1s"])).exits(3);
    assert!(proxy.refusals() - before > 1, "it did not try again");
}

#[test]
fn a_huge_duration_is_no_limit_and_a_lock_timeout_of_no_millisecond_is_refused() {
    let db = Db::fresh(Grants::Closed);
    let huge = "500000000000years";
    db.sessctl(&["migrate", "--lock-timeout", "900us"])
        .exits(2)
        .says("at least 1ms");
    db.sessctl(&["migrate", "--lock-timeout", huge, "--lock-wait", huge])
        .ok();
    db.sessctl(&["status", "--wait", huge, "--connect-timeout", huge]).ok();
    for job in ["end-inactive", "cleanup"] {
        db.sessctl(&[job, "--max-runtime", huge, "--pause", huge]).ok();
    }
}
