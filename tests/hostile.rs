//! A server that means harm: however much it sends, before the login or after it, the program stays small and ends.

use std::fmt::Write;

use crate::common::fake_server::{FakeServer, Manner, message};
use crate::common::{Db, Run, clean};
use sessctl::sandbox::Grants;

/// The program, with no more memory than 64 MB: an allocation beyond ends it by a signal.
fn in_64_mb(url: &str, arguments: &[&str]) -> Run {
    let mut command = clean("sh");
    let script = "ulimit -d 65536 && exec \"$0\" \"$@\"";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_sessctl")])
        .args(arguments);
    Run::of(command.env("DATABASE_URL", url))
}

/// A notice of 16 KB.
fn notice(_: usize) -> Vec<u8> {
    let text = "x".repeat(16 * 1024);
    message(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{text}\0\0").as_bytes())
}

/// Small notices.
fn notices(_: usize) -> Vec<u8> {
    message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mx\0\0").repeat(1000)
}

/// A setting of a name of its own.
fn setting(number: usize) -> Vec<u8> {
    let one = |n: usize| message(b'S', format!("a{number}_{n}\0b\0").as_bytes());
    (0..1000).flat_map(one).collect()
}

/// A row whose length is given as 2 GB, and then bytes.
fn huge_row(number: usize) -> Vec<u8> {
    let start: &[u8] = if number == 0 { b"D\x7f\xff\xff\xff" } else { b"" };
    [start, &[0; 64 * 1024]].concat()
}

fn huge_error(number: usize) -> Vec<u8> {
    let start: &[u8] = if number == 0 { b"E\x7f\xff\xff\xffM" } else { b"" };
    [start, &[b'x'; 64 * 1024]].concat()
}

/// The description of one column of text.
fn description() -> Vec<u8> {
    message(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")
}

/// Rows without end, as small as they can be.
fn rows(number: usize) -> Vec<u8> {
    let start = if number == 0 { description() } else { Vec::new() };
    let row = message(b'D', b"\0\x01\xff\xff\xff\xff");
    [start, row.repeat(1000)].concat()
}

/// Columns by the ten thousand, again and again.
fn columns(_: usize) -> Vec<u8> {
    let column = b"\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    message(
        b'T',
        &[&u16::MAX.to_be_bytes()[..], &column.repeat(usize::from(u16::MAX))].concat(),
    )
}

fn no_messages(_: usize) -> Vec<u8> {
    vec![0; 64 * 1024]
}

fn answer(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap();
    let row = [b"\0\x01", &length.to_be_bytes()[..], json.as_bytes()].concat();
    let end = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    [description(), message(b'D', &row), end].concat()
}

/// A JSON array of objects, as long as an answer may be.
fn long_list(one: impl Fn(usize) -> String) -> String {
    let mut json = String::from("[");
    let mut number = 0;
    while json.len() < LONGEST {
        write!(json, "{},", one(number)).unwrap();
        number += 1;
    }
    write!(json, "{}]", one(number)).unwrap();
    json
}

/// Answers that cost most memory when they are parsed and shown: to verify …
fn objects(_: usize) -> Vec<u8> {
    let facts = long_list(|n| format!(r#"["role {n:x}",{{}}]"#));
    answer(&format!(r#"{{"history":[],"facts":{facts}}}"#))
}

fn properties(_: usize) -> Vec<u8> {
    let list = long_list(|n| format!(r#""{n:x}":"""#));
    let properties = list.trim_matches(['[', ']']);
    answer(&format!(
        r#"{{"history":[],"facts":[["schema sessctl",{{{properties}}}]]}}"#
    ))
}

const MIGRATION: &str = r#""name":null,"applied_on":null,"checksum":null"#;

fn migrations_for_verify(_: usize) -> Vec<u8> {
    let history = long_list(|n| format!(r#"{{"version":{n},{MIGRATION}}}"#));
    answer(&format!(r#"{{"history":{history},"facts":[["schema sessctl",{{}}]]}}"#))
}

/// … to status …
fn migrations(_: usize) -> Vec<u8> {
    let history = long_list(|n| format!(r#"{{"version":{n},{MIGRATION}}}"#));
    answer(&format!(r#"{{"server_version":170000,"history":{history}}}"#))
}

/// … and to summary.
fn platforms(_: usize) -> Vec<u8> {
    let name = "x".repeat(LONGEST / 2);
    let numbers = r#""active_count":1,"avg_session_minutes":1,"oldest_session":null,"latest_activity":null"#;
    let platforms = long_list(|n| {
        let name = if n == 0 { &name } else { "" };
        format!(r#"{{"platform":"{name}",{numbers}}}"#)
    });
    answer(&format!(
        r#"{{"now":"2026-01-01T00:00:00Z","filtered":false,"platforms":{platforms}}}"#
    ))
}

/// A list of texts, which is an answer to few.
fn texts(_: usize) -> Vec<u8> {
    answer(&long_list(|_| r#""""#.into()))
}

/// About the longest answer that is taken.
const LONGEST: usize = 1_450_000;

type Part = fn(usize) -> Vec<u8>;

#[test]
fn a_flood_before_the_login_is_done_costs_little_memory_and_is_an_error() {
    let parts: [Part; 6] = [notice, notices, setting, huge_row, huge_error, no_messages];
    for part in parts {
        let server = FakeServer::start(Manner::Flood {
            after_login: false,
            part,
        });
        in_64_mb(&server.url(), &["status"])
            .exits(3)
            .says("can't connect to")
            .says("the server sent");
    }
}

#[test]
fn a_flood_after_the_login_costs_little_memory_and_is_an_error() {
    let too_much = "the server sent more than the 1.5 MB";
    let parts: [(Part, &str); 8] = [
        // These are read and left out, until the server closes the connection.
        (notice, "connection closed"),
        (notices, "connection closed"),
        (setting, "connection closed"),
        (huge_row, too_much),
        (huge_error, too_much),
        (rows, too_much),
        (columns, too_much),
        (no_messages, "the server sent what is no message"),
    ];
    for (part, reason) in parts {
        let server = FakeServer::start(Manner::Flood {
            after_login: true,
            part,
        });
        in_64_mb(&server.url(), &["verify"]).exits(3).says(reason);
    }
}

#[test]
fn a_long_answer_costs_little_memory_in_every_format() {
    let cases: [(&str, Part, i32); 7] = [
        ("verify", objects, 3),
        ("verify", properties, 3),
        ("verify", migrations_for_verify, 1),
        ("status", migrations, 3),
        ("summary", platforms, 0),
        ("doctor", texts, 3),
        ("cleanup", texts, 3),
    ];
    for (command, part, code) in cases {
        let server = FakeServer::start(Manner::Flood {
            after_login: true,
            part,
        });
        for format in ["table", "json", "csv"] {
            if (command, format) != ("cleanup", "csv") {
                let run = in_64_mb(&server.url(), &[command, "--format", format]);
                assert_eq!(
                    run.code,
                    code,
                    "{command} {format}: {}",
                    run.stderr.get(..300).unwrap_or(&run.stderr)
                );
            }
        }
    }
}

#[test]
fn in_the_same_memory_a_server_that_means_well_is_served() {
    let db = Db::migrated(Grants::Closed);
    in_64_mb(&db.url(), &["verify"]).ok();
    in_64_mb(&db.url(), &["doctor"]).ok();
    // Notices are no answer: a trigger may raise one for each row.
    crate::migrate::fill(&db, 5000);
    db.client()
        .batch_execute(
            "update public.user_sessions set status = 'ended', started_at = t, ended_at = t
               from (select now() - interval '200 days') as t (t);
             create function public.talk() returns trigger language plpgsql as $f$
             begin raise notice '%', repeat('x', 2000); return old; end $f$;
             create trigger talk before delete on public.user_sessions for each row execute function public.talk()",
        )
        .unwrap();
    in_64_mb(&db.url(), &["cleanup"]).ok().says("deleted 5,000");
}
