//! Sessions that can't be ended or deleted: they never stop the others, and a run that leaves them never looks like one that is
//! done.

use postgres::Client;
use sessctl::sandbox::Grants;

use crate::common::proxy::Proxy;
use crate::common::running::Running;
use crate::common::{Db, Run, number, server, sessctl_on};

/// 3,000 active sessions that were last seen long ago, and 3,000 that ended long ago, at moments of their own.
const SEED: &str = "
  insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
  insert into public.user_sessions (user_id, session_id, platform, last_heartbeat_at, last_activity_at, updated_at)
  select '00000000-0000-4000-8000-000000000001', 'inactive' || n, 'web', now() - interval '190 days', now(), now()
  from generate_series(1, 3000) n;
  insert into public.user_sessions (user_id, session_id, platform, status, started_at, ended_at)
  select '00000000-0000-4000-8000-000000000001', 'old' || n, 'web', 'ended', now() - interval '1 year', now() - interval '190 days' + n * interval '1 second'
  from generate_series(1, 3000) n;
  analyze public.user_sessions";

fn seeded(sql: &str) -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(SEED).unwrap();
    db.client().batch_execute(sql).unwrap();
    db
}

fn old(client: &mut Client) -> i64 {
    number(
        client,
        "select count(*) from public.user_sessions where session_id like 'old%'",
    )
}

fn active(client: &mut Client) -> i64 {
    number(
        client,
        "select count(*) from public.user_sessions where status = 'active'",
    )
}

/// The key of a session, by which it is named.
fn key(db: &Db, session: &str) -> String {
    let sql = "select id::text from public.user_sessions where session_id = $1";
    db.client().query_one(sql, &[&session]).unwrap().get(0)
}

/// Runs the command, and expects exit code 3 with these counts in its JSON.
#[track_caller]
fn fails(db: &Db, command: &str, (done, failed): (i64, i64)) -> Run {
    let run = db.sessctl(&[command, "--format", "json"]).exits(3);
    let json = run.json();
    let key = if command == "cleanup" { "deleted" } else { "ended" };
    assert_eq!(
        (json[key].as_i64().unwrap(), json["failed"].as_i64().unwrap()),
        (done, failed),
        "{json} {}",
        run.stderr
    );
    run
}

fn referenced_by(child: &str, sessions: &str) -> String {
    format!(
        "create table public.events (id bigint generated always as identity primary key, session uuid {child});
         create index on public.events (session);
         insert into public.events (session) select id from public.user_sessions where session_id in ({sessions})"
    )
}

#[test]
fn a_session_that_a_foreign_key_keeps_is_named_and_the_others_go() {
    for child in [
        "references public.user_sessions (id)",
        "references public.user_sessions (id) on delete restrict",
        "references public.user_sessions (id) deferrable initially deferred",
    ] {
        let db = seeded(&referenced_by(child, "'old17'"));
        let run = fails(&db, "cleanup", (2_999, 1));
        run.says("1 session: kept by constraint events_session_fkey of table public.events");
        assert_eq!(old(&mut db.client()), 1);
        // The next run finds nothing else to do, and says the same.
        fails(&db, "cleanup", (0, 1));
        let run = db.sessctl(&["cleanup", "--keep-referenced", "--format", "json"]).ok();
        assert_eq!(run.json()["failed"], 0);
        let outcome = "select count(*) from sessctl.run where outcome = 'failed' and rows_failed = 1";
        assert_eq!(number(&mut db.client(), outcome), 2);
    }
}

#[test]
fn a_foreign_key_to_other_columns_than_the_keys_keeps_its_sessions_alone() {
    let db = seeded(
        "alter table public.user_sessions add constraint of_user unique (id, user_id);
         create table public.notes (session uuid, owner uuid, kind text,
           foreign key (session, owner) references public.user_sessions (id, user_id));
         insert into public.notes select id, user_id from public.user_sessions where session_id in ('old17', 'old18')",
    );
    let kept = "2 sessions: kept by constraint notes_session_owner_fkey of table public.notes";
    fails(&db, "cleanup", (2_998, 2)).says(kept);
    let error = db.client().batch_execute("call sessctl.run_cleanup(90)").unwrap_err();
    assert!(error.as_db_error().unwrap().message().ends_with(kept), "{error:?}");
}

