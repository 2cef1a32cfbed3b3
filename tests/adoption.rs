//! Databases made manually: each is brought to exactly the state of a fresh one, and no row or extra of the user's is lost.

use sessctl::sandbox::Grants;

use crate::common::pty::on_terminal_with_keys;
use crate::common::{BOTH_GENERATIONS, Db, ORIGINAL_SCRIPT, is_thorough, number};
use crate::snapshot::facts;

/// The script's statements; it has no semicolon in quotes, only in function bodies and comments.
fn statements() -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    for line in ORIGINAL_SCRIPT.lines() {
        let code = line.split("--").next().unwrap();
        current.push_str(code);
        current.push('\n');
        let in_body = current.matches("$$").count() % 2 == 1;
        if code.trim_end().ends_with(';') && !in_body {
            statements.push(std::mem::take(&mut current));
        }
    }
    assert!(current.trim().is_empty());
    statements
}

#[track_caller]
fn migrates_in_step(db: &Db) {
    db.sessctl(&["migrate"]).ok();
    db.sessctl(&["verify", "--strict"]).ok().says("up to date");
}

#[test]
fn the_pasted_script_is_adopted_on_both_generations() {
    for grants in BOTH_GENERATIONS {
        let db = Db::pasted(grants);
        let dry = db.sessctl(&["migrate", "--dry-run", "--format", "json"]).ok().json();
        // Nothing of it is what clients may depend on.
        assert_eq!(dry["confirm"].as_array().unwrap().len(), 0, "{dry}");
        migrates_in_step(&db);
    }
}

#[test]
fn the_script_stopped_after_any_statement_is_adopted() {
    let statements = statements();
    assert_eq!(statements.len(), 29);
    let secured = 1 + statements
        .iter()
        .position(|sql| sql.contains("ENABLE ROW LEVEL"))
        .unwrap();
    for grants in BOTH_GENERATIONS {
        for end in 1..statements.len() {
            if !is_thorough() && grants != BOTH_GENERATIONS[end % 2] {
                continue;
            }
            let db = Db::fresh(grants);
            db.client().batch_execute(&statements[..end].concat()).unwrap();
            let yes: &[&str] = if end < secured {
                &["migrate", "--yes"]
            } else {
                &["migrate"]
            };
            db.sessctl(yes).ok();
            let run = db.sessctl(&["verify", "--strict"]);
            assert_eq!(run.code, 0, "after {}: {}", statements[end - 1], run.stdout);
        }
    }
}

#[test]
fn the_script_run_twice_up_to_its_first_error_each_time_is_adopted() {
    let db = Db::pasted(Grants::Open);
    assert!(db.client().batch_execute(ORIGINAL_SCRIPT).is_err());
    let mut client = db.client();
    for statement in statements() {
        // As the SQL editor does where each statement is sent alone.
        let _ = client.batch_execute(&statement);
    }
    migrates_in_step(&db);
}

#[test]
fn a_hundred_thousand_rows_with_poison_and_nulls_among_them_are_all_kept() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "insert into auth.users (id) select md5(n::text)::uuid from generate_series(1, 100) n;
             insert into public.user_sessions (user_id, session_id, platform, status, ended_at, last_heartbeat_at, started_at)
             select md5((1 + n % 100)::text)::uuid, n::text, 'web', (array['active', 'idle', 'ended', 'timeout'])[1 + n % 4],
               case when n % 4 > 1 then now() - n * interval '2 minutes' end,
               case n % 7 when 0 then null when 1 then 'infinity' when 2 then '-infinity' else now() - n * interval '1 second' end,
               case n % 11 when 0 then '0001-01-01' when 1 then 'infinity' when 2 then '-infinity' else now() - n * interval '3 minutes' end
             from generate_series(1, 100000) n",
        )
        .unwrap();
    let picture = "select md5(string_agg(s::text, '' order by session_id)) from public.user_sessions s";
    let before: String = client.query_one(picture, &[]).unwrap().get(0);
    migrates_in_step(&db);
    assert_eq!(client.query_one(picture, &[]).unwrap().get::<_, String>(0), before);
    for command in ["end-inactive", "cleanup", "summary"] {
        db.sessctl(&[command]).ok();
    }
}

