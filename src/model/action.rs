//! What a request does, as far as permission goes.

/// The kinds of things that a caller may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Reads what everybody may read; values that are hidden from others, where the caller's role and scope show them.
    Read,
    /// Goes through the records of prefixes: lists, exports.
    List,
    /// Registers, changes or deletes records.
    Register,
    /// Makes, reads and revokes API keys.
    ManageKeys,
    /// Reads who did what.
    Audit,
    /// Applies for a prefix, and sees how that stands.
    File,
    /// Sees filings.
    SeeFilings,
    /// Sees how prefixes stand, and why.
    SeePrefixes,
    /// Gives and takes back grants, and sees what was read by them.
    Share,
    /// Sees grants: those that one gave, or holds.
    SeeGrants,
    /// Judges filings, and decides about prefixes.
    Review,
    /// Looks after the node: licences, backups, settings.
    Administer,
}

impl Action {
    pub const ALL: [Action; 12] = [
        Action::Read,
        Action::List,
        Action::Register,
        Action::ManageKeys,
        Action::Audit,
        Action::File,
        Action::SeeFilings,
        Action::SeePrefixes,
        Action::Share,
        Action::SeeGrants,
        Action::Review,
        Action::Administer,
    ];
}
