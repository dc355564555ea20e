//! A schema, ready to be applied: each keyword is a rule, and rules refer to schemas by number.

use regex_lite::Regex;

/// All schemas of a document. The first one is the whole.
pub(crate) struct Schema {
    pub(crate) nodes: Vec<Vec<Rule>>,
}

/// The number of a schema within the document.
pub(crate) type Node = usize;

/// Limits of a size, both allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// How a number is compared with a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Minimum,
    Maximum,
    ExclusiveMinimum,
    ExclusiveMaximum,
}

/// One thing that a value has to keep to.
pub(crate) enum Rule {
    /// Nothing is allowed: the schema `false`.
    Never,
    Type(Vec<&'static str>),
    /// One of these values, as MessagePack.
    Enum(Vec<Vec<u8>>),
    Reference(Node),
    AllOf(Vec<Node>),
    AnyOf(Vec<Node>),
    OneOf(Vec<Node>),
    Not(Node),
    If {
        condition: Node,
        then: Option<Node>,
        otherwise: Option<Node>,
    },
    Number(Limit, f64),
    MultipleOf(f64),
    Length(Range),
    Pattern(Box<Regex>),
    Items {
        first: Vec<Node>,
        rest: Option<Node>,
    },
    ItemCount(Range),
    UniqueItems,
    Properties {
        known: Vec<(String, Node)>,
        others: Option<Node>,
    },
    Required(Vec<String>),
    PropertyCount(Range),
}
