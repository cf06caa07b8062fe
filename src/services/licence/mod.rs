//! Licence: who may use a prefix, and by which key an enterprise signs its own entries; all of it statements in the log.
//!
//! A change of a prefix's licences is decided by its chain as it stands, signed, and committed under the next number; who
//! comes second under that number is refused by the sequencer and decides anew.
//!
//! - `owner`: the owner's signature on a registration. `listing`: the statements, for who shows them to a verifier.

mod error;
mod listing;
mod owner;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use parking_lot::RwLock;

pub use error::LicenceError;
pub use listing::{About, ListLicences, Stated, StatementPage, Wanted};

use super::{ServiceError, Services};
use crate::model::field::FieldError;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::decode_sid;
use crate::sign::keys::PublicJwk;
use crate::sign::licence::chain::{Chain, ChainFault, Licence};
use crate::sign::licence::{
    EndReason, Grant, KeyEndStatement, LicenceEndStatement, LicenceRole, LicenceStatement, Listed, OwnerSignature,
    prefix_of_row, propose, row_key,
};
use crate::store::engine::Table;
use crate::store::rows::LeafHash;
use crate::store::{Committed, Outcome, Proposal, Refusal};

/// The most statements about one prefix: licences are given for years, and a chain is read whole.
pub const CHAIN_AT_MOST: u64 = 256;
/// How often a change is decided anew when another one came first.
const ATTEMPTS: usize = 8;

/// A licence is to be given.
#[derive(Clone, Debug)]
pub struct GrantLicence {
    pub what: Licensed,
    /// Ends what is in force in the same step.
    pub replace: Option<Ending>,
}

/// What is licensed to whom.
#[derive(Clone, Debug)]
pub enum Licensed {
    /// By this node to an enterprise.
    Enterprise { prefix: String, holder: String, key: PublicJwk, owner_signature: OwnerSignature },
    /// By an upper node to this one: its own JWS.
    Node { grant: String },
}

/// How something ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub reason: EndReason,
    /// With a compromise: the last index at which the key was nobody else's.
    pub not_after: Option<u64>,
}

/// A licence is to end.
#[derive(Clone, Debug)]
pub struct EndLicence {
    pub id: String,
    pub ending: Ending,
}

/// An entry key of this node is known to others: its signatures count up to an index.
#[derive(Clone, Debug)]
pub struct EndSigningKey {
    pub kid: String,
    pub not_after: u64,
}

impl Asks for GrantLicence {
    const ACTION: Action = Action::Administer;
}

impl Asks for EndLicence {
    const ACTION: Action = Action::Administer;
}

impl Asks for EndSigningKey {
    const ACTION: Action = Action::Administer;
}

/// Chains as they were read, each with the number that [`crate::store::Store::licences_seen`] had before. Only of prefixes
/// that this node serves, and of those above them.
#[derive(Default)]
pub struct Chains(RwLock<HashMap<String, (u64, Arc<Chain>)>>);

/// A licence that is well formed, and not yet compared with what is in force.
struct Proposed {
    prefix: String,
    role: LicenceRole,
    holder: String,
    key: Option<PublicJwk>,
    owner_signature: OwnerSignature,
    grant: Option<String>,
}

impl Services {
    /// Gives a licence, and ends in the same step what it replaces.
    pub async fn grant_licence(&self, asked: Permitted<GrantLicence>) -> Result<Stated, ServiceError> {
        let (principal, request) = asked.into_parts();
        let proposed = self.proposed(&request.what)?;
        for _ in 0..ATTEMPTS {
            let chain = self.read_chain(&proposed.prefix)?;
            let ending = self.replaced(&chain, &proposed, request.replace)?;
            let mut writing = Writing::new(self, &chain, &principal.id);
            for licence in &ending {
                writing.end(licence, request.replace)?;
            }
            writing.licence(&proposed)?;
            if let Some(done) = self.commit_statements(writing.proposals).await? {
                return self.stated_at(&proposed.prefix, done.index);
            }
        }
        Err(ServiceError::Conflict { identifier: proposed.prefix })
    }

