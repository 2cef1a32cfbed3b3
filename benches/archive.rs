//! What an archive costs: `cargo bench --bench archive -- [--rows 1000000]`.
//!
//! A cleanup with an archive against the same without one, the size of the files against `\copy … with csv | gzip` and against the
//! heap, and the peak of memory against that of a tenth of the rows. No figure is asserted.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;
mod peak;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Run, block_on, number, sessctl};
use peak::peak_memory;
use postgres::{Client, NoTls};
use sessctl::sandbox::{Options, Sandbox};

struct Lab {
    sandbox: Sandbox,
}

impl Lab {
    fn client(&self) -> Client {
        Client::connect(&self.sandbox.admin("postgres"), NoTls).unwrap()
    }

    fn sessctl(&self, arguments: &[&str]) -> Command {
        let mut command = sessctl();
        command.env("DATABASE_URL", self.sandbox.url()).args(arguments);
        command
    }

    fn seed(&self, rows: i64) {
        let mut client = self.client();
        client
            .batch_execute("truncate public.user_sessions; update sessctl.job set archive_required = false")
            .unwrap();
        client.execute(include_str!("archive.sql"), &[&rows]).unwrap();
        client
            .batch_execute("vacuum analyze public.user_sessions; checkpoint")
            .unwrap();
    }

    /// Runs a cleanup: its seconds, and the peak of its memory in MiB.
    fn cleanup(&self, arguments: &[&str]) -> (f64, f64) {
        let begun = Instant::now();
        let peak = peak_memory(&mut self.sessctl(&[&["cleanup", "--quiet"], arguments].concat()));
        (begun.elapsed().as_secs_f64(), peak)
    }

    /// The bytes of the table as CSV under gzip.
    fn csv(&self) -> u64 {
        let mut gzip = Command::new("gzip")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (gzip.stdin.take().unwrap(), gzip.stdout.take().unwrap());
        let counting = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()).unwrap());
        let mut client = self.client();
        let mut reader = client
            .copy_out("copy public.user_sessions to stdout with (format csv)")
            .unwrap();
        std::io::copy(&mut reader.by_ref(), &mut input).unwrap();
        drop(input);
        assert!(gzip.wait().unwrap().success());
        counting.join().unwrap()
    }
}

fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => size(&entry.path()),
        false => entry.metadata().unwrap().len(),
    });
    sizes.sum()
}

fn main() {
    if std::env::args().any(|argument| argument == "--help") {
        println!("make bench-archive ARGS='[--rows 1000000]': what an archive costs.");
        return;
    }
    let rows = std::env::args().skip_while(|argument| argument != "--rows").nth(1);
    let rows: i64 = rows.map_or(1_000_000, |rows| rows.parse().expect("--rows"));
    let options = Options {
        settings: vec!["fsync=on".into(), "shared_buffers=512MB".into()],
        ..Options::default()
    };
    let lab = Lab {
        sandbox: block_on(Sandbox::start(&options)).unwrap(),
    };
    Run::of(&mut lab.sessctl(&["migrate"])).ok();
    lab.client()
        .batch_execute("insert into auth.users (id) select gen_random_uuid() from generate_series(1, 1000)")
        .unwrap();
    let parent = tempfile::tempdir().unwrap();

    lab.seed(rows / 10);
    let small = parent.path().join("small");
    let (_, small_peak) = lab.cleanup(&["--archive", small.to_str().unwrap()]);
    lab.seed(rows);
    let (without, _) = lab.cleanup(&[]);
    lab.seed(rows);
    let heap = number(&mut lab.client(), "select pg_relation_size('public.user_sessions')");
    let csv = lab.csv();
    let large = parent.path().join("large");
    let (with, peak) = lab.cleanup(&["--archive", large.to_str().unwrap()]);
    let bytes = size(&large);

    let million = |bytes: f64| bytes / rows as f64;
    println!("| {rows} sessions | |");
    println!("|---|---|");
    println!("| cleanup without an archive | {without:.1} s |");
    println!("| cleanup with an archive | {with:.1} s |");
    println!("| sessions archived and deleted a second | {:.0} |", rows as f64 / with);
    println!("| heap read a second | {:.1} MB |", heap as f64 / 1e6 / with);
    println!("| size of a million: Parquet | {:.1} MB |", million(bytes as f64));
    println!("| size of a million: CSV, gzip | {:.1} MB |", million(csv as f64));
    println!("| size of a million: heap | {:.1} MB |", million(heap as f64));
    println!("| peak memory, of a tenth of the sessions | {small_peak:.1} MiB |");
    println!("| peak memory | {peak:.1} MiB |");
}
