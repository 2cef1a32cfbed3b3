//! Heartbeats beside sweeps for a while, with another seed each time: `cargo bench --bench soak -- [--seconds 60] [--seed N]`.
//! Panics at the first session that ends with a fresh heartbeat, or where the counts don't add up.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use std::time::{Duration, Instant, SystemTime};

use common::heartbeats::beside_sweeps;

fn option(name: &str) -> Option<u64> {
    let value = std::env::args().skip_while(|argument| argument != name).nth(1);
    value.map(|text| text.parse().expect(name))
}

fn main() {
    if std::env::args().any(|argument| argument == "--help") {
        println!("make soak ARGS='[--seconds 60] [--seed N]': heartbeats beside sweeps for a while.");
        return;
    }
    let span = Duration::from_secs(option("--seconds").unwrap_or(60));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = option("--seed").unwrap_or(now.as_secs());
    println!("soak of {} s, seed {seed}", span.as_secs());
    let start = Instant::now();
    let count = beside_sweeps(seed, |_| start.elapsed() >= span);
    println!(
        "{} heartbeats, {} sweeps, {} sessions ended: none with a fresh heartbeat, none twice",
        count.heartbeats, count.sweeps, count.ended
    );
}
