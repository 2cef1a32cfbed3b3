//! Over 400 lines: two tables with a case a line.

use proptest::prelude::*;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

use super::super::parameters::Environment;
use super::*;

fn bare(text: &str) -> Result<Target, Error> {
    parse(text, &Environment::default(), &Overrides::default())
}

fn with_env(text: &str, variables: &[(&str, &str)]) -> Result<Target, Error> {
    parse(text, &variables.iter().copied().collect(), &Overrides::default())
}

fn shown(tls: &TlsPolicy) -> String {
    match &tls.root {
        None => tls.mode.to_string(),
        Some(RootCert::System) => format!("{} system", tls.mode),
        Some(RootCert::File(path)) => format!("{} {}", tls.mode, path.display()),
    }
}

/// A string, where it leads, the password, and the TLS policy.
type Accepted = (&'static str, &'static str, Option<&'static str>, &'static str);

const ACCEPTED: &[Accepted] = &[
    // URLs.
    ("postgres://u:p@h/d", "u@h:5432/d", Some("p"), "require"),
    ("postgresql://u:p@h:6543/d", "u@h:6543/d", Some("p"), "require"),
    ("POSTGRES://u@h/d", "u@h:5432/d", None, "require"),
    ("postgres://u:p@h", "u@h:5432/u", Some("p"), "require"),
    ("postgres://u:p@h/", "u@h:5432/u", Some("p"), "require"),
    ("postgres://u:@h/d", "u@h:5432/d", None, "require"),
    ("postgres://u:p@h:/d", "u@h:5432/d", Some("p"), "require"),
    ("postgres://u:p@h/d?", "u@h:5432/d", Some("p"), "require"),
    ("postgres://u:p@h?dbname=d", "u@h:5432/d", Some("p"), "require"),
    (
        "postgresql://postgres:p@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
        "postgres@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
        Some("p"),
        "require",
    ),
    (
        "postgres://postgres.ref:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true",
        "postgres.ref@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
        Some("p"),
        "require",
    ),
    (
        "postgres://default:p@aws-1-us-east-1.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
        "default@aws-1-us-east-1.pooler.supabase.com:6543/postgres",
        Some("p"),
        "require",
    ),
    ("\u{a0}postgres://u:p@h/d\u{a0}", "u@h:5432/d", Some("p"), "require"),
    // Percent-encoding.
    (
        "postgres://u:%5Bp%5D%E2%80%8B@h/d",
        "u@h:5432/d",
        Some("[p]\u{200b}"),
        "require",
    ),
    (
        "postgres://u:%40%3A%2F%23%3F%25@h/d",
        "u@h:5432/d",
        Some("@:/#?%"),
        "require",
    ),
    ("postgres://u:a%20b%2fc@h/d", "u@h:5432/d", Some("a b/c"), "require"),
    ("postgres://u:p%C3%A4ss@h/d", "u@h:5432/d", Some("päss"), "require"),
    ("postgres://u:päss@h/d", "u@h:5432/d", Some("päss"), "require"),
    (
        "postgres://u:a+b&c=d!$[e]@h/d",
        "u@h:5432/d",
        Some("a+b&c=d!$[e]"),
        "require",
    ),
    ("postgres://u:it's@h/d", "u@h:5432/d", Some("it's"), "require"),
    (
        "postgres://u:back\\slash@h/d",
        "u@h:5432/d",
        Some("back\\slash"),
        "require",
    ),
    ("postgres://us%40er:p@h/d", "us@er@h:5432/d", Some("p"), "require"),
    ("postgres://u:p@h/my%2Fdb", "u@h:5432/my/db", Some("p"), "require"),
    ("postgres://u:p@h/%1b[2J", "u@h:5432/\\u{1b}[2J", Some("p"), "require"),
    ("postgres://u:p@%68/d", "u@h:5432/d", Some("p"), "require"),
    // Loopback, IPv6, sockets.
    ("postgres://u:p@localhost/d", "u@localhost:5432/d", Some("p"), "prefer"),
    ("postgres://u:p@LocalHost/d", "u@LocalHost:5432/d", Some("p"), "prefer"),
    (
        "postgres://u:p@127.0.0.1:54322/d",
        "u@127.0.0.1:54322/d",
        Some("p"),
        "prefer",
    ),
    ("postgres://u:p@127.9.9.9/d", "u@127.9.9.9:5432/d", Some("p"), "prefer"),
    ("postgres://u:p@[::1]/d", "u@[::1]:5432/d", Some("p"), "prefer"),
    (
        "postgres://u:p@[::ffff:127.0.0.1]/d",
        "u@[::ffff:127.0.0.1]:5432/d",
        Some("p"),
        "prefer",
    ),
    (
        "postgres://u:p@[2001:db8::1]:6000/d",
        "u@[2001:db8::1]:6000/d",
        Some("p"),
        "require",
    ),
    (
        "postgres://u:p@[fe80::1%25eth0]/d",
        "u@[fe80::1%eth0]:5432/d",
        Some("p"),
        "require",
    ),
    ("postgres://u:p@10.0.0.1/d", "u@10.0.0.1:5432/d", Some("p"), "require"),
    (
        "postgres://u:p@localhost.example.com/d",
        "u@localhost.example.com:5432/d",
        Some("p"),
        "require",
    ),
    (
        "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
        "u@[/var/run/postgresql]:5432/d",
        None,
        "disable",
    ),
    (
        "postgres:///d?host=/tmp&user=u&port=6000",
        "u@[/tmp]:6000/d",
        None,
        "disable",
    ),
    ("postgres://u@/d?host=/tmp", "u@[/tmp]:5432/d", None, "disable"),
    (
        "host=/tmp user=u sslmode=verify-full",
        "u@[/tmp]:5432/u",
        None,
        "disable",
    ),
    ("hostaddr=127.0.0.1 user=u", "u@127.0.0.1:5432/u", None, "prefer"),
    ("host=h hostaddr=127.0.0.1 user=u", "u@h:5432/u", None, "require"),
    (
        "host=localhost hostaddr=10.0.0.1 user=u",
        "u@localhost:5432/u",
        None,
        "require",
    ),
    // Key=value.
    (
        "host=h user=u password=p dbname=d port=1",
        "u@h:1/d",
        Some("p"),
        "require",
    ),
    ("  host = h\n\tuser = u\n", "u@h:5432/u", None, "require"),
    ("host=h user=u password='a b'", "u@h:5432/u", Some("a b"), "require"),
    (
        r"host=h user=u password='it\'s \\ ok'",
        "u@h:5432/u",
        Some(r"it's \ ok"),
        "require",
    ),
    (
        r"host=h user=u password=a\ b\'c",
        "u@h:5432/u",
        Some("a b'c"),
        "require",
    ),
    ("host=h user=u password=@:/#?%", "u@h:5432/u", Some("@:/#?%"), "require"),
    (
        "host=h user=u password=postgres://x",
        "u@h:5432/u",
        Some("postgres://x"),
        "require",
    ),
    ("host=h user=u password=''", "u@h:5432/u", None, "require"),
    ("host=h user=u password=", "u@h:5432/u", None, "require"),
    ("host=h user=u password=a=b", "u@h:5432/u", Some("a=b"), "require"),
    ("host=h user=x user=u", "u@h:5432/u", None, "require"),
    ("pgbouncer=true host=h user=u", "u@h:5432/u", None, "require"),
    // What copying leaves around a string.
    (" postgres://u:p@h/d\n", "u@h:5432/d", Some("p"), "require"),
    ("\"postgres://u:p@h/d\"", "u@h:5432/d", Some("p"), "require"),
    ("'postgres://u:p@h/d'\r\n", "u@h:5432/d", Some("p"), "require"),
    ("\u{feff}postgres://u:p@h/d", "u@h:5432/d", Some("p"), "require"),
    ("\"host=h user=u password='p'\"", "u@h:5432/u", Some("p"), "require"),
    // TLS.
    ("postgres://u@h/d?sslmode=disable", "u@h:5432/d", None, "disable"),
    ("postgres://u@h/d?sslmode=prefer", "u@h:5432/d", None, "prefer"),
    ("postgres://u@h/d?sslmode=", "u@h:5432/d", None, "require"),
    ("postgres://u@h/d?ssl=true", "u@h:5432/d", None, "require"),
    (
        "postgres://u@localhost/d?ssl=true",
        "u@localhost:5432/d",
        None,
        "require",
    ),
    (
        "postgres://u@h/d?ssl=true&sslmode=verify-full",
        "u@h:5432/d",
        None,
        "verify-full system",
    ),
    (
        "postgres://u@h/d?sslmode=verify-ca",
        "u@h:5432/d",
        None,
        "verify-ca system",
    ),
    (
        "postgres://u@h/d?sslmode=verify-full&sslrootcert=ca.crt",
        "u@h:5432/d",
        None,
        "verify-full ca.crt",
    ),
    (
        "postgres://u@h/d?sslmode=require&sslrootcert=%2Fca.crt",
        "u@h:5432/d",
        None,
        "verify-ca /ca.crt",
    ),
    (
        "postgres://u@h/d?sslrootcert=ca.crt",
        "u@h:5432/d",
        None,
        "verify-ca ca.crt",
    ),
    (
        "postgres://u@localhost/d?sslrootcert=ca.crt",
        "u@localhost:5432/d",
        None,
        "verify-ca ca.crt",
    ),
    (
        "postgres://u@h/d?sslmode=prefer&sslrootcert=ca.crt",
        "u@h:5432/d",
        None,
        "prefer",
    ),
    (
        "postgres://u@h/d?sslrootcert=system",
        "u@h:5432/d",
        None,
        "verify-full system",
    ),
    (
        "postgres://u@h/d?sslmode=verify-full&sslrootcert=system",
        "u@h:5432/d",
        None,
        "verify-full system",
    ),
    (
        "postgres://u@h/d?sslmode=require&sslnegotiation=direct",
        "u@h:5432/d",
        None,
        "require",
    ),
    // Parameters without a meaning here.
    (
        "postgres://u@h/d?client_encoding=utf8&fallback_application_name=x&load_balance_hosts=random&sslcompression=0&sslsni=1&gssencmode=prefer",
        "u@h:5432/d",
        None,
        "require",
    ),
    (
        "postgres://u@h/d?schema=public&connection_limit=1&pool_timeout=9&statement_cache_mode=describe&prepareThreshold=0&prepared_statements=false",
        "u@h:5432/d",
        None,
        "require",
    ),
];

