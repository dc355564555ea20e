//! Reads a schema's text into rules. What is not known is refused: see the head of the crate. A `$ref` is
//! resolved here; one that leads back to the same value is refused, so that a check always ends.

use std::collections::BTreeMap;

use plugin_sdk::json;
use plugin_sdk::messagepack::{
    write_array_len, write_bool, write_f64, write_int, write_map_len, write_nil, write_str,
    write_uint,
};
use regex_lite::Regex;

use crate::document::Document;
use crate::rules::{Limit, Node, Range, Rule, Schema};

/// Says nothing that is checked.
const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
];
/// Looked at together with another keyword.
const COMPANIONS: [&str; 10] = [
    "then",
    "else",
    "items",
    "prefixItems",
    "properties",
    "additionalProperties",
    "minLength",
    "minItems",
    "minProperties",
    "if",
];
const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];
const REFERENCE_DEPTH_MAX: usize = 64;

impl Schema {
    /// Reads a schema.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        json::to_messagepack(text.as_bytes(), &mut bytes)?;
        let root = Document::read(&bytes)?;
        let mut compiler = Compiler {
            root: &root,
            nodes: Vec::new(),
            references: BTreeMap::new(),
        };
        compiler.schema(&root, "#")?;
        let schema = Schema {
            nodes: compiler.nodes,
        };
        schema.refuse_circles()?;
        Ok(schema)
    }

    /// A schema that refers to itself without going deeper into the value would be checked for ever.
    fn refuse_circles(&self) -> Result<(), String> {
        (0..self.nodes.len()).try_for_each(|node| self.follow(node, 0))
    }

    fn follow(&self, node: Node, depth: usize) -> Result<(), String> {
        if depth > REFERENCE_DEPTH_MAX {
            return Err("a $ref leads back to itself, or through too many others".to_owned());
        }
        for rule in &self.nodes[node] {
            let same_value: Vec<Node> = match rule {
                Rule::Reference(node) | Rule::Not(node) => vec![*node],
                Rule::AllOf(nodes) | Rule::AnyOf(nodes) | Rule::OneOf(nodes) => nodes.clone(),
                Rule::If {
                    condition,
                    then,
                    otherwise,
                } => [Some(*condition), *then, *otherwise]
                    .into_iter()
                    .flatten()
                    .collect(),
                _ => Vec::new(),
            };
            for node in same_value {
                self.follow(node, depth + 1)?;
            }
        }
        Ok(())
    }
}

struct Compiler<'a> {
    root: &'a Document<'a>,
    nodes: Vec<Vec<Rule>>,
    /// The places that were referred to, and their schemas.
    references: BTreeMap<String, Node>,
}

impl<'a> Compiler<'a> {
    fn schema(&mut self, schema: &'a Document<'a>, place: &str) -> Result<Node, String> {
        let node = self.nodes.len();
        self.nodes.push(Vec::new());
        self.references.insert(place.to_owned(), node);
        let rules = match schema {
            Document::Bool(true) => Vec::new(),
            Document::Bool(false) => vec![Rule::Never],
            Document::Object(keywords) => {
                let mut rules = Vec::new();
                for (keyword, value) in keywords {
                    let at = format!("{place}/{keyword}");
                    self.keyword(keyword, value, &at, &mut rules)?;
                }
                self.groups(schema, place, &mut rules)?;
                rules
            }
            _ => return Err(format!("{place} is neither an object nor true or false")),
        };
        self.nodes[node] = rules;
        Ok(node)
    }

