//! The client of `benches/peers`: HTTP/1.1 over kept-alive connections, closed loop or at a constant rate, on one thread.
//!
//! `load PLAN.json` (or `load -`, the plan on standard input) runs every stream of the plan at once and prints one JSON
//! document. [`plan`] says what a plan holds and [`report`] what comes back. An answer counts only with the status and the
//! length that the plan expects; anything else is told under `bad`, by kind. Exit code 0: all answers were as expected;
//! 1: some were not; 2: the plan could not be run.
//!
//! ```text
//! plan -> source (request bytes) -> drive (epoll; when to send) -> connection (bytes out and in) -> answer -> report
//! ```

mod answer;
mod connection;
mod drive;
mod plan;
mod report;
mod source;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: load PLAN.json, or load - with the plan on standard input")?;
    let text = if file == "-" { std::io::read_to_string(std::io::stdin())? } else { std::fs::read_to_string(file)? };
    let plan: plan::Plan = serde_json::from_str(&text)?;
    plan.check()?;
    let report = drive::Run::new(&plan)?.complete()?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.is_good())
}