#[test]
fn connection_strings_lead_where_libpq_would_go() {
    for (text, place, password, tls) in ACCEPTED {
        let target = bare(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(target.to_string(), *place, "{text}");
        assert_eq!(target.config.get_password(), password.map(str::as_bytes), "{text}");
        assert_eq!(shown(&target.tls), *tls, "{text}");
    }
}

/// A string, and a piece of the message that it gets.
const REFUSED_STRINGS: &[(&str, &str)] = &[
    ("", "is empty"),
    (" \n\t", "is empty"),
    ("''", "is empty"),
    // Unescaped characters in the password.
    (
        "postgres://u:pa@ss@h/d",
        "in the password of the URL: write `@` as `%40`",
    ),
    (
        "postgres://u:pa:ss@h/d",
        "in the password of the URL: write `:` as `%3A`",
    ),
    (
        "postgres://u:pa/ss@h/d",
        "in the password of the URL: write `/` as `%2F`",
    ),
    (
        "postgres://u:pa#ss@h/d",
        "in the password of the URL: write `#` as `%23`",
    ),
    (
        "postgres://u:pa?ss@h/d",
        "in the password of the URL: write `?` as `%3F`",
    ),
    (
        "postgres://u:pa?s=s@h/d",
        "in the password of the URL: write `?` as `%3F`",
    ),
    (
        "postgres://u:pa%ss@h/d",
        "in the password of the URL: write `%` as `%25`",
    ),
    (
        "postgres://u:pass%@h/d",
        "in the password of the URL: write `%` as `%25`",
    ),
    (
        "postgres://u:pass%4@h/d",
        "in the password of the URL: write `%` as `%25`",
    ),
    ("postgres://u:%4é@h/d", "in the password of the URL: write `%` as `%25`"),
    (
        "postgres://u:@@:/#?%@h/d",
        "write `@` as `%40`, `:` as `%3A`, `/` as `%2F`, `#` as `%23`, `?` as `%3F`, `%` as `%25`",
    ),
    (
        "postgres://u:a@b/c@h:5432/d?sslmode=require",
        "write `@` as `%40`, `/` as `%2F`",
    ),
    ("postgres://u:p@h/d@e", "write `@` as `%40`"),
    ("postgres://u:a&b%zz@h/d", "in the password"),
    // And elsewhere.
    (
        "postgres://us/er@h/d",
        "in the user name of the URL: write `/` as `%2F`",
    ),
    ("postgres://h/my@db", "in the user name of the URL: write `/` as `%2F`"),
    (
        "postgres://u%er:p@h/d",
        "in the user name of the URL: write `%` as `%25`",
    ),
    (
        "postgres://u:p@h/d#e",
        "in the database name of the URL: write `#` as `%23`",
    ),
    (
        "postgres://u:p@h/d/",
        "in the database name of the URL: write `/` as `%2F`",
    ),
    ("postgres://u:p@h%/d", "in the host of the URL: write `%` as `%25`"),
    ("postgres://u:p@h#/d", "in the host of the URL: write `#` as `%23`"),
    (
        "postgres://u:p@h/d?options=a%b",
        "in the parameters of the URL: write `%` as `%25`",
    ),
    (
        "postgres://u:p@h/d?application_name=a@b",
        "in the parameters of the URL: write `@` as `%40`",
    ),
    (
        "postgres://h/d?user=u&password=a@b",
        "in the parameters of the URL: write `@` as `%40`",
    ),
    ("postgres://u:%ff@h/d", "in the password of the URL are not UTF-8"),
    ("postgres://u:a%00b@h/d", "in the password of the URL are not UTF-8"),
    ("postgres://u:p w@h/d", "a space, a line break"),
    (
        "postgres://u:p@h/d?sslmode=require\n&pgbouncer=true",
        "a space, a line break",
    ),
    ("postgres://u:p@h/d\"", "a quote at one end"),
    ("\"postgres://u:p@h/d", "a quote at one end"),
    ("'", "a quote at one end"),
    // Not a connection string at all.
    ("https://abcdefghijklmnopqrst.supabase.co", "this is the API's address"),
    ("http://localhost:54321", "this is the API's address"),
    ("HTTPS://abc.supabase.co/rest/v1?a=b", "this is the API's address"),
    (
        "https://supabase.com/dashboard/project/abc",
        "this is the API's address",
    ),
    ("abcdefghijklmnopqrst.supabase.co", "this is the API's address"),
    (
        "postgres://postgres:p@abcdefghijklmnopqrst.supabase.co:5432/postgres",
        "this is the API's address",
    ),
    ("host=https://abc.supabase.co user=u", "this is the API's address"),
    ("mysql://u:p@h/d", "not a PostgreSQL URL"),
    ("psql postgres://u:p@h/d", "in front of postgres://"),
    ("jdbc:postgresql://h/d?user=u&password=p", "in front of postgres://"),
    ("DATABASE_URL=postgres://u:p@h/d", "in front of postgres://"),
    ("postgres:/u:p@h/d", "not a connection string"),
    ("postgres//u:p@h/d?sslmode=require", "not a connection string"),
    ("u:p@db.abc.supabase.co/postgres", "not a connection string"),
    ("host=h user=u password=a\0b", "not a connection string"),
    ("hunter2", "not a connection string"),
    ("hunter2=x", "not a connection string"),
    ("u:p@h/d?sslmode=require", "not a connection string"),
    ("=x host=h", "not a connection string"),
    // Hosts and ports.
    ("postgres://u:p@h:x/d", "is not a number from 1"),
    ("postgres://u:p@h:0/d", "is not a number from 1"),
    ("postgres://u:p@h:65536/d", "is not a number from 1"),
    ("postgres://u:pa?secret=x", "is not a number from 1"),
    ("postgres://u:secret/d", "is not a number from 1"),
    ("host=h user=u port=x", "is not a number from 1"),
    ("postgres://u:p@2001:db8::1/d", "in brackets"),
    ("postgres://u:p@[2001:db8::1/d", "not a host name"),
    ("postgres://u:p@[nonsense]/d", "not a host name"),
    ("postgres://u:p@[::1]x/d", "not a host name"),
    ("postgres://u:pa,ss/d", "is not a number from 1"),
    ("postgres://u:p@h1,h2/d", "several hosts: give one"),
    ("postgres://u:p@h1,,h2/d", "several hosts: give one"),
    ("postgres://u:p@h1:1,h2:2/d", "several hosts: give one"),
    ("postgres://u:p@[::1],h2:2/d", "several hosts: give one"),
    ("postgres://u:p@h1%2Ch2/d", "several hosts: give one"),
    ("host=h1,h2 port=7 user=u", "several hosts: give one"),
    ("host=h,/tmp user=u", "several hosts: give one"),
    ("host=/tmp,/run user=u", "several hosts: give one"),
    ("hostaddr=127.0.0.1,10.0.0.1 user=u", "several hosts: give one"),
    ("host=h hostaddr=127.0.0.1,10.0.0.1 user=u", "several hosts: give one"),
    ("host=h;user=u;password=p", "not a host name"),
    ("host='h g' user=u", "not a host name"),
    ("host=a@b user=u", "not a host name"),
    ("postgres://u:p@aws-0-[REGION].pooler.supabase.com/d", "not a host name"),
    ("host=h port=1,2 user=u", "is not a number from 1"),
    ("host=/tmp hostaddr=127.0.0.1 user=u", "leave out hostaddr"),
    (
        "host=/tmp user=u target_session_attrs=read-write",
        "leads to one server",
    ),
    ("host=h hostaddr=nonsense user=u", "`hostaddr` has an invalid value"),
    ("postgres:///d?user=u", "names no host"),
    ("postgres://", "names no host"),
    ("dbname=d user=u", "names no host"),
    ("postgres://h/d", "names no user"),
    ("postgres://:p@h/d", "names no user"),
    // Placeholders.
    (
        "postgres://postgres:[YOUR-PASSWORD]@db.abc.supabase.co:5432/postgres",
        "the password is still a placeholder",
    ),
    (
        "postgres://postgres:[your_password]@h/d",
        "the password is still a placeholder",
    ),
    (
        "postgres://postgres:%5BYOUR-PASSWORD%5D@h/d",
        "the password is still a placeholder",
    ),
    (
        "host=h user=u password=YOUR_PASSWORD",
        "the password is still a placeholder",
    ),
    (
        "postgres://u:p@db.[YOUR-PROJECT-REF].supabase.co/d",
        "the host is still a placeholder",
    ),
    (
        "postgres://postgres.[YOUR-PROJECT-REF]:p@h/d",
        "the user name is still a placeholder",
    ),
    // What copying adds.
    (
        "postgres://u:sec\u{200b}ret@h/d",
        "the connection string holds an invisible character, U+200B: delete it, or if it belongs to the password, write it \
         as %E2%80%8B in a URL",
    ),
    ("postgres://u:p@h\u{a0}/d", "an invisible character, U+00A0"),
    ("postgres://u:p@h/d\u{ad}", "an invisible character, U+00AD"),
    ("postgres://u:p@h/\u{feff}d", "an invisible character, U+FEFF"),
    ("host=h user=u password=a\u{2060}b", "an invisible character, U+2060"),
    ("host=h\u{202f}user=u", "an invisible character, U+202F"),
    ("postgres://u:[secret]@h/d", "the password stands in brackets"),
    // Parameters.
    ("postgres://u:p@h/d?bogus=1", "unknown parameter `bogus`"),
    ("postgres://u:p@h/d?SSLMODE=require", "unknown parameter `SSLMODE`"),
    ("postgres://u:p@h/d?%1b=1", "is not a plain word"),
    (
        "postgres://u:p@h/d?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
        "`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…`",
    ),
    ("postgres://u:p@h/d?sslmode", "without `=` behind the ?"),
    ("postgres://h/d?user=u&password=a&b=c", "what follows the password"),
    ("bogus=1 host=h user=u", "unknown parameter `bogus`"),
    ("host=h user=u password='p' bogus=1", "unknown parameter `bogus`"),
    ("host=h user=u password=p port=1 bogus=1", "unknown parameter `bogus`"),
    ("host=h user=u password=my secret=1", "what follows the password"),
    ("host=h user=u password=my secret", "a word without `=`"),
    ("host=h user=u password='my secret", "without its closing quote"),
    ("host=h user=u password='it's mine'", "a quote inside a quoted value"),
    ("host=h user=u =x", "is not a plain word"),
    (
        "postgres://u:p@h/d?sslcert=x",
        "`sslcert` in the connection string is not supported: log in with a password",
    ),
    ("postgres://u:p@h/d?sslkey=x", "log in with a password"),
    ("service=x", "`service` in the connection string is not supported"),
    ("host=h user=u passfile=x", "PGPASSWORD"),
    ("host=h user=u gssencmode=require", "use TLS"),
    (
        "host=h user=u connect_timeout=soon",
        "`connect_timeout` has an invalid value",
    ),
    (
        "host=h user=u tcp_user_timeout=-1",
        "`tcp_user_timeout` has an invalid value",
    ),
    (
        "host=h user=u channel_binding=x",
        "`channel_binding` has an invalid value",
    ),
    ("host=h user=u krbsrvname=x", "unknown parameter `krbsrvname`"),
    (
        "host=h user=u target_session_attrs=prefer-standby",
        "`target_session_attrs` has an invalid value",
    ),
    // TLS.
    ("postgres://u@h/d?sslmode=allow", "sslmode=allow is not supported"),
    ("postgres://u@h/d?sslmode=Require", "unknown sslmode"),
    ("postgres://u@h/d?sslmode=no-verify", "unknown sslmode"),
    ("postgres://u@h/d?ssl=false", "`ssl` has an invalid value"),
    (
        "postgres://u@h/d?sslmode=verify-ca&sslrootcert=system",
        "sslmode=verify-full only",
    ),
    (
        "postgres://u@h/d?sslmode=disable&sslrootcert=system",
        "sslmode=verify-full only",
    ),
    (
        "postgres://u@localhost/d?sslnegotiation=direct",
        "sslnegotiation=direct needs",
    ),
];

#[test]
fn broken_connection_strings_get_an_error_that_says_what_to_do() {
    for (text, message) in REFUSED_STRINGS {
        let error = bare(text).map(|target| target.to_string()).expect_err(text).to_string();
        assert!(error.contains(message), "{text}: {error}");
        assert!(!error.contains('\n') && error.len() < 250, "{text}: {error}");
        assert!(!error.starts_with(char::is_uppercase), "{text}: {error}");
    }
}

#[test]
fn parameters_reach_tokio_postgres() {
    let config = bare(
        "host=h user=u application_name='my app' options='-c geqo=off' connect_timeout=3 \
         keepalives=1 keepalives_idle=11 keepalives_interval=12 keepalives_count=13 \
         tcp_user_timeout=1500 target_session_attrs=read-write channel_binding=require \
         sslnegotiation=direct",
    )
    .unwrap()
    .config;
    assert_eq!(config.get_application_name(), Some("my app"));
    assert_eq!(config.get_options(), Some("-c geqo=off"));
    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(11));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(12)));
    assert_eq!(config.get_keepalives_retries(), Some(13));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
    assert_eq!(config.get_ssl_negotiation(), SslNegotiation::Direct);
}

