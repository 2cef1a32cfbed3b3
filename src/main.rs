//! Parses the command line, runs the command, writes its result, and turns it into an exit code.

use std::io::ErrorKind;
use std::process::ExitCode;

use sessctl::cli::{self, Cli};
use sessctl::failure::exit;

fn main() -> ExitCode {
    let parsed = match Cli::from_arguments() {
        Ok(parsed) => parsed,
        Err(refusal) => {
            // Help and version are answers, not refusals: clap knows which stream and code each has.
            let code = u8::try_from(refusal.exit_code()).unwrap_or(exit::USAGE);
            return match cli::print(refusal) {
                // Who reads has seen enough (`| head`).
                Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(exit::FAILED),
                _ => ExitCode::from(code),
            };
        }
    };
    let terminal = parsed.terminal();
    let result = parsed.run(&terminal);
    ExitCode::from(terminal.finish(result))
}
