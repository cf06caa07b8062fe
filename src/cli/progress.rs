//! Progress of long work: a bar where a person watches, a line every few seconds elsewhere.

use std::fmt::Display;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen::Screen;

/// Between two lines where nobody watches a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What a piece of work counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Bytes,
    Records,
}

pub struct Progress {
    shown: Shown,
    screen: Screen,
    unit: Unit,
    zh: &'static str,
    en: &'static str,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Begins a piece of work. Without a total there is a count and no bar.
    pub fn begin(screen: Screen, unit: Unit, total: Option<u64>, zh: &'static str, en: &'static str) -> Progress {
        let shown = if Screen::is_watched() {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            bar.set_style(style(unit, total.is_some()));
            bar.set_prefix(screen.pick(zh, en).to_owned());
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: Instant::now() }
        };
        Progress { shown, screen, unit, zh, en }
    }

    /// So much of `total` is done (a total of 0: it is not known).
    pub fn update(&mut self, done: u64, total: u64, remark: impl Display) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(remark.to_string());
            }
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                let count = match (self.unit, total) {
                    (Unit::Bytes, 0) => mebibytes(done),
                    (Unit::Bytes, total) => format!("{} / {}", mebibytes(done), mebibytes(total)),
                    (Unit::Records, _) => done.to_string(),
                };
                self.screen.note(format!("{} {count} {remark}", self.zh), format!("{} {count} {remark}", self.en));
            }
            Shown::Lines { .. } => {}
        }
    }

    /// Takes the bar away.
    pub fn end(self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// A bar must not stay on the screen when the work ends early.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn style(unit: Unit, with_total: bool) -> ProgressStyle {
    let template = match (unit, with_total) {
        (Unit::Bytes, true) => "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {msg}",
        (Unit::Bytes, false) => "{prefix} {bytes} {bytes_per_sec} {msg}",
        (Unit::Records, _) => "{prefix} {human_pos} ({per_sec}) {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes >> 10) & 1023) * 10 / 1024)
}
