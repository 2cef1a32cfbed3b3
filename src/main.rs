//! Parses the command line, runs the command, writes its result, and turns it into an exit code.

use std::process::ExitCode;

use clap::Parser;
use sessctl::cli::Cli;
use sessctl::failure::exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version are answers, not refusals: clap knows which stream and code each has.
            let code = u8::try_from(refusal.exit_code()).unwrap_or(exit::USAGE);
            return match refusal.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::from(exit::FAILED),
            };
        }
    };
    let terminal = cli.terminal();
    let result = cli.run(&terminal);
    ExitCode::from(terminal.finish(result))
}
