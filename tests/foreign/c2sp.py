"""Transparency logs from their specifications alone: RFC 6962 trees with the checks of RFC 9162, and C2SP signed-note,
tlog-checkpoint, tlog-tiles, tlog-proof and tlog-cosignature. It shares nothing with the node, so that each can be held to the other.

log_check.py judges a node with it, and hostile_log.py builds dishonest logs with it. Reading is strict: what is not written exactly
as the specification says raises Malformed.
"""

import base64
import hashlib
import struct
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# C2SP tlog-tiles: hashes of a full tile, and bytes of a hash.
WIDTH = 256
HASH = 32
EMPTY = hashlib.sha256(b"").digest()
NOTE, COSIGNATURE = 1, 4  # C2SP signed-note, "Signature types"
PROOF_HEADER = "c2sp.org/tlog-proof@v1"


class Malformed(Exception):
    """What is wrong with something that was read."""


def demand(condition, wrong):
    if not condition:
        raise Malformed(wrong)


def b64(text):
    """Standard base64 with padding, in its one spelling."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed(f"base64: {error}") from None
    demand(base64.b64encode(found).decode() == text, "base64 in another spelling")
    return found


def decimal(text):
    demand(text == "0" or (text[:1] in set("123456789") and all(letter in "0123456789" for letter in text)), f"no number: {text!r}")
    demand(len(text) <= 20 and int(text) < 2**64, "a number over 64 bits")
    return int(text)


# RFC 6962, section 2.1, and RFC 9162, sections 2.1.3.2 and 2.1.4.2.


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def included(leaf, index, size, root, hashes):
    """Whether the path leads from the leaf to the root (RFC 9162, 2.1.3.2)."""
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for step in hashes:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(step, found)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def consistent(old, old_root, size, root, hashes):
    """Whether a tree begins with another (RFC 9162, 2.1.4.2; every tree begins with the empty one)."""
    if old > size:
        return False
    if old == size:
        return not hashes and old_root == root
    if old == 0:
        return not hashes and old_root == EMPTY
    if not hashes:
        return False
    path = [old_root, *hashes] if old & (old - 1) == 0 else list(hashes)
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for step in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node_hash(step, first), node_hash(step, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == root


class Tree:
    """A growing tree. `rows[k]` has the roots of the perfect subtrees of 2**k leaves, as far as they are complete."""

    def __init__(self, leaves=()):
        self.rows = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self):
        return len(self.rows[0])

    def append(self, leaf):
        row, rows = 0, self.rows
        rows[0].append(leaf)
        while len(rows[row]) % 2 == 0:
            if row + 1 == len(rows):
                rows.append([])
            rows[row + 1].append(node_hash(rows[row][-2], rows[row][-1]))
            row += 1

    def span(self, begin, end):
        """MTH of the leaves from begin to end, which are a part that the tree splits into."""
        count = end - begin
        if count == 0:
            return EMPTY
        level = count.bit_length() - 1
        if count == 1 << level:
            return self.rows[level][begin >> level]
        return node_hash(self.span(begin, begin + (1 << level)), self.span(begin + (1 << level), end))

    def root(self, size=None):
        return self.span(0, len(self) if size is None else size)

    def inclusion(self, index, size, begin=0):
        """PATH(m, D[n]), RFC 6962, 2.1.1."""
        if size - begin == 1:
            return []
        middle = begin + split(size - begin)
        if index < middle:
            return [*self.inclusion(index, middle, begin), self.span(middle, size)]
        return [*self.inclusion(index, size, middle), self.span(begin, middle)]

    def consistency(self, old, size):
        """PROOF(m, D[n]), RFC 6962, 2.1.2."""
        return [] if old in (0, size) else self.subproof(old, 0, size, True)

    def subproof(self, old, begin, end, whole):
        if old == end:
            return [] if whole else [self.span(begin, end)]
        middle = begin + split(end - begin)
        if old <= middle:
            return [*self.subproof(old, begin, middle, whole), self.span(middle, end)]
        return [*self.subproof(old, middle, end, False), self.span(begin, middle)]

    def tile(self, level, number, width=WIDTH):
        """The hashes of a tile, or None where the tree has not so many."""
        row = self.rows[8 * level] if 8 * level < len(self.rows) else []
        hashes = row[number * WIDTH : number * WIDTH + width]
        return b"".join(hashes) if len(hashes) == width else None


def split(count):
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


# C2SP tlog-tiles.


def number_path(number):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))


def tile_path(level, number, width=WIDTH):
    """What follows <log>/tile/; the level "entries" is the bundles'."""
    return f"{level}/{number_path(number)}" + (f".p/{width}" if width < WIDTH else "")


def parse_tile_path(path):
    """Level, number, width of an address, which has one spelling."""
    level, _, rest = path.partition("/")
    number, partial, width = rest.partition(".p/")
    found = level if level == "entries" else decimal(level)
    width = decimal(width) if partial else WIDTH
    demand(found == "entries" or found < 64, "a level over 63")
    demand(0 < width < WIDTH or not partial, "no partial tile has such a width")
    digits = number.replace("x", "").replace("/", "")
    demand(digits.isdecimal() and digits.isascii() and len(digits) <= 20, "no number of a tile")
    demand(tile_path(found, int(digits), width) == path, "another spelling of an address")
    return found, int(digits), width