#[test]
fn keepalives_a_user_timeout_and_a_connect_timeout_are_set_unless_the_string_says_otherwise() {
    let config = bare("host=h user=u").unwrap().config;
    assert_eq!(config.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
    assert!(config.get_keepalives());
    assert_eq!(config.get_keepalives_idle(), KEEPALIVES_IDLE);
    assert_eq!(config.get_keepalives_interval(), Some(KEEPALIVES_INTERVAL));
    assert_eq!(config.get_keepalives_retries(), Some(KEEPALIVES_COUNT));
    assert_eq!(config.get_tcp_user_timeout(), Some(&TCP_USER_TIMEOUT));
    assert_eq!(config.get_application_name(), None);

    let config = bare("host=h user=u keepalives=0 connect_timeout=0 tcp_user_timeout=0")
        .unwrap()
        .config;
    assert!(!config.get_keepalives());
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::ZERO));
    assert_eq!(config.get_connect_timeout(), None);
}

#[test]
fn flags_win_over_the_string_which_wins_over_the_environment() {
    let env = [
        ("PGSSLMODE", "disable"),
        ("PGCONNECT_TIMEOUT", "1"),
        ("PGUSER", "e"),
        ("PGPASSWORD", "e"),
        ("PGAPPNAME", "e"),
    ]
    .into_iter()
    .collect();
    let text = "postgres://u:p@h/d?sslmode=require&connect_timeout=2";
    let flags = Overrides {
        sslmode: Some(SslMode::VerifyFull),
        sslrootcert: Some(RootCert::File("flag.crt".into())),
        connect_timeout: Some(Duration::from_secs(3)),
        timeout: Some(Duration::from_secs(4)),
    };
    let target = parse(text, &env, &flags).unwrap();
    assert_eq!(shown(&target.tls), "verify-full flag.crt");
    assert_eq!(target.config.get_connect_timeout(), Some(&Duration::from_secs(3)));
    assert_eq!(target.timeout, Some(Duration::from_secs(4)));
    assert_eq!(target.config.get_password(), Some(&b"p"[..]));
    assert_eq!(target.config.get_application_name(), Some("e"));

    let target = parse(text, &env, &Overrides::default()).unwrap();
    assert_eq!(shown(&target.tls), "require");
    assert_eq!(target.config.get_connect_timeout(), Some(&Duration::from_secs(2)));

    let target = parse("postgres://h/d", &env, &Overrides::default()).unwrap();
    assert_eq!(target.to_string(), "e@h:5432/d");
    assert_eq!(shown(&target.tls), "disable");
    assert_eq!(target.config.get_connect_timeout(), Some(&Duration::from_secs(1)));

    let forever = Overrides {
        connect_timeout: Some(Duration::ZERO),
        ..Overrides::default()
    };
    assert_eq!(parse(text, &env, &forever).unwrap().config.get_connect_timeout(), None);
}

