#!/usr/bin/env python3
"""The systemd unit, the man pages and completions, and the Debian package where cargo-deb is at hand.

usage: tests/packaging/check.py MINGPAI      needs systemd-analyze, strace, man; stops what it started; prints
"packaging: N passed, N failed" at the end
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "config/systemd/mingpai.service"
OPERATIONS = ROOT / "docs/operations.md"
passed, failed = 0, []


def check(what, held, detail=""):
    global passed
    if held:
        passed += 1
        print(f"ok      {what}")
    else:
        failed.append(what)
        print(f"FAILED  {what}\n{detail}")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **more)
    return done.returncode, done.stdout + done.stderr


def unit(mingpai):
    with tempfile.TemporaryDirectory() as folder:
        # The program is installed elsewhere than it stands here; all else is judged as it is.
        local = Path(folder) / "mingpai.service"
        text = UNIT.read_text()
        local.write_text(text.replace("/usr/bin/mingpai", str(mingpai)))
        code, said = run("systemd-analyze", "verify", "--man=no", str(local))
        said = "\n".join(line for line in said.splitlines() if "mingpai" in line)
        check("the unit is one that systemd takes without a word", code == 0 and not said, said)
        code, said = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(local))
        score = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        stated = re.search(r"`systemd-analyze security` says (\d+\.\d+)", OPERATIONS.read_text())
        check("its exposure is measured", score is not None, said)
        check("docs/operations.md states it", stated and score and stated[1] == score[1], (stated, score))
    return text


def allowed_calls(text):
    """The system calls that the unit's filters let through, by systemd's own sets."""
    _, listed = run("systemd-analyze", "syscall-filter", "--no-pager")
    sets, name = {}, None
    for line in listed.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())

    def members(word):
        return {call for inner in sets[word] for call in members(inner)} if word.startswith("@") else {word}

    allowed = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", text, re.M):
        named = {call for word in words.lstrip("~").split() for call in members(word)}
        allowed = allowed - named if words.startswith("~") else allowed | named
    # systemd lets these through whatever the filter says (systemd.exec(5), SystemCallFilter=).
    return allowed | members("@default") | {"execve", "exit", "exit_group", "rt_sigreturn", "sigreturn", "getrlimit"}


def used_calls(mingpai):
    """Those of a life: start, write, read, import, reload, stop."""
    with tempfile.TemporaryDirectory() as folder:
        data, trace = f"{folder}/data", f"{folder}/trace"
        node = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", trace, str(mingpai), "serve", "--dev", "--data", data, "--listen", "127.0.0.1:0",
             "--set", "http.pin_cores=true", "--set", "store.checkpoint_seconds=1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"NOTIFY_SOCKET": f"{folder}/nobody"},
        )
        url = None
        for line in node.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            url = found.group(0) if found else url
            if "administrator's key" in line:
                break
        threading.Thread(target=node.stdout.read, daemon=True).start()
        rows = Path(folder) / "rows.ndjson"
        rows.write_text('{"identifier":"88.999.1/P-1","values":[{"index":1,"type":"a","data":"b"}]}\n')
        client = ["--server", url, "--token-file", f"{data}/dev-token"]
        for command in [["import", str(rows)], ["resolve", "88.999.1/P-1"], ["export"], ["reload"], ["log"]]:
            code, said = run(str(mingpai), *command, *client)
            assert code == 0, (command, said)
        pid = int(re.match(r"\d+", Path(trace).read_text())[0])
        os.kill(pid, signal.SIGTERM)
        ended = node.wait(timeout=120)
        calls = re.findall(r"^\d+ +(\w+)\(", Path(trace).read_text(), re.M)
        return ended, set(calls)


def system_calls(mingpai, text):
    if not shutil.which("strace"):
        print("skipped: the system calls of a node: strace is not here")
        return
    ended, used = used_calls(mingpai)
    refused = used - allowed_calls(text)
    check(f"a node makes no call of {len(used)} that its unit refuses", ended == 0 and len(used) > 40 and not refused, (ended, refused))


def pages(mingpai):
    with tempfile.TemporaryDirectory() as folder:
        code, said = run(str(mingpai), "man", "--dir", folder)
        made = sorted(path.name for path in Path(folder).iterdir())
        check("there is a page for each command", code == 0 and {"mingpai.1", "mingpai-serve.1", "mingpai-doctor.1"} <= set(made), said)
        complaints = ""
        for name in made:
            # As Debian's own checks ask: nothing to complain of.
            done = subprocess.run(
                ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", f"{folder}/{name}"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60,
                env=os.environ | {"LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "120"},
            )
            complaints += done.stderr
        check(f"man reads all {len(made)} without a warning", not complaints, complaints)
        code, page = run("man", "-P", "cat", "-l", f"{folder}/mingpai-log.1", env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "120"})
        check("options, Chinese and examples stand in a page", "--slow-microseconds" in page and "微秒" in page and "mingpai log" in page, page)
    for shell, judge in [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])]:
        code, script = run(str(mingpai), "completions", shell)
        check(f"completions for {shell} know the commands", code == 0 and "check-config" in script and "slow-microseconds" in script)
        if not shutil.which(shell):
            print(f"skipped: {shell} reads its completions: {shell} is not here")
            continue
        with tempfile.NamedTemporaryFile("w", suffix=f".{shell}") as file:
            file.write(script)
            file.flush()
            code, said = run(*judge, file.name)
            check(f"{shell} reads them", code == 0, said)
    code, said = run("bash", "-c", f'source <("{mingpai}" completions bash); COMP_WORDS=(mingpai che); COMP_CWORD=1; _mingpai mingpai che mingpai; echo "${{COMPREPLY[@]}}"')
    check("bash completes a command by them", "check-config" in said, said)


def package(mingpai):
    """With the program as it is: what is in the package, and that it installs into a bare root."""
    if subprocess.run(["cargo", "deb", "--version"], capture_output=True).returncode != 0:
        print("skipped: the Debian package: cargo-deb is not here (cargo install cargo-deb)")
        return
    code, said = run(str(ROOT / "config/debian/build"), "dev", cwd=ROOT)
    found = re.findall(r"\S+\.deb", said)
    check("the package is built", code == 0 and found, said)
    if not found:
        return
    deb = (ROOT / found[-1]).resolve()
    _, listed = run("dpkg-deb", "--contents", str(deb))
    for path in ["./usr/bin/mingpai", "./etc/mingpai/mingpai.toml", "./usr/share/man/man1/mingpai-serve.1.gz",
                 "./usr/share/bash-completion/completions/mingpai", "./usr/share/doc/mingpai/copyright"]:
        check(f"it has {path}", f" {path}\n" in listed, listed)
    check("it has the unit", re.search(r" \./(usr/)?lib/systemd/system/mingpai\.service\n", listed), listed)
    check("nothing in it is anybody's but root's", not re.search(r"^\S+ (?!root/root|0/0)", listed, re.M), listed)
    with tempfile.TemporaryDirectory() as folder:
        run("dpkg-deb", "--raw-extract", str(deb), folder)
        control = (Path(folder) / "DEBIAN/control").read_text()
        check("it names what it depends on", "libc6" in control and "passwd" in control, control)
        check("its settings are a configuration file", (Path(folder) / "DEBIAN/conffiles").read_text().strip() == "/etc/mingpai/mingpai.toml")
        for name in ["postinst", "postrm", "prerm"]:
            script = Path(folder) / "DEBIAN" / name
            code, said = run("sh", "-n", str(script))
            check(f"{name} is a script without a hole", code == 0 and "#DEBHELPER#" not in script.read_text(), said)
        config = Path(folder) / "etc/mingpai/mingpai.toml"
        code, said = run(str(mingpai), "check-config", "--config", str(config), env=os.environ | {"MINGPAI_LANG": "en"})
        check("as shipped only the issuer is missing", code == 1 and "node.iss" in said and "faults: 1" in said, said)
        code, said = run(str(mingpai), "check-config", "--config", str(config), "--set", "node.iss=urn:x:1")
        check("with it the settings are right", code == 0, said)
        installs(deb)


def installs(deb):
    """Into a root of its own, as dpkg does it; the scripts that make the user are not run there."""
    if os.geteuid() != 0:
        print("skipped: installing the package: only root can")
        return
    with tempfile.TemporaryDirectory() as root:
        database = Path(root) / "var/lib/dpkg"
        for part in ["info", "updates", "triggers"]:
            (database / part).mkdir(parents=True)
        for part in ["status", "available"]:
            (database / part).touch()
        code, said = run("dpkg", f"--root={root}", "--force-depends", "--unpack", str(deb))
        check("dpkg unpacks it", code == 0, said)
        code, said = run(f"{root}/usr/bin/mingpai", "--version")
        check("the program in it runs", code == 0 and said.startswith("mingpai "), said)


def main():
    mingpai = Path(sys.argv[1]).resolve()
    text = unit(mingpai)
    pages(mingpai)
    system_calls(mingpai, text)
    package(mingpai)
    print(f"packaging: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
