//! `mingpai completions`: what a shell completes; `mingpai man`: pages for man(1). Both are made from the command line itself, so
//! neither can drift from it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Arguments;
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use crate::model::text::counted;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai completions bash > /etc/bash_completion.d/mingpai
  mingpai completions zsh > ~/.zfunc/_mingpai
  mingpai completions fish > ~/.config/fish/completions/mingpai.fish")]
pub struct Completions {
    /// 哪种 shell / Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<Verdict, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "mingpai", &mut script);
        Screen::print_whole(&script)?;
        Ok(Verdict::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai man | man -l -
  mingpai man --dir /usr/local/share/man/man1")]
pub struct ManPages {
    /// 写入此目录，每个子命令一页 / Write a page for each command into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManPages {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let command = Arguments::command();
        let Some(folder) = &self.dir else {
            let mut page = Vec::new();
            let made = man(command).render(&mut page);
            made.map_err(CliError::file("生成手册页", "make the page", Path::new("mingpai.1")))?;
            Screen::print_whole(&page)?;
            return Ok(Verdict::Yes);
        };
        DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(CliError::file(
            "新建目录",
            "make the folder",
            folder,
        ))?;
        let names = write_all(command, folder)?;
        let (count, shown) = (names.len(), folder.display());
        screen.say(format!("{shown} 中写入 {count} 页"), format!("{} written to {shown}", counted(count, "page")))?;
        Ok(Verdict::Yes)
    }
}

/// `mingpai.1`, and `mingpai-serve.1` and so on; existing pages are replaced.
fn write_all(mut command: Command, folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    command.build();
    let mut written = Vec::new();
    let whole = std::iter::once(command.clone());
    let parts = command.get_subcommands().filter(|part| part.get_name() != "help").cloned();
    for one in whole.chain(parts) {
        let man = man(one);
        let path = folder.join(man.get_filename());
        let mut page = Vec::new();
        man.render(&mut page).and_then(|()| std::fs::write(&path, page)).map_err(CliError::file(
            "写入手册页",
            "write the page",
            &path,
        ))?;
        written.push(path);
    }
    Ok(written)
}

fn man(command: Command) -> Man {
    Man::new(command).source(concat!("mingpai ", env!("CARGO_PKG_VERSION"))).manual("Mingpai 铭牌")
}
