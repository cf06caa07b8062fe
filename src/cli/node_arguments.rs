//! The configuration as flags: what `serve`, `check-config` and `doctor` have in common.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::failure::CliError;
use super::shell;
use crate::config::{Layers, environment};
use crate::model::text::Text;

/// The largest file that is read as a configuration.
const CONFIG_LIMIT_BYTES: u64 = 1 << 20;

/// Flag > MINGPAI_SECTION_KEY > file > default.
#[derive(Clone, Debug, Default, Args)]
pub struct NodeArguments {
    /// 配置文件 / Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "MINGPAI_CONFIG")]
    pub config: Option<PathBuf>,
    /// 演示模式：仅本机，带演示数据 / Loopback only, with demonstration data
    #[arg(long)]
    pub dev: bool,
    /// 与 --dev 同用：https，临时证书 / With --dev: https with a throw-away certificate
    #[arg(long)]
    pub tls: bool,
    /// 数据目录 / Data folder (node.data)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// 监听地址，可重复 / Address to listen on, may be repeated (http.listen; with --tls: tls.listen)
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// 其他任何配置项 / Any other setting, for example --set log.filter=debug
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), Text> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(Text::new("应为 KEY=VALUE，例如 log.filter=debug", "must be KEY=VALUE, for example log.filter=debug")),
    }
}

impl NodeArguments {
    /// The sources of the configuration, as `Config::load` takes them.
    pub fn layers(&self) -> Result<Layers, CliError> {
        let mut flags = self.settings.clone();
        if self.dev {
            flags.push(("node.dev".to_owned(), "true".to_owned()));
        }
        if self.tls {
            flags.push(("tls.dev".to_owned(), "true".to_owned()));
        }
        if let Some(data) = &self.data {
            flags.push(("node.data".to_owned(), data.to_string_lossy().into_owned()));
        }
        if !self.listen.is_empty() {
            let listen: Vec<String> = self.listen.iter().map(SocketAddr::to_string).collect();
            let key = if self.tls { "tls.listen" } else { "http.listen" };
            flags.push((key.to_owned(), listen.join(",")));
        }
        Ok(Layers { file: self.file()?, environment: environment(), flags })
    }

    /// The flags that name the same node again, for a command that is shown to a person.
    pub fn as_flags(&self) -> String {
        let mut flags = String::new();
        if let Some(config) = &self.config {
            flags.push_str(&format!(" --config {}", shell::path(config)));
        }
        if self.dev {
            flags.push_str(" --dev");
        }
        if self.tls {
            flags.push_str(" --tls");
        }
        if let Some(data) = &self.data {
            flags.push_str(&format!(" --data {}", shell::path(data)));
        }
        for address in &self.listen {
            flags.push_str(&format!(" --listen {}", shell::word(&address.to_string())));
        }
        for (key, value) in &self.settings {
            flags.push_str(&format!(" --set {}", shell::word(&format!("{key}={value}"))));
        }
        flags
    }

    fn file(&self) -> Result<Option<(PathBuf, String)>, CliError> {
        let Some(path) = &self.config else {
            return Ok(None);
        };
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(CONFIG_LIMIT_BYTES + 1).read_to_string(&mut text))
            .map_err(CliError::file("读取配置文件", "read the configuration", path))?;
        if text.len() as u64 > CONFIG_LIMIT_BYTES {
            let path = path.display();
            return Err(CliError::wrong(
                format!("{path} 超过 1 MiB，不会是配置文件"),
                format!("{path} is over 1 MiB: that is no configuration"),
            ));
        }
        Ok(Some((path.clone(), text)))
    }
}
