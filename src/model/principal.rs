//! Who is asking: the name, role and scope that an authenticated (or anonymous) caller acts under.
//!
//! Not a credential: keys and tokens are the guard's; a principal is what is left once they were checked. What a role may do
//! stands in one table here ([`Role::may`]), where it counts in a [`Scope`]; whatever neither names is denied.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::prefix::covers;
use super::record::Record;
use super::text::Text;
use super::time::Timestamp;

/// What a caller may do at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nobody has shown a credential: public reading only.
    Anonymous,
    /// Who has a link by which values are shared, and nothing else.
    Link,
    /// 合作方: reads what is shared with it.
    Partner,
    /// 企业读者: reads everything of its prefixes.
    Reader,
    /// 企业登记员: registers under its prefixes, too.
    Registrar,
    /// 企业负责人: gives keys for its prefixes, too.
    Owner,
    /// 申请企业: files its application for a prefix, sees no other, and gives keys for what it was allocated.
    Applicant,
    /// 审核员: judges filings.
    Reviewer,
    /// 审计员: reads who did what, and changes nothing.
    Auditor,
    /// 平台管理员: everything on this node.
    Administrator,
}

impl Role {
    /// The roles that a key can have.
    pub const GIVEN: [Role; 8] = [
        Role::Partner,
        Role::Reader,
        Role::Registrar,
        Role::Owner,
        Role::Applicant,
        Role::Reviewer,
        Role::Auditor,
        Role::Administrator,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Link => "link",
            Self::Partner => "partner",
            Self::Reader => "reader",
            Self::Registrar => "registrar",
            Self::Owner => "owner",
            Self::Applicant => "applicant",
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    /// The role of a key, by its word.
    #[must_use]
    pub fn given(word: &str) -> Option<Role> {
        Role::GIVEN.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether the role is an enterprise's, and counts within prefixes only.
    #[must_use]
    pub fn is_bound(self) -> bool {
        matches!(self, Self::Partner | Self::Reader | Self::Registrar | Self::Owner)
    }

    #[must_use]
    pub fn may(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::List => matches!(self, Self::Reader | Self::Registrar | Self::Owner | Self::Administrator),
            Action::Register => matches!(self, Self::Registrar | Self::Owner | Self::Administrator),
            Action::ManageKeys => matches!(self, Self::Owner | Self::Applicant | Self::Administrator),
            Action::Audit => matches!(self, Self::Auditor | Self::Administrator),
            Action::File => matches!(self, Self::Applicant | Self::Administrator),
            Action::SeeFilings => matches!(self, Self::Applicant | Self::Reviewer | Self::Administrator),
            Action::SeePrefixes => !matches!(self, Self::Anonymous | Self::Link | Self::Partner),
            Action::Share => matches!(self, Self::Owner | Self::Administrator),
            Action::SeeGrants => !matches!(self, Self::Anonymous | Self::Link),
            Action::Review => matches!(self, Self::Reviewer | Self::Administrator),
            Action::Administer => self == Self::Administrator,
        }
    }

    /// Whether who has this role may make and revoke keys of another.
    #[must_use]
    pub fn may_give(self, other: Role) -> bool {
        match self {
            Self::Administrator => true,
            Self::Owner | Self::Applicant => other.is_bound(),
            _ => false,
        }
    }
}

/// Where a role counts: on the whole node, or below some prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Option<Vec<String>>", from = "Option<Vec<String>>")]
pub enum Scope {
    /// `null`; an empty list is none of it.
    #[default]
    Node,
    /// Canonical prefixes, in order, none below another. With none of them the role counts nowhere.
    Prefixes(Arc<[String]>),
}

impl From<Option<Vec<String>>> for Scope {
    fn from(prefixes: Option<Vec<String>>) -> Scope {
        prefixes.map_or(Scope::Node, Scope::of)
    }
}

impl From<Scope> for Option<Vec<String>> {
    fn from(scope: Scope) -> Option<Vec<String>> {
        scope.prefixes().map(<[String]>::to_vec)
    }
}

impl Scope {
    /// These prefixes and what is below them.
    #[must_use]
    pub fn of(mut prefixes: Vec<String>) -> Scope {
        prefixes.sort();
        let all = prefixes.clone();
        prefixes.retain(|prefix| !all.iter().any(|other| other != prefix && covers(other, prefix)));
        prefixes.dedup();
        Scope::Prefixes(prefixes.into())
    }

