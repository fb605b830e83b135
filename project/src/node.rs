//! JSON values that remember which file they came from, and where in it.
//!
//! The template is a tree of these, and stays one while placeholders are filled in; so whatever is wrong with a value,
//! and whoever finds out, the line to change is known. Messages themselves are plain values.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::json::{MAX_DEPTH, Tree};
use crate::path::{Step, ValuePath};
use crate::text::Span;

/// The layer that a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `config_template.json`.
    Template,
    /// The mode's tune file, or another file that is read on its own.
    Tune,
    /// `--set` on the command line.
    CommandLine,
    /// `--set-env` on the command line.
    Environment,
}

/// Where a value, or the key of one, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// The layer.
    pub(crate) source: Source,
    /// The place in that layer's file; nothing for the command line.
    pub(crate) span: Span,
    /// The placeholder in the template that let the value in.
    pub(crate) placeholder: Option<Span>,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) shape: Shape,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Null, a boolean, a number or a string.
    Leaf(Value),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(IndexMap<String, Member>),
    /// What belongs here could not be found out, and that has been reported: nothing more can be said about it.
    Unknown,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: Span,
    pub(crate) value: Node,
}

/// The end of a path, or as far as it goes.
pub(crate) struct Reached<'a> {
    /// The last value on the path.
    pub(crate) node: &'a Node,
    /// The place of its key, if it is the member of an object.
    pub(crate) key: Option<At>,
    /// Whether the path goes no further.
    pub(crate) whole: bool,
}

impl Node {
    /// A value from outside any file, `depth` levels inside its message; `None` if it nests too deep there.
    pub(crate) fn of_value(value: &Value, at: At, depth: usize) -> Option<Node> {
        let shape = match value {
            Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => return None,
            Value::Array(items) => {
                let items = items.iter().map(|item| Node::of_value(item, at, depth + 1));
                Shape::List(items.collect::<Option<_>>()?)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| {
                    let value = Node::of_value(value, at, depth + 1)?;
                    Some((key.clone(), Member { key: at.span, value }))
                });
                Shape::Object(members.collect::<Option<_>>()?)
            }
            leaf => Shape::Leaf(leaf.clone()),
        };
        Some(Node { at, shape })
    }

    /// The plain value; what is unknown becomes null.
    pub(crate) fn to_value(&self) -> Value {
        match &self.shape {
            Shape::Leaf(value) => value.clone(),
            Shape::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Shape::Object(members) => Value::Object(to_map(members)),
            Shape::Unknown => Value::Null,
        }
    }

    /// Moves the whole tree to a layer.
    pub(crate) fn set_source(&mut self, source: Source) {
        self.at.source = source;
        match &mut self.shape {
            Shape::Leaf(_) | Shape::Unknown => {}
            Shape::List(items) => items.iter_mut().for_each(|item| item.set_source(source)),
            Shape::Object(members) => members.values_mut().for_each(|member| member.value.set_source(source)),
        }
    }

    /// Follows a path as far as it goes.
    pub(crate) fn reach(&self, path: &ValuePath) -> Reached<'_> {
        let mut reached = Reached { node: self, key: None, whole: true };
        for step in path.steps() {
            let next = match (step, &reached.node.shape) {
                (Step::Key(key), Shape::Object(members)) => {
                    members.get(key).map(|member| (&member.value, Some(At { span: member.key, ..reached.node.at })))
                }
                (Step::Index(index), Shape::List(items)) => items.get(*index).map(|item| (item, None)),
                _ => None,
            };
            match next {
                Some((node, key)) => reached = Reached { node, key, whole: true },
                None => {
                    reached.whole = false;
                    break;
                }
            }
        }
        reached
    }
}

/// The plain values of an object's members.
pub(crate) fn to_map(members: &IndexMap<String, Member>) -> Map<String, Value> {
    members.iter().map(|(key, member)| (key.clone(), member.value.to_value())).collect()
}

impl Tree for Node {
    type Members = IndexMap<String, Member>;

    fn leaf(value: Value, span: Span) -> Self {
        Node::in_file(span, Shape::Leaf(value))
    }

    fn lost(span: Span) -> Self {
        Node::in_file(span, Shape::Unknown)
    }

    fn list(items: Vec<Self>, span: Span) -> Self {
        Node::in_file(span, Shape::List(items))
    }

    fn object(members: Self::Members, span: Span) -> Self {
        Node::in_file(span, Shape::Object(members))
    }

    fn insert(members: &mut Self::Members, key: String, key_span: Span, value: Self) -> bool {
        match members.entry(key) {
            indexmap::map::Entry::Occupied(_) => false,
            indexmap::map::Entry::Vacant(place) => {
                place.insert(Member { key: key_span, value });
                true
            }
        }
    }
}

impl Node {
    fn in_file(span: Span, shape: Shape) -> Node {
        Node { at: At { source: Source::Template, span, placeholder: None }, shape }
    }
}
