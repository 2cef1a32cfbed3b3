//! `sessctl completions` and `sessctl man`: made from the command line itself, so that they can't lie.

use std::io;

use anyhow::Result;
use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;

use crate::failure::exit;
use crate::output::{Done, Report, is_broken_pipe};

/// Print the completions of a shell
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:\n  sessctl completions bash\n  sessctl completions zsh")]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(&self, mut program: Command) -> Result<Box<dyn Report>> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "sessctl", &mut text);
        print(&text)
    }
}

/// Print the manual page
#[derive(ClapArgs, Debug)]
pub struct Man {}

impl Man {
    pub fn run(&self, mut program: Command) -> Result<Box<dyn Report>> {
        let mut text = Vec::new();
        program.build();
        let page = clap_mangen::Man::new(program.clone());
        page.render_title(&mut text)?;
        page.render_name_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
        sections(&program, &mut text)?;
        page.render_extra_section(&mut text)?;
        print(&text)
    }
}

/// The sections of each command below this one, on the same page. What every command takes stands above them, once.
fn sections(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let own = |argument: clap::Arg| {
            let is_global = argument.is_global_set();
            argument.hide(is_global)
        };
        let page = clap_mangen::Man::new(command.clone().mut_args(own));
        page.render_synopsis_section(text)?;
        page.render_description_section(text)?;
        page.render_options_section(text)?;
        sections(command, text)?;
    }
    Ok(())
}

fn print(text: &[u8]) -> Result<Box<dyn Report>> {
    match io::Write::write_all(&mut io::stdout(), text).map_err(anyhow::Error::from) {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        _ => Ok(Box::new(Done { code: exit::DONE })),
    }
}
