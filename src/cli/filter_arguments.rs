//! Which records a command means: the same options, names and errors for `export` and `bulk`.

use clap::Args;

use super::failure::CliError;
use crate::model::filter::Filter;

/// `--where NAME=VALUE`, repeated; each condition has an option of its own name too.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArguments {
    /// 条件，可重复：prefix= status= type= registered_from= registered_before= updated_from= updated_before= / A condition, may be repeated; all must hold, of several statuses or types one
    #[arg(long = "where", value_name = "NAME=VALUE")]
    conditions: Vec<String>,
    /// 前缀，同 --where prefix= / Records of this prefix
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// 状态，可重复，同 --where status= / Their status, may be repeated
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// 有此类型的值，可重复，同 --where type= / With a value of this type, may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// 自此时刻起登记，同 --where registered_from= / Registered at this time or later
    #[arg(long, value_name = "TIME")]
    registered_from: Option<String>,
    /// 在此时刻前登记，同 --where registered_before= / Registered before this time
    #[arg(long, value_name = "TIME")]
    registered_before: Option<String>,
    /// 自此时刻起有改动，同 --where updated_from= / Changed at this time or later
    #[arg(long, value_name = "TIME")]
    updated_from: Option<String>,
    /// 在此时刻前最后改动，同 --where updated_before= / Last changed before this time
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
}

impl FilterArguments {
    /// What all of them mean together, judged here: a typing error does not travel.
    pub fn filter(&self) -> Result<Filter, CliError> {
        let mut filter = Filter::default();
        let own = [
            ("registered_from", &self.registered_from),
            ("registered_before", &self.registered_before),
            ("updated_from", &self.updated_from),
            ("updated_before", &self.updated_before),
            ("prefix", &self.prefix),
        ];
        let written = self.conditions.iter().cloned();
        let statuses = self.status.iter().map(|word| format!("status={word}"));
        let types = self.types.iter().map(|word| format!("type={word}"));
        let named = own.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        for condition in written.chain(statuses).chain(types).chain(named) {
            filter.set_written(&condition).map_err(CliError::Wrong)?;
        }
        Ok(filter)
    }
}
