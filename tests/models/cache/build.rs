//! `SEEDED_BUG=name` builds the core with that bug, so that only this crate is built again.

fn main() {
    println!("cargo::rerun-if-env-changed=SEEDED_BUG");
    if let Ok(bug) = std::env::var("SEEDED_BUG") {
        println!("cargo::rustc-cfg=seeded_bug=\"{bug}\"");
    }
}