#[test]
fn everything_that_is_dropped_replaced_or_revoked_is_listed_before() {
    let db = Db::pasted(Grants::Open);
    let plan = db.sessctl(&["migrate", "--dry-run", "--format", "json"]).ok().json();
    let changes: Vec<&str> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    for line in [
        "drops index idx_user_sessions_session_id (it repeats the one of the UNIQUE constraint)",
        "revokes truncate on table public.user_sessions from anon",
        "revokes select on view public.active_sessions_summary from anon",
        "revokes execute on function public.cleanup_old_sessions(integer) from PUBLIC",
        "revokes execute on function public.end_inactive_sessions(integer) from authenticated",
        "drops policy Service role can manage all sessions (service_role bypasses row level security)",
        "replaces policy Users can view their own sessions: for authenticated alone",
    ] {
        assert!(changes.contains(&line), "{line} is not in {changes:#?}");
    }
    // Each right is in the JSON, and with --verbose; the list of the others has one line of them.
    let (rights, others): (Vec<&str>, Vec<&str>) = changes.iter().partition(|line| line.starts_with("revokes "));
    let line = format!(
        "revokes {} rights of PUBLIC, anon, authenticated and service_role that the API does not need",
        rights.len()
    );
    let verbose = db.sessctl(&["migrate", "--dry-run", "--verbose"]).ok();
    for change in &changes {
        assert!(verbose.stdout.contains(&format!("-- {change}\n")), "{change}");
    }
    assert!(!verbose.stdout.contains(&line));
    let dry = db.sessctl(&["migrate", "--dry-run"]).ok();
    let run = db.sessctl(&["migrate"]).ok();
    for said in [dry.stdout.replace("-- ", ""), run.stderr] {
        for other in &others {
            assert!(said.lines().any(|said| said == *other), "{other}");
        }
        // A dry run shows the migrations too, which say so in comments of their own.
        let revoked = |said: &&str| said.starts_with("revokes ") && !said.starts_with("revokes rights on ");
        let revoked: Vec<&str> = said.lines().filter(revoked).collect();
        assert_eq!(revoked, [&*line]);
    }
}

