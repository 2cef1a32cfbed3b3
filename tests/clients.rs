//! What docs/clients.md has clients write, run as the API runs it: for a signed-in user, on both generations of default grants.

use std::process::Command;

use postgres::Client;
use serde_json::Value;

use crate::common::{BOTH_GENERATIONS, Db, Run, not_run};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// The part of supabase-js that the page uses: it prints each request as JSON.
const SHIM: &str = "
    const user = { id: '00000000-0000-4000-8000-000000000001' }, sessionId = 'a session';
    const supabase = { from(table) {
      const call = { table, where: {} };
      const query = {
        insert(body) { call.insert = body; return query },
        update(body) { call.update = body; return query },
        eq(column, value) { call.where[column] = value; return query },
        then(done) { console.log(JSON.stringify(call)); done({}) },
      };
      return query;
    } };
";

/// The page's blocks of a language, with the titles above them.
fn blocks(language: &str) -> Vec<(String, String)> {
    let page = include_str!("../docs/clients.md");
    let sections = page.split("\n## ").skip(1);
    let block = |section: &str| {
        let (_, rest) = section.split_once(&format!("```{language}\n")).unwrap();
        let title = section.lines().next().unwrap().to_owned();
        (title, rest.split("```").next().unwrap().to_owned())
    };
    sections.map(block).collect()
}

/// The status of the session, whether it has an end, and whether its times are the server's.
fn state(client: &mut Client) -> (String, bool, bool) {
    let sql = "select status, ended_at is not null, last_heartbeat_at between now() - interval '1 minute' and now()
          and coalesce(ended_at, now()) between now() - interval '1 minute' and now()
        from public.user_sessions where session_id = 'a session'";
    let row = client.query_one(sql, &[]).unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// Runs the blocks in their order, and looks at the session after each.
fn life(blocks: &[(String, String)], run: impl Fn(&mut Client, &str)) {
    for grants in BOTH_GENERATIONS {
        let db = Db::migrated(grants);
        let mut owner = db.client();
        owner
            .execute("insert into auth.users (id) values ($1::text::uuid)", &[&USER])
            .unwrap();
        let mut api = db.api("authenticated", Some(USER));
        let mut seen = Vec::new();
        for (title, text) in blocks {
            run(&mut api, text);
            let (status, has_end, is_now) = state(&mut owner);
            assert!(is_now, "{title}");
            seen.push((title.as_str(), status, has_end));
            // As if time passed.
            let old = "alter table public.user_sessions disable trigger user;
                update public.user_sessions set last_heartbeat_at = now() - interval '30 seconds';
                alter table public.user_sessions enable trigger user";
            owner.batch_execute(old).unwrap();
        }
        let expected = [
            ("Start", "active", false),
            ("Heartbeat", "active", false),
            ("Pause", "idle", false),
            ("Resume", "active", false),
            ("End", "ended", true),
        ];
        let expected = expected.map(|(title, status, has_end)| (title, status.to_owned(), has_end));
        assert_eq!(seen, expected);
        db.sessctl(&["doctor"]).ok();
    }
}

#[test]
fn the_statements_start_keep_pause_resume_and_end_a_session() {
    life(&blocks("sql"), |api, sql| {
        api.batch_execute(&sql.replace("$1", "'a session'")).unwrap();
    });
}

#[test]
fn the_calls_of_supabase_js_start_keep_pause_resume_and_end_a_session() {
    if Command::new("node").arg("--version").output().is_err() {
        not_run("the calls of supabase-js in docs/clients.md: no node");
        return;
    }
    life(&blocks("js"), |api, script| {
        let mut node = Command::new("node");
        let run = Run::of(node.args(["--input-type=module", "-e", &format!("{SHIM}{script}")])).ok();
        let call: Value = serde_json::from_str(&run.stdout).unwrap();
        let changes = if call["insert"].is_object() {
            &call["insert"]
        } else {
            &call["update"]
        };
        let columns = changes
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        // As PostgREST has it: one statement, the body read as a row of the table.
        let body = "from json_populate_record(null::public.user_sessions, $1::text::json)";
        let sql = if call["insert"].is_object() {
            format!("insert into public.user_sessions ({columns}) select {columns} {body}")
        } else {
            format!(
                "update public.user_sessions set ({columns}) = (select {columns} {body}) where session_id = 'a session'"
            )
        };
        assert_eq!(call["where"]["session_id"].as_str().unwrap_or("a session"), "a session");
        assert_eq!(api.execute(&sql, &[&changes.to_string()]).unwrap(), 1);
    });
}
