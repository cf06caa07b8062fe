//! What a partner keeps to check an answer offline, and what the node states of a moment.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::log::Published;
use super::share::Unnoted;
use super::{ServiceError, Services, Signing, Standing};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::SuffixCase;
use crate::model::time::Timestamp;
use crate::sign::bundle::{BUNDLE_FORM, Bundle, LogProof, ProvenStatement, encode_hashes};
use crate::sign::keys::SigningKey;
use crate::sign::latest::{AbsentStatement, AsOf, LatestStatement};
use crate::store::engine::Table;
use crate::store::trees::Tree;

/// Asks for a bundle of an identifier, or for the node's word about it.
#[derive(Clone, Debug)]
pub struct AskMoment {
    /// Percent-decoded, in any input form.
    pub identifier: String,
}

impl Asks for AskMoment {
    const ACTION: Action = Action::Read;
}

/// What can be said under a head, or the leaf that it does not cover.
#[derive(Clone, Debug)]
pub enum Moment<T> {
    Said(T),
    /// The newest version is newer than the head: ask again under one that covers this index.
    NotCovered(u64),
}

/// The node's word, and the checkpoint that it is given under.
#[derive(Clone, Debug)]
pub struct Word {
    pub said: Said,
    pub checkpoint: String,
}

/// What the node says, signed.
#[derive(Clone, Debug)]
pub enum Said {
    Latest(String),
    Absent(String),
}

impl Services {
    /// The node's word for the newest version of an identifier as of a head, or that it has none. A mirror has no word to give.
    ///
    /// The head must have been read before: whatever it covers was applied before it was shown, so the row that is read now
    /// is the newest of all that the head covers.
    pub fn word(&self, asked: &Permitted<AskMoment>, under: &Published) -> Result<Moment<Word>, ServiceError> {
        let word = |said| Word { said, checkpoint: under.checkpoint(Tree::Registry).to_owned() };
        let signing = self.signing()?;
        let identifier = self.identifier(&asked.request().identifier)?;
        self.policy(&identifier)?;
        self.told_of(Some(asked.principal()), &identifier)?;
        if let Some(standing) = self.named(identifier.key())? {
            self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
            if !covers(under, &standing) {
                return Ok(Moment::NotCovered(standing.row.index));
            }
            return Ok(Moment::Said(word(Said::Latest(self.latest(signing, &standing, under)?))));
        }
        // It was here: an older bundle would refute the word that there is none.
        if self.store.any_row(Table::Erased, &signing.blinding.sid(&identifier))?.is_some() {
            return Err(ServiceError::Gone { identifier: asked.request().identifier.clone() });
        }
        let sub = identifier.key().as_str().to_owned();
        let case = Some(SuffixCase::of(&identifier));
        let absent = AbsentStatement { as_of: self.as_of(signing, under), sub, case };
        Ok(Moment::Said(word(Said::Absent(absent.sign(self.log_pair()?)?))))
    }

    /// A bundle of the newest version, under a head that was read before. A mirror's is without the word that it is the newest.
    pub fn bundle(
        &self,
        asked: &Permitted<AskMoment>,
        under: &Arc<Published>,
    ) -> Result<Moment<Unnoted<Bundle>>, ServiceError> {
        let text = &asked.request().identifier;
        let identifier = self.identifier(text)?;
        self.told_of(Some(asked.principal()), &identifier)?;
        let standing = self.named(identifier.key())?;
        let standing = standing.ok_or_else(|| self.unknown(text))?;
        if standing.record.is_tombstone() {
            return Err(ServiceError::Gone { identifier: text.clone() });
        }
        self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
        if !covers(under, &standing) {
            return Ok(Moment::NotCovered(standing.row.index));
        }
        let signing = self.signing().ok();
        let latest = signing.map(|signing| self.latest(signing, &standing, under)).transpose()?;
        let mut statements = Vec::new();
        let name = standing.record.identifier.spelling().to_owned();
        for stated in
            self.licences_of(&name)?.into_iter().filter(|stated| stated.index < under.head(Tree::Registry).size)
        {
            let proof = self.proof_under(under, stated.index)?;
            let hashes = encode_hashes(&proof.hashes);
            statements.push(ProvenStatement { index: stated.index, statement: stated.statement, hashes });
        }
        let proof = self.proof_under(under, standing.row.index)?;
        let sight = self.sight(asked.principal())?;
        let bundle = Bundle {
            bundle: BUNDLE_FORM.to_owned(),
            entry: self.presented(&standing, &sight)?,
            proof: LogProof {
                index: proof.index,
                hashes: encode_hashes(&proof.hashes),
                checkpoint: under.checkpoint(Tree::Registry).to_owned(),
            },
            latest,
            statements,
        };
        let index = standing.row.index;
        let (_, looks) = sight.seen(standing.record, index);
        Ok(Moment::Said(sight.unnoted(bundle, looks)))
    }

    fn latest(&self, signing: &Signing, standing: &Standing, under: &Published) -> Result<String, ServiceError> {
        let statement = LatestStatement {
            as_of: self.as_of(signing, under),
            sid: BASE64URL.encode(signing.blinding.sid(&standing.record.identifier)),
            ver: standing.record.version,
            leaf: BASE64URL.encode(standing.row.leaf),
        };
        Ok(statement.sign(self.log_pair()?)?)
    }

    fn log_pair(&self) -> Result<&SigningKey, ServiceError> {
        self.log.signer().pair().ok_or_else(|| ServiceError::Internal("no key signs the log".to_owned()))
    }

    fn as_of(&self, signing: &Signing, under: &Published) -> AsOf {
        let origin = self.log.signer().origin();
        AsOf::new(Timestamp::now().as_seconds(), &signing.issuer, origin, &under.head(Tree::Registry))
    }
}

/// Whether a head counts the version that stands.
fn covers(under: &Published, standing: &Standing) -> bool {
    standing.row.index < under.head(Tree::Registry).size
}