#[test]
fn columns_indexes_views_constraints_and_policies_of_the_users_own_stay() {
    let db = Db::pasted(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "alter table public.user_sessions add column app_version text default '1.0';
             alter table public.user_sessions add constraint short_agent check (length(user_agent) < 500);
             create index my_index on public.user_sessions (app_version);
             create view public.my_view as select id, user_id, calculate_session_duration(started_at) as age from public.user_sessions;
             create view public.over_the_summary as select * from public.active_sessions_summary;
             create policy \"support may look\" on public.user_sessions for select to service_role using (true);
             create table public.refinery_schema_history (version int, name text);
             insert into public.refinery_schema_history values (1, 'somebody else''s');",
        )
        .unwrap();
    db.sessctl(&["migrate"])
        .ok()
        .says("policy support may look is not sessctl's and stays");
    client.batch_execute("select app_version from public.user_sessions; select * from public.my_view; select * from public.over_the_summary").unwrap();
    assert_eq!(
        client
            .query_one("select count(*) from public.refinery_schema_history", &[])
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    db.sessctl(&["verify"])
        .exits(1)
        .says("policy support may look is extra: permissive for select to service_role using (true)");
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1).json();
    let drift: Vec<&str> = json["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["object"].as_str().unwrap())
        .collect();
    assert_eq!(drift, ["policy support may look"]);
    let extra: Vec<&str> = json["extra"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["object"].as_str().unwrap())
        .collect();
    assert_eq!(
        extra,
        [
            "column public.user_sessions.app_version",
            "constraint short_agent",
            "index my_index"
        ]
    );
    db.sessctl(&["verify", "--allow", "policy:support may look"])
        .ok()
        .says("allowed");
    db.sessctl(&["verify", "--strict", "--allow", "policy:support may look"])
        .exits(1);
}

#[test]
fn functions_that_the_user_mended_are_replaced_and_ones_with_other_arguments_are_kept_and_shown() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "create or replace function public.cleanup_old_sessions(days_old integer default 90) returns integer language sql as 'select 1';
             drop function public.end_inactive_sessions(integer);
             create function public.end_inactive_sessions(minutes integer default 30) returns bigint language plpgsql as 'begin return 1; end';
             create function public.end_inactive_sessions(minutes integer, platform text) returns integer language sql as 'select 1';
             drop function public.calculate_session_duration(timestamptz, timestamptz);
             create function public.calculate_session_duration(session_start timestamptz, session_end timestamptz) returns integer strict language sql as 'select 1';",
        )
        .unwrap();
    db.sessctl(&["migrate"]).exits(3).says("--yes");
    db.sessctl(&["migrate", "--yes"]).ok();
    let json = db.sessctl(&["verify", "--format", "json"]).exits(1).json();
    let drift: Vec<&str> = json["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["object"].as_str().unwrap())
        .collect();
    assert!(
        drift
            .iter()
            .all(|object| *object == "function public.end_inactive_sessions(integer, text)"),
        "{drift:?}"
    );
    client
        .batch_execute("drop function public.end_inactive_sessions(integer, text)")
        .unwrap();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn an_object_that_must_be_made_anew_and_has_dependents_blocks_with_their_names() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "drop function public.calculate_session_duration(timestamptz, timestamptz);
             create function public.calculate_session_duration(session_start timestamptz, session_end timestamptz) returns bigint language sql as 'select 1::bigint';
             create view public.ages as select public.calculate_session_duration(started_at, now()) from public.user_sessions;",
        )
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("function public.calculate_session_duration(timestamp with time zone, timestamp with time zone) must be replaced, and is used by view public.ages")
        .says("drop the objects that use it")
        .says("nothing was changed");
    client
        .batch_execute("select * from public.ages; drop view public.ages")
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn a_summary_view_of_other_columns_is_made_anew_and_its_dependents_block() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "drop view public.active_sessions_summary;
             create view public.active_sessions_summary as select platform, count(*)::integer as active_count from public.user_sessions group by platform;
             create view public.on_top as select * from public.active_sessions_summary;",
        )
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("view public.active_sessions_summary must be replaced, and is used by view public.on_top");
    let role = format!("bi_{}", db.name);
    db.admin().batch_execute(&format!("create role {role}")).unwrap();
    client
        .batch_execute(&format!(
            "drop view public.on_top; grant select on public.active_sessions_summary to {role}"
        ))
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    db.sessctl(&["verify"]).ok();
    let kept = format!("select has_table_privilege('{role}', 'public.active_sessions_summary', 'select')");
    assert!(client.query_one(&kept, &[]).unwrap().get::<_, bool>(0));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn rights_that_go_with_a_function_that_must_be_made_anew_are_listed() {
    let db = Db::pasted(Grants::Closed);
    let role = format!("cron_{}", db.name);
    db.admin().batch_execute(&format!("create role {role}")).unwrap();
    let line = format!("revokes execute on function public.end_inactive_sessions(integer) from {role}");
    db.client()
        .batch_execute(&format!(
            "grant execute on function public.end_inactive_sessions(integer) to {role}"
        ))
        .unwrap();
    let run = db.sessctl(&["migrate", "--dry-run"]).ok();
    assert!(!run.stdout.contains(&line) && !run.stderr.contains(&line));
    db.client()
        .batch_execute(&format!(
            "drop function public.end_inactive_sessions(integer);
             create function public.end_inactive_sessions(timeout_minutes integer default 30) returns bigint language sql as 'select 1::bigint';
             grant execute on function public.end_inactive_sessions(integer) to {role}"
        ))
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok().says(&line);
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

#[test]
fn a_table_that_lacks_columns_checks_keys_and_indexes_gets_them() {
    let db = Db::fresh(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "create table public.user_sessions (
               user_id uuid, session_id text, platform text, status text default 'idle', device_info jsonb, mine int);
             create unique index by_hand on public.user_sessions (session_id);
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform, status, device_info)
             select '00000000-0000-4000-8000-000000000001', n::text, 'web', 'active', '{}' from generate_series(1, 1000) n",
        )
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    db.sessctl(&["verify"]).ok();
    assert_eq!(
        client
            .query_one(
                "select count(*) from public.user_sessions where id is not null and mine is null",
                &[]
            )
            .unwrap()
            .get::<_, i64>(0),
        1000
    );
}