#[test]
fn many_sessions_that_a_foreign_key_keeps_stop_nobody() {
    let keep = "select session_id from public.user_sessions where session_id like 'old%' order by ended_at limit 250";
    let db = seeded(&referenced_by("references public.user_sessions (id)", keep));
    fails(&db, "cleanup", (2_750, 250));
}

#[test]
fn a_locked_row_that_refers_to_a_session_keeps_that_session_alone_and_the_session_that_holds_it_is_named() {
    let db = seeded(&referenced_by(
        "references public.user_sessions (id) on delete cascade",
        "'old17', 'old18'",
    ));
    let mut holder = db.client();
    let mut holding = holder.transaction().unwrap();
    let pid: i32 = holding.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    holding
        .batch_execute(
            "select from public.events where session = (select id from public.user_sessions where session_id = 'old17')
             for update",
        )
        .unwrap();
    let run = fails(&db, "cleanup", (2_999, 1));
    let old17 = key(&db, "old17");
    run.says(&format!(
        "1 session ({old17}): a row of another table that refers to it is locked"
    ))
    .says(&format!("process {pid}"));
    holding.rollback().unwrap();
    db.sessctl(&["cleanup"]).ok();
    assert_eq!(old(&mut db.client()), 0);
}

#[test]
fn rows_that_a_trigger_refuses_are_named_with_its_function_and_the_others_are_done() {
    // Whatever SQLSTATE it chose: none, one for the API, or one that the server has for something else.
    for code in ["P0001", "PT403", "42501"] {
        refuses(code);
    }
}

fn refuses(code: &str) {
    let db = seeded(&format!(
        "create function public.refuse() returns trigger language plpgsql as $$
         begin
           if old.session_id in ('old5', 'old2999', 'inactive7') then
             raise exception using errcode = '{code}', message = 'not this one';
           end if;
           return coalesce(new, old);
         end $$;
         create trigger refuse before update or delete on public.user_sessions for each row execute function public.refuse()"
    ));
    let run = fails(&db, "cleanup", (2_998, 2));
    let (old5, old2999) = (key(&db, "old5"), key(&db, "old2999"));
    run.says(&format!(
        "2 sessions ({old5}, {old2999}): function public.refuse(): not this one"
    ));
    let run = fails(&db, "end-inactive", (2_999, 1));
    let inactive7 = key(&db, "inactive7");
    run.says(&format!(
        "1 session ({inactive7}): function public.refuse(): not this one"
    ));
}

#[test]
fn rows_for_which_a_trigger_breaks_stop_no_others_whatever_runs_the_job() {
    for (statement, message) in [
        (
            "perform (select 1 from generate_series(1, 2))",
            "more than one row returned",
        ),
        (
            "update public.user_sessions set user_agent = '' where id = old.id",
            "already modified",
        ),
        ("insert into nowhere values (1)", "relation \"nowhere\" does not exist"),
    ] {
        let breaking = format!(
            "create function public.breaks() returns trigger language plpgsql as $$
             begin
               if pg_trigger_depth() = 1 and old.session_id in ('old5', 'inactive7') then {statement}; end if;
               return coalesce(new, old);
             end $$;
             create trigger breaks before update or delete on public.user_sessions for each row execute function public.breaks()"
        );
        let db = seeded(&breaking);
        fails(&db, "cleanup", (2_999, 1)).says(message);
        fails(&db, "end-inactive", (2_999, 1)).says(message);
        let db = seeded(&breaking);
        let mut client = db.client();
        for call in ["call sessctl.run_cleanup(90)", "call sessctl.run_end_inactive(60)"] {
            let error = client.batch_execute(call).unwrap_err();
            let text = error.as_db_error().unwrap().message().to_owned();
            assert!(text.contains(": 1 session (") && text.contains(message), "{text}");
        }
        assert_eq!((old(&mut client), active(&mut client)), (1, 1));
    }
}

