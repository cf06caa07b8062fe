//! The life cycle of a record.
//!
//! Not a permission: who may move a record along it is the guard's question.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use.
    Active,
    /// For now not to be relied on; may come back.
    Suspended,
    /// Called back by its maker.
    Recalled,
    /// Out of use.
    Retired,
    /// The tombstone: the name is never given out again.
    Deleted,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Active, Self::Suspended, Self::Recalled, Self::Retired, Self::Deleted];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Recalled => "recalled",
            Self::Retired => "retired",
            Self::Deleted => "deleted",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the next version of a record may have this status. Staying is always a step, except for a tombstone, which
    /// has no next version. A recall ends (active, retired, deleted) but is not papered over by a suspension. What was
    /// retired may come back or be recalled: things in the field outlive their record's retirement.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Active | Self::Suspended => true,
            Self::Recalled => next != Self::Suspended,
            Self::Retired => next != Self::Suspended,
            Self::Deleted => false,
        }
    }

    /// The row form: one letter.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Active => 'a',
            Self::Suspended => 's',
            Self::Recalled => 'c',
            Self::Retired => 'r',
            Self::Deleted => 'd',
        }
    }

    pub(super) fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.letter() == letter)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_final() {
        for next in Status::ALL {
            assert!(!Status::Deleted.may_become(next), "{next}");
        }
    }

    #[test]
    fn everything_else_may_be_recalled_retired_or_deleted() {
        for status in [Status::Active, Status::Suspended, Status::Recalled, Status::Retired] {
            for next in [status, Status::Active, Status::Recalled, Status::Retired, Status::Deleted] {
                assert!(status.may_become(next), "{status} -> {next}");
            }
        }
    }

    #[test]
    fn a_recall_is_not_papered_over_by_a_suspension() {
        assert!(!Status::Recalled.may_become(Status::Suspended));
        assert!(!Status::Retired.may_become(Status::Suspended));
        assert!(Status::Active.may_become(Status::Suspended));
    }

    #[test]
    fn words_and_letters_name_one_status_each() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), Some(status));
            assert_eq!(Status::from_letter(status.letter()), Some(status));
        }
        assert_eq!(Status::from_word("Active"), None);
    }
}