#[test]
fn rows_that_do_not_fit_the_schema_block_and_nothing_is_changed() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "alter table public.user_sessions drop constraint user_sessions_platform_check;
             insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
             insert into public.user_sessions (user_id, session_id, platform) values ('00000000-0000-4000-8000-000000000001', 'a', 'android')",
        )
        .unwrap();
    db.sessctl(&["migrate", "--yes"])
        .exits(3)
        .says("user_sessions_platform_check")
        .says("nothing of this migration was kept");
    let indexes = "select count(*) from pg_indexes where indexname = 'idx_user_sessions_session_id'";
    assert_eq!(client.query_one(indexes, &[]).unwrap().get::<_, i64>(0), 1);
    client
        .batch_execute("update public.user_sessions set platform = 'web'")
        .unwrap();
    db.sessctl(&["migrate", "--yes"]).ok();
    db.sessctl(&["verify", "--strict"]).ok();
}

#[test]
fn an_index_of_our_name_over_other_columns_is_built_anew() {
    let db = Db::pasted(Grants::Open);
    let mut client = db.client();
    client
        .batch_execute(
            "drop index public.idx_user_sessions_status;
             create index idx_user_sessions_status on public.user_sessions (status, platform);
             create index idx_user_sessions_ended_at on public.user_sessions (ended_at);",
        )
        .unwrap();
    crate::migrate::fill(&db, 10);
    db.sessctl(&["migrate", "--dry-run"])
        .ok()
        .says("replaces index idx_user_sessions_status with");
    migrates_in_step(&db);
}

#[test]
fn a_lost_history_is_written_anew_by_migrating_again() {
    let db = Db::migrated(Grants::Open);
    db.client().batch_execute("drop table sessctl.schema_history").unwrap();
    migrates_in_step(&db);
}

#[test]
fn names_of_our_indexes_that_something_else_has_are_told_and_left_alone() {
    let db = Db::pasted(Grants::Closed);
    let mut client = db.client();
    client
        .batch_execute(
            "drop index public.idx_user_sessions_session_id, public.idx_user_sessions_user_id;
             create table public.other (user_id int);
             create unique index idx_user_sessions_session_id on public.other (user_id);
             create index idx_user_sessions_user_id on public.other (user_id);",
        )
        .unwrap();
    db.sessctl(&["migrate"])
        .exits(3)
        .says("index public.idx_user_sessions_user_id of public.other is there, where sessctl keeps its index");
    client
        .batch_execute("alter index public.idx_user_sessions_user_id rename to other_user_id")
        .unwrap();
    migrates_in_step(&db);
    let others = "select count(*) from pg_indexes where tablename = 'other'";
    assert_eq!(client.query_one(others, &[]).unwrap().get::<_, i64>(0), 2);
}

#[test]
fn a_setting_of_the_migrations_that_somebody_made_before_is_not_run() {
    let db = Db::fresh(Grants::Closed);
    let planted = "create table public.planted ()";
    db.admin()
        .batch_execute(&format!("alter database {} set sessctl.grants = '{planted}'", db.name))
        .unwrap();
    migrates_in_step(&db);
    db.client().batch_execute(planted).unwrap();
}

