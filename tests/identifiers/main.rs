//! Identifiers as clients write them: vectors of the field, every input form, every refusal, and properties.
//!
//! Needs no server and no store.

mod forms;
mod gs1;
mod properties;

use mingpai::model::identifier::Identifier;

fn parse(text: &str) -> Identifier {
    Identifier::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn key(text: &str) -> String {
    parse(text).key().as_str().to_owned()
}

fn code(text: &str) -> &'static str {
    match Identifier::parse(text) {
        Ok(identifier) => panic!("{text} was read as {identifier:?}"),
        Err(error) => error.code(),
    }
}
