//! Administer: API keys, the bootstrap token, the keys that sign.
//!
//! An API key is `mpk_ID_SECRET_CHECK`: shown once, kept as a hash (SHA-256: the secret has 256 random bits). The bootstrap
//! token `mpb_TIME_SECRET_CHECK` lies in a 0600 file for 24 hours and is exchanged once for an administrator's key.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use parking_lot::Mutex;

use super::token::{BOOTSTRAP_MARK, KEY_MARK, are_same, random_text, sha256, taken_apart, token_text};
use super::{ServiceError, Services};
use crate::model::field::FieldError;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::covers;
use crate::model::principal::{Principal, Role, Scope};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, PublicJwk, read_secret_file, write_secret_file};
use crate::sign::statement::{ApiKey, AuditEvent, AuditStatement, Authority, propose};
use crate::store::engine::Table;
use crate::store::journal::FrameKind;
use crate::store::{Outcome, Proposal, StatementProposal};

/// How long a bootstrap token opens anything (conventions: 24 h).
pub const BOOTSTRAP_SECONDS: i64 = 24 * 3600;

/// Keys that one page looks at for who sees a few of them only.
const KEYS_LOOKED_AT: usize = 4_096;

/// A new API key is wanted.
#[derive(Clone, Debug)]
pub struct CreateKey {
    pub label: String,
    pub expires: Option<Timestamp>,
    pub role: Role,
    /// Canonical; some for an enterprise's role, none for the others.
    pub prefixes: Vec<String>,
    /// Whose signature begins its sessions. Then there is no secret.
    pub public_key: Option<PublicJwk>,
}

impl CreateKey {
    /// One that opens everything until it is revoked.
    #[must_use]
    pub fn for_administrator(label: &str) -> CreateKey {
        let role = Role::Administrator;
        CreateKey { label: label.to_owned(), expires: None, role, prefixes: Vec::new(), public_key: None }
    }

    /// What the key will be good for.
    fn held(&self) -> Principal {
        let scope = if self.role.is_bound() { Scope::of(self.prefixes.clone()) } else { Scope::Node };
        let until = self.expires.map(Timestamp::as_seconds);
        Principal { id: String::new(), role: self.role, scope, until }
    }
}

impl Asks for CreateKey {
    const ACTION: Action = Action::ManageKeys;
}

/// A key is to open nothing any more.
#[derive(Clone, Debug)]
pub struct RevokeKey {
    pub id: String,
}

impl Asks for RevokeKey {
    const ACTION: Action = Action::ManageKeys;
}

/// Which keys are there?
#[derive(Clone, Debug)]
pub struct ListKeys {
    /// Only what follows this id (a cursor).
    pub after: Option<String>,
    /// At least 1.
    pub limit: usize,
}

impl Asks for ListKeys {
    const ACTION: Action = Action::ManageKeys;
}

/// What is known of this key?
#[derive(Clone, Debug)]
pub struct ReadKey {
    pub id: String,
}

impl Asks for ReadKey {
    const ACTION: Action = Action::ManageKeys;
}

/// Keys in the order of their ids.
#[derive(Clone, Debug)]
pub struct KeyPage {
    pub keys: Vec<KeyView>,
    /// Ask on after this id; `None`: this was the last page.
    pub next: Option<String>,
}

/// A key without its secret.
#[derive(Clone, Debug)]
pub struct KeyView {
    pub key: ApiKey,
    pub revoked: bool,
    /// The minute, in epoch seconds.
    pub last_used: Option<i64>,
}

/// A key just made: the only time that its text is seen. Not `Debug`, so that no log can hold it.
pub struct NewKey {
    pub key: ApiKey,
    /// None, where a signature stands for it.
    pub text: Option<String>,
}

/// The bootstrap token of this node, if one is out.
#[derive(Default)]
pub struct Bootstrap {
    out: Mutex<Option<OutToken>>,
}

struct OutToken {
    hash: [u8; 32],
    issued: i64,
    path: PathBuf,
}

impl Services {
    /// Whether this is the bootstrap token, which may ask for one thing only.
    pub fn is_bootstrap(&self, token: &str, now: Timestamp) -> bool {
        self.bootstrap.fits(token, now)
    }

    /// Makes a key that opens no more than its maker's.
    pub async fn create_key(&self, asked: Permitted<CreateKey>) -> Result<NewKey, ServiceError> {
        let (principal, request) = asked.into_parts();
        if let Some(excess) = principal.excess(&request.held()) {
            return Err(self.denied(&principal, ServiceError::MoreThanHeld(excess)));
        }
        self.are_served(&request.prefixes)?;
        let made = new_key(&request, &principal.id)?;
        let event = AuditEvent::KeyCreated { key: made.key.clone() };
        self.audit(event, &principal.id).await?;
        Ok(made)
    }

