"""Judges a node's transparency log by aics-tlog, a library for C2SP logs that was not written here. It wants Python 3.12.

usage: log_aics.py URL [--vkey KEY] [--checkpoints FOLDER] [--samples N] [--seed N]

Prints a line "ok ..." or "FAILED ..." for each thing, and "log (aics-tlog): N passed, M failed" at the end.
"""

import argparse
import base64
import json
import os
import random
import sys
import urllib.request

from aics_tlog import (
    HttpTileReader,
    VerifiedTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
)

import c2sp

RESULTS = {"passed": 0, "failed": 0}


def check(name, judge):
    told = ""
    try:
        good = judge() is not False
    except Exception as error:  # the library has many ways to say no
        good, told = False, f": {type(error).__name__} {error}"
    RESULTS["passed" if good else "failed"] += 1
    print(f"{'ok' if good else 'FAILED'} log (aics-tlog) {name}{told}", flush=True)
    return good


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def head_of(note, key):
    result = verify_checkpoint(parse_note(note), key, expected_origin=key.name)
    assert result.ok, result.error
    return result.size, result.root


def hashes_of(said):
    return [base64.b64decode(step, validate=True) for step in said["hashes"]]


def judge(url, vkey, folder, samples, lot):
    key = parse_vkey(vkey or fetch(url + "/log/vkey").strip())
    reader = HttpTileReader(url + "/log/", proxies={})
    size, root = 0, b""

    def head():
        nonlocal size, root
        size, root = head_of(reader.read_checkpoint(), key)

    if not check("the checkpoint is the log's", head):
        return
    check(f"every tile and every bundle of {size} entries is of the tree that is signed", lambda: audit_tiles(reader, size, root))
    verified = VerifiedTileReader(reader, size, root)

    def records():
        for index in {0, size - 1, *(lot.randrange(size) for _ in range(samples))}:
            said = json.loads(fetch(f"{url}/v1/log/proof/{index}?size={size}"))
            assert said["index"] == index and base64.b64decode(said["root"]) == root
            assert verify_inclusion(verified.leaf_hash(index), index, size, hashes_of(said), root), index
            assert hashes_of(said) == inclusion_proof_from_tiles(verified, index, size), f"{index} by tiles"

    def growths():
        for old in {0, 1, size, *(lot.randint(0, size) for _ in range(samples))}:
            said = json.loads(fetch(f"{url}/v1/log/consistency?from={old}&to={size}"))
            assert verify_consistency(old, size, base64.b64decode(said["from"]["root"]), root, hashes_of(said)), old
            assert hashes_of(said) == consistency_proof_from_tiles(verified, old, size), f"{old} by tiles"

    check(f"sampled proofs of inclusion hold, and are those of the tiles: {samples}", records)
    check(f"sampled proofs of consistency hold, and are those of the tiles: {samples}", growths)
    if folder:
        check("checkpoints that were fetched on the way are consistent, each with the head", lambda: on_the_way(url, folder, key, size, root))
    check("it takes a cosignature as c2sp.py makes one, and none of another second", cosigned)


def on_the_way(url, folder, key, size, root):
    names = sorted(os.listdir(folder))
    assert names
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            old, old_root = head_of(file.read(), key)
        said = json.loads(fetch(f"{url}/v1/log/consistency?from={old}&to={size}"))
        assert verify_consistency(old, size, old_root, root, hashes_of(said)), name


def cosigned():
    """Holds the judge in c2sp.py to this library, where it signs."""
    log, witness = c2sp.Signer("log.example/one"), c2sp.Signer("witness.example/w", kind=c2sp.COSIGNATURE)
    text = c2sp.checkpoint_text(log.name, 7, bytes(32))
    note = text + "\n" + log.line(text) + witness.line(text, now=1_800_000_000)
    result = verify_checkpoint(parse_note(note), parse_vkey(log.vkey), [parse_vkey(witness.vkey)], quorum=1)
    assert result.ok, result.error
    other = witness.line(text, now=1_800_000_001)
    blob = bytearray(base64.b64decode(other.split()[2]))
    blob[11] ^= 1
    wrong = text + "\n" + log.line(text) + f"\u2014 {witness.name} {base64.b64encode(blob).decode()}\n"
    assert not verify_checkpoint(parse_note(wrong), parse_vkey(log.vkey), [parse_vkey(witness.vkey)], quorum=1).ok


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("--vkey")
    arguments.add_argument("--checkpoints")
    arguments.add_argument("--samples", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**32))
    said = arguments.parse_args()
    judge(said.url, said.vkey, said.checkpoints, said.samples, random.Random(said.seed))
    print(f"seed {said.seed}")
    print(f"log (aics-tlog): {RESULTS['passed']} passed, {RESULTS['failed']} failed")
    sys.exit(1 if RESULTS["failed"] else 0)


if __name__ == "__main__":
    main()
