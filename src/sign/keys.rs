//! The node's keys: one Ed25519 pair a file (0600), apart by use; and the secret that blinds names.
//!
//! A file is a private JWK (RFC 8037), named `USE-KID.jwk`, where KID is the RFC 7638 thumbprint. Entries and checkpoints
//! have keys of their own, and so has who signs in. Several entry keys may lie side by side: which of them signs is decided by the log
//! (see `statement`), so a rotation never makes an old entry invalid.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::text::Text;

/// The largest file that is read as a key.
const KEY_FILE_LIMIT_BYTES: u64 = 16 * 1024;
/// The file of the secret that blinds names.
pub const SECRET_FILE: &str = "prefix-secret";

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    Entry,
    Checkpoint,
    /// Signs in: begins sessions of an API key that was registered with its public half. Nodes have none.
    Session,
    /// Cosigns checkpoints of others' logs.
    Witness,
    /// Of an enterprise or an upper node: owner's signatures and grants. No node of this program signs with it.
    Owner,
}

impl KeyUse {
    pub fn name(self) -> &'static str {
        match self {
            KeyUse::Entry => "entry",
            KeyUse::Checkpoint => "checkpoint",
            KeyUse::Session => "session",
            KeyUse::Witness => "witness",
            KeyUse::Owner => "owner",
        }
    }
}

/// What can be wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0} may be read by others: run `chmod 600` on it, then consider a new key (`mingpai keygen`)")]
    Exposed(PathBuf),
    #[error("{path} is no key of this program: {cause}")]
    Malformed { path: PathBuf, cause: String },
    #[error("the operating system gave no randomness")]
    NoRandomness,
    #[error(
        "no key file for the entry key {0}, which the log says is the one in force: put the file back, or restore it from the backup"
    )]
    Missing(String),
    #[error(
        "{0} is missing, but this node has a journal: a new secret would give every identifier another blinded name, and erased ones \
         could be registered again. Put the file back, or restore it from the backup"
    )]
    SecretMissing(PathBuf),
}

impl KeyError {
    /// What happened and what to do, for whoever starts a node.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { path, source, .. } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!("密钥文件 {path} 读写失败：{}。请核对该路径的属主与权限", reason.zh),
                    format!("{self}; the owner and the permissions of {path} must let the node in"),
                )
            }
            Self::Exposed(path) => {
                let path = path.display();
                Text::new(
                    format!("{path} 可被他人读取：请运行 chmod 600，并考虑换一个新密钥（mingpai keygen）"),
                    self.to_string(),
                )
            }
            Self::Malformed { path, cause } => {
                let path = path.display();
                Text::new(
                    format!("{path} 不是本程序的密钥：{cause}。请由备份放回原文件"),
                    format!("{self}; put the file back from the backup"),
                )
            }
            Self::NoRandomness => Text::new("操作系统没有给出随机数：请稍后再试", format!("{self}: try again")),
            Self::Missing(kid) => Text::new(
                format!("缺少签名密钥 {kid} 的文件，而日志表明它正在使用：请放回该文件，或由备份恢复"),
                self.to_string(),
            ),
            Self::SecretMissing(path) => {
                let path = path.display();
                Text::new(
                    format!(
                        "缺少 {path}，而节点已有日志：换一个新的会改变所有标识的盲化名，已抹除的标识也可能被再次登记。请放回该文件，\
                         或由备份恢复"
                    ),
                    self.to_string(),
                )
            }
        }
    }
}

/// A public key as JSON (RFC 8037), without anything private.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicJwk {
    pub kty: String,
    pub crv: String,
    pub x: String,
    pub kid: String,
    pub alg: String,
    #[serde(rename = "use")]
    pub key_use: String,
}

impl PublicJwk {
    /// The JWK of an Ed25519 public key; `kid` is its RFC 7638 thumbprint.
    pub fn of(public: &[u8]) -> PublicJwk {
        PublicJwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64URL.encode(public),
            kid: thumbprint(public),
            alg: "EdDSA".to_owned(),
            key_use: "sig".to_owned(),
        }
    }

    /// The raw public key, if this is an Ed25519 key whose `kid` is its thumbprint.
    pub fn public(&self) -> Option<Vec<u8>> {
        let public = BASE64URL.decode(&self.x).ok().filter(|bytes| bytes.len() == 32)?;
        (self.kty == "OKP" && self.crv == "Ed25519" && self.kid == thumbprint(&public)).then_some(public)
    }

    /// Whether its signatures are proof of anything: the bytes are the canonical ones of a point in the group of prime order.
    /// Under other keys (RFC 8032, section 5.1.7 lets them be; of small order at worst) one signature fits many messages, or
    /// programs do not agree. Asked where a key is taken in.
    pub fn is_sound(&self) -> bool {
        let point = self.public().and_then(|public| CompressedEdwardsY::from_slice(&public).ok()?.decompress());
        point.is_some_and(|point| {
            let is_canonical = BASE64URL.encode(point.compress().as_bytes()) == self.x;
            is_canonical && !point.is_small_order() && point.is_torsion_free()
        })
    }
}

