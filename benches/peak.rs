//! The most memory that a process takes.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Runs a command to its success: the peak of its memory in MiB.
pub fn peak_memory(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let file = format!("/proc/{}/status", child.id());
    let mut last = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        let high = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        // The last one: before exec it is the parent's.
        last = high.map_or(last, |kib| kib.parse::<f64>().unwrap() / 1024.0);
        sleep(Duration::from_micros(200));
    };
    assert!(status.success());
    last
}
