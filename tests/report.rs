//! `sessctl stats --html`: the page says what the database says, whatever is in it, and a browser shows it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use regex::Regex;
use sessctl::sandbox::Grants;

use crate::common::browser::{Browser, Scheme};
use crate::common::{Db, Run, sessctl_on};

const USER: &str = "00000000-0000-4000-8000-000000000001";

/// A migrated database with a user and without the lists of platforms and end reasons.
fn free() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.admin()
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{USER}');
             alter table public.user_sessions drop constraint user_sessions_platform_check, drop constraint user_sessions_end_reason_check"
        ))
        .unwrap();
    db
}

/// The month of tests/fixtures/report.sql, swept and cleaned.
fn month() -> Db {
    let db = Db::migrated(Grants::Closed);
    db.client().batch_execute(include_str!("fixtures/report.sql")).unwrap();
    db.sessctl(&["end-inactive"]).ok();
    db.sessctl(&["cleanup"]).ok();
    db
}

struct Written {
    text: String,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn write(db: &Db, arguments: &[&str]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    db.sessctl(&[&["stats", "--html", file.to_str().unwrap()], arguments].concat())
        .ok();
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "a temporary file is left"
    );
    Written {
        text: fs::read_to_string(&file).unwrap(),
        file,
        _folder: folder,
    }
}

/// The rows of the table below a chart: its cells without markup.
fn rows(page: &str, chart: &str) -> Vec<Vec<String>> {
    let marker = format!("<summary>{chart}: the numbers</summary>");
    let table = page.split_once(&marker).unwrap().1.split_once("</table>").unwrap().0;
    let cell = Regex::new("<t[dh](?: [^>]*)?>(.*?)</t[dh]>").unwrap();
    let row = |line: &str| cell.captures_iter(line).map(|cell| cell[1].to_owned()).collect();
    table.lines().filter(|line| line.contains("<tr>")).map(row).collect()
}

#[test]
fn the_tables_have_the_numbers_of_stats() {
    let db = month();
    let page = write(&db, &["--timezone", "Asia/Kathmandu", "--days", "20"]).text;
    let arguments = [
        "stats",
        "--format",
        "json",
        "--timezone",
        "Asia/Kathmandu",
        "--days",
        "20",
    ];
    let all = db.sessctl(&arguments).ok().json();
    let by_platform = db
        .sessctl(&[&arguments[..], &["--by", "platform"]].concat())
        .ok()
        .json();
    for (chart, key) in [
        ("Sessions per day by platform", "started"),
        ("Users per day by platform", "users"),
    ] {
        let rows = rows(&page, chart);
        let (header, days) = rows.split_first().unwrap();
        assert_eq!(header[..3], ["day", "all", "web"], "the largest platform comes first");
        assert_eq!((header.len(), days.len()), (7, 20));
        for (row, day) in days.iter().zip(all["days"].as_array().unwrap()) {
            assert_eq!(
                (row[0].as_str(), row[1].replace(',', "")),
                (day["day"].as_str().unwrap(), day[key].to_string())
            );
            for (platform, cell) in header.iter().zip(row).skip(2) {
                let is_of = |found: &&serde_json::Value| found["day"] == row[0] && found["platform"] == *platform;
                let found = by_platform["days"].as_array().unwrap().iter().find(is_of).unwrap();
                assert_eq!(*cell, found[key].to_string(), "{platform} on {}", row[0]);
            }
        }
    }
    let durations = rows(&page, "Duration of sessions per day");
    for (row, day) in durations[1..].iter().zip(all["days"].as_array().unwrap()) {
        let minutes = |cell: &str| -> i64 {
            let numbers: Vec<i64> = cell.split(' ').filter_map(|part| part.parse().ok()).collect();
            match (numbers.as_slice(), cell.contains('h')) {
                ([hours, minutes], true) => hours * 60 + minutes,
                ([minutes], false) => *minutes,
                _ => panic!("{cell}"),
            }
        };
        match day["median_seconds"].as_i64() {
            Some(seconds) => assert_eq!(minutes(&row[1]), seconds / 60),
            None => assert_eq!(row[1], "-"),
        }
    }
    // The reasons of a day are the whole, and timeouts are those of stats.
    let reasons = rows(&page, "End reasons per day");
    let timeout = reasons[0].iter().position(|name| name == "timeout").unwrap();
    for (row, day) in reasons[1..].iter().zip(all["days"].as_array().unwrap()) {
        if let Some(share) = day["timeout_share"].as_f64() {
            let percent = |cell: &String| -> f64 { cell.trim_end_matches(" %").parse().unwrap() };
            assert!(
                (row[1..].iter().map(percent).sum::<f64>() - 100.0).abs() < 0.3,
                "{row:?}"
            );
            assert!((percent(&row[timeout]) - share * 100.0).abs() < 0.06, "{row:?}");
        }
    }
    assert!(page.contains("Days in Asia/Kathmandu."), "{page}");
}

