//! `mingpai check-config`: every effective setting and where it came from, or everything that is wrong.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::node_arguments::NodeArguments;
use super::screen::Screen;
use crate::accept::{Certificates, PairFiles};
use crate::config::{Config, ConfigError, Layers};
use crate::model::text::counted;
use crate::store::cold;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai check-config --config mingpai.toml
  MINGPAI_LOG_FILTER=debug mingpai check-config --dev
  mingpai check-config --config mirror.toml --for mirror
  mingpai check-config --config mingpai.toml --json | jq '.settings[] | select(.origin != \"default\")'")]
pub struct CheckConfig {
    #[command(flatten)]
    node: NodeArguments,
    /// 供哪个命令使用：serve 签名，须有 node.iss；mirror 不签名 / Which command reads it: serve signs and needs node.iss, mirror does not
    #[arg(long = "for", value_name = "COMMAND", value_enum, default_value_t = Reader::Serve)]
    reader: Reader,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

/// The command that a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reader {
    Serve,
    Mirror,
}

impl Reader {
    fn load(self, layers: &Layers) -> Result<Config, ConfigError> {
        match self {
            Self::Serve => Config::load(layers),
            Self::Mirror => Config::load_for_mirror(layers),
        }
    }
}

impl CheckConfig {
    pub fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let loaded = self.reader.load(&self.node.layers()?);
        match loaded.and_then(|config| Ok((open_certificates(&config)?, judge_cold(config)?))) {
            Ok((certificates, config)) => {
                let settings = config.explain();
                if screen.json {
                    screen.print_json(&json!({"ok": true, "settings": settings}))?;
                } else {
                    for setting in settings {
                        screen.print(setting)?;
                    }
                }
                if let Some(days) = certificates.and_then(|certificates| certificates.ends_soon()) {
                    screen.note(
                        format!("tls.certificate: 证书 {days} 天后到期, 请续期"),
                        format!("tls.certificate: the certificate ends in {}: renew it", counted(days, "day")),
                    );
                }
                Ok(Verdict::Yes)
            }
            Err(error) => {
                print_faults(&error, screen)?;
                if self.reader == Reader::Serve && error.faults.iter().any(|fault| fault.key == "node.iss") {
                    screen.note("镜像的配置文件请加 --for mirror", "the file of a mirror is judged with --for mirror");
                }
                Ok(Verdict::No)
            }
        }
    }
}

/// The files of `tls`, judged as a start judges them.
fn open_certificates(config: &Config) -> Result<Option<Certificates>, ConfigError> {
    let opened = PairFiles::of(config).map(Certificates::open).transpose();
    opened.map_err(|error| config.fault(error.key(), error.text()).into())
}

/// The folder of `store.cold`, judged as a start judges it.
fn judge_cold(config: Config) -> Result<Config, ConfigError> {
    let folder = &config.store.cold;
    if !folder.as_os_str().is_empty() {
        cold::judge(&config.node.data, folder).map_err(|error| config.fault("store.cold", error.text()))?;
    }
    Ok(config)
}

fn print_faults(error: &ConfigError, screen: Screen) -> Result<(), CliError> {
    if screen.json {
        let faults: Vec<_> = error
            .faults
            .iter()
            .map(|fault| json!({"key": fault.key, "place": fault.place, "detail": fault.text}))
            .collect();
        return screen.print_json(&json!({"ok": false, "faults": faults}));
    }
    for fault in &error.faults {
        screen.print(format_args!("{} ({})", fault.key, fault.place))?;
        screen.print(format_args!("  {}", fault.text.in_language(screen.language)))?;
    }
    let count = error.faults.len();
    screen.say(format!("{count} 处错误"), format!("faults: {count}"))
}