#[test]
fn what_a_team_set_on_the_table_stays_and_clients_go_on() {
    const OF_THE_TEAM: &str = "alter table public.user_sessions
          alter column user_id set default auth.uid(), alter column session_id set default gen_random_uuid()::text,
          alter column platform set default 'web', alter column user_agent set default '', alter column user_agent set not null,
          alter column activity_count set not null, force row level security,
          set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
        comment on table public.user_sessions is '@graphql({\"name\": \"Session\"})';
        comment on column public.user_sessions.platform is 'ours'";
    for grants in BOTH_GENERATIONS {
        let db = Db::pasted(grants);
        db.admin().batch_execute(OF_THE_TEAM).unwrap();
        let sessions = |facts: sessctl::schema::Facts| {
            let is_kept = |object: &sessctl::schema::Object| {
                [
                    "table public.user_sessions",
                    "column public.user_sessions.user_id",
                    "column public.user_sessions.platform",
                    "column public.user_sessions.session_id",
                    "column public.user_sessions.user_agent",
                ]
                .contains(&&*object.to_string())
            };
            let kept = facts.into_iter().filter(|(object, _)| is_kept(object));
            let kept = kept.map(|(object, mut properties)| {
                properties.retain(|property, _| !property.starts_with("grant ") && property != "owner");
                (object, properties)
            });
            kept.collect::<sessctl::schema::Facts>()
        };
        let before = sessions(facts(&db));
        let run = db.sessctl(&["migrate"]).ok();
        for line in run.stderr.lines() {
            assert!(
                !line.contains(" column ") || line.contains("uuid_generate_v4"),
                "{line}"
            );
        }
        assert!(sessions(facts(&db)) == before);
        let run = db
            .sessctl(&["verify"])
            .ok()
            .says("extra    column public.user_sessions.user_id: extra default: auth.uid()")
            .says("extra    table public.user_sessions: force row level security is on instead of off");
        assert!(!run.stdout.contains("drift"), "{}", run.stdout);
        db.sessctl(&["verify", "--strict"]).exits(1);
        db.sessctl(&["migrate"]).ok().says("nothing to do");
        // A client that leaves out what has a default.
        db.admin()
            .batch_execute("insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001')")
            .unwrap();
        db.api("authenticated", Some("00000000-0000-4000-8000-000000000001"))
            .batch_execute("insert into public.user_sessions default values")
            .unwrap();
    }
}

#[test]
fn what_migrate_changes_of_a_table_is_listed_first() {
    let db = Db::pasted(Grants::Closed);
    db.admin()
        .batch_execute(
            "alter table public.user_sessions disable row level security, alter column status set default 'idle',
               alter column ended_at set default now(), alter column end_reason set default 'logout', alter column end_reason set not null,
               alter column created_at drop not null;
             alter table public.user_sessions disable trigger update_user_sessions_updated_at;
             create or replace view public.active_sessions_summary as
               select platform, count(*) as active_count, 0::numeric as avg_session_minutes, min(started_at) as oldest_session, max(last_activity_at) as latest_activity
               from public.user_sessions group by platform",
        )
        .unwrap();
    let run = db.sessctl(&["migrate", "--dry-run"]).ok();
    let lines = [
        "turns row level security on for table public.user_sessions",
        "replaces the default of column public.user_sessions.status ('idle'::text) with 'active'::text",
        "drops the default of column public.user_sessions.ended_at (now())",
        "drops the default of column public.user_sessions.end_reason ('logout'::text)",
        "drops not null of column public.user_sessions.end_reason",
        "sets column public.user_sessions.created_at not null",
        "replaces trigger update_user_sessions_updated_at",
        "replaces view public.active_sessions_summary",
        "replaces function public.cleanup_old_sessions(integer)",
    ];
    for line in lines {
        assert_eq!(
            run.stdout.matches(&format!("-- {line}\n")).count(),
            1,
            "{line}: {}",
            run.stdout
        );
    }
    let run = db.sessctl(&["migrate", "--yes"]).ok();
    for line in lines {
        assert!(run.stderr.contains(line), "{line}");
    }
    db.sessctl(&["verify", "--strict"]).ok();
}

