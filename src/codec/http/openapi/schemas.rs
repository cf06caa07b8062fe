//! The components: made from the types that are written and read where serde derives them, and from `shapes` where those
//! types write themselves by hand.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value as Json, json};

use super::shapes;
use crate::codec::problem;
use crate::model::draft::DraftLimits;

/// The shape of a body, a line or a parameter.
#[derive(Clone)]
pub enum Shape {
    /// Of a type that is written.
    Written(fn(&mut SchemaGenerator) -> Schema),
    /// Of a type that is read.
    Read(fn(&mut SchemaGenerator) -> Schema),
    Json(Json),
    /// Lines of JSON.
    Lines(Box<Shape>),
}

impl Shape {
    /// Of a type that serde writes.
    pub fn of<T: JsonSchema>() -> Self {
        Self::Written(|generator| generator.subschema_for::<T>())
    }

    /// Of a type that serde reads.
    pub fn read<T: JsonSchema>() -> Self {
        Self::Read(|generator| generator.subschema_for::<T>())
    }

    /// One of the components in `shapes`.
    pub fn named(name: &str) -> Self {
        Self::Json(reference(name))
    }

    /// Text of another form than JSON.
    pub fn text(media_type: &str) -> Self {
        Self::Json(json!({"type": "string", "contentMediaType": media_type}))
    }

    /// Bytes.
    pub fn bytes(media_type: &str) -> Self {
        Self::Json(json!({"type": "string", "format": "binary", "contentMediaType": media_type}))
    }

    /// Lines of JSON, each of this shape.
    pub fn lines(line: Self) -> Self {
        Self::Lines(Box::new(line))
    }

    pub(super) fn to_json(&self, schemas: &mut Schemas) -> Json {
        match self {
            Self::Written(of) => of(&mut schemas.written).to_value(),
            Self::Read(of) => of(&mut schemas.read).to_value(),
            Self::Json(schema) => schema.clone(),
            Self::Lines(line) => json!({
                "type": "string",
                "contentMediaType": "application/x-ndjson",
                "contentSchema": line.to_json(schemas),
                "description": "Each line is a JSON text as contentSchema says. · 每行一个 JSON, 形如 contentSchema",
            }),
        }
    }
}

pub(super) fn reference(name: &str) -> Json {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Gathers the components while operations are written.
pub(super) struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
    /// Refusals that several operations have.
    pub responses: Map<String, Json>,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        let mut written = settings().for_serialize().into_generator();
        // Named by every refusal.
        written.subschema_for::<problem::Body<'_>>();
        Self { written, read: settings().for_deserialize().into_generator(), responses: Map::new() }
    }

    /// All components. What is both read and written stands as it is read: an answer leaves out less than a request may.
    pub(super) fn components(mut self, limits: &DraftLimits) -> Map<String, Json> {
        let mut components = self.written.take_definitions(true);
        for component in components.values_mut() {
            forget_nulls(component);
        }
        components.extend(self.read.take_definitions(true));
        components.extend(shapes::components(limits));
        components
    }
}

/// An answer's member that may be missing is never null: serde either leaves it out or writes it always. Where it is
/// otherwise (an option of an option) the type says `x-may-be-null`.
fn forget_nulls(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else { return };
    let required: Vec<String> =
        object.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(text).collect();
    if let Some(properties) = object.get_mut("properties").and_then(Json::as_object_mut) {
        for (name, property) in properties.iter_mut() {
            let may_be_null = property.as_object_mut().and_then(|members| members.remove("x-may-be-null")).is_some();
            if !required.contains(name) && !may_be_null {
                without_null(property);
            }
        }
    }
}

fn text(json: &Json) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn without_null(property: &mut Json) {
    if let Some(Json::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            property["type"] = only;
        }
    }
    let Some(Json::Array(choices)) = property.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [only] = &choices[..] {
        let only = only.clone();
        if let Some(members) = property.as_object_mut() {
            members.remove("anyOf");
            members.extend(only.as_object().cloned().unwrap_or_default());
        }
    }
}