    /// Ends a licence.
    pub async fn end_licence(&self, asked: Permitted<EndLicence>) -> Result<Stated, ServiceError> {
        let (principal, request) = asked.into_parts();
        let unknown = || ServiceError::Licence(LicenceError::Unknown { id: request.id.clone() });
        let id = decode_sid(&request.id).ok_or_else(unknown)?;
        let place = self.store.any_row(Table::LicencePlace, &id)?.ok_or_else(unknown)?;
        let prefix = prefix_of_row(&place).ok_or_else(|| ServiceError::Internal("a licence's place".to_owned()))?;
        self.not_to_come(request.ending.not_after, "/not_after")?;
        for _ in 0..ATTEMPTS {
            let chain = self.read_chain(prefix)?;
            let licence = chain.licences.iter().find(|licence| licence.id == request.id).ok_or_else(unknown)?;
            if licence.ended.is_some() {
                return Err(LicenceError::Ended { id: request.id }.into());
            }
            let mut writing = Writing::new(self, &chain, &principal.id);
            writing.end(licence, Some(request.ending))?;
            if let Some(done) = self.commit_statements(writing.proposals).await? {
                return self.stated_at(prefix, done.index);
            }
        }
        Err(ServiceError::Conflict { identifier: prefix.to_owned() })
    }

    /// Says that an entry key's signatures count no more after an index. Signed by the key that followed it.
    pub async fn end_signing_key(&self, asked: Permitted<EndSigningKey>) -> Result<Stated, ServiceError> {
        let (principal, EndSigningKey { kid, not_after }) = asked.into_parts();
        let signing = self.signing()?;
        if kid == signing.key.kid() {
            return Err(LicenceError::SigningKeyActive { kid }.into());
        }
        if !self.authorities()?.iter().any(|authority| authority.key.kid == kid) {
            return Err(LicenceError::SigningKeyUnknown { kid }.into());
        }
        self.not_to_come(Some(not_after), "/not_after")?;
        let now = Timestamp::now();
        let (iat, iss) = (now.as_seconds(), signing.issuer.clone());
        let statement = KeyEndStatement { iat, iss, kid: kid.clone(), not_after };
        let (proposal, _) = propose(&signing.key, &statement, now, &principal.id)?;
        match self.commit_statements(vec![Proposal::Statement(proposal)]).await? {
            Some(_) => self.stated_key_end(&kid),
            None => Err(LicenceError::SigningKeyEnded { kid }.into()),
        }
    }

    /// Commits all or none; `None`: another statement has the number.
    async fn commit_statements(&self, proposals: Vec<Proposal>) -> Result<Option<Committed>, ServiceError> {
        let mut last = None;
        for outcome in self.store.commit(proposals, true).await {
            match outcome {
                Outcome::Committed(done) => last = Some(done),
                Outcome::Refused(refusal) => return Err(ServiceError::Refused(refusal)),
                Outcome::Exists => return Ok(None),
                // The reason stands at another proposal of the same commit.
                _ => {}
            }
        }
        last.map(Some).ok_or(ServiceError::Refused(Refusal::Stopping))
    }

    /// Whether the request is well formed, and about a prefix that concerns this node.
    fn proposed(&self, what: &Licensed) -> Result<Proposed, ServiceError> {
        let proposed = match what {
            Licensed::Enterprise { prefix, holder, key, owner_signature } => {
                if key.public().is_none() {
                    return Err(wrong(
                        "/key",
                        "bad_key",
                        "不是带有自身指纹的 Ed25519 公钥",
                        "is no Ed25519 public key with its thumbprint",
                    ));
                }
                Proposed {
                    prefix: prefix.to_ascii_lowercase(),
                    role: LicenceRole::Enterprise,
                    holder: holder.clone(),
                    key: Some(key.clone()),
                    owner_signature: *owner_signature,
                    grant: None,
                }
            }
            Licensed::Node { grant } => self.granted(grant)?,
        };
        let prefix = proposed.prefix.as_str();
        if !prefix::is_canonical(prefix) {
            return Err(wrong("/prefix", "bad_prefix", "不是前缀", "is no prefix"));
        }
        if !self.prefixes.all().iter().any(|policy| prefix::covers(prefix, &policy.prefix)) {
            return Err(ServiceError::NotResponsible { identifier: prefix.to_owned() });
        }
        Ok(proposed)
    }