/// What a team made of the pasted script, and what migrate asks about.
const OF_CLIENTS: [(&str, &[&str]); 16] = [
    (
        "alter policy \"Users can view their own sessions\" on public.user_sessions using (true)",
        &["replaces policy Users can view their own sessions"],
    ),
    (
        "alter policy \"Service role can manage all sessions\" on public.user_sessions using (auth.uid() is not null)",
        &["drops policy Service role can manage all sessions"],
    ),
    (
        "alter table public.user_sessions alter status set default 'idle', alter ended_at set default now()",
        &[
            "replaces the default of column public.user_sessions.status ('idle'::text) with 'active'::text",
            "drops the default of column public.user_sessions.ended_at (now())",
        ],
    ),
    (
        "alter table public.user_sessions alter created_at drop not null",
        &["sets column public.user_sessions.created_at not null"],
    ),
    (
        "alter table public.user_sessions drop constraint user_sessions_status_check,
           add constraint user_sessions_status_check check (status in ('active', 'idle', 'ended', 'timeout', 'paused'))",
        &["replaces constraint user_sessions_status_check"],
    ),
    (
        "alter table public.user_sessions drop constraint user_sessions_session_id_key",
        &["adds constraint user_sessions_session_id_key: UNIQUE (session_id)"],
    ),
    (
        "alter table public.user_sessions drop constraint user_sessions_user_id_fkey",
        &["adds constraint user_sessions_user_id_fkey: FOREIGN KEY"],
    ),
    (
        "alter table public.user_sessions drop constraint user_sessions_end_reason_check",
        &["adds constraint user_sessions_end_reason_check: logout, timeout, manual, app_close, crash"],
    ),
    (
        "alter table public.user_sessions disable row level security",
        &["turns row level security on for table public.user_sessions", "from anon"],
    ),
    (
        "create policy mine on public.user_sessions for delete to authenticated using (auth.uid() = user_id);
         grant delete on public.user_sessions to authenticated",
        &["revokes delete on table public.user_sessions from authenticated"],
    ),
    (
        "create policy guests on public.user_sessions for all using (user_id is not null);
         grant select, insert on public.user_sessions to anon",
        &["insert, select", "on table public.user_sessions from anon"],
    ),
    (
        "create or replace function public.end_inactive_sessions(timeout_minutes integer default 60) returns integer
         language sql as 'select 1'; grant execute on function public.end_inactive_sessions(integer) to anon",
        &[
            "replaces function public.end_inactive_sessions(integer)",
            "revokes execute on function public.end_inactive_sessions(integer) from ",
        ],
    ),
    (
        "alter function public.cleanup_old_sessions(integer) security definer",
        &["replaces function public.cleanup_old_sessions(integer)"],
    ),
    (
        "create or replace view public.active_sessions_summary as
           select platform, count(*) as active_count, 0::numeric as avg_session_minutes, min(started_at) as oldest_session,
             max(last_activity_at) as latest_activity
           from public.user_sessions group by platform; grant select on public.active_sessions_summary to anon",
        &[
            "replaces view public.active_sessions_summary",
            "select on view public.active_sessions_summary from anon",
        ],
    ),
    (
        "drop trigger update_user_sessions_updated_at on public.user_sessions;
         create trigger update_user_sessions_updated_at before update on public.user_sessions for each row
           when (new.status <> 'idle') execute function public.update_user_sessions_updated_at_column()",
        &["replaces trigger update_user_sessions_updated_at"],
    ),
    (
        "alter table public.user_sessions alter id set default md5('a')::uuid",
        &["replaces the default of column public.user_sessions.id"],
    ),
];

