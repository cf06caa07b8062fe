"""Shows the dishonest log to `mingpai audit` and `mingpai watch`: each lie must end them with 1 and be named.

usage: hostile_follow.py MINGPAI FOLDER
FOLDER is what hostile_log.py recorded; where it is absent, a log is made up there.

Prints "follow: N passed, M failed" at the end.
"""

import hmac
import json
import os
import subprocess
import sys
import tempfile

from hostile_check import made_up_entry, make_up
from hostile_log import HostileLog, canonical, opened, spelled

RESULTS = {"passed": 0, "failed": 0}


def check(name, condition, told=""):
    RESULTS["passed" if condition else "failed"] += 1
    print(f"follow {name} ... {'ok' if condition else f'FAILED {told}'}", flush=True)


class Follower:
    """The commands, with a folder for what they remember."""

    def __init__(self, program, log, folder):
        self.program, self.log, self.folder = program, log, folder

    def run(self, command, face, *more):
        said = [self.program, command, face.url, "--vkey", self.log.vkey, "--patience", "1", "--json", *more]
        environment = {"MINGPAI_LANG": "en", "PATH": os.environ["PATH"]}
        done = subprocess.run(said, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}

    def audit(self, face, *more):
        """Exit code, and the words for what is wrong."""
        code, report = self.run("audit", face, *more)
        words = [f"{found['kind']} {found['index']}" for found in report.get("anomalies", [])]
        if "error" in report:
            words.append(report["error"]["code"])
        return code, words

    def watch(self, face, secret, *more):
        with open(os.path.join(self.folder, "secret"), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(spelled(secret))
        code, report = self.run("watch", face, "--prefix", "88.999.1", "--secret-file", "secret", *more)
        return code, [found["kind"] for found in report.get("found", [])]


def main(program, folder):
    if not os.path.exists(os.path.join(folder, "log")):
        make_up(folder)
    with HostileLog(folder) as log, tempfile.TemporaryDirectory() as place:
        tell(log, Follower(os.path.abspath(program), log, place))
    print(f"follow: {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


def tell(log, follower):
    face, size = log.a, len(log.entries)
    code, words = follower.audit(face, "--state", "state")
    check("an honest log is clean", (code, words) == (0, []), (code, words))
    first = next(at for at, entry in enumerate(log.entries) if "sid" in opened(entry)[1] and at)
    lies = [
        ("a rewritten entry", lambda: face.rewrite(size // 2), "forked"),
        ("a dropped entry", lambda: face.drop(size // 2), "rolled_back"),
        ("a fork at one size", lambda: face.fork(first), "forked"),
        ("a rolled back head", lambda: face.roll_back(size - 40), "rolled_back"),
        ("a flipped bit of a tile", lambda: face.flip(0, 0, 4321), "altered_tile"),
        ("a flipped bit of a tile above", lambda: face.flip(1, 0, 5), "wrong_root"),
        ("a flipped bit of a bundle", lambda: face.flip("entries", 0, 40_000), "altered_entry"),
        ("a bundle that ends early", lambda: face.cut(1), "misshapen"),
        ("a bundle with an entry too many", lambda: face.swell(1, 2), "misshapen"),
        ("a bundle of a hundred megabytes", lambda: face.swell(0, 100_000_000), "oversize"),
    ]
    for name, lie, word in lies:
        lie()
        code, words = follower.audit(face, "--state", "state")
        check(f"{name} is {word}", code == 1 and word in words, (code, words))
        face.honest()
    code, words = follower.audit(face, "--state", "state")
    check("after all these the honest head is still what is remembered", (code, words) == (0, []), (code, words))

    # Entries that only their signatures, or their chain, tell from genuine ones: no memory is needed.
    for kid in (None, "other"):
        made = face.forge(first, kid)
        code, words = follower.audit(face)
        check("a forged entry is not signed", code == 1 and f"not_signed {made['index']}" in words, (code, words))
        face.honest()
    entry, disclosures = made_up_entry(log.entry_key, log.kid, log.signer.name, "88.999.1/Second")
    secret = os.urandom(32)
    name = "88.999.1/Own"
    own, shown = made_up_entry(log.entry_key, log.kid, log.signer.name, name, hmac.digest(secret, canonical(name).encode(), "sha256"))
    face.replace(len(face.entries), own)
    made = face.second_sid("~".join([entry.decode(), *disclosures, ""]))
    code, words = follower.audit(face)
    check("of a second sid an audit sees nothing", (code, words) == (0, []), (code, words))
    for bundle, told in (("answer", made["entry"]), ("own", "~".join([own.decode(), *shown, ""]))):
        with open(os.path.join(follower.folder, bundle), "w", encoding="ascii") as file:
            json.dump({"entry": told}, file)
    code, kinds = follower.watch(face, secret, "--bundle", "answer", "own")
    check("a partner's answer shows it to the owner", code == 1 and kinds == ["second_sid"], (code, kinds))
    code, kinds = follower.watch(face, os.urandom(32), "--bundle", "answer", "own")
    check("with a wrong secret nobody is accused", (code, kinds) == (2, []), (code, kinds))
    face.honest()


if __name__ == "__main__":
    main(*sys.argv[1:])