#[test]
fn a_rule_in_place_of_an_update_or_beside_it_is_named() {
    for action in ["instead nothing", "also notify ended"] {
        let db = seeded(&format!(
            "create rule keep as on update to public.user_sessions do {action}"
        ));
        let message = "3,000 sessions: rule keep on user_sessions prevented their update";
        fails(&db, "end-inactive", (0, 3_000)).says(message);
        let error = db
            .client()
            .batch_execute("call sessctl.run_end_inactive(60)")
            .unwrap_err();
        assert!(error.as_db_error().unwrap().message().ends_with(message), "{error:?}");
        let done = number(&mut db.client(), "select sessctl.end_inactive(60)::bigint");
        assert_eq!((done, active(&mut db.client())), (0, 3_000));
    }
}

#[test]
fn sessions_that_a_trigger_gives_another_status_than_active_are_counted_as_ended() {
    let db = seeded(
        "create function public.rename() returns trigger language plpgsql as
           $$ begin new.status := 'ended'; return new; end $$;
         create trigger rename before update on public.user_sessions for each row execute function public.rename()",
    );
    let run = db.sessctl(&["end-inactive", "--format", "json"]).ok();
    assert_eq!(run.json()["ended"], 3_000);
}

#[test]
fn a_row_that_a_check_refuses_is_named_with_the_constraint_and_the_others_are_ended() {
    let db = seeded(
        "alter table public.user_sessions add constraint never_inactive9
         check (session_id <> 'inactive9' or status <> 'timeout')",
    );
    let run = fails(&db, "end-inactive", (2_999, 1));
    let inactive9 = key(&db, "inactive9");
    run.says(&format!(
        "1 session ({inactive9}): constraint never_inactive9 of table user_sessions"
    ));
    assert_eq!(active(&mut db.client()), 1);
}

#[test]
fn where_all_rows_fail_the_run_ends_soon_and_counts_them() {
    let db = seeded(
        "create function public.refuse() returns trigger language plpgsql as $$
         begin raise exception 'never'; end $$;
         create trigger refuse before update or delete on public.user_sessions for each row execute function public.refuse()",
    );
    for command in ["cleanup", "end-inactive"] {
        fails(&db, command, (0, 3_000)).says("function public.refuse(): never");
        let sql = format!("select count(*) from sessctl.run where job = '{command}' and outcome = 'failed'");
        assert_eq!(number(&mut db.client(), &sql), 1);
    }
}

#[test]
fn a_trigger_or_rule_that_prevents_the_work_is_named_and_the_run_fails() {
    let soft_delete = "create function public.keep() returns trigger language plpgsql as 'begin return null; end';
         create trigger keep before delete on public.user_sessions for each row execute function public.keep()";
    let rule = "create rule keep as on delete to public.user_sessions do instead nothing";
    for (sql, what) in [(soft_delete, "trigger keep"), (rule, "rule keep")] {
        let db = seeded(sql);
        let run = fails(&db, "cleanup", (0, 3_000));
        run.says(&format!(
            "3,000 sessions: {what} on user_sessions prevented their deletion"
        ));
    }
    let db = seeded(
        "create function public.keep() returns trigger language plpgsql as
           'begin new.status := old.status; return new; end';
         create trigger keep before update on public.user_sessions for each row execute function public.keep()",
    );
    let run = fails(&db, "end-inactive", (0, 3_000));
    run.says("3,000 sessions: trigger keep on user_sessions prevented their update");
}

#[test]
fn a_trigger_that_keeps_some_sessions_lets_the_others_be_ended_once() {
    let db = seeded(
        "create function public.keep() returns trigger language plpgsql as $$
         begin
           if new.session_id like '%0' then new.status := old.status; end if;
           return new;
         end $$;
         create trigger keep before update on public.user_sessions for each row execute function public.keep()",
    );
    fails(&db, "end-inactive", (2_700, 300));
    assert_eq!(active(&mut db.client()), 300);
}

