//! A whole node over TLS, asked by curl and by our own command line, reloaded by signal, judged by `check-config`.
#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

const MINGPAI: &str = env!("CARGO_BIN_EXE_mingpai");
const NAME: &str = "88.999.1/NEV-VEH-2026-000003";

/// A node of our own, killed when dropped.
struct Node {
    process: Child,
    /// What it printed until it was ready.
    announced: String,
    log: mpsc::Receiver<String>,
}

impl Node {
    /// Starts a node and returns when it has announced its first URL that begins like this.
    fn start(arguments: &[&str], folder: &Path) -> Node {
        let mut process = Command::new(MINGPAI)
            .arg("serve")
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        let errors = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut announced = String::new();
        // The last line of an announcement is indented or tells of the key.
        while !announced.contains("administrator's key") || !announced.ends_with('\n') {
            assert!(out.read_line(&mut announced).unwrap() > 0, "ended early: {:?}", log.iter().collect::<Vec<_>>());
        }
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        Node { process, announced, log }
    }

    fn url(&self, scheme: &str) -> String {
        let line = self.announced.lines().find(|line| line.trim().starts_with(&format!("{scheme}://"))).unwrap();
        line.trim().trim_end_matches('/').to_owned()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for a line of the log.
    fn until_logged(&self, text: &str) -> String {
        self.log.iter().find(|line| line.contains(text)).unwrap_or_else(|| panic!("never logged: {text}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Without curl, which is not ours, there is nothing to compare with.
fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: curl over TLS: curl is not here");
    }
    found
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn mingpai(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(MINGPAI).args(arguments).env("MINGPAI_LANG", "en").output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(both).unwrap())
}

/// A root of our own with a pair for localhost, 127.0.0.1 and ::1.
fn put_pair(folder: &Path) -> PathBuf {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let root = folder.join(format!("root-{}.pem", std::fs::read_dir(folder).unwrap().count()));
    std::fs::copy(certificate, &root).unwrap();
    root
}

fn service_config(folder: &Path) {
    let text = "[node]\niss = \"urn:x:1\"\ndata = \"data\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
                [tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
    std::fs::write(folder.join("mingpai.toml"), text).unwrap();
}

#[test]
fn the_printed_lines_of_dev_tls_work_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let data = "data of 'mine'";
    let node = Node::start(&["--dev", "--tls", "--listen", "127.0.0.1:0", "--data", data], folder.path());
    assert!(!node.announced.contains("http://"), "{}", node.announced);
    let key = folder.path().join(data).join("tls/key.pem");
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    let elsewhere = tempfile::tempdir().unwrap();
    let paste = |holds: &str| {
        let line = node.announced.lines().find(|line| line.contains(holds)).unwrap();
        out(&Command::new("sh").args(["-c", line]).current_dir(elsewhere.path()).output().unwrap())
    };
    assert!(paste(" resolve ").contains(NAME));
    if has_curl() {
        assert!(paste("curl ").contains(NAME));
    }
}

#[test]
fn curl_speaks_every_version_to_a_node() {
    if !has_curl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = put_pair(folder.path());
    service_config(folder.path());
    let node = Node::start(&["--config", "mingpai.toml"], folder.path());
    let (root, url) = (root.to_str().unwrap(), format!("{}/livez", node.url("https")));
    let asked = |more: &[&str]| {
        let base = ["--cacert", root, "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{num_connects}", &url];
        out(&curl(&[more, &base].concat()))
    };
    assert_eq!(asked(&["--http2"]), "2 200 1");
    assert_eq!(asked(&["--http1.1"]), "1.1 200 1");
    assert_eq!(asked(&["--no-alpn"]), "1.1 200 1");
    assert_eq!(asked(&["--http2-prior-knowledge"]), "2 200 1");
    assert_eq!(asked(&["--tlsv1.3"]), "2 200 1");
    assert_eq!(asked(&["--tlsv1.2", "--tls-max", "1.2"]), "2 200 1");
    let old = curl(&["--tls-max", "1.1", "--cacert", root, &url]);
    assert_eq!(old.status.code(), Some(35), "TLS 1.1 is refused in the handshake");
    assert_eq!(curl(&[&url]).status.code(), Some(60), "not trusted without the root");
    // An answer that ends with the connection is whole only with a close_notify: OpenSSL says so otherwise.
    let closed = curl(&["--cacert", root, "--http1.1", "-H", "connection: close", &url]);
    assert!(closed.status.success(), "{}", String::from_utf8_lossy(&closed.stderr));
    // Cleartext to the TLS port hears in HTTP what to do, and no HSTS is set.
    let plain = curl(&["-i", &url.replace("https:", "http:")]);
    assert!(out(&plain).contains("400 Bad Request") && out(&plain).contains("tls_required"), "{}", out(&plain));
    let wrong = curl(&[&node.url("http").replace("http:", "https:")]);
    assert_eq!(wrong.status.code(), Some(35), "TLS to a cleartext port fails in the handshake");
    let head = out(&curl(&["--cacert", root, "-I", &url])).to_lowercase();
    assert!(!head.contains("strict-transport-security"), "{head}");
    let metrics = out(&curl(&["--cacert", root, &url.replace("livez", "metrics")]));
    for wanted in
        ["mingpai_tls_certificate_expiry_timestamp_seconds ", "mingpai_tls_handshakes_total{outcome=\"done\"} "]
    {
        assert!(metrics.contains(wanted), "{metrics}");
    }
}

#[test]
fn our_own_client_trusts_a_named_root_and_says_so_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (root, stranger) = (put_pair(folder.path()), tempfile::tempdir().unwrap());
    let other = put_pair(stranger.path());
    service_config(folder.path());
    let node = Node::start(&["--config", "mingpai.toml"], folder.path());
    let (https, http) = (node.url("https"), node.url("http"));
    let token = folder.path().join("data/bootstrap-token");
    let key = folder.path().join("admin-key");
    let config = folder.path().join("mingpai.toml");
    let config = config.to_str().unwrap();
    let (token, key) = (token.to_str().unwrap(), key.to_str().unwrap());
    let (root, other) = (root.to_str().unwrap(), other.to_str().unwrap());
    let (code, said) =
        mingpai(&["token", "--server", &https, "--ca-file", root, "--bootstrap-file", token, "--out", key]);
    assert_eq!(code, Some(0), "{said}");
    let resolve = |more: &[&str]| mingpai(&[&["resolve", "88.118.8/A", "--server"], more].concat());
    let (code, said) = resolve(&[&https, "--ca-file", root]);
    assert!(code == Some(1) && said.contains("88.118.8/A"), "an answer, if a no: {said}");
    for (more, wanted) in [
        (&[https.as_str(), "--ca-file", other][..], "--ca-file FILE"),
        (
            &[&https.replace("127.0.0.1", "[::ffff:127.0.0.1]"), "--ca-file", root],
            "by a name that is in its certificate",
        ),
        (&[&https, "--ca-file", config], "holds no certificate in PEM"),
        (&[&https, "--ca-file", "/absent"], "/absent"),
        (&[&http.replace("http:", "https:"), "--ca-file", root], "is that an https port"),
        (&[&https.replace("https:", "http:")], "tls_required"),
    ] {
        let (code, said) = resolve(more);
        assert!(code == Some(2) && said.contains(wanted), "{more:?}: {said}");
    }
    // Without --ca-file: this machine's roots, none of which has signed it, or none at all.
    let (code, said) = resolve(&[&https]);
    assert!(code == Some(2) && said.contains("--ca-file FILE"), "{said}");
    let output = Command::new(MINGPAI)
        .args(["verify", "-", "--server", &https])
        .env("MINGPAI_CA_FILE", root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("--ca-file"), "the keys came, trusted by MINGPAI_CA_FILE: {said}");
}

#[test]
fn sighup_takes_new_files_and_a_broken_pair_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let old = put_pair(folder.path());
    service_config(folder.path());
    let node = Node::start(&["--config", "mingpai.toml"], folder.path());
    let url = node.url("https");
    let answers = |root: &Path| {
        let (code, said) = mingpai(&["resolve", "88.118.8/A", "--server", &url, "--ca-file", root.to_str().unwrap()]);
        assert!(code == Some(1) || said.contains("not trusted"), "{said}");
        code == Some(1)
    };
    assert!(answers(&old));
    let new = put_pair(folder.path());
    assert!(!answers(&new), "nobody has asked for it yet");
    node.signal("-HUP");
    node.until_logged("new connections are shown the new certificate");
    assert!(answers(&new) && !answers(&old));
    put_pair(folder.path());
    std::fs::set_permissions(folder.path().join("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    node.signal("-HUP");
    let line = node.until_logged("the one before stays in use");
    assert!(line.contains("chmod o="), "{line}");
    assert!(answers(&new));
}

#[test]
fn a_reload_does_not_end_a_service_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mingpai.toml"), "[node]\niss = \"urn:x:1\"\n").unwrap();
    let mut node = Node::start(&["--config", "mingpai.toml", "--listen", "127.0.0.1:0"], folder.path());
    node.signal("-HUP");
    node.until_logged("there is no TLS");
    let (code, said) = mingpai(&["resolve", "88.118.8/A", "--server", &node.url("http")]);
    assert_eq!(code, Some(1), "{said}");
    node.signal("-INT");
    node.signal("-INT");
    node.process.wait().unwrap();
}

#[test]
fn check_config_judges_the_files_as_a_start_does() {
    let folder = tempfile::tempdir().unwrap();
    put_pair(folder.path());
    service_config(folder.path());
    let run = |command: &str| {
        let output = Command::new(MINGPAI)
            .args([command, "--config", "mingpai.toml"])
            .current_dir(folder.path())
            .env("MINGPAI_LANG", "en")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = run("check-config");
    assert!(code == Some(0) && said.contains("tls.certificate"), "{said}");
    let key = folder.path().join("key.pem");
    let good = std::fs::read(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o604)).unwrap();
    let (code, said) = run("check-config");
    assert!(code == Some(1) && said.contains("tls.key (mingpai.toml:9)") && said.contains("chmod o="), "{said}");
    std::fs::remove_file(&key).unwrap();
    let stranger = tempfile::tempdir().unwrap();
    put_pair(stranger.path());
    std::fs::copy(stranger.path().join("key.pem"), &key).unwrap();
    let (code, said) = run("check-config");
    assert!(code == Some(1) && said.contains("does not belong to"), "{said}");
    let (code, said) = run("serve");
    assert!(code == Some(2) && said.contains("does not belong to") && said.contains("tls.key"), "{said}");
    assert!(!folder.path().join("data").exists(), "refused before the store is touched");
    std::fs::write(&key, good).unwrap();
    assert_eq!(run("check-config").0, Some(0));
}
