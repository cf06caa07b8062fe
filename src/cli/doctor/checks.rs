//! The checks that need no store open: configuration, permissions, disk, clock, open files, ports.

use std::fs::Metadata;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Check, Finding, Holder, Known, Patient};
use crate::cli::shell;
use crate::config::Config;
use crate::model::text::Text;
use crate::node::open_files::{OpenFiles, Reach};

/// Free space is called comfortable from so many times what the node keeps in reserve.
const COMFORTABLE_RESERVES: u64 = 4;
/// 2026-01-01: this program did not exist before.
const EARLIEST_SECONDS: u64 = 1_767_225_600;
/// A file may be so much newer than the clock before the clock is doubted.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// Files that hold secrets, beside everything in `keys`.
const SECRET_FILES: [&str; 2] = ["dev-token", "bootstrap-token"];

/// Where the package puts it.
const INSTALLED_CONFIG: &str = "/etc/mingpai/mingpai.toml";

pub fn configuration(patient: &Patient) -> Check {
    let data = &patient.config.node.data;
    match &patient.known {
        Known::Given => Check::ok("config", "配置正确", "the configuration is right"),
        Known::Defaults => Check::new(
            "config",
            Finding::Warning,
            "没有给出配置，以下检查按默认配置进行",
            "no configuration was given: the checks below go by the defaults",
            if data.join("dev-token").exists() {
                // A node with --dev has no configuration file.
                format!("mingpai doctor --dev --data {}", shell::path(data))
            } else {
                format!("mingpai doctor --config {INSTALLED_CONFIG}")
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
                patient.again("check-config"),
            )
        }
    }
}

/// The data folder, its keys and tokens.
pub fn folder(patient: &Patient) -> Vec<Check> {
    let data = &patient.config.node.data;
    let shown = data.display();
    let about = match std::fs::metadata(data) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            return vec![Check::new(
                "folder",
                Finding::Failed,
                format!("{shown} 不是目录"),
                format!("{shown} is no folder"),
                format!("ls -ld {}", shell::path(data)),
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
                format!("ls -ld {}", shell::path(above(data))),
            )];
        }
    };
    vec![folder_mode(patient, &about), secret_files(data)]
}

/// The folder that it is in.
fn above(data: &Path) -> &Path {
    data.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn folder_mode(patient: &Patient, about: &Metadata) -> Check {
    let data = &patient.config.node.data;
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
            // Not a chown: that would take the folder from the node that runs on it.
            patient.as_owner(),
        );
    }
    if mode & 0o077 != 0 {
        return Check::new(
            "folder",
            Finding::Warning,
            format!("{shown} 的权限是 {mode:04o}，其他用户可以进入"),
            format!("{shown} has mode {mode:04o}: others may enter"),
            format!("chmod 700 {}", shell::path(data)),
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
            exposed.push(shell::path(path));
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
                format!("df -h {}", shell::path(above(data))),
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
    Check::new("disk", finding, told.0, told.1, format!("df -h {}", shell::path(data)))
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

/// Whether the node could listen. While it runs the ports are its own, and taken as they should be.
pub fn ports(patient: &Patient, holder: Holder) -> Vec<Check> {
    let config = &patient.config;
    let is_given = matches!(patient.known, Known::Given);
    if holder == Holder::Node && !is_given {
        // Where it listens is not known.
        return Vec::new();
    }
    let data = config.node.data.display();
    let check = |address: &std::net::SocketAddr| match (TcpListener::bind(address), holder) {
        (Ok(_), Holder::Node) => Check::ok(
            "port",
            format!("{address} 可用：在 {data} 上运行的节点没有在此监听"),
            format!("{address} is free: the node that runs on {data} does not listen there"),
        ),
        (Ok(_), _) => Check::ok("port", format!("{address} 可用"), format!("{address} is free")),
        (Err(error), Holder::Node) if error.kind() == std::io::ErrorKind::AddrInUse => Check::ok(
            "port",
            format!("{address} 已在使用，节点正在 {data} 上运行，理应如此"),
            format!("{address} is in use, as it should be: a node runs on {data}"),
        ),
        (Err(error), holder) => {
            let (finding, zh, en) = match (holder, is_given) {
                (Holder::Untold, _) => (
                    Finding::Unknown,
                    "；是否为此节点自己所用，当前用户无从得知",
                    "; whether by this very node is not for this user to see",
                ),
                (Holder::Node, _) => (
                    Finding::Unknown,
                    "；节点正在运行，它能否在此监听，当前用户无从得知",
                    "; a node runs, and whether it may is not for this user to try",
                ),
                (_, false) => (
                    Finding::Warning,
                    "；这是默认地址，节点实际监听何处要看其配置",
                    "; that is the default, and where the node listens is said by its configuration",
                ),
                _ => (Finding::Failed, "；占用者不是此数据目录的节点", "; not by a node on this data folder"),
            };
            let reason = Text::of_io(&error);
            Check::new(
                "port",
                finding,
                format!("{address} 不可用：{}{zh}", reason.zh),
                format!("{address} cannot be listened on: {}{en}", reason.en),
                format!("ss -ltnp 'sport = :{}'", address.port()),
            )
        }
    };
    config.http.listen.iter().chain(&config.tls.listen).map(check).collect()
}