#[test]
fn the_environment_fills_what_the_string_leaves_out() {
    let all = [
        ("PGHOST", "h"),
        ("PGPORT", "7"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "p w"),
        ("PGDATABASE", "d"),
        ("PGOPTIONS", "-c geqo=off"),
        ("PGSSLROOTCERT", "system"),
    ];
    let target = with_env("postgres://", &all).unwrap();
    assert_eq!(target.to_string(), "u@h:7/d");
    assert_eq!(target.config.get_password(), Some(&b"p w"[..]));
    assert_eq!(target.config.get_options(), Some("-c geqo=off"));
    assert_eq!(shown(&target.tls), "verify-full system");

    assert_eq!(with_env("postgres://x:y@z:1/w", &all).unwrap().to_string(), "x@z:1/w");
    assert_eq!(with_env("dbname=w", &all).unwrap().to_string(), "u@h:7/w");
    assert_eq!(
        with_env("user=x password=", &all).unwrap().config.get_password(),
        Some(&b"p w"[..])
    );
    let socket = with_env("postgres://u@/d", &[("PGHOST", "/tmp")]).unwrap();
    assert_eq!(socket.to_string(), "u@[/tmp]:5432/d");
    // A stray address must not take a string that names its host elsewhere.
    let stray = with_env("postgres://u@h/d", &[("PGHOSTADDR", "10.0.0.1")]).unwrap();
    assert!(stray.config.get_hostaddrs().is_empty());
    assert_eq!(with_env("user=u", &[("PGHOST", "h1,h2")]), Err(Error::SeveralHosts));
    let address = with_env("user=u", &[("PGHOSTADDR", "10.0.0.1")]).unwrap();
    assert_eq!(address.to_string(), "u@10.0.0.1:5432/u");
}