    /// Exchanges the bootstrap token for an administrator's key, once.
    pub async fn exchange_bootstrap(&self, token: &str, request: CreateKey) -> Result<NewKey, ServiceError> {
        if request.role != Role::Administrator {
            let detail =
                Text::new("引导令牌换取的是管理员密钥", "the bootstrap token is exchanged for an administrator's key");
            return Err(ServiceError::Fields(vec![FieldError {
                pointer: "/role".to_owned(),
                code: "wrong_value",
                detail,
            }]));
        }
        let now = Timestamp::now();
        let (id, _) = taken_apart(BOOTSTRAP_MARK, token).ok_or(ServiceError::BadCredential)?;
        if !self.bootstrap.fits(token, now) {
            return Err(ServiceError::BadCredential);
        }
        let made = new_key(&request, "bootstrap")?;
        let event = AuditEvent::BootstrapUsed { token: format!("bootstrap:{id}"), key: made.key.clone() };
        match self.audit(event, "bootstrap").await {
            // The row that it makes exists: somebody else was first.
            Err(ServiceError::IdempotencyRunning) => Err(ServiceError::BadCredential),
            Err(other) => Err(other),
            Ok(()) => {
                self.bootstrap.spent();
                Ok(made)
            }
        }
    }

    /// A key for a prefix that is mistyped would open nothing, and nobody would be told.
    fn are_served(&self, prefixes: &[String]) -> Result<(), ServiceError> {
        let served = self.prefixes.all();
        let is_unserved = |prefix: &String| !served.iter().any(|policy| covers(prefix, &policy.prefix));
        let Some(at) = prefixes.iter().position(is_unserved) else { return Ok(()) };
        let detail = Text::new(
            "本节点不负责该前缀，也不负责其下级：先写入配置（[[prefixes]]）或通过备案分配",
            "this node serves neither this prefix nor one below it: name it in the configuration ([[prefixes]]), or have it allocated by a filing",
        );
        Err(ServiceError::Fields(vec![FieldError { pointer: format!("/prefixes/{at}"), code: "wrong_value", detail }]))
    }

    pub async fn revoke_key(&self, asked: Permitted<RevokeKey>) -> Result<(), ServiceError> {
        let (principal, request) = asked.into_parts();
        self.key_within(&request.id, &principal)?;
        match self.audit(AuditEvent::KeyRevoked { id: request.id.clone() }, &principal.id).await {
            Err(ServiceError::IdempotencyRunning) => Ok(()), // revoked before
            other => other,
        }
    }

    /// A page of all keys that its asker governs, those that are revoked or expired too. It may end before it is full, where
    /// many keys of others stand between.
    pub fn keys(&self, asked: &Permitted<ListKeys>) -> Result<KeyPage, ServiceError> {
        let ListKeys { after, limit } = asked.request();
        // One more than is looked at tells whether there is a next page.
        let most = if asked.principal().role == Role::Administrator { *limit } else { KEYS_LOOKED_AT };
        let rows = self.store.scan(Table::Key, after.as_deref().map(str::as_bytes), most.saturating_add(1))?;
        let mut page = KeyPage { keys: Vec::new(), next: None };
        let mut last = None;
        for (at, (id, row)) in rows.iter().enumerate() {
            if at == most || page.keys.len() == *limit {
                page.next = last;
                break;
            }
            let key: ApiKey = serde_json::from_slice(row)?;
            last = Some(key.id.clone());
            if is_within(&key, asked.principal()) {
                page.keys.push(self.key_view(id, key)?);
            }
        }
        Ok(page)
    }

    /// One key, without its secret.
    pub fn key(&self, asked: &Permitted<ReadKey>) -> Result<KeyView, ServiceError> {
        self.key_within(&asked.request().id, asked.principal())
    }

    /// One that this caller could have made; of any other it is not told whether there is one.
    fn key_within(&self, id: &str, principal: &Principal) -> Result<KeyView, ServiceError> {
        let missing = || ServiceError::NotFound { what: "key", name: id.to_owned() };
        let row = self.store.any_row(Table::Key, id.as_bytes())?.ok_or_else(missing)?;
        let key: ApiKey = serde_json::from_slice(&row)?;
        if is_within(&key, principal) { self.key_view(id.as_bytes(), key) } else { Err(missing()) }
    }

    fn key_view(&self, id: &[u8], key: ApiKey) -> Result<KeyView, ServiceError> {
        let revoked = self.store.any_row(Table::Revoked, id)?.is_some();
        let last_used = self.key_uses.last(&key.id);
        Ok(KeyView { key, revoked, last_used })
    }

    /// The public halves of all entry keys that the log ever authorised, the oldest first.
    pub fn authorities(&self) -> Result<Vec<Authority>, ServiceError> {
        super::signing_keys::authorities(&self.store)
    }

