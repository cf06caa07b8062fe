//! `mingpai bench`: what this machine can do at most, in the terms in which a mirror and an audit are measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::json;

use super::failure::{CliError, Verdict};
use super::log_source::LogArguments;
use super::screen::Screen;
use crate::model::text::counted;
use crate::services::follow::Memory;

/// What an entry of three values has before its signature.
const SIGNED_BYTES: usize = 900;
/// Signatures between two looks at the clock.
const AT_ONCE: u64 = 64;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai bench verify
  mingpai bench hashes https://id.example.cn --policy policy.txt --json")]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// 各核每秒可校验的 Ed25519 签名数 / Ed25519 signatures that all cores verify in a second
    #[command(after_help = "例 Example:\n  mingpai bench verify --seconds 10 --json")]
    Verify {
        /// 秒 / Seconds
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// JSON
        #[arg(long)]
        json: bool,
    },
    /// 取回日志并只核对哈希 / Fetch a log and hold it against its signed head: hashes only, no signatures
    #[command(after_help = "例 Example:\n  mingpai bench hashes http://127.0.0.1:8080 --vkey log.vkey")]
    Hashes {
        #[command(flatten)]
        log: LogArguments,
        /// JSON
        #[arg(long)]
        json: bool,
    },
}

impl Bench {
    #[must_use]
    pub fn is_json(&self) -> bool {
        match self.what {
            What::Verify { json, .. } | What::Hashes { json, .. } => json,
        }
    }

    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        match &self.what {
            What::Verify { seconds, .. } => verify(Duration::from_secs(*seconds), screen),
            What::Hashes { log, .. } => hashes(log, screen).await,
        }
    }
}

fn verify(time: Duration, screen: Screen) -> Result<Verdict, CliError> {
    let wrong = |_| CliError::wrong("无法生成密钥", "no key can be made");
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(wrong)?;
    let message = vec![b'm'; SIGNED_BYTES];
    let signature = pair.sign(&message);
    let public = pair.public_key().as_ref().to_vec();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (verified, started) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let key = UnparsedPublicKey::new(&ED25519, &public);
                while started.elapsed() < time {
                    let right = (0..AT_ONCE).filter(|_| key.verify(&message, signature.as_ref()).is_ok()).count();
                    verified.fetch_add(right as u64, Ordering::Relaxed);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let rate = (verified.into_inner() as f64 / seconds) as u64;
    if screen.json {
        let told = json!({"signatures_a_second": rate, "threads": threads, "bytes": SIGNED_BYTES, "seconds": seconds});
        screen.print_json(&told)?;
    } else {
        screen.say(
            format!("{threads} 个线程每秒校验 {rate} 个 Ed25519 签名（各 {SIGNED_BYTES} 字节）"),
            format!(
                "by {}: {rate} Ed25519 signatures verified a second ({SIGNED_BYTES} bytes each)",
                counted(threads, "thread")
            ),
        )?;
    }
    Ok(Verdict::Yes)
}

async fn hashes(log: &LogArguments, screen: Screen) -> Result<Verdict, CliError> {
    let (mut follower, _) = log.follower(Memory::default(), screen).await?;
    let started = Instant::now();
    let head = follower.advance(|_| Ok(())).await.map_err(|error| match error.blames_the_log() {
        true => CliError::No(error.text()),
        false => CliError::Wrong(error.text()),
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = (head.size as f64 / seconds.max(0.001)) as u64;
    if screen.json {
        screen.print_json(&json!({"size": head.size, "statements_a_second": rate, "seconds": seconds}))?;
    } else {
        screen.say(
            format!("{} 条，{seconds:.1} 秒，每秒 {rate} 条：均与已签名的检查点相符", head.size),
            format!(
                "{}, {seconds:.1} s, {rate} a second: all are those of the signed head",
                counted(head.size, "statement")
            ),
        )?;
    }
    Ok(Verdict::Yes)
}