def tiles_of(level, size):
    """Number and width of the tiles of a level in a log of this size."""
    count = size >> (0 if level == "entries" else 8 * level)
    return [(number, min(WIDTH, count - number * WIDTH)) for number in range((count + WIDTH - 1) // WIDTH)]


def bundle_of(entries):
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def entries_of(bundle, width):
    entries, at = [], 0
    while at < len(bundle):
        demand(at + 2 <= len(bundle), "a bundle ends in a length")
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        demand(end <= len(bundle), "a bundle ends in an entry")
        demand(len(entries) < width, f"more than {width} entries in a bundle")
        entries.append(bundle[at + 2 : end])
        at = end
    demand(len(entries) == width, f"{len(entries)} entries in a bundle of {width}")
    return entries


# C2SP signed-note, tlog-checkpoint, tlog-cosignature.


class Key:
    """A public key in note form, `name+hex+base64`."""

    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        demand(len(parts) == 3, "a key has three parts")
        self.name, said, encoded = parts
        raw = b64(encoded)
        demand(self.name and not any(letter.isspace() for letter in self.name), "no name of a key")
        demand(len(raw) == 1 + HASH and raw[0] in (NOTE, COSIGNATURE), "not an Ed25519 key")
        self.kind, self.public = raw[0], Ed25519PublicKey.from_public_bytes(raw[1:])
        self.id = key_id(self.name, raw)
        demand(said == self.id.hex(), "the id is not that of name and key")

    def verifies(self, text, signature):
        """Gives the seconds of a cosignature, or True; raises where it does not hold."""
        if self.kind == NOTE:
            message, signed, said = text.encode(), signature, True
        else:
            demand(len(signature) == 8 + 64, "a cosignature of another length")
            said, signed = int.from_bytes(signature[:8], "big"), signature[8:]
            message = f"cosignature/v1\ntime {said}\n{text}".encode()
        try:
            self.public.verify(signed, message)
        except (InvalidSignature, ValueError):
            raise Malformed(f"the signature of {self.name} does not hold") from None
        return said


def key_id(name, raw):
    return hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]


class Signer:
    """A key that signs notes, or cosigns them."""

    def __init__(self, name, private=None, kind=NOTE):
        self.name, self.kind = name, kind
        self.private = private or Ed25519PrivateKey.generate()
        self.raw = bytes([kind]) + self.private.public_key().public_bytes_raw()

    @property
    def vkey(self):
        return f"{self.name}+{key_id(self.name, self.raw).hex()}+{base64.b64encode(self.raw).decode()}"

    def line(self, text, now=None):
        if self.kind == NOTE:
            signature = self.private.sign(text.encode())
        else:
            now = int(time.time()) if now is None else now
            signature = struct.pack(">Q", now) + self.private.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        return f"\u2014 {self.name} {base64.b64encode(key_id(self.name, self.raw) + signature).decode()}\n"


def sign_note(text, *signers):
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def open_note(note, *keys):
    """The text, and by key name what its signature says. The first key must have signed; of keys that are not given nothing is
    asked. A signature of a given key that does not hold refuses the whole note."""
    if isinstance(note, bytes):
        try:
            note = note.decode()
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None
    demand(all(letter == "\n" or (letter >= " " and letter != "\x7f") for letter in note), "a control character")
    text, blank, lines = note.rpartition("\n\n")
    demand(blank and lines.endswith("\n"), "no signatures")
    text += "\n"
    known, found = {(key.name, key.id): key for key in keys}, {}
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        demand(dash == "\u2014" and name and "+" not in name, "no signature line")
        blob = b64(encoded)
        demand(len(blob) > 4, "a signature too short")
        key = known.get((name, blob[:4]))
        if key:
            demand(key.name not in found, f"{key.name} signed twice")
            found[key.name] = key.verifies(text, blob[4:])
    demand(keys[0].name in found, f"{keys[0].name} did not sign")
    return text, found


def checkpoint_text(origin, size, root):
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def parse_checkpoint(text):
    """Origin, size, root; extension lines are let pass, as the specification asks."""
    demand(text.endswith("\n"), "a checkpoint is cut short")
    lines = text[:-1].split("\n")
    demand(len(lines) >= 3 and lines[0] and all(lines[3:]), "a checkpoint has three lines, none empty")
    root = b64(lines[2])
    demand(len(root) == HASH, "no root")
    return lines[0], decimal(lines[1]), root


def open_checkpoint(note, key, *others):
    """Size, root, and what the signatures say; the origin must be the key's name."""
    text, found = open_note(note, key, *others)
    origin, size, root = parse_checkpoint(text)
    demand(origin == key.name, f"the origin is {origin}")
    return size, root, found


# C2SP tlog-proof.


def proof_file(index, hashes, checkpoint):
    lines = [PROOF_HEADER, f"index {index}", *(base64.b64encode(step).decode() for step in hashes), "", ""]
    return "\n".join(lines) + checkpoint


def parse_proof(file):
    """Extra bytes or None, index, hashes, checkpoint."""
    try:
        text = file.decode() if isinstance(file, bytes) else file
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    head, blank, checkpoint = text.partition("\n\n")
    demand(blank, "no checkpoint")
    header, *lines = head.split("\n")
    demand(header == PROOF_HEADER, "not a proof")
    extra = b64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
    demand(lines and lines[0].startswith("index "), "no index")
    hashes = [b64(line) for line in lines[1:]]
    demand(len(hashes) <= 64 and all(len(step) == HASH for step in hashes), "no path")
    return extra, decimal(lines[0][6:]), hashes, checkpoint


def proves(file, leaf, key):
    """Whether a proof file proves the leaf under the log's key; raises Malformed where it does not even read."""
    _, index, hashes, checkpoint = parse_proof(file)
    # The path first: it is the cheaper half, and both must hold.
    _, size, root = parse_checkpoint(checkpoint.rpartition("\n\n")[0] + "\n")
    return included(leaf, index, size, root, hashes) and open_checkpoint(checkpoint, key)[:2] == (size, root)