    /// Puts a bootstrap token out, if nobody has a key yet, and gives the file it lies in.
    pub fn put_bootstrap_out(&self, folder: &Path) -> Result<Option<PathBuf>, ServiceError> {
        if !self.store.scan(Table::Key, None, 1)?.is_empty() {
            return Ok(None);
        }
        self.bootstrap
            .put_out(folder, Timestamp::now())
            .map(Some)
            .map_err(|error| ServiceError::Internal(error.to_string()))
    }

    pub(super) async fn audit(&self, event: AuditEvent, principal: &str) -> Result<(), ServiceError> {
        let proposal = self.audit_event(event, principal)?;
        match self.store.commit(vec![Proposal::Statement(proposal)], false).await.pop() {
            Some(Outcome::Committed(_)) => Ok(()),
            Some(Outcome::Refused(refusal)) => Err(ServiceError::Refused(refusal)),
            _ => Err(ServiceError::IdempotencyRunning),
        }
    }

    /// An event, signed for the audit tree.
    pub(super) fn audit_event(&self, event: AuditEvent, principal: &str) -> Result<StatementProposal, ServiceError> {
        let (now, signing) = (Timestamp::now(), self.signing()?);
        let statement = AuditStatement {
            iat: now.as_seconds(),
            iss: signing.issuer.clone(),
            principal: principal.to_owned(),
            event,
        };
        Ok(propose(&signing.key, FrameKind::Audit, &statement, now, principal)?)
    }
}

impl Bootstrap {
    fn put_out(&self, folder: &Path, now: Timestamp) -> Result<PathBuf, KeyError> {
        let path = folder.join("bootstrap-token");
        if path.exists() {
            let text = String::from_utf8_lossy(&read_secret_file(&path)?).trim().to_owned();
            if let Some(token) = OutToken::read(&text, &path).filter(|token| token.lives(now)) {
                *self.out.lock() = Some(token);
                return Ok(path);
            }
            std::fs::remove_file(&path).map_err(|source| KeyError::Io {
                action: "remove",
                path: path.clone(),
                source,
            })?;
        }
        let text = token_text(BOOTSTRAP_MARK, &now.as_seconds().to_string())?;
        write_secret_file(&path, format!("{text}\n").as_bytes())?;
        *self.out.lock() = OutToken::read(&text, &path);
        Ok(path)
    }

    fn fits(&self, token: &str, now: Timestamp) -> bool {
        let hash = sha256(token.as_bytes());
        self.out.lock().as_ref().is_some_and(|out| out.lives(now) && are_same(&out.hash, &hash))
    }

    fn spent(&self) {
        if let Some(out) = self.out.lock().take()
            && let Err(error) = std::fs::remove_file(&out.path)
        {
            tracing::warn!(%error, path = %out.path.display(), "the used bootstrap token could not be removed; it opens nothing");
        }
    }
}

impl OutToken {
    fn read(text: &str, path: &Path) -> Option<OutToken> {
        let (id, _) = taken_apart(BOOTSTRAP_MARK, text)?;
        Some(OutToken { hash: sha256(text.as_bytes()), issued: id.parse().ok()?, path: path.to_owned() })
    }

    fn lives(&self, now: Timestamp) -> bool {
        now.as_seconds() < self.issued + BOOTSTRAP_SECONDS
    }
}

/// A key whose role this program does not know is an administrator's to see.
fn is_within(key: &ApiKey, principal: &Principal) -> bool {
    match Principal::of_key(&key.id, &key.role, &key.prefixes, key.expires) {
        None => principal.role == Role::Administrator,
        Some(held) => principal.governs(&held),
    }
}

fn new_key(request: &CreateKey, maker: &str) -> Result<NewKey, ServiceError> {
    let internal = |error: KeyError| ServiceError::Internal(error.to_string());
    let id = random_text(8).map_err(internal)?;
    let mut hash = String::new();
    let mut text = None;
    if request.public_key.is_none() {
        let secret = token_text(KEY_MARK, &id).map_err(internal)?;
        let (_, of_secret) = taken_apart(KEY_MARK, &secret)
            .ok_or_else(|| ServiceError::Internal("a new key does not read back".to_owned()))?;
        hash = BASE64URL.encode(of_secret);
        text = Some(secret);
    }
    let key = ApiKey {
        id,
        hash,
        public_key: request.public_key.clone(),
        role: request.role.as_str().to_owned(),
        prefixes: request.held().scope.prefixes().map(<[String]>::to_vec).unwrap_or_default(),
        maker: Some(maker.to_owned()),
        label: request.label.clone(),
        created: Timestamp::now().as_seconds(),
        expires: request.expires.map(Timestamp::as_seconds),
    };
    Ok(NewKey { key, text })
}