/// RFC 7638: SHA-256 over the required members in lexical order.
fn thumbprint(public: &[u8]) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL.encode(public));
    BASE64URL.encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()))
}

/// A pair that can sign. Its private half is never shown: no `Debug`, no serialisation but into its own file.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
    kid: String,
}

impl SigningKey {
    pub(super) fn from_seed(seed: &[u8]) -> Option<SigningKey> {
        let seed: &[u8; 32] = seed.try_into().ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(SigningKey { pair, public, kid: thumbprint(&public) })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn public(&self) -> PublicJwk {
        PublicJwk::of(&self.public)
    }

    /// The public half, raw (RFC 8032).
    pub fn public_bytes(&self) -> [u8; 32] {
        self.public
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

#[derive(Serialize, Deserialize)]
struct PrivateJwk {
    #[serde(flatten)]
    public: PublicJwk,
    d: String,
    mingpai_use: KeyUse,
    created: i64,
}

/// The keys of one folder.
pub struct KeyFolder {
    keys: HashMap<(KeyUse, String), (i64, SigningKey)>,
    secret: [u8; 32],
}

impl KeyFolder {
    /// Reads the folder, making it with one key a use and a fresh secret where they are absent.
    pub fn open(folder: &Path, now: i64) -> Result<KeyFolder, KeyError> {
        make_folder(folder)?;
        let mut keys = HashMap::new();
        let listing = std::fs::read_dir(folder).map_err(io("list", folder))?;
        for entry in listing {
            let path = entry.map_err(io("list", folder))?.path();
            if path.extension().is_some_and(|extension| extension == "jwk") {
                let (key_use, created, key) = read_key(&path)?;
                keys.insert((key_use, key.kid.clone()), (created, key));
            }
        }
        for key_use in [KeyUse::Entry, KeyUse::Checkpoint] {
            if !keys.keys().any(|(found, _)| *found == key_use) {
                let path = generate(folder, key_use, now)?;
                let (_, created, key) = read_key(&path)?;
                keys.insert((key_use, key.kid.clone()), (created, key));
            }
        }
        Ok(KeyFolder { keys, secret: read_or_make_secret(folder)? })
    }

    /// The pair with this id.
    pub fn key(&self, key_use: KeyUse, kid: &str) -> Option<&SigningKey> {
        self.keys.get(&(key_use, kid.to_owned())).map(|(_, key)| key)
    }

    /// All pairs of a use, the oldest file first.
    pub fn all(&self, key_use: KeyUse) -> Vec<&SigningKey> {
        let mut found: Vec<_> = self.keys.iter().filter(|((of, _), _)| *of == key_use).map(|(_, key)| key).collect();
        found.sort_by(|(a, x), (b, y)| (a, &x.kid).cmp(&(b, &y.kid)));
        found.into_iter().map(|(_, key)| key).collect()
    }

    /// Takes all pairs of a use out, the oldest first, to hand them to who signs with them.
    pub fn take_all(&mut self, key_use: KeyUse) -> Vec<SigningKey> {
        let kids: Vec<String> = self.all(key_use).into_iter().map(|key| key.kid().to_owned()).collect();
        kids.iter().filter_map(|kid| self.take(key_use, kid).ok()).collect()
    }

    /// Takes a pair out, to hand it to who signs with it.
    pub fn take(&mut self, key_use: KeyUse, kid: &str) -> Result<SigningKey, KeyError> {
        let key = self.keys.remove(&(key_use, kid.to_owned()));
        key.map(|(_, key)| key).ok_or_else(|| KeyError::Missing(kid.to_owned()))
    }

    /// The secret that the prefixes' secrets come from.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// Makes a new pair in the folder and gives its file. A running node takes it into use at its next start.
pub fn generate(folder: &Path, key_use: KeyUse, now: i64) -> Result<PathBuf, KeyError> {
    make_folder(folder)?;
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::NoRandomness)?;
    let key = SigningKey::from_seed(&seed).ok_or(KeyError::NoRandomness)?;
    let private = PrivateJwk { public: key.public(), d: BASE64URL.encode(seed), mingpai_use: key_use, created: now };
    let path = folder.join(format!("{}-{}.jwk", key_use.name(), key.kid));
    let text = serde_json::to_vec_pretty(&private)
        .map_err(|error| KeyError::Malformed { path: path.clone(), cause: error.to_string() })?;
    write_secret_file(&path, &text)?;
    Ok(path)
}

/// The only pair of a use in a folder, for programs that are no node; `None` where there is none. Two are an error: which of
/// them others have pinned cannot be told.
pub fn only(folder: &Path, key_use: KeyUse) -> Result<Option<SigningKey>, KeyError> {
    let mut found = None;
    for entry in std::fs::read_dir(folder).map_err(io("list", folder))? {
        let path = entry.map_err(io("list", folder))?.path();
        if path.extension().is_none_or(|extension| extension != "jwk") {
            continue;
        }
        let (read, _, key) = read_key(&path)?;
        if read == key_use && found.replace(key).is_some() {
            return Err(KeyError::Malformed { path, cause: "a second key of one use in this folder".to_owned() });
        }
    }
    Ok(found)
}

/// The pair in a file that [`generate`] made, whatever it is for: an upper node's or an enterprise's own.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    read_key(path).map(|(_, _, key)| key)
}

/// Writes a file that only its owner may read; durable when this returns. An existing file is an error.
pub fn write_secret_file(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write", path))?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("fsync the folder of", path))
}

/// Reads a file that only its owner may read.
pub fn read_secret_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::open(path).map_err(io("open", path))?;
    let mode = file.metadata().map_err(io("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(KEY_FILE_LIMIT_BYTES).read_to_end(&mut bytes).map_err(io("read", path))?;
    Ok(bytes)
}

fn read_key(path: &Path) -> Result<(KeyUse, i64, SigningKey), KeyError> {
    let bytes = read_secret_file(path)?;
    // What serde says may quote the file, and the file is secret: say only that it does not read.
    let malformed = |cause: &str| KeyError::Malformed { path: path.to_owned(), cause: cause.to_owned() };
    let private: PrivateJwk = serde_json::from_slice(&bytes).map_err(|_| malformed("not a private JWK"))?;
    let seed = BASE64URL.decode(&private.d).map_err(|_| malformed("`d` is not base64url"))?;
    let key = SigningKey::from_seed(&seed).ok_or_else(|| malformed("`d` is not an Ed25519 seed"))?;
    if key.kid != private.public.kid {
        return Err(malformed("`kid` is not the thumbprint of the pair"));
    }
    Ok((private.mingpai_use, private.created, key))
}

/// The secret that the prefixes' secrets come from, from a node's key folder; none is made.
pub fn read_secret(folder: &Path) -> Result<[u8; 32], KeyError> {
    decode_secret(&folder.join(SECRET_FILE))
}

/// A secret of 32 bytes in a file of its own, in base64url.
fn decode_secret(path: &Path) -> Result<[u8; 32], KeyError> {
    let bytes = read_secret_file(path)?;
    let decoded = BASE64URL.decode(bytes.trim_ascii_end()).unwrap_or_default();
    decoded
        .try_into()
        .map_err(|_| KeyError::Malformed { path: path.to_owned(), cause: "not 32 bytes in base64url".to_owned() })
}

fn read_or_make_secret(folder: &Path) -> Result<[u8; 32], KeyError> {
    let path = folder.join(SECRET_FILE);
    if !path.exists() {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| KeyError::NoRandomness)?;
        write_secret_file(&path, BASE64URL.encode(secret).as_bytes())?;
    }
    decode_secret(&path)
}

fn make_folder(folder: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io("make", folder))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037, appendix A.1 to A.3.
        let public = BASE64URL.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn signatures_are_those_of_rfc_8032_and_ring_finds_them_right() {
        // RFC 8032, 7.1: tests 1 to 3.
        let vectors = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let from_hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        for (seed, message, signature) in vectors {
            let key = SigningKey::from_seed(&from_hex(seed)).unwrap();
            let message = from_hex(message);
            let made = key.sign(&message);
            assert_eq!(hex(&made), signature);
            let public = key.public().public().unwrap();
            let ring = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
            assert!(ring.verify(&message, &made).is_ok());
            assert!(ring.verify(b"another message", &made).is_err());
        }
    }

    #[test]
    fn keys_come_back_from_their_folder_and_an_exposed_one_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let first = KeyFolder::open(folder.path(), 1).unwrap();
        let again = KeyFolder::open(folder.path(), 2).unwrap();
        assert_eq!(first.secret(), again.secret());
        let kid = first.all(KeyUse::Entry)[0].kid().to_owned();
        let message = b"message";
        assert_eq!(
            first.key(KeyUse::Entry, &kid).unwrap().sign(message),
            again.key(KeyUse::Entry, &kid).unwrap().sign(message)
        );
        let path = generate(folder.path(), KeyUse::Entry, 3).unwrap();
        assert_eq!(KeyFolder::open(folder.path(), 4).unwrap().all(KeyUse::Entry).len(), 2);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(KeyFolder::open(folder.path(), 5), Err(KeyError::Exposed(_))));
    }
}