    /// An upper node's word about this node.
    fn granted(&self, grant: &str) -> Result<Proposed, ServiceError> {
        let read = Grant::read(grant)
            .map_err(|cause| wrong("/grant", "bad_grant", &format!("不是上级节点的授权：{cause}"), cause))?;
        let is_own = self.authorities()?.iter().any(|own| own.not_after.is_none() && read.names(&own.key.kid));
        if !is_own {
            return Err(wrong(
                "/grant",
                "bad_grant",
                "授权中没有本节点的签名公钥（见 /.well-known/jwks.json）",
                "names no signing key of this node (/.well-known/jwks.json has them)",
            ));
        }
        Ok(Proposed {
            prefix: read.prefix,
            role: LicenceRole::Node,
            holder: read.holder,
            key: None,
            owner_signature: OwnerSignature::Optional,
            grant: Some(grant.to_owned()),
        })
    }

    /// The licences that a new one ends, or why it may not be given.
    fn replaced(&self, chain: &Chain, new: &Proposed, replace: Option<Ending>) -> Result<Vec<Licence>, ServiceError> {
        let standing: Vec<Licence> = chain.standing(new.role).cloned().collect();
        let is_other = |licence: &&Licence| licence.statement.holder != new.holder;
        let has_key = |licence: &&Licence| new.key.is_some() && licence.statement.holder_key == new.key;
        let Some(ending) = replace else {
            // Several keys of one holder may be in force together, so that it can change from one to the next.
            let in_the_way = standing.iter().find(|one| is_other(one) || has_key(one) || new.role == LicenceRole::Node);
            return match in_the_way {
                None => Ok(Vec::new()),
                Some(licence) => {
                    Err(LicenceError::InForce { prefix: new.prefix.clone(), holder: licence.statement.holder.clone() }
                        .into())
                }
            };
        };
        self.not_to_come(ending.not_after, "/replace/not_after")?;
        let others = standing.iter().filter(is_other).count();
        let fits = match ending.reason {
            EndReason::Transferred => others == standing.len(),
            EndReason::Rotated | EndReason::Compromised => others == 0 && !standing.iter().any(|one| has_key(&one)),
            EndReason::Revoked => true,
        };
        if standing.is_empty() || !fits {
            return Err(wrong(
                "/replace",
                "bad_replacement",
                "没有可替换的许可，或理由与持有者、密钥不符：transferred 换持有者，rotated 与 compromised 换同一持有者的密钥",
                "there is no licence to replace, or the reason does not fit: transferred is for another holder, rotated and \
                 compromised for another key of the same",
            ));
        }
        Ok(standing)
    }

    fn not_to_come(&self, index: Option<u64>, pointer: &str) -> Result<(), ServiceError> {
        let size = self.store.tail().registry_size;
        if index.is_none_or(|index| index < size) {
            return Ok(());
        }
        Err(wrong(
            pointer,
            "out_of_range",
            &format!("日志的登记树只有 {size} 条"),
            &format!("the registry tree of the log has {size} leaves"),
        ))
    }

    /// The chain of a prefix as it stands now.
    fn read_chain(&self, prefix: &str) -> Result<Chain, ServiceError> {
        let mut chain = Chain::new(prefix);
        for Listed { index, statement } in self.listed(prefix)? {
            chain.add(index, &statement).map_err(|fault: ChainFault| ServiceError::Internal(fault.to_string()))?;
        }
        Ok(chain)
    }