#[test]
fn rows_of_a_child_table_are_nobody_elses_and_stop_nothing() {
    let db = seeded(
        "create table public.archived () inherits (public.user_sessions);
         insert into public.archived (user_id, session_id, platform, status, ended_at)
         select '00000000-0000-4000-8000-000000000001', 'child' || n, 'web', 'ended', now() - interval '190 days'
         from generate_series(1, 500) n;
         insert into public.archived (user_id, session_id, platform, last_heartbeat_at)
         select '00000000-0000-4000-8000-000000000001', 'active child' || n, 'web', now() - interval '190 days'
         from generate_series(1, 500) n;
         analyze public.user_sessions, public.archived",
    );
    let count = |command: &str| db.sessctl(&[command, "--format", "json"]).ok().json();
    assert_eq!(count("cleanup")["deleted"], 3_000);
    assert_eq!(count("end-inactive")["ended"], 3_000);
    assert_eq!(number(&mut db.client(), "select count(*) from public.archived"), 1_000);
}

#[test]
fn a_table_that_is_rewritten_under_a_cleanup_by_blocks_is_cleaned_to_the_end() {
    let db = seeded(
        // All at one moment: more than a slice, so that the cleanup goes by blocks; room in front for the rewritten rows.
        "update public.user_sessions set ended_at = now() - interval '190 days' where session_id like 'old%';
         delete from public.user_sessions where session_id like 'inactive%';
         analyze public.user_sessions",
    );
    let proxy = Proxy::to_the_server();
    let arguments = ["cleanup", "--batch-size", "200", "--pause", "100ms", "--format", "json"];
    let child = Running::start(sessctl_on(proxy.url(&db.name), &arguments));
    proxy.wait_for("_step(", 5);
    db.client().batch_execute("vacuum full public.user_sessions").unwrap();
    let run = child.end().ok();
    assert_eq!(run.json()["deleted"], 3_000, "{}", run.stderr);
    assert_eq!(old(&mut db.client()), 0);
}

#[test]
fn locked_sessions_are_left_and_counted_and_the_run_is_done() {
    for (command, locked) in [("cleanup", "old17"), ("end-inactive", "inactive17")] {
        let db = seeded("");
        let mut holder = db.client();
        let mut holding = holder.transaction().unwrap();
        let sql = format!("select from public.user_sessions where session_id = '{locked}' for update");
        holding.batch_execute(&sql).unwrap();
        let json = db.sessctl(&[command, "--format", "json"]).ok().json();
        assert_eq!((&json["left"], &json["failed"]), (&1.into(), &0.into()), "{json}");
    }
}

#[test]
fn a_child_table_without_an_index_is_slow_and_makes_progress() {
    let db = seeded(
        "create table public.events (id int, session uuid references public.user_sessions (id) on delete cascade);
         insert into public.events (session) select id from public.user_sessions where session_id like 'old%';
         analyze public.events",
    );
    db.admin()
        .batch_execute(&format!(
            "alter role postgres in database {} set statement_timeout = '300ms'",
            db.name
        ))
        .unwrap();
    let json = db.sessctl(&["cleanup", "--format", "json"]).ok().json();
    assert_eq!(json["deleted"], 3_000);
}

#[test]
fn transactions_have_the_isolation_that_they_need_whatever_the_role_has() {
    let db = seeded("");
    db.admin()
        .batch_execute(&format!(
            "alter role postgres in database {} set default_transaction_isolation = 'serializable'",
            db.name
        ))
        .unwrap();
    for command in ["cleanup", "end-inactive"] {
        db.sessctl(&[command]).ok();
    }
    assert_eq!((old(&mut db.client()), active(&mut db.client())), (0, 0));
}

#[test]
fn a_transaction_timeout_makes_smaller_batches() {
    let db = seeded("");
    let mut admin = db.admin();
    let exists = "select count(*) from pg_settings where name = 'transaction_timeout'";
    if number(&mut admin, exists) == 0 {
        crate::common::not_run(&format!(
            "transaction_timeout came with PostgreSQL 17, this is {}",
            server().bindir().display()
        ));
        return;
    }
    admin
        .batch_execute(&format!(
            "create function public.slow() returns trigger language plpgsql as
               $$ begin perform pg_sleep(0.001); return coalesce(new, old); end $$;
             create trigger slow before update or delete on public.user_sessions for each row execute function public.slow();
             alter role postgres in database {} set transaction_timeout = '500ms'",
            db.name
        ))
        .unwrap();
    for command in ["cleanup", "end-inactive"] {
        db.sessctl(&[command]).ok();
    }
    assert_eq!((old(&mut db.client()), active(&mut db.client())), (0, 0));
}
