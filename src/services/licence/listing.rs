//! The statements about prefixes and keys, as they stand in the log: public, for people and for who shows them to a verifier.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::and_above;
use crate::services::{ServiceError, Services};
use crate::sign::jws;
use crate::sign::licence::chain::{Chain, Licence};
use crate::sign::licence::{KeyEnd, LicenceEndStatement, LicenceRole, Listed, prefix_of_row};
use crate::sign::statement::Authority;
use crate::store::Refusal;
use crate::store::engine::Table;
use crate::store::rows::leaf_hash;
use crate::store::trees::Tree;

/// Which statements are there?
#[derive(Clone, Debug)]
pub struct ListLicences {
    pub wanted: Wanted,
}

impl Asks for ListLicences {
    const ACTION: Action = Action::Read;
}

/// Of what the statements are to be.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Of all prefixes, in the order of prefix and number.
    All {
        /// Only what follows this prefix and number (a cursor).
        after: Option<(String, u64)>,
        /// At least 1.
        limit: usize,
    },
    /// Of exactly this prefix.
    Prefix(String),
    /// Everything that bears on an identifier: its prefix, those above it, and the node's keys.
    Identifier(String),
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Stated {
    /// Its registry index.
    pub index: u64,
    /// Its leaf hash, base64url.
    pub id: String,
    /// The compact JWS, as signed.
    pub statement: String,
    pub about: About,
}

/// What a statement is about.
#[derive(Clone, Debug)]
pub enum About {
    Licence(Licence),
    End(LicenceEndStatement),
    /// An entry key of the node.
    Key(Authority),
    KeyEnd {
        kid: String,
        not_after: u64,
    },
}

/// Statements, and where to go on.
#[derive(Clone, Debug)]
pub struct StatementPage {
    pub statements: Vec<Stated>,
    pub next: Option<(String, u64)>,
}

impl Services {
    /// Who holds licences of a prefix that are in force, each once.
    pub(in crate::services) fn licensed_holders(&self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        let chain = self.chain(prefix)?;
        let mut holders: Vec<String> =
            chain.standing(LicenceRole::Enterprise).map(|licence| licence.statement.holder.clone()).collect();
        holders.dedup();
        Ok(holders)
    }

    /// Statements about prefixes and keys.
    pub fn licences(&self, asked: &Permitted<ListLicences>) -> Result<StatementPage, ServiceError> {
        match &asked.request().wanted {
            Wanted::All { after, limit } => self.all_licences(after.as_ref(), *limit),
            Wanted::Prefix(prefix) => {
                Ok(StatementPage { statements: self.stated(&prefix.to_ascii_lowercase())?, next: None })
            }
            Wanted::Identifier(text) => Ok(StatementPage { statements: self.licences_of(text)?, next: None }),
        }
    }

    /// Everything that bears on an identifier, in the order of the log.
    pub(in crate::services) fn licences_of(&self, identifier: &str) -> Result<Vec<Stated>, ServiceError> {
        let identifier = self.identifier(identifier)?;
        // A mirror answers for whatever its origin registered, not for prefixes of its own.
        if self.mirror().is_none() {
            self.policy(&identifier)?;
        }
        let mut statements = self.stated_keys()?;
        for prefix in and_above(identifier.prefix()) {
            statements.extend(self.stated(prefix)?);
        }
        statements.sort_by_key(|stated| stated.index);
        Ok(statements)
    }

    fn all_licences(&self, after: Option<&(String, u64)>, limit: usize) -> Result<StatementPage, ServiceError> {
        let after = after.map(|(prefix, seq)| crate::sign::licence::row_key(prefix, *seq));
        let rows = self.store.scan(Table::Licence, after.as_deref(), limit.saturating_add(1))?;
        let is_last = rows.len() <= limit;
        // Rows of a prefix lie together, so one chain at a time is enough.
        let mut chain = Chain::default();
        let (mut statements, mut next) = (Vec::new(), None);
        for (key, row) in rows.iter().take(limit) {
            let prefix = prefix_of_row(key).ok_or_else(|| ServiceError::Internal("a licence's row".to_owned()))?;
            if chain.prefix != prefix {
                chain = self.read_chain(prefix)?;
            }
            statements.push(stated(&chain, serde_json::from_slice(row)?)?);
            let seq = key.last_chunk::<8>().map_or(0, |seq| u64::from_be_bytes(*seq));
            next = Some((prefix.to_owned(), seq));
        }
        Ok(StatementPage { statements, next: next.filter(|_| !is_last) })
    }

    /// All statements about a prefix.
    fn stated(&self, prefix: &str) -> Result<Vec<Stated>, ServiceError> {
        let listed = self.listed(prefix)?;
        let chain = self.read_chain(prefix)?;
        listed.into_iter().map(|listed| stated(&chain, listed)).collect()
    }

    /// The statement about a prefix at an index.
    pub(super) fn stated_at(&self, prefix: &str, index: u64) -> Result<Stated, ServiceError> {
        let found = self.stated(prefix)?.into_iter().find(|stated| stated.index == index);
        found.ok_or_else(|| ServiceError::Internal("a statement that was committed is not there".to_owned()))
    }

    /// The statements about the node's own entry keys, as far as their rows have them.
    fn stated_keys(&self) -> Result<Vec<Stated>, ServiceError> {
        let mut found = Vec::new();
        for authority in self.authorities()? {
            let kid = authority.key.kid.clone();
            if let Some(statement) = self.statement_of(&authority)? {
                let id = id(&statement);
                found.push(Stated { index: authority.from, id, statement, about: About::Key(authority) });
            }
            found.extend(self.key_end(&kid)?);
        }
        Ok(found)
    }

    /// An entry key's own statement; a row that an earlier program made does not have it, and the log does.
    fn statement_of(&self, authority: &Authority) -> Result<Option<String>, ServiceError> {
        if authority.statement.is_some() {
            return Ok(authority.statement.clone());
        }
        let unread = |error: std::io::Error| ServiceError::Refused(Refusal::ReadFailed(error.to_string()));
        let Some(place) = self.store.trees().reader(Tree::Registry).place(authority.from).map_err(unread)? else {
            return Ok(None);
        };
        Ok(String::from_utf8(self.store.statement(place)?.1).ok())
    }

    pub(super) fn stated_key_end(&self, kid: &str) -> Result<Stated, ServiceError> {
        self.key_end(kid)?
            .ok_or_else(|| ServiceError::Internal("a key's end that was committed is not there".to_owned()))
    }

    fn key_end(&self, kid: &str) -> Result<Option<Stated>, ServiceError> {
        let Some(row) = self.store.any_row(Table::AuthorityEnd, kid.as_bytes())? else {
            return Ok(None);
        };
        let KeyEnd { not_after, index, statement } = serde_json::from_slice(&row)?;
        let about = About::KeyEnd { kid: kid.to_owned(), not_after };
        Ok(Some(Stated { index, id: id(&statement), statement, about }))
    }
}

fn stated(chain: &Chain, Listed { index, statement }: Listed) -> Result<Stated, ServiceError> {
    let about = match chain.licences.iter().find(|licence| licence.index == index) {
        Some(licence) => About::Licence(licence.clone()),
        None => {
            let payload = jws::payload_of(statement.as_bytes()).map_err(ServiceError::Internal)?;
            About::End(serde_json::from_slice(&payload)?)
        }
    };
    Ok(Stated { index, id: id(&statement), statement, about })
}

fn id(statement: &str) -> String {
    BASE64URL.encode(leaf_hash(statement.as_bytes()))
}