    /// The statements about a prefix, in their order.
    fn listed(&self, prefix: &str) -> Result<Vec<Listed>, ServiceError> {
        let limit = usize::try_from(CHAIN_AT_MOST).unwrap_or(usize::MAX);
        let rows = self.store.scan(Table::Licence, Some(&row_key(prefix, 0)), limit)?;
        let own = rows.iter().take_while(|(key, _)| prefix_of_row(key) == Some(prefix));
        Ok(own.map(|(_, row)| serde_json::from_slice(row)).collect::<Result<_, _>>()?)
    }

    /// The chain of a prefix that is served here, or lies above one; read again only when a licence has changed.
    fn chain(&self, prefix: &str) -> Result<Arc<Chain>, ServiceError> {
        let seen = self.store.licences_seen();
        if let Some((at, chain)) = self.chains.0.read().get(prefix)
            && *at == seen
        {
            return Ok(Arc::clone(chain));
        }
        let chain = Arc::new(self.read_chain(prefix)?);
        self.chains.0.write().insert(prefix.to_owned(), (seen, Arc::clone(&chain)));
        Ok(chain)
    }
}

/// Statements in the making, each following the one before.
struct Writing<'a> {
    services: &'a Services,
    prefix: &'a str,
    principal: &'a str,
    now: Timestamp,
    seq: u64,
    prev: Option<String>,
    proposals: Vec<Proposal>,
}

impl<'a> Writing<'a> {
    fn new(services: &'a Services, chain: &'a Chain, principal: &'a str) -> Writing<'a> {
        let (prefix, seq, prev) = (chain.prefix.as_str(), chain.seq, chain.last.clone());
        Writing { services, prefix, principal, now: Timestamp::now(), seq, prev, proposals: Vec::new() }
    }

    fn licence(&mut self, new: &Proposed) -> Result<(), ServiceError> {
        let statement = LicenceStatement {
            iat: self.now.as_seconds(),
            iss: self.services.signing()?.issuer.clone(),
            prefix: self.prefix.to_owned(),
            seq: self.seq + 1,
            prev: self.prev.clone(),
            role: new.role,
            holder: new.holder.clone(),
            holder_key: new.key.clone(),
            owner_signature: new.owner_signature,
            grant: new.grant.clone(),
        };
        self.add(&statement)
    }

    fn end(&mut self, licence: &Licence, ending: Option<Ending>) -> Result<(), ServiceError> {
        let Some(Ending { reason, not_after }) = ending else {
            return Ok(());
        };
        let statement = LicenceEndStatement {
            iat: self.now.as_seconds(),
            iss: self.services.signing()?.issuer.clone(),
            prefix: self.prefix.to_owned(),
            seq: self.seq + 1,
            prev: self.prev.clone().unwrap_or_default(),
            licence: licence.id.clone(),
            reason,
            not_after,
        };
        self.add(&statement)
    }

    fn add<T: crate::sign::licence::Stated>(&mut self, statement: &T) -> Result<(), ServiceError> {
        if self.seq >= CHAIN_AT_MOST {
            return Err(LicenceError::ChainFull { prefix: self.prefix.to_owned(), limit: CHAIN_AT_MOST }.into());
        }
        let (proposal, leaf): (_, LeafHash) =
            propose(&self.services.signing()?.key, statement, self.now, self.principal)?;
        self.seq += 1;
        self.prev = Some(BASE64URL.encode(leaf));
        self.proposals.push(Proposal::Statement(proposal));
        Ok(())
    }
}

fn wrong(pointer: &str, code: &'static str, zh: &str, en: &str) -> ServiceError {
    ServiceError::Fields(vec![FieldError { pointer: pointer.to_owned(), code, detail: Text::new(zh, en) }])
}

impl From<LicenceError> for ServiceError {
    fn from(error: LicenceError) -> ServiceError {
        ServiceError::Licence(error)
    }
}