    /// `None`: all of the node.
    #[must_use]
    pub fn prefixes(&self) -> Option<&[String]> {
        match self {
            Scope::Node => None,
            Scope::Prefixes(prefixes) => Some(prefixes),
        }
    }

    #[must_use]
    pub fn is_node(&self) -> bool {
        *self == Scope::Node
    }

    #[must_use]
    pub fn reaches(&self, prefix: &str) -> bool {
        self.prefixes().is_none_or(|mine| mine.iter().any(|mine| covers(mine, prefix)))
    }

    /// Whether all that the other reaches is within this one. One that reaches nothing is within the node's alone.
    #[must_use]
    pub fn includes(&self, other: &Scope) -> bool {
        match other.prefixes() {
            None | Some([]) => self.is_node(),
            Some(prefixes) => prefixes.iter().all(|prefix| self.reaches(prefix)),
        }
    }

    /// Whether they have a prefix in common, so that both are likely of one enterprise.
    #[must_use]
    pub fn shares_with(&self, other: &Scope) -> bool {
        let (Some(mine), Some(theirs)) = (self.prefixes(), other.prefixes()) else { return false };
        mine.iter().any(|prefix| theirs.contains(prefix))
    }
}

/// For people: `88.999.1, 88.999.2`, or `*`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefixes().map_or_else(|| "*".to_owned(), |prefixes| prefixes.join(", ")))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Stable over the life of the account or key; it is what audit and idempotency keys are filed under.
    pub id: String,
    pub role: Role,
    pub scope: Scope,
    /// Epoch seconds at which its key ends, if it does.
    pub until: Option<i64>,
}

impl Principal {
    #[must_use]
    pub fn anonymous() -> Self {
        Self { id: Role::Anonymous.as_str().to_owned(), role: Role::Anonymous, scope: Scope::Node, until: None }
    }

    /// Who has a link alone.
    #[must_use]
    pub fn of_link(id: &str, until: Option<i64>) -> Self {
        Self { id: format!("link:{id}"), role: Role::Link, scope: Scope::of(Vec::new()), until }
    }

    #[must_use]
    pub fn administrator(id: impl Into<String>) -> Self {
        Self { id: id.into(), role: Role::Administrator, scope: Scope::Node, until: None }
    }

    /// `None` where role and prefixes do not go together: an enterprise's role needs some, the others count on the whole node.
    #[must_use]
    pub fn of_key(id: &str, role: &str, prefixes: &[String], until: Option<i64>) -> Option<Self> {
        let role = Role::given(role)?;
        let scope = match role {
            _ if role.is_bound() => Scope::of(prefixes.to_vec()),
            // Nothing, until it is allocated something ([`Principal::allocated`]).
            Role::Applicant => Scope::of(Vec::new()),
            _ => Scope::Node,
        };
        (role.is_bound() != prefixes.is_empty()).then(|| Self { id: format!("key:{id}"), role, scope, until })
    }

    /// The same with the prefixes that its filings were allocated, for an applicant's key.
    #[must_use]
    pub fn allocated(self, prefixes: Vec<String>) -> Self {
        if self.role == Role::Applicant { Self { scope: Scope::of(prefixes), ..self } } else { self }
    }

