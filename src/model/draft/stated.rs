//! A record as another node states it, held against the rules that its draft had to pass there: within the limits, and nothing
//! in it twice.

use super::{
    Complaints, DraftLimits, FieldError, MAX_REGISTRANT_BYTES, MAX_TEMPLATE_BYTES, Place, refuse_heavy,
    refuse_heavy_record, refuse_second_alias, refuse_second_index,
};
use crate::model::record::Record;

impl DraftLimits {
    /// Whether a draft could have had this content. Nothing of the content is in what is said of it.
    ///
    /// # Errors
    /// Every field that no draft could have had, up to a hundred.
    pub fn allow(&self, record: &Record) -> Result<(), Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let member = |name| Place::Member(&Place::Root, name);
        let (values, links, aliases) = (member("values"), member("links"), member("aliases"));
        for (place, count, most) in [
            (&values, record.values.len(), self.max_values),
            (&links, record.links.len(), self.max_links),
            (&aliases, record.aliases.len(), self.max_aliases),
        ] {
            if count > most {
                complaints.too_many(place, most);
                return complaints.or(None);
            }
        }
        let mut before = 0;
        for (at, value) in record.values.iter().enumerate() {
            let place = Place::Item(&values, at);
            refuse_heavy(value, &place, self, &mut complaints);
            // Their order is part of the form: a reader looks for an index by halves.
            if value.index <= before {
                refuse_second_index(&place, &mut complaints);
            }
            before = value.index;
        }
        refuse_heavy_record(&record.values, &values, self, &mut complaints);
        for (at, alias) in record.aliases.iter().enumerate() {
            let earlier = record.aliases.get(..at).unwrap_or_default();
            refuse_second_alias(earlier, alias, &Place::Item(&aliases, at), &mut complaints);
        }
        for (name, text, most) in [
            ("template", &record.template, MAX_TEMPLATE_BYTES),
            ("registrant", &record.registrant, MAX_REGISTRANT_BYTES),
        ] {
            if let Some(text) = text {
                complaints.line_text(text, &member(name), most);
            }
        }
        complaints.or(Some(()))
    }
}
