//! Applies a schema to a value. The first rule that is broken is the reason, with its place. A rule holds
//! for a value of another type than its own: `minimum` says nothing about text.

use crate::document::Document;
use crate::rules::{Limit, Node, Range, Rule, Schema};

/// Where in the value a rule was broken, from the inside out, and which one.
struct Broken {
    place: Vec<String>,
    reason: String,
}

impl Schema {
    /// Checks a value.
    ///
    /// # Errors
    /// The place, as `/orders/0/id`, and the rule that it breaks.
    pub(crate) fn check(&self, value: &Document<'_>) -> Result<(), String> {
        self.node(0, value).map_err(|broken| {
            let place: Vec<_> = broken.place.iter().rev().map(String::as_str).collect();
            match place.is_empty() {
                true => broken.reason,
                false => format!("/{}: {}", place.join("/"), broken.reason),
            }
        })
    }

    fn node(&self, node: Node, value: &Document<'_>) -> Result<(), Broken> {
        self.nodes[node]
            .iter()
            .try_for_each(|rule| self.rule(rule, value))
    }

    fn fits(&self, node: &Node, value: &Document<'_>) -> bool {
        self.node(*node, value).is_ok()
    }

    fn rule(&self, rule: &Rule, value: &Document<'_>) -> Result<(), Broken> {
        match rule {
            Rule::Reference(node) => self.node(*node, value),
            Rule::AllOf(nodes) => nodes.iter().try_for_each(|node| self.node(*node, value)),
            Rule::AnyOf(nodes) => {
                let fits = nodes.iter().any(|node| self.fits(node, value));
                holds(fits, || "fits none of anyOf".to_owned())
            }
            Rule::OneOf(nodes) => {
                let fitting = nodes.iter().filter(|node| self.fits(node, value)).count();
                holds(fitting == 1, || {
                    format!("fits {fitting} of oneOf instead of one")
                })
            }
            Rule::Not(node) => holds(!self.fits(node, value), || {
                "fits what is not allowed".to_owned()
            }),
            Rule::If {
                condition,
                then,
                otherwise,
            } => {
                let branch = if self.fits(condition, value) {
                    then
                } else {
                    otherwise
                };
                branch.map_or(Ok(()), |branch| self.node(branch, value))
            }
            Rule::Items { first, rest } => self.items(first, *rest, value),
            Rule::Properties { known, others } => self.properties(known, *others, value),
            Rule::Required(names) => required(names, value),
            _ => plain(rule, value),
        }
    }

    fn items(
        &self,
        first: &[Node],
        rest: Option<Node>,
        value: &Document<'_>,
    ) -> Result<(), Broken> {
        let Document::Array(items) = value else {
            return Ok(());
        };
        for (index, item) in items.iter().enumerate() {
            if let Some(node) = first.get(index).copied().or(rest) {
                self.node(node, item)
                    .map_err(|broken| broken.inside(&index.to_string()))?;
            }
        }
        Ok(())
    }

    fn properties(
        &self,
        known: &[(String, Node)],
        others: Option<Node>,
        value: &Document<'_>,
    ) -> Result<(), Broken> {
        let Document::Object(pairs) = value else {
            return Ok(());
        };
        for (name, property) in pairs {
            let node = known
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, node)| *node);
            if let Some(node) = node.or(others) {
                self.node(node, property)
                    .map_err(|broken| broken.inside(name))?;
            }
        }
        Ok(())
    }
}

impl Broken {
    fn inside(mut self, place: &str) -> Self {
        self.place.push(place.to_owned());
        self
    }
}

fn holds(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds {
        return Ok(());
    }
    Err(Broken {
        place: Vec::new(),
        reason: reason(),
    })
}

fn required(names: &[String], value: &Document<'_>) -> Result<(), Broken> {
    if !matches!(value, Document::Object(_)) {
        return Ok(());
    }
    let missing = names.iter().find(|name| value.get(name).is_none());
    holds(missing.is_none(), || {
        format!("{:?} is missing", missing.map_or("", |name| name))
    })
}

/// Rules that look at no other schema. They hold for values of another type than their own.
fn plain(rule: &Rule, value: &Document<'_>) -> Result<(), Broken> {
    match (rule, value) {
        (Rule::Never, _) => holds(false, || "nothing is allowed here".to_owned()),
        (Rule::Type(types), value) => {
            let fits = types.iter().any(|name| is_of_type(value, name));
            holds(fits, || {
                format!("{} instead of {}", value.kind(), types.join(" or "))
            })
        }
        (Rule::Enum(values), value) => {
            let is_value =
                |packed: &Vec<u8>| Document::read(packed).is_ok_and(|packed| packed == *value);
            holds(values.iter().any(is_value), || {
                "not one of the values that are allowed".to_owned()
            })
        }
        (Rule::Length(range), Document::Text(text)) => {
            within(*range, text.chars().count(), "characters")
        }
        (Rule::Pattern(pattern), Document::Text(text)) => holds(pattern.is_match(text), || {
            format!("does not match {}", pattern.as_str())
        }),
        (Rule::ItemCount(range), Document::Array(items)) => within(*range, items.len(), "items"),
        (Rule::PropertyCount(range), Document::Object(pairs)) => {
            within(*range, pairs.len(), "properties")
        }
        (Rule::UniqueItems, Document::Array(items)) => {
            let twice = |(index, item): (usize, &Document<'_>)| items[..index].contains(item);
            holds(!items.iter().enumerate().any(twice), || {
                "an item comes twice".to_owned()
            })
        }
        (Rule::Number(limit, bound), value) => number(*limit, *bound, value),
        (Rule::MultipleOf(step), value) => {
            let parts = value.number().map(|number| number / step);
            let is_multiple = parts
                .is_none_or(|parts| (parts - parts.round()).abs() <= f64::EPSILON * parts.abs());
            holds(is_multiple, || format!("not a multiple of {step}"))
        }
        _ => Ok(()),
    }
}

fn number(limit: Limit, bound: f64, value: &Document<'_>) -> Result<(), Broken> {
    let Some(number) = value.number() else {
        return Ok(());
    };
    let (keeps, wanted) = match limit {
        Limit::Minimum => (number >= bound, "at least"),
        Limit::Maximum => (number <= bound, "at most"),
        Limit::ExclusiveMinimum => (number > bound, "more than"),
        Limit::ExclusiveMaximum => (number < bound, "less than"),
    };
    holds(keeps, || format!("{number} instead of {wanted} {bound}"))
}

fn within(range: Range, size: usize, what: &str) -> Result<(), Broken> {
    let Range { min, max } = range;
    let fits = (min..=max).contains(&(size as u64));
    let wanted = if (size as u64) < min {
        format!("at least {min}")
    } else {
        format!("at most {max}")
    };
    holds(fits, || format!("{size} {what} instead of {wanted}"))
}

fn is_of_type(value: &Document<'_>, name: &str) -> bool {
    match (name, value) {
        ("number", Document::Whole(_) | Document::Float(_)) => true,
        ("integer", Document::Float(value)) => value.fract() == 0.0,
        _ => value.kind() == name,
    }
}
