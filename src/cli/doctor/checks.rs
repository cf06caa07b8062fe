//! The checks that need no store open: configuration, permissions, disk, clock, open files, ports.

use std::fs::Metadata;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Check, Finding, Known};
use crate::config::Config;
use crate::node::open_files::{OpenFiles, Reach};

/// Free space is called comfortable from so many times what the node keeps in reserve.
const COMFORTABLE_RESERVES: u64 = 4;
/// 2026-01-01: this program did not exist before.
const EARLIEST_SECONDS: u64 = 1_767_225_600;
/// A file may be so much newer than the clock before the clock is doubted.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// Files that hold secrets, beside everything in `keys`.
const SECRET_FILES: [&str; 2] = ["dev-token", "bootstrap-token"];

pub fn configuration(known: &Known, data: &Path) -> Check {
    match known {
        Known::Given => Check::ok("config", "配置正确", "the configuration is right"),
        Known::Defaults => Check::new(
            "config",
            Finding::Warning,
            "没有给出配置，以下检查按默认配置进行",
            "no configuration was given: the checks below go by the defaults",
            if data.join("dev-token").exists() {
                // A node with --dev has no configuration file.
                format!("mingpai doctor --dev --data {}", data.display())
            } else {
                "mingpai doctor --config FILE".to_owned()
            },
        ),
        Known::Wrong(error) => {
            let first = error.faults.first();
            let key = first.map_or("", |fault| fault.key.as_str());
            let count = error.faults.len();
            Check::new(
                "config",
                Finding::Failed,
                format!("配置有 {count} 处错误，第一处：{key}；以下检查按默认配置进行"),
                format!("{count} faults in the configuration, the first at {key}; the checks below go by the defaults"),
                "mingpai check-config --config FILE",
            )
        }
    }
}

/// The data folder, its keys and tokens.
pub fn folder(config: &Config) -> Vec<Check> {
    let data = &config.node.data;
    let shown = data.display();
    let about = match std::fs::metadata(data) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            return vec![Check::new(
                "folder",
                Finding::Failed,
                format!("{shown} 不是目录"),
                format!("{shown} is no folder"),
                format!("ls -ld {shown}; mingpai doctor --data DIR"),
            )];
        }
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let finding = if missing { Finding::Unknown } else { Finding::Failed };
            return vec![Check::new(
                "folder",
                finding,
                format!("{shown} 无法查看：{error}"),
                format!("{shown} cannot be looked at: {error}"),
                "mingpai doctor --data DIR",
            )];
        }
    };
    vec![folder_mode(data, &about), secret_files(data)]
}

fn folder_mode(data: &Path, about: &Metadata) -> Check {
    let shown = data.display();
    let mode = about.permissions().mode() & 0o777;
    let owner = about.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner != user && user != 0 {
        return Check::new(
            "folder",
            Finding::Failed,
            format!("{shown} 属于用户 {owner}，当前用户是 {user}"),
            format!("{shown} belongs to user {owner}, and this is user {user}"),
            format!("sudo chown -R {user} {shown}"),
        );
    }
    if mode & 0o077 != 0 {
        return Check::new(
            "folder",
            Finding::Warning,
            format!("{shown} 的权限是 {mode:04o}，其他用户可以进入"),
            format!("{shown} has mode {mode:04o}: others may enter"),
            format!("chmod 700 {shown}"),
        );
    }
    Check::ok("folder", format!("{shown}，权限 {mode:04o}"), format!("{shown}, mode {mode:04o}"))
}

/// Every key and token must be its owner's alone.
fn secret_files(data: &Path) -> Check {
    let keys = data.join("keys");
    let mut files: Vec<PathBuf> = SECRET_FILES.iter().map(|name| data.join(name)).collect();
    if let Ok(listing) = std::fs::read_dir(&keys) {
        files.extend(listing.flatten().map(|entry| entry.path()));
    }
    let modes =
        files.iter().filter_map(|path| Some((path, std::fs::metadata(path).ok()?.permissions().mode() & 0o777)));
    let (mut seen, mut exposed) = (0_u32, Vec::new());
    for (path, mode) in modes {
        seen += 1;
        if mode & 0o077 != 0 {
            exposed.push(path.display().to_string());
        }
    }
    if exposed.is_empty() {
        return Check::ok(
            "secrets",
            format!("{seen} 个密钥和令牌文件只有所有者可读"),
            format!("{seen} key and token files, readable by their owner only"),
        );
    }
    let listed = exposed.join(" ");
    Check::new(
        "secrets",
        Finding::Failed,
        format!("其他用户可以访问：{listed}。节点会拒绝启动；修复后请考虑更换密钥"),
        format!("others may reach {listed}; the node refuses to start. After the repair consider new keys"),
        format!("chmod 600 {listed}"),
    )
}

