//! `mingpai serve`: configuration and log, then the node takes over.

use std::sync::Arc;

use clap::Args;

use super::failure::{CliError, Verdict};
use super::node_arguments::NodeArguments;
use crate::accept::Ending;
use crate::config::{Config, ConfigError};
use crate::model::text::Text;
use crate::node::operator::Process;
use crate::node::serve::serve;
use crate::observe::log;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai serve --dev
  mingpai serve --config /etc/mingpai/mingpai.toml
  mingpai serve --dev --data demo --listen 127.0.0.1:8080 --listen '[::1]:8080'")]
pub struct Serve {
    #[command(flatten)]
    node: NodeArguments,
}

impl Serve {
    /// Serves until a signal ends it. No: requests had to be cut off.
    pub fn run(&self) -> Result<Verdict, CliError> {
        let config = self.config()?;
        let arguments = self.node.clone();
        let read_again = move || {
            let layers = arguments.layers().map_err(|error| ConfigError::unread(error.text()))?;
            Config::load(&layers)
        };
        let process =
            Process { read_again: Some(Arc::new(read_again)), filter: log::start(&config.log), ..Process::default() };
        let ending = serve(&config, process, &mut std::io::stdout()).map_err(|error| {
            let Text { zh, en } = error.text();
            CliError::wrong(format!("节点没有启动：{zh}"), format!("the node does not serve: {en}"))
        })?;
        match ending {
            Ending::Drained => Ok(Verdict::Yes),
            Ending::CutOff { connections } => {
                tracing::warn!(connections, "the deadline passed, or a second signal came: connections were cut off");
                Ok(Verdict::No)
            }
        }
    }

    /// The configuration, or every fault in it.
    fn config(&self) -> Result<Config, CliError> {
        Config::load(&self.node.layers()?).map_err(|error| CliError::Wrong(error.text()))
    }
}
