//! Tells a monitoring service that a run begins, and how it ended. The URL is a credential: nothing here shows any part of it.

mod http;

use std::fmt;
use std::io;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::timeout;
use url::Url;

use crate::config::RootCert;

/// How long a ping may take, from the name lookup to the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Maximum size of what is sent with a ping, in bytes.
const MAX_BODY: usize = 10_000;

/// What a service expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Style {
    /// healthchecks.io: URL/start, then URL with the result as JSON, or URL/fail
    #[default]
    Healthchecks,
    /// Uptime Kuma, Cronitor: the URL alone, after a run that did its work
    Plain,
}

/// What a ping says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The run begins.
    Start,
    /// It did its work; its result as JSON.
    Success(&'a str),
    /// It did not; its result, where it came to one.
    Fail(Option<&'a str>),
}

impl Event<'_> {
    /// The last part of a URL's path, and the word for messages.
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success(_) => "success",
            Self::Fail(_) => "fail",
        }
    }
}

/// Where to send pings, and how.
pub(crate) struct Ping {
    url: Url,
    style: Style,
    /// The CA that the database's connection trusts, beside those of the system.
    root: Option<RootCert>,
}

/// Why a ping failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("no answer within {} s", LIMIT.as_secs())]
    Silence,
    #[error("the name of its host can't be resolved")]
    Lookup,
    #[error("{0}")]
    Connection(io::ErrorKind),
    #[error("the root certificate can't be read, or no CA of the system is known")]
    Roots,
    #[error("{0}")]
    Tls(&'static str),
    #[error("the answer is not HTTP, or breaks off")]
    Protocol,
    #[error("the service answered {0}, a redirect, which is not followed: use the URL that it leads to")]
    Redirect(u16),
    #[error("the service answered {0}")]
    Status(u16),
    #[error("the service answered 200, but did not count it: the URL is none of its checks, or it came too often")]
    NotCounted,
}

/// Why a text is no URL to send pings to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("must be a URL that begins with https:// or http://")]
    NoUrl,
    #[error("must be a URL without a user and a password")]
    Credentials,
}

impl Ping {
    /// # Errors
    /// The text is no URL, or one of another scheme; never with any part of it.
    pub(crate) fn new(url: &str, style: Style, root: Option<RootCert>) -> Result<Self, Unusable> {
        let url = Url::parse(url.trim()).map_err(|_| Unusable::NoUrl)?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return Err(Unusable::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unusable::Credentials);
        }
        Ok(Self { url, style, root })
    }

    /// Sends a ping, once, and waits for the answer, five seconds at most. A style that has no such event sends nothing.
    ///
    /// # Errors
    /// Nobody counted the ping, in a sentence that begins with its name.
    pub(crate) async fn send(&self, event: Event<'_>) -> Result<(), String> {
        let Some((url, body)) = self.request(event) else {
            return Ok(());
        };
        let sent = async {
            let status = http::send(&url, body, self.style == Style::Healthchecks, self.root.as_ref()).await?;
            match status {
                200..300 => Ok(()),
                300..400 => Err(Problem::Redirect(status)),
                _ => Err(Problem::Status(status)),
            }
        };
        let sent = timeout(LIMIT, sent).await.unwrap_or(Err(Problem::Silence));
        sent.map_err(|problem| format!("the {} ping failed: {problem}", event.name()))
    }

    /// The URL of an event, and the body of a POST; a GET has none.
    fn request(&self, event: Event<'_>) -> Option<(Url, Option<String>)> {
        match (self.style, event) {
            (Style::Plain, Event::Success(_)) => Some((self.url.clone(), None)),
            (Style::Plain, _) => None,
            (Style::Healthchecks, Event::Success(result)) => Some((self.url.clone(), Some(fitting(result)))),
            (Style::Healthchecks, Event::Start) => Some((self.with(event.name()), Some(String::new()))),
            (Style::Healthchecks, Event::Fail(result)) => {
                Some((self.with(event.name()), Some(result.map(fitting).unwrap_or_default())))
            }
        }
    }

    /// The URL with a part more at the end of its path; what follows `?` stays.
    fn with(&self, part: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push(part);
        }
        url
    }
}

/// A JSON text cut off is none.
fn fitting(result: &str) -> String {
    match result.len() {
        ..=MAX_BODY => result.to_owned(),
        _ => String::new(),
    }
}

/// A URL as it was given, which nothing shows.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(url: &str, style: Style) -> [Option<(String, Option<String>)>; 3] {
        let ping = Ping::new(url, style, None).unwrap();
        [Event::Start, Event::Success("{}"), Event::Fail(None)]
            .map(|event| ping.request(event).map(|(url, body)| (url.to_string(), body)))
    }

    #[test]
    fn healthchecks_has_a_url_for_each_event_and_keeps_the_query() {
        let get = |url: &str, body: &str| Some((url.to_owned(), Some(body.to_owned())));
        for url in ["https://hc.example/abc?create=1", "https://hc.example/abc/?create=1"] {
            let [start, success, fail] = requests(url, Style::Healthchecks);
            assert_eq!(start, get("https://hc.example/abc/start?create=1", ""));
            assert_eq!(success, get(url, "{}"));
            assert_eq!(fail, get("https://hc.example/abc/fail?create=1", ""));
        }
    }

    #[test]
    fn plain_is_the_url_alone_after_success() {
        let url = "http://kuma.example:3001/api/push/token?status=up&msg=OK";
        assert_eq!(requests(url, Style::Plain), [None, Some((url.into(), None)), None]);
    }

    #[test]
    fn a_result_over_ten_kilobytes_is_left_out() {
        assert_eq!(fitting(&"x".repeat(10_000)).len(), 10_000);
        assert_eq!(fitting(&"x".repeat(10_001)), "");
    }

    #[test]
    fn what_is_no_http_url_is_refused_without_showing_it() {
        for (text, unusable) in [
            ("hc-ping.com/secret", Unusable::NoUrl),
            ("ftp://host/secret", Unusable::NoUrl),
            ("file:///secret", Unusable::NoUrl),
            ("https://", Unusable::NoUrl),
            ("secret", Unusable::NoUrl),
            ("https://secret@host/x", Unusable::Credentials),
            ("https://u:secret@host/x", Unusable::Credentials),
        ] {
            let refused = Ping::new(text, Style::Plain, None).err();
            assert_eq!(refused.as_ref(), Some(&unusable), "{text}");
            assert!(!unusable.to_string().contains("secret"));
        }
        assert_eq!(format!("{:?}", Secret("secret".into())), "…");
    }
}