pub fn disk(config: &Config) -> Check {
    let data = &config.node.data;
    let free = match rustix::fs::statvfs(data.as_path()) {
        Ok(about) => about.f_bavail.saturating_mul(about.f_frsize),
        Err(error) => {
            return Check::new(
                "disk",
                Finding::Unknown,
                format!("无法查看磁盘空间：{error}"),
                format!("the free space cannot be told: {error}"),
                format!("df -h {}", data.display()),
            );
        }
    };
    let mebibytes = free >> 20;
    let reserve = config.store.reserve_bytes;
    let (finding, zh, en) = if free < reserve {
        (Finding::Failed, "已不足以写入，写请求会得到 507", "too little to write: writes are answered 507")
    } else if free < reserve.saturating_mul(COMFORTABLE_RESERVES) {
        (Finding::Warning, "即将不足", "running out")
    } else {
        (Finding::Ok, "充足", "enough")
    };
    let told = (format!("剩余 {mebibytes} MiB，{zh}"), format!("{mebibytes} MiB free, {en}"));
    Check::new("disk", finding, told.0, told.1, format!("df -h {}", data.display()))
}

/// A clock that runs behind dates entries wrongly and lets expired keys in.
pub fn clock(config: &Config) -> Check {
    let now = SystemTime::now();
    let after_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let newest = newest_file(&config.node.data);
    let ahead = newest.and_then(|newest| newest.duration_since(now).ok()).unwrap_or_default();
    let repair = "timedatectl set-ntp true";
    if after_epoch.as_secs() < EARLIEST_SECONDS {
        return Check::new(
            "clock",
            Finding::Failed,
            "系统时钟早于 2026 年",
            "the clock is before the year 2026",
            repair,
        );
    }
    if ahead > CLOCK_TOLERANCE {
        let seconds = ahead.as_secs();
        return Check::new(
            "clock",
            Finding::Failed,
            format!("数据目录中有比系统时钟晚 {seconds} 秒的文件：时钟曾被拨回"),
            format!("a file in the data folder is {seconds} s newer than the clock: the clock was set back"),
            repair,
        );
    }
    Check::ok("clock", "系统时钟合理", "the clock is plausible")
}

/// By the limit that this very shell gives: a service may be given another.
pub fn open_files(files: &OpenFiles) -> Check {
    let OpenFiles { segments, connections, limit } = *files;
    let shown = limit.map_or_else(|| "∞".to_owned(), |limit| limit.to_string());
    let (finding, zh, en) = match files.reach() {
        Reach::All => (Finding::Ok, "足够", "enough"),
        Reach::NotEveryConnection => {
            (Finding::Warning, "连接数达到上限前就会用完", "they run out before limits.connections is reached")
        }
        Reach::NotTheStore => (Finding::Failed, "节点无法打开全部日志段", "a node cannot open all of the journal"),
    };
    // Twice, since the journal grows.
    let wanted = files.wanted().saturating_mul(2);
    Check::new(
        "open-files",
        finding,
        format!("{segments} 个日志段和至多 {connections} 个连接，此处允许打开 {shown} 个文件：{zh}"),
        format!(
            "{segments} journal segments and up to {connections} connections, {shown} open files are allowed here: {en}"
        ),
        format!("systemctl edit mingpai  # [Service] LimitNOFILE={wanted}; shell: ulimit -n {wanted}"),
    )
}

fn newest_file(data: &Path) -> Option<SystemTime> {
    [data.to_owned(), data.join("journal")]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()
}

/// Whether the node could listen. While it runs the ports are its own.
pub fn ports(config: &Config, running: bool) -> Vec<Check> {
    if running {
        return Vec::new();
    }
    let check = |address: &std::net::SocketAddr| match TcpListener::bind(address) {
        Ok(_) => Check::ok("port", format!("{address} 可用"), format!("{address} is free")),
        Err(error) => Check::new(
            "port",
            Finding::Failed,
            format!("{address} 不可用：{error}"),
            format!("{address} cannot be listened on: {error}"),
            format!("ss -ltnp 'sport = :{}'", address.port()),
        ),
    };
    config.http.listen.iter().chain(&config.tls.listen).map(check).collect()
}