#[test]
fn the_other_formats_are_those_of_stats_with_the_file() {
    let db = month();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let html = ["--html", file.to_str().unwrap()];
    let mut with = db
        .sessctl(&[&["stats", "--format", "json", "--by", "platform"], &html[..]].concat())
        .ok()
        .json();
    let without = db
        .sessctl(&["stats", "--format", "json", "--by", "platform"])
        .ok()
        .json();
    let written = with.as_object_mut().unwrap().remove("file").unwrap();
    assert_eq!((written.as_str(), with), (file.to_str(), without));
    let csv = db.sessctl(&[&["stats", "--format", "csv"], &html[..]].concat()).ok();
    assert_eq!(csv.stdout, db.sessctl(&["stats", "--format", "csv"]).ok().stdout);
    let quiet = db.sessctl(&[&["stats", "--quiet"], &html[..]].concat()).ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let db = month();
    let page = write(&db, &[]).text;
    let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for elsewhere in [
        "http:",
        "https:",
        "//",
        "<script",
        " src=",
        "url(",
        "@import",
        "@font-face",
        "<iframe",
        "<form",
    ] {
        assert!(!without_namespace.contains(elsewhere), "{elsewhere}");
    }
    assert!(page.contains("default-src 'none'"));
    for part in [
        "sizes of none",
        "public.user_sessions",
        "idx_user_sessions_active",
        "cli (postgres)",
        "end-inactive",
    ] {
        assert!(page.contains(part) || part == "sizes of none", "{part}");
    }
}

/// Names that a page must show as they are, and that no browser may take for markup.
const HOSTILE: [&str; 5] = [
    "</script><script>document.title='gone'</script>",
    "\"><img src=x onerror=\"document.title='gone'\">",
    "a' onmouseover='document.title=1",
    "</svg></title></style><!-- &lt; &amp;amp; ]]>",
    "\u{1b}[2J\u{7}\u{202e}a\nb\tc\u{0085}",
];

#[test]
fn no_name_of_a_platform_a_reason_or_a_message_is_markup() {
    let db = free();
    let mut client = db.admin();
    let long = "<b>".repeat(3000);
    for (number, name) in HOSTILE.iter().copied().chain([long.as_str()]).enumerate() {
        let sql = format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, end_reason, started_at, ended_at)
             values ('{USER}', $1, $2, 'ended', $2, now() - interval '1 minute', now())"
        );
        client.execute(&sql, &[&number.to_string(), &name]).unwrap();
        let sql = "insert into sessctl.run (id, job, source, cutoff, started_at, finished_at, outcome, message)
                   values (gen_random_uuid(), 'cleanup', 'cli', now(), now(), now(), 'failed', $1)";
        client.execute(sql, &[&name]).unwrap();
    }
    let written = write(&db, &["--days", "2"]);
    let page = &written.text;
    for raw in [
        "<script",
        "<img",
        "<b>",
        "onmouseover='",
        "<!--",
        "\u{1b}",
        "\u{202e}",
        "\u{7}",
        "\u{85}",
        "\t",
    ] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    for shown in [
        "&lt;/script&gt;&lt;script&gt;",
        "\\x1b[2J\\x07\\u{202e}a\\x0ab",
        "&lt;b&gt;&lt;b&gt;",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(page.len() < 100_000, "{} bytes", page.len());
    let Some(browser) = Browser::find("the page with hostile names") else {
        return;
    };
    let seen = browser.open(&written.file, Scheme::Light);
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    assert!(seen.dom.contains("<title>Sessions from "), "{}", &seen.dom[..500]);
}