    /// A keyword that stands alone.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &'a Document<'a>,
        at: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        let limit = |limit| Ok::<_, String>(Rule::Number(limit, number(value, at)?));
        rules.push(match keyword {
            "type" => Rule::Type(types(value, at)?),
            "enum" => Rule::Enum(array(value, at)?.iter().map(pack).collect()),
            "const" => Rule::Enum(vec![pack(value)]),
            "$ref" => Rule::Reference(self.reference(text(value, at)?, at)?),
            "allOf" => Rule::AllOf(self.schemas(value, at)?),
            "anyOf" => Rule::AnyOf(self.schemas(value, at)?),
            "oneOf" => Rule::OneOf(self.schemas(value, at)?),
            "not" => Rule::Not(self.schema(value, at)?),
            "minimum" => limit(Limit::Minimum)?,
            "maximum" => limit(Limit::Maximum)?,
            "exclusiveMinimum" => limit(Limit::ExclusiveMinimum)?,
            "exclusiveMaximum" => limit(Limit::ExclusiveMaximum)?,
            "multipleOf" => match number(value, at)? {
                step if step > 0.0 => Rule::MultipleOf(step),
                _ => return Err(format!("{at} is not above 0")),
            },
            "pattern" => {
                let regex = Regex::new(text(value, at)?);
                Rule::Pattern(Box::new(regex.map_err(|error| format!("{at}: {error}"))?))
            }
            "required" => {
                let names = array(value, at)?
                    .iter()
                    .map(|name| text(name, at).map(str::to_owned));
                Rule::Required(names.collect::<Result<_, _>>()?)
            }
            "uniqueItems" => match value {
                Document::Bool(true) => Rule::UniqueItems,
                Document::Bool(false) => return Ok(()),
                _ => return Err(format!("{at} is neither true nor false")),
            },
            "maxLength" | "maxItems" | "maxProperties" => return Ok(()),
            known if ANNOTATIONS.contains(&known) || COMPANIONS.contains(&known) => return Ok(()),
            _ => return Err(format!("{at}: this keyword is not supported")),
        });
        Ok(())
    }

    /// Keywords that belong together.
    fn groups(
        &mut self,
        schema: &'a Document<'a>,
        place: &str,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        if let Some(condition) = schema.get("if") {
            let condition = self.schema(condition, &format!("{place}/if"))?;
            let then = self.inner(schema, "then", place)?;
            let otherwise = self.inner(schema, "else", place)?;
            rules.push(Rule::If {
                condition,
                then,
                otherwise,
            });
        }
        if schema.get("items").or(schema.get("prefixItems")).is_some() {
            let first = schema.get("prefixItems");
            let first = first.map(|first| self.schemas(first, &format!("{place}/prefixItems")));
            let rest = self.inner(schema, "items", place)?;
            rules.push(Rule::Items {
                first: first.transpose()?.unwrap_or_default(),
                rest,
            });
        }
        if schema
            .get("properties")
            .or(schema.get("additionalProperties"))
            .is_some()
        {
            let at = format!("{place}/properties");
            let mut known = Vec::new();
            match schema.get("properties") {
                Some(Document::Object(properties)) => {
                    for (name, property) in properties {
                        let node = self.schema(property, &format!("{at}/{name}"))?;
                        known.push(((*name).to_owned(), node));
                    }
                }
                Some(_) => return Err(format!("{at} is not an object")),
                None => {}
            }
            let others = self.inner(schema, "additionalProperties", place)?;
            rules.push(Rule::Properties { known, others });
        }
        rules.extend(range(schema, "Length", place)?.map(Rule::Length));
        rules.extend(range(schema, "Items", place)?.map(Rule::ItemCount));
        rules.extend(range(schema, "Properties", place)?.map(Rule::PropertyCount));
        Ok(())
    }

    fn inner(
        &mut self,
        schema: &'a Document<'a>,
        name: &str,
        place: &str,
    ) -> Result<Option<Node>, String> {
        let inner = schema.get(name);
        inner
            .map(|inner| self.schema(inner, &format!("{place}/{name}")))
            .transpose()
    }

    fn schemas(&mut self, value: &'a Document<'a>, at: &str) -> Result<Vec<Node>, String> {
        let items = array(value, at)?.iter().enumerate();
        items
            .map(|(index, schema)| self.schema(schema, &format!("{at}/{index}")))
            .collect()
    }

    /// The schema at another place of the document, read now if it was not yet.
    fn reference(&mut self, target: &str, at: &str) -> Result<Node, String> {
        if let Some(node) = self.references.get(target) {
            return Ok(*node);
        }
        let path = target.strip_prefix('#');
        let path = path.ok_or_else(|| format!("{at}: {target} is not in this schema"))?;
        let mut found = self.root;
        for name in path.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let inner = match found {
                Document::Array(items) => {
                    name.parse().ok().and_then(|index: usize| items.get(index))
                }
                other => other.get(&name),
            };
            found = inner.ok_or_else(|| format!("{at}: there is no {target}"))?;
        }
        self.schema(found, target)
    }
}

fn array<'a>(value: &'a Document<'a>, at: &str) -> Result<&'a [Document<'a>], String> {
    match value {
        Document::Array(items) => Ok(items),
        _ => Err(format!("{at} is not an array")),
    }
}

fn text<'a>(value: &Document<'a>, at: &str) -> Result<&'a str, String> {
    match value {
        Document::Text(text) => Ok(text),
        _ => Err(format!("{at} is not text")),
    }
}

fn number(value: &Document<'_>, at: &str) -> Result<f64, String> {
    value
        .number()
        .ok_or_else(|| format!("{at} is not a number"))
}

fn types(value: &Document<'_>, at: &str) -> Result<Vec<&'static str>, String> {
    let known = |name: &Document<'_>| {
        let name = text(name, at)?;
        let found = TYPES.into_iter().find(|known| *known == name);
        found.ok_or_else(|| format!("{at}: there is no type {name}"))
    };
    match value {
        Document::Array(names) => names.iter().map(known).collect(),
        name => Ok(vec![known(name)?]),
    }
}

/// `min…` and `max…` of one size.
fn range(schema: &Document<'_>, size: &str, place: &str) -> Result<Option<Range>, String> {
    let bound = |prefix: &str| {
        let name = format!("{prefix}{size}");
        let found = schema.get(&name);
        let bound = found.map(|value| match value {
            Document::Whole(value) => u64::try_from(*value).ok(),
            _ => None,
        });
        match bound {
            Some(None) => Err(format!("{place}/{name} is not a whole number from 0 on")),
            other => Ok(other.flatten()),
        }
    };
    let (min, max) = (bound("min")?, bound("max")?);
    let range = Range {
        min: min.unwrap_or(0),
        max: max.unwrap_or(u64::MAX),
    };
    Ok(min.or(max).map(|_| range))
}

/// The MessagePack of a value, to compare with.
fn pack(value: &Document<'_>) -> Vec<u8> {
    fn write(value: &Document<'_>, out: &mut Vec<u8>) {
        match value {
            Document::Null => write_nil(out),
            Document::Bool(value) => write_bool(out, *value),
            Document::Whole(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => write_int(out, value),
                (_, Ok(value)) => write_uint(out, value),
                _ => write_nil(out),
            },
            Document::Float(value) => write_f64(out, *value),
            Document::Text(text) => write_str(out, text),
            Document::Array(items) => {
                write_array_len(out, items.len());
                items.iter().for_each(|item| write(item, out));
            }
            Document::Object(pairs) => {
                write_map_len(out, pairs.len());
                for (name, value) in pairs {
                    write_str(out, name);
                    write(value, out);
                }
            }
        }
    }
    let mut out = Vec::new();
    write(value, &mut out);
    out
}
