//! The summary again and again, in place, until a signal.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::super::Context;
use super::Summary;
use crate::database::Database;
use crate::failure::{Failure, exit};
use crate::output::{Done, Report};
use crate::retry::{Backoff, retry};

/// The pauses between two attempts to connect again, and how long they go on.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);

/// One query a tick on one connection, with a pause between two. A lost connection is made again, for half a minute.
///
/// # Errors
/// Standard output is no terminal that can be redrawn, or what a summary fails with.
pub(super) async fn watch(context: &Context<'_>, minutes: i32, pause: Duration) -> Result<Box<dyn Report>> {
    if !context.terminal.redraws() {
        return Err(Failure::usage("--watch needs a terminal, and the format table")
            .hint("without --watch, summary shows the numbers once; a program can run it again")
            .into());
    }
    tokio::select! {
        biased;
        () = context.stop.requested() => {
            if let Some(canceller) = context.canceller.get() {
                canceller.cancel().await;
            }
            Ok(Box::new(Done { code: exit::DONE }))
        }
        failed = redraw(context, minutes, pause) => failed,
    }
}

/// Ends with an error alone: also where a new connection is lost with its first query.
async fn redraw(context: &Context<'_>, minutes: i32, pause: Duration) -> Result<Box<dyn Report>> {
    let mut database = context.connect("summary").await?;
    let mut is_new = true;
    loop {
        match Summary::read(&database, minutes).await {
            Err(failure) if !is_new && (database.is_closed() || failure.is_transient()) => {
                context.terminal.note(&format!("{failure}; connecting again"));
                database = connect_again(&database).await?;
                is_new = true;
                continue;
            }
            read => {
                let summary = read?;
                context.terminal.redraw(&summary)?;
                summary.warn(context.terminal);
            }
        }
        is_new = false;
        sleep(pause).await;
    }
}

async fn connect_again(lost: &Database) -> Result<Database, Failure> {
    let pauses = RECONNECT.within(RECONNECT_LIMIT);
    retry(pauses, Failure::is_transient, async |_| lost.connect_again().await).await
}