#[test]
fn what_clients_may_depend_on_is_changed_with_a_yes_alone() {
    for (index, (sql, lines)) in OF_CLIENTS.iter().enumerate() {
        let db = Db::pasted(BOTH_GENERATIONS[index % 2]);
        db.client().batch_execute(sql).unwrap();
        let before = facts(&db);
        let dry = db.sessctl(&["migrate", "--dry-run"]).ok();
        let confirm = db.sessctl(&["migrate", "--dry-run", "--format", "json"]).ok().json()["confirm"].to_string();
        let run = db
            .sessctl(&["migrate", "--quiet"])
            .exits(3)
            .says("--yes")
            .says("nothing was changed");
        for line in *lines {
            assert!(dry.stdout.contains(line), "{line} is not in {}", dry.stdout);
            assert!(confirm.contains(line), "{line} is not in {confirm}");
            assert!(run.stderr.contains(line), "{line} is not in {}", run.stderr);
        }
        // Nothing else is asked about.
        let asked = run.stderr.lines().next().unwrap().split("; ").count();
        assert!(asked <= lines.len() + 1, "{}", run.stderr);
        assert!(facts(&db) == before, "{sql}");
        db.sessctl(&["migrate", "--yes"]).ok();
        let extra = sql.contains("create policy");
        db.sessctl(&["verify"]).exits(i32::from(extra));
    }
}

#[test]
fn what_no_client_sees_is_changed_without_a_question() {
    for sql in [
        "alter function public.cleanup_old_sessions(integer) set search_path = public; alter function public.cleanup_old_sessions(integer) volatile",
        "alter view public.active_sessions_summary set (security_invoker = true)",
        "drop index public.idx_user_sessions_status; create index idx_user_sessions_status on public.user_sessions (status, platform)",
        "create schema other; alter extension \"uuid-ossp\" set schema other",
        "alter table public.user_sessions alter activity_count drop default, alter last_heartbeat_at drop default",
        "alter table public.user_sessions rename constraint user_sessions_status_check to statuses",
        "alter table public.user_sessions disable trigger update_user_sessions_updated_at",
        "grant truncate, references, trigger on public.user_sessions to anon, authenticated",
        "revoke all on public.user_sessions from anon, authenticated",
    ] {
        let db = Db::pasted(Grants::Closed);
        db.admin().batch_execute(sql).unwrap();
        db.sessctl(&["migrate"]).ok();
        db.sessctl(&["verify", "--strict"]).ok();
    }
}

#[test]
fn a_terminal_is_asked_before_anything_is_changed() {
    let change = "alter table public.user_sessions alter status set default 'idle'";
    let history = "select count(*) from pg_namespace where nspname = 'sessctl'";
    for (keys, code) in [("n\n", 3), ("\n", 3), ("y\n", 0)] {
        let db = Db::pasted(Grants::Open);
        db.client().batch_execute(change).unwrap();
        let (shown, exit) = on_terminal_with_keys(300, keys, &mut db.command(&["migrate", "--color", "never"]));
        assert!(
            shown.contains("clients may depend on what this changes: replaces the default of"),
            "{shown}"
        );
        assert!(shown.contains("Go on? [y/N]"), "{shown}");
        assert_eq!(exit, code, "{shown}");
        assert_eq!(number(&mut db.client(), history), i64::from(code == 0));
    }
    for (keys, code) in [("n\n", 3), ("yes\n", 0)] {
        let db = Db::migrated(Grants::Closed);
        db.client().batch_execute(change).unwrap();
        let (shown, exit) = on_terminal_with_keys(300, keys, &mut db.command(&["migrate", "--repair"]));
        assert_eq!(exit, code, "{shown}");
        db.sessctl(&["verify"]).exits(i32::from(code != 0));
    }
}
