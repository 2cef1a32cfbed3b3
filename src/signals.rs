//! SIGINT, SIGTERM and SIGHUP, listened to in one place from the program's start to its end.
//!
//! A thread of their own hears them, so that nothing that blocks elsewhere (a name lookup, initdb, a pipe that is full) keeps
//! the program from ending.

use std::fs;
use std::future::pending;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::failure::{Failure, exit};

/// How long the program may take to end after a signal before it is ended. What it does then takes less.
const END_TIMEOUT: Duration = Duration::from_millis(4_800);

/// Whether a signal has asked the program to stop.
#[derive(Clone, Debug)]
pub struct StopSignal {
    asked: watch::Receiver<bool>,
    /// Another program decides what a signal means.
    is_shared: Arc<AtomicBool>,
}

impl StopSignal {
    /// Listens until the process ends. The first signal is told to all who wait for it, the second ends the process at once,
    /// as does the first where the program takes longer than five seconds to end.
    ///
    /// # Errors
    /// The system gives no signals.
    pub fn listen() -> Result<Self, Failure> {
        Self::start().map_err(|error| Failure::new("can't listen for signals").because(error))
    }

    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _context = runtime.enter();
            Signals {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose()?,
                is_shared: Arc::default(),
            }
        };
        let (sender, asked) = watch::channel(false);
        let is_shared = Arc::clone(&signals.is_shared);
        let listen = async move {
            signals.next().await;
            sender.send_replace(true);
            if signals.is_shared.load(Ordering::Relaxed) {
                signals.next().await;
            } else {
                let _ = timeout(END_TIMEOUT, signals.next()).await;
            }
            end();
        };
        let thread = thread::Builder::new().name("signals".into());
        thread.spawn(move || runtime.block_on(listen))?;
        Ok(Self { asked, is_shared })
    }

    /// Resolves once a signal has asked the program to stop, at once where one has before.
    pub async fn requested(&self) {
        if self.asked.clone().wait_for(|asked| *asked).await.is_err() {
            // The thread has ended, and the process with it.
            pending().await
        }
    }

    /// Whether a signal has asked the program to stop.
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow()
    }

    /// From now on a program that was started here decides: SIGINT, which a terminal sends to both, is that program's alone, and
    /// after SIGTERM it takes the time that it needs. A second SIGTERM still ends the process.
    pub fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Absent where this program was told to ignore it, as nohup does.
    hangup: Option<Signal>,
    is_shared: Arc<AtomicBool>,
}

impl Signals {
    async fn next(&mut self) {
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = hangup => return,
                _ = self.interrupt.recv() => if !self.is_shared.load(Ordering::Relaxed) {
                    return;
                },
            }
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

/// The one place outside of `main` that ends the process: `main` may be blocked.
#[allow(clippy::exit)]
fn end() {
    process::exit(exit::INTERRUPTED.into());
}
