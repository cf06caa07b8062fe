//! `mingpai serve`: configuration and log, then the node takes over.

use std::io::IsTerminal;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::failure::{CliError, Verdict};
use super::node_arguments::NodeArguments;
use crate::accept::Ending;
use crate::config::{Config, LogFormat, LogSpec};
use crate::model::text::Text;
use crate::node::serve::serve;

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
        start_log(&config.log);
        let ending = serve(&config, &mut std::io::stdout()).map_err(|error| {
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

/// Events go to standard error, as the configuration says.
fn start_log(log: &LogSpec) {
    // The filter was checked with the configuration.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A second start in one process keeps the first log.
    drop(started);
}
