//! Who is asking: the name and role that an authenticated (or anonymous) caller acts under.
//!
//! Not a credential: keys and tokens are the guard's; a principal is what is left once they were checked.

use std::fmt;

/// What a caller may do at all. Tenants' roles join this list when tenants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nobody has shown a credential: public reading only.
    Anonymous,
    /// 平台管理员: everything on this node.
    Administrator,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Administrator => "administrator",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Stable over the life of the account or key; it is what audit and idempotency keys are filed under.
    pub id: String,
    pub role: Role,
}

impl Principal {
    #[must_use]
    pub fn anonymous() -> Self {
        Self { id: Role::Anonymous.as_str().to_owned(), role: Role::Anonymous }
    }

    #[must_use]
    pub fn administrator(id: impl Into<String>) -> Self {
        Self { id: id.into(), role: Role::Administrator }
    }

    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.role == Role::Administrator
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

    #[test]
    fn an_anonymous_caller_is_no_administrator() {
        assert!(!Principal::anonymous().is_administrator());
        assert!(Principal::administrator("key-1").is_administrator());
    }
}
