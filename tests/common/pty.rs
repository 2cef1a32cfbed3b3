//! A terminal of a size of our choice, for what the program does on one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What a command writes to a terminal of so many columns, both streams, and its exit code.
pub fn on_terminal(columns: u16, command: &mut Command) -> (String, i32) {
    on_terminal_with_keys(columns, "", command)
}

/// [`on_terminal`], with keys that somebody types; the terminal shows them too.
pub fn on_terminal_with_keys(columns: u16, keys: &str, command: &mut Command) -> (String, i32) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let end = || OpenptFlags::NOCTTY.bits().try_into().unwrap();
    let open = || -> File {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(end());
        options.open(&name).unwrap()
    };
    tcsetwinsize(open(), size).unwrap();
    let mut child = command
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .env("COLUMNS", columns.to_string())
        .spawn()
        .unwrap();
    // This process holds the terminal's other end no longer: reading ends with the child.
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    let mut master = File::from(master);
    master.write_all(keys.as_bytes()).unwrap();
    // The end is an error here: nobody has the terminal open any more.
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    (String::from_utf8(shown).unwrap().replace("\r\n", "\n"), code)
}
