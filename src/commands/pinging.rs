//! The pings of a run: where their URL comes from, and when they are sent.

use std::env::VarError;

use clap::Args as ClapArgs;

use super::Context;
use super::settings::Settings;
use crate::config::RootCert;
use crate::failure::exit;
use crate::maintenance::Outcome;
use crate::output::Json;
use crate::ping::{Event, Ping, Secret, Style};

/// The variable that has the URL where sessctl.toml names no other one.
const VARIABLE: &str = "SESSCTL_PING_URL";

/// The options of the commands that send pings.
#[derive(ClapArgs, Debug)]
pub(super) struct PingOptions {
    /// Report the run to a monitoring service; visible in ps, so prefer SESSCTL_PING_URL
    #[arg(long, value_name = "URL", value_parser = |url: &str| Ok::<_, String>(Secret(url.into())))]
    ping: Option<Secret>,
    /// Requests that the service expects (default healthchecks)
    #[arg(long, value_enum, value_name = "STYLE")]
    ping_style: Option<Style>,
}

/// Where the pings of a run go, if anywhere.
pub(super) struct Pinger<'a> {
    ping: Option<Ping>,
    context: &'a Context<'a>,
}

impl PingOptions {
    /// What is wrong with the URL is a warning, as a failed ping is. `variable`: what sessctl.toml names, or empty.
    pub(super) fn pinger<'a>(
        &self,
        variable: &str,
        settings: &Settings,
        root: Option<&RootCert>,
        context: &'a Context<'a>,
    ) -> Pinger<'a> {
        let style = self.ping_style.unwrap_or(settings.ping_style);
        let ping = self.url(variable, context).and_then(|(origin, url)| {
            let ping = Ping::new(&url.0, style, root.cloned());
            ping.map_err(|unusable| context.terminal.warn(&format!("no ping is sent: {origin} {unusable}")))
                .ok()
        });
        Pinger { ping, context }
    }

    /// The URL, and what gives it.
    fn url(&self, variable: &str, context: &Context<'_>) -> Option<(String, Secret)> {
        if let Some(url) = &self.ping {
            return (!url.0.trim().is_empty()).then(|| ("--ping".into(), url.clone()));
        }
        let name = if variable.is_empty() { VARIABLE } else { variable };
        match std::env::var(name) {
            Ok(url) if !url.trim().is_empty() => Some((name.into(), Secret(url))),
            Err(VarError::NotUnicode(_)) => {
                context
                    .terminal
                    .warn(&format!("no ping is sent: {name} is not UTF-8 text"));
                None
            }
            // A file in the repository names it for all machines, and not each one has it.
            _ if !variable.is_empty() => {
                context.terminal.note(&format!("no ping is sent: {name} is not set"));
                None
            }
            _ => None,
        }
    }
}

impl<'a> Pinger<'a> {
    /// Sends none.
    pub(super) fn silent(context: &'a Context<'a>) -> Self {
        Self { ping: None, context }
    }

    pub(super) async fn start(&self) {
        self.send(Event::Start).await;
    }

    /// Success is exit code 0.
    pub(super) async fn end(&self, outcome: Option<&Outcome>) {
        let result = outcome
            .and_then(|outcome| outcome.json().ok())
            .map(|json| json.to_string());
        match (outcome.map(Outcome::code), &result) {
            (Some(exit::DONE), Some(result)) => self.send(Event::Success(result)).await,
            _ => self.send(Event::Fail(result.as_deref())).await,
        }
    }

    /// After a signal nothing is sent, and what is being sent is given up.
    async fn send(&self, event: Event<'_>) {
        let Some(ping) = &self.ping else {
            return;
        };
        tokio::select! {
            biased;
            () = self.context.stop.requested() => {}
            sent = ping.send(event) => if let Err(problem) = sent {
                self.context.terminal.warn(&problem);
            }
        }
    }
}