    /// What another's key would have beyond the own one; `None` where this caller may give it.
    #[must_use]
    pub fn excess(&self, other: &Principal) -> Option<Excess> {
        if !self.role.may_give(other.role) {
            return Some(Excess::Role);
        }
        if !self.scope.includes(&other.scope) {
            return Some(Excess::Reach { scope: self.scope.to_string() });
        }
        // Administrators whose key ends must be able to make another, or nobody could any more.
        let until = self.until.filter(|_| self.role != Role::Administrator)?;
        if other.until.is_some_and(|other| other <= until) {
            return None;
        }
        Some(Excess::Time { until: Timestamp::from_seconds(until).unwrap_or(Timestamp::EPOCH) })
    }

    /// Whether another's key is this caller's to see and to revoke.
    #[must_use]
    pub fn governs(&self, other: &Principal) -> bool {
        self.role.may_give(other.role) && self.scope.includes(&other.scope)
    }

    /// Whether the record is this caller's own, with every value and who changed it.
    #[must_use]
    pub fn sees_all_of(&self, record: &Record) -> bool {
        self.role.may(Action::List) && self.scope.reaches(record.identifier.prefix())
    }
}

/// What would be given beyond what the giver has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excess {
    Role,
    Reach { scope: String },
    Time { until: Timestamp },
}

