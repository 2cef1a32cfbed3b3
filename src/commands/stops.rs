//! The signals that stop a sandbox, and its command.

use std::fs;

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Stop;
use crate::failure::Failure;

/// The signals that stop a sandbox. None is lost between two calls.
pub(super) struct Stops {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where this program was told to ignore it, as nohup does.
    hangup: Option<Signal>,
}

impl Stops {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new("can't listen for signals").because(error));
        let ignores_hangup = ignores_hangup();
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: (!ignores_hangup).then(|| listen(SignalKind::hangup())).transpose()?,
        })
    }

    pub(super) async fn next(&mut self) -> Stop {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
            _ = hangup => Stop::Terminate,
        }
    }
}

/// Whether SIGHUP, the first bit, is ignored; known where there is a /proc.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Sends SIGTERM.
pub(super) async fn terminate(child: &Child) {
    if let Some(pid) = child.id() {
        // Where it is gone already, there is nothing to stop.
        let _ = Command::new("kill").arg(pid.to_string()).status().await;
    }
}