#[test]
fn an_invalid_variable_is_named() {
    let error = with_env("host=h user=u", &[("PGPASSWORD", "sec\u{200d}ret")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("PGPASSWORD holds an invisible character, U+200D")
    );
    let error = with_env("host=h user=u", &[("PGCONNECT_TIMEOUT", "soon")]).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("check it in the connection string or in PGCONNECT_TIMEOUT")
    );
    let error = with_env("host=h connect_timeout=x user=u", &[("PGCONNECT_TIMEOUT", "1")]);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("check it in the connection string")
    );
}

#[test]
fn debug_output_never_shows_the_password() {
    let env = Environment::from_iter([("PGPASSWORD", "hunter2")]);
    let target = parse("host=h user=u", &env, &Overrides::default()).unwrap();
    assert_eq!(target.config.get_password(), Some(&b"hunter2"[..]));
    assert!(!format!("{env:?} {target:?} {target}").contains("hunter2"));
}

/// Whether a text shows the password or four characters of it in a row.
fn shows(text: &str, password: &str) -> bool {
    let letters: Vec<char> = password.chars().collect();
    letters
        .windows(4)
        .any(|part| text.contains(&part.iter().collect::<String>()))
}

/// Passwords that begin with a letter and hold parts which no message of ours holds.
fn passwords() -> impl Strategy<Value = String> {
    let punctuation = r#"[@:/#?%&=' "\\+\[\],;!$-]{0,3}"#;
    (punctuation, "[QXZJ79]{4}", punctuation, "[QXZJ79]{4,9}", punctuation)
        .prop_map(|(a, b, c, d, e)| format!("Z{a}QX{b}{c}XQ{d}{e}"))
}