#[test]
fn of_many_platforms_the_smallest_are_one() {
    let db = free();
    db.admin()
        .batch_execute(&format!(
            "insert into public.user_sessions (user_id, session_id, platform, status, end_reason, started_at, ended_at)
             select '{USER}', p || '-' || n, 'platform ' || lpad(p::text, 3, '0'), 'ended', 'reason ' || p, now(), now()
             from generate_series(1, 200) p, generate_series(1, case when p <= 7 then 20 - p else 1 end) n"
        ))
        .unwrap();
    let page = write(&db, &["--days", "1"]).text;
    let rows = rows(&page, "Sessions per day by platform");
    assert_eq!(rows[0].len(), 10);
    assert_eq!(rows[0][2..4], ["platform 001", "platform 002"]);
    assert_eq!(rows[0][9], "193 other platforms");
    let numbers: Vec<u64> = rows[1][1..].iter().map(|cell| cell.parse().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>());
    assert_eq!((numbers[1], numbers[8]), (19, 193));
    assert!(page.contains("193 other reasons"));
    // An eighth one has a colour too, and so its name.
    db.admin()
        .batch_execute("delete from public.user_sessions where platform > 'platform 008'")
        .unwrap();
    let page = write(&db, &["--days", "1"]).text;
    assert!(page.contains("platform 008") && !page.contains("other platforms"));
    // JSON has all of them.
    let json = db
        .sessctl(&["stats", "--days", "1", "--by", "platform", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["days"].as_array().unwrap().len(), 8);
}

#[test]
fn poisoned_times_and_missing_names_never_break_it() {
    let db = free();
    db.admin()
        .batch_execute(&format!(
            "alter table public.user_sessions alter platform drop not null;
             insert into public.user_sessions (user_id, session_id, platform, status, started_at, last_heartbeat_at, ended_at)
             select '{USER}', row_number() over () || '', null, s.status, s.started, s.seen, s.ended
             from (values
               ('active', 'infinity'::timestamptz, 'infinity'::timestamptz, null::timestamptz),
               ('active', '-infinity', '-infinity', null),
               ('ended', '0001-01-01', '0001-01-01', '0001-01-01'),
               ('ended', '4714-11-24 00:00:00+00 BC', null, '294276-01-01'),
               ('ended', now(), 'infinity', '-infinity'),
               ('timeout', now(), null, 'infinity'),
               ('ended', now(), '0001-01-01', '294276-01-01'),
               ('active', now() + interval '1 hour', now(), null)
             ) as s (status, started, seen, ended)"
        ))
        .unwrap();
    for arguments in [
        &["--days", "3"][..],
        &["--days", "1096"],
        &["--timezone", "Pacific/Kiritimati"],
    ] {
        let page = write(&db, arguments).text;
        assert_eq!(
            rows(&page, "Sessions per day by platform").last().unwrap()[1..],
            ["3", "3"]
        );
        assert!(page.contains("no platform") && page.contains("no reason"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}

#[test]
fn without_sessions_or_with_one_day_of_them_the_page_says_so() {
    let db = free();
    let page = write(&db, &["--days", "7"]).text;
    assert!(page.contains("No session started in these 7 days."), "{page}");
    assert!(
        !page.contains("<figure>") && page.contains("public.user_sessions"),
        "{page}"
    );
    assert!(write(&db, &["--days", "1"]).text.contains("No session started on 20"));
    let insert =
        format!("insert into public.user_sessions (user_id, session_id, platform) values ('{USER}', '1', 'web')");
    db.admin().batch_execute(&insert).unwrap();
    let page = write(&db, &["--days", "7"]).text;
    assert!(page.contains("All sessions of these days started on 20"), "{page}");
    assert_eq!(page.matches("<figure>").count(), 4);
    // No session of it is over yet.
    assert!(
        rows(&page, "End reasons per day").iter().all(|row| row.len() == 1),
        "{page}"
    );
}

#[test]
fn what_a_role_may_not_see_is_left_out_and_said() {
    let db = month();
    let role = format!("viewer_{}", db.name);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    db.admin()
        .batch_execute(&format!(
            "create role {role} login password 'view';
             grant usage on schema sessctl to {role};
             grant select on public.user_sessions, sessctl.session_last_seen, sessctl.ended_last_seen, sessctl.session_duration to {role};
             grant select (job, cutoff, outcome, rows_done) on sessctl.run to {role};
             grant execute on function sessctl.require_table() to {role}"
        ))
        .unwrap();
    let run = Run::of(&mut sessctl_on(
        db.url_as(&role, "view"),
        &["stats", "--html", file.to_str().unwrap()],
    ));
    db.admin()
        .batch_execute(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
    run.ok().says("row level security applies to this role");
    let page = fs::read_to_string(&file).unwrap();
    assert!(page.contains("Row level security hides sessions"), "{page}");
    assert!(page.contains("The record of runs could not be read."), "{page}");
    assert!(page.contains("No session started"), "{page}");
}

#[test]
fn the_file_is_replaced_as_a_whole_or_stays() {
    let db = free();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    fs::write(&file, "before").unwrap();
    db.sessctl(&["stats", "--html", file.to_str().unwrap(), "--timezone", "Nowhere"])
        .exits(2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    db.sessctl(&["stats", "--html", file.to_str().unwrap()])
        .ok()
        .says("wrote ")
        .says(": 0 sessions in 30 days");
    assert!(fs::read_to_string(&file).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
    for elsewhere in [folder.path().join("none/report.html"), folder.path().to_owned()] {
        db.sessctl(&["stats", "--html", elsewhere.to_str().unwrap()])
            .exits(3)
            .says("can't write ")
            .says("hint: its folder must exist");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// What a script that is added to the page reads off it, as it is laid out: of each chart its width, its height and the number of
/// its bars and lines; the colour of the ground, of the first bar and of the text of an axis; whether anything is wider than the page.
const MEASURE: &str = "<script>
  const charts = [...document.querySelectorAll('figure > svg')].map(svg => {
    const box = svg.getBoundingClientRect();
    const marks = [...svg.querySelectorAll('rect, polyline')].filter(mark => mark.getBoundingClientRect().width > 0);
    return [Math.round(box.width), Math.round(box.height), marks.length];
  });
  const style = selector => getComputedStyle(document.querySelector(selector));
  document.body.dataset.seen = JSON.stringify({
    charts,
    ground: style('body').backgroundColor,
    bar: style('figure > svg rect[fill]').fill,
    text: style('figure > svg text').fill,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  });
</script>";

#[test]
fn a_browser_shows_the_charts_light_and_dark_without_a_word_in_the_console() {
    let Some(browser) = Browser::find("the page in a browser") else {
        return;
    };
    let db = month();
    let written = write(&db, &[]);
    let policy = Regex::new("<meta http-equiv=\"Content-Security-Policy\"[^>]*>").unwrap();
    let seen_data = Regex::new("data-seen=\"([^\"]*)\"").unwrap();
    let measured = written.file.with_file_name("measured.html");
    let page = written.text.replace("</body>", &format!("{MEASURE}</body>"));
    fs::write(&measured, policy.replace(&page, "").as_bytes()).unwrap();
    let mut looks = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        let seen = browser.open(&written.file, scheme);
        assert!(seen.console.is_empty(), "{:?}", seen.console);
        let seen = browser.open(&measured, scheme);
        let data = seen_data.captures(&seen.dom).unwrap()[1].replace("&quot;", "\"");
        let look: serde_json::Value = serde_json::from_str(&data).unwrap();
        let charts = look["charts"].as_array().unwrap();
        assert_eq!(charts.len(), 4);
        for (chart, marks) in charts.iter().zip([29, 29, 2, 29]) {
            assert!(
                chart[0].as_u64().unwrap() > 400 && chart[1].as_u64().unwrap() > 100,
                "{look}"
            );
            assert!(chart[2].as_u64().unwrap() >= marks, "{look}");
        }
        assert_eq!(look["wide"], false);
        looks.push(look);
    }
    for part in ["ground", "bar", "text"] {
        assert_ne!(looks[0][part], looks[1][part], "{part} is the same on a dark page");
    }
    assert_eq!(
        (&looks[0]["bar"], &looks[1]["bar"]),
        (&"rgb(66, 105, 208)".into(), &"rgb(127, 156, 240)".into())
    );
    // What the page does not allow would be in the console.
    let refused = written.file.with_file_name("refused.html");
    fs::write(&refused, page).unwrap();
    let seen = browser.open(&refused, Scheme::Light);
    assert!(
        seen.console.iter().any(|line| line.contains("Content Security Policy")),
        "{seen:?}"
    );
    assert!(!seen.dom.contains("data-seen"));
    pictures(&browser, &written.file);
}

/// The pictures of the docs: written where that is asked for, and always small.
fn pictures(browser: &Browser, page: &Path) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (name, scheme) in [("report.png", Scheme::Light), ("report-dark.png", Scheme::Dark)] {
        let file = docs.join(name);
        if std::env::var_os("SESSCTL_WRITE_PICTURE").is_some() {
            browser.picture(page, scheme, (900, 1440), &file);
        }
        let size = fs::metadata(&file).unwrap().len();
        assert!((10_000..200_000).contains(&size), "{name} has {size} bytes");
    }
}