impl Excess {
    /// What is too much, and what would be right.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Role => Text::new(
                "role：只能授予 partner、reader、registrar 或 owner（缺省为 administrator）",
                "role: you can give partner, reader, registrar and owner (administrator where none is named)",
            ),
            Self::Reach { scope } => Text::new(
                format!("prefixes：超出自己的范围（{scope}）"),
                format!("prefixes: beyond your own reach ({scope})"),
            ),
            Self::Time { until } => Text::new(
                format!("expires：须给出，且不晚于自己的密钥（{until}）；不给出即不过期"),
                format!("expires: say one no later than your own key's ({until}); without one a key never ends"),
            ),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(prefixes: &[&str]) -> Scope {
        Scope::of(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect())
    }

    #[test]
    fn each_role_may_what_the_table_says_and_nothing_else() {
        let may = |role: Role| Action::ALL.into_iter().filter(|action| role.may(*action)).collect::<Vec<_>>();
        use Action::{
            Audit, File, List, ManageKeys, Read, Register, Review, SeeFilings, SeeGrants, SeePrefixes, Share,
        };
        assert_eq!((may(Role::Anonymous), may(Role::Link)), (vec![Read], vec![Read]));
        assert_eq!(may(Role::Partner), [Read, SeeGrants]);
        assert_eq!(may(Role::Reader), [Read, List, SeePrefixes, SeeGrants]);
        assert_eq!(may(Role::Registrar), [Read, List, Register, SeePrefixes, SeeGrants]);
        assert_eq!(may(Role::Owner), [Read, List, Register, ManageKeys, SeePrefixes, Share, SeeGrants]);
        assert_eq!(may(Role::Auditor), [Read, Audit, SeePrefixes, SeeGrants]);
        assert_eq!(may(Role::Applicant), [Read, ManageKeys, File, SeeFilings, SeePrefixes, SeeGrants]);
        assert_eq!(may(Role::Reviewer), [Read, SeeFilings, SeePrefixes, SeeGrants, Review]);
        assert_eq!(may(Role::Administrator), Action::ALL);
    }

    #[test]
    fn nobody_gives_more_than_he_has() {
        for giver in Role::GIVEN {
            for given in Role::GIVEN {
                // An applicant's gives what its prefixes are for, and does not do it itself.
                let has = |action: Action| giver.may(action) || (giver == Role::Applicant && Role::Owner.may(action));
                let is_more = Action::ALL.into_iter().any(|action| given.may(action) && !has(action));
                assert!(!(giver.may_give(given) && is_more), "{giver:?} gives {given:?}");
            }
        }
        assert!(Role::Owner.may_give(Role::Registrar) && !Role::Owner.may_give(Role::Auditor));
    }

    #[test]
    fn a_scope_reaches_its_prefixes_and_what_is_below_them() {
        let mine = scope(&["88.999.2", "88.999.1", "88.999.1.7"]);
        assert_eq!(mine.prefixes(), Some(&["88.999.1".to_owned(), "88.999.2".to_owned()][..]));
        assert!(mine.reaches("88.999.1") && mine.reaches("88.999.1.7.1") && mine.reaches("88.999.2"));
        assert!(!mine.reaches("88.999.10") && !mine.reaches("88.999") && !mine.reaches(""));
        assert!(Scope::Node.reaches("88.999.1") && !scope(&[]).reaches("88.999.1"));
        assert!(mine.includes(&scope(&["88.999.1.7"])) && !mine.includes(&scope(&["88.999.1", "88.999.3"])));
        assert!(!mine.includes(&Scope::Node) && Scope::Node.includes(&mine) && Scope::Node.includes(&Scope::Node));
        assert!(!mine.includes(&scope(&[])) && !scope(&[]).includes(&scope(&[])) && Scope::Node.includes(&scope(&[])));
    }

    #[test]
    fn a_scope_without_prefixes_is_never_read_as_the_node() {
        for scope in [scope(&[]), scope(&["88.999.1"]), Scope::Node] {
            let written = serde_json::to_string(&scope).unwrap();
            assert_eq!(serde_json::from_str::<Scope>(&written).unwrap(), scope, "{written}");
        }
    }

    #[test]
    fn a_key_whose_role_and_prefixes_do_not_go_together_opens_nothing() {
        let mine = ["88.999.1".to_owned()];
        for role in Role::GIVEN {
            assert_eq!(Principal::of_key("a", role.as_str(), &mine, None).is_some(), role.is_bound(), "{role:?}");
            assert_eq!(Principal::of_key("a", role.as_str(), &[], None).is_none(), role.is_bound(), "{role:?}");
        }
        assert_eq!(Principal::of_key("a", "anonymous", &[], None), None);
        assert_eq!(Principal::of_key("a", "link", &[], None), None);
        assert_eq!(Principal::of_key("a", "king", &mine, None), None);
    }

    #[test]
    fn an_applicant_gives_keys_for_what_it_was_allocated_and_for_nothing_else() {
        let applicant = Principal::of_key("a", "applicant", &[], None).unwrap();
        let owner = |prefix: &str| Principal::of_key("b", "owner", &[prefix.to_owned()], None).unwrap();
        assert!(matches!(applicant.excess(&owner("88.999.7")), Some(Excess::Reach { .. })));
        assert!(!applicant.governs(&owner("88.999.7")));
        let allocated = applicant.allocated(vec!["88.999.7".to_owned()]);
        assert_eq!(allocated.excess(&owner("88.999.7")), None);
        assert!(matches!(allocated.excess(&owner("88.999.70")), Some(Excess::Reach { .. })));
        assert_eq!(allocated.excess(&Principal::of_key("c", "applicant", &[], None).unwrap()), Some(Excess::Role));
        assert_eq!(allocated.excess(&Principal::administrator("d")), Some(Excess::Role));
        let reviewer = Principal::of_key("e", "reviewer", &[], None).unwrap();
        assert_eq!(reviewer.clone().allocated(vec!["88.999.7".to_owned()]), reviewer, "others are what they are");
    }

    #[test]
    fn a_key_gives_none_that_lasts_longer() {
        let owner = |until| Principal::of_key("a", "owner", &["88.999.1".to_owned()], until).unwrap();
        for (mine, theirs, may) in [
            (None, None, true),
            (None, Some(7), true),
            (Some(7), Some(7), true),
            (Some(7), Some(8), false),
            (Some(7), None, false),
        ] {
            assert_eq!(owner(mine).excess(&owner(theirs)).is_none(), may, "{mine:?} {theirs:?}");
            assert!(owner(mine).governs(&owner(theirs)));
        }
        let administrator = Principal::of_key("a", "administrator", &[], Some(7)).unwrap();
        assert_eq!(
            administrator.excess(&Principal::administrator("b")),
            None,
            "or the node could be lost to everybody"
        );
    }
}