fn whatever_it_says(text: &str) -> String {
    let env = Environment::from_iter([("PGUSER", "u")]);
    match parse(text, &env, &Overrides::default()) {
        // Where a broken string reads as a good one, the password may end up as a host or a
        // database, and is shown as one.
        Ok(target) => format!("{:?}", target.config.get_password().map(|_| ())),
        Err(error) => format!("{error} {error:?}"),
    }
}

proptest! {
    #[test]
    fn no_string_makes_the_parser_panic(text in any::<String>()) {
        let _ = whatever_it_says(&text);
        let _ = whatever_it_says(&format!("postgres://{text}"));
        let _ = whatever_it_says(&format!("host=h user=u {text}"));
    }

    #[test]
    fn no_string_of_our_characters_makes_the_parser_panic(
        text in r"(postgres://)?([a-z]{1,3}|[@:/#?%&='\\ \[\],]|%[0-9a-fA-F]{2}|sslmode|host|password|é){0,24}",
    ) {
        let _ = whatever_it_says(&text);
    }

    #[test]
    fn an_encoded_password_is_read_back_and_never_shown(password in passwords()) {
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let escaped = password.replace('\\', r"\\").replace('\'', r"\'");
        for text in [
            format!("postgres://u:{encoded}@h:1/d?sslmode=require"),
            format!("postgres://h/d?user=u&password={encoded}"),
            format!("host=h user=u password='{escaped}' port=1"),
        ] {
            let target = bare(&text).unwrap();
            prop_assert_eq!(target.config.get_password(), Some(password.as_bytes()));
            let output = format!("{target} {target:?}");
            prop_assert!(!shows(&output, &password), "{}", output);
        }
    }

    #[test]
    fn a_password_pasted_as_it_is_never_shows_in_an_accepted_url(password in passwords()) {
        let text = format!("postgres://u:{password}@h:1/d?sslmode=require");
        let output = match bare(&text) {
            Ok(target) => format!("{target} {target:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        prop_assert!(!shows(&output, &password), "{}", output);
    }

    #[test]
    fn no_error_shows_a_part_of_the_password(password in passwords(), cut in 0usize..80) {
        for template in [
            "postgres://u:PW@h:1/d?sslmode=require",
            "postgres://u:PW@h:x/d",
            "postgres://u:PW@h:1/d?bogus=1",
            "postgres://u:PW@h/d@e?x=y",
            "postgres://u:PW",
            "postgres://u:PWh/d",
            "postgres:/u:PW@h/d?sslmode=require",
            "postgres//u:PW@h/d",
            "postgresqll://u:PW@h/d?a=b",
            "u:PW@h/d?sslmode=require",
            "https://u:PW@h/d?a=b",
            "psql postgres://u:PW@h/d",
            "DATABASE_URL=postgres://u:PW@h/d",
            "postgres://h/d?user=u&password=PW",
            "postgres://h/d?user=u&password=PW&sslmode=x",
            "host=h user=u password=PW",
            "host=h user=u password=PW port=1",
            "host=h user=u password='PW' port=1",
            "host=h user=u password='PW' bogus=1",
            "host=h user=u password='PW",
            "password=PW host=h sslmode=x",
            "PW",
            "'PW",
        ] {
            let text = template.replace("PW", &password);
            let cut: String = text.chars().take(cut).collect();
            for text in [text, cut] {
                // Cut off, these read as whole: an `@` in the password is the one before the
                // host, and a quote in it the closing one.
                let headless = text.starts_with("postgres://u:") && !text.contains("@h");
                let open = text.contains("password='") && !text.ends_with(['\'', '1']);
                if headless && password.contains('@') || open && password.contains('\'') {
                    continue;
                }
                let output = whatever_it_says(&text);
                prop_assert!(!shows(&output, &password), "{}: {}", text, output);
            }
        }
    }
}
