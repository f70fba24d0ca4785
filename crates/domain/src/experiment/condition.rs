//! Conditions on attributes, in the language of MongoDB and GrowthBook.
//!
//! `{"country": {"$in": ["DE", "FR"]}, "plan": "pro"}`: every key is an attribute (`user.plan` reaches into objects) with
//! a value that it must equal or an object of operators, all of which must hold; or one of `$and`, `$or`, `$nor` with a list of conditions
//! and `$not` with one. Operators of an attribute: `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin`, `$exists`,
//! `$regex`, `$not`, `$size`, `$all`, `$elemMatch`, and `$veq`, `$vne`, `$vgt`, `$vgte`, `$vlt`, `$vlte` for versions such as 1.12.0.
//!
//! A missing attribute is null. `$in` on a list asks whether they share an element. Numbers compare as numbers, also
//! where one side is a text that holds a number; other texts compare by their characters. What cannot be compared does not match.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::suggest;

/// Deepest nesting of a condition.
const DEEPEST: usize = 20;
/// Largest compiled regular expression, in bytes.
const LARGEST_REGEX: usize = 1 << 20;

const LOGIC: [&str; 4] = ["$and", "$or", "$nor", "$not"];
const OPERATORS: [&str; 20] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$regex",
    "$not",
    "$size",
    "$all",
    "$elemMatch",
    "$veq",
    "$vne",
    "$vgt",
    "$vgte",
    "$vlt",
    "$vlte",
];

/// A condition, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Condition(Vec<Clause>);

#[derive(Debug, Clone)]
enum Clause {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    None(Vec<Condition>),
    Attribute(Vec<String>, Vec<Test>),
}

#[derive(Debug, Clone)]
enum Test {
    Equal(Value),
    Compare(Order, Value),
    Version(Order, Vec<VersionPart>),
    In(Vec<Value>),
    Exists(bool),
    Regex(Regex),
    Size(Vec<Test>),
    AllOf(Vec<Vec<Test>>),
    Element(Vec<Test>, Condition),
    Not(Vec<Test>),
}

/// How two values must stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

/// A mistake in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// Where: `country.$in`.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Condition {
    /// Reads a condition. The empty one holds for everybody.
    ///
    /// # Errors
    /// With every mistake: unknown operators, wrong types, regular expressions that are none.
    pub fn parse(object: &Map<String, Value>) -> Result<Self, Vec<ConditionError>> {
        let mut parser = Parser { path: Vec::new(), errors: Vec::new() };
        let condition = parser.condition(object);
        if parser.errors.is_empty() { Ok(condition) } else { Err(parser.errors) }
    }

    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The attributes that it asks for, as they are written: those of every part of it.
    pub fn attributes(&self) -> std::collections::BTreeSet<String> {
        let of_all = |all: &[Self]| all.iter().flat_map(Self::attributes).collect();
        let of_clause = |clause: &Clause| -> std::collections::BTreeSet<String> {
            match clause {
                Clause::All(all) | Clause::Any(all) | Clause::None(all) => of_all(all),
                Clause::Attribute(path, _) => [path.join(".")].into(),
            }
        };
        self.0.iter().flat_map(of_clause).collect()
    }

    /// Whether the attributes meet it.
    pub fn holds(&self, attributes: &Map<String, Value>) -> bool {
        self.0.iter().all(|clause| match clause {
            Clause::All(all) => all.iter().all(|c| c.holds(attributes)),
            Clause::Any(any) => any.iter().any(|c| c.holds(attributes)),
            Clause::None(none) => !none.iter().any(|c| c.holds(attributes)),
            Clause::Attribute(path, tests) => {
                let value = lookup(attributes, path);
                tests.iter().all(|test| test.holds(value))
            }
        })
    }
}

/// The attribute at a path; null where there is none. A key that contains the dots itself comes first.
pub(super) fn lookup<'a>(attributes: &'a Map<String, Value>, path: &[String]) -> &'a Value {
    if path.len() > 1
        && let Some(value) = attributes.get(&path.join("."))
    {
        return value;
    }
    let Some((first, rest)) = path.split_first() else { return &Value::Null };
    let mut value = attributes.get(first).unwrap_or(&Value::Null);
    for key in rest {
        value = value.get(key).unwrap_or(&Value::Null);
    }
    value
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equal(expected) => equal(value, expected),
            Self::Compare(order, expected) => compare(value, expected).is_some_and(|found| order.holds(found)),
            Self::Version(order, expected) => {
                let found = match value {
                    Value::String(text) => version_parts(text),
                    Value::Number(number) => version_parts(&number.to_string()),
                    _ => return false,
                };
                order.holds(found.cmp(expected))
            }
            Self::In(allowed) => match value {
                Value::Array(items) => items.iter().any(|item| allowed.iter().any(|a| equal(item, a))),
                value => allowed.iter().any(|a| equal(value, a)),
            },
            Self::Exists(expected) => value.is_null() != *expected,
            Self::Regex(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Size(tests) => value.as_array().is_some_and(|items| {
                let size = Value::from(items.len());
                tests.iter().all(|t| t.holds(&size))
            }),
            Self::AllOf(all) => value
                .as_array()
                .is_some_and(|items| all.iter().all(|tests| items.iter().any(|i| tests.iter().all(|t| t.holds(i))))),
            Self::Element(tests, condition) => value.as_array().is_some_and(|items| {
                items.iter().any(|item| {
                    tests.iter().all(|t| t.holds(item))
                        && (condition.is_empty() || item.as_object().is_some_and(|o| condition.holds(o)))
                })
            }),
            Self::Not(tests) => !tests.iter().all(|t| t.holds(value)),
        }
    }
}

/// Equality in which 1 is 1.0.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (a, b) => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    if let (Value::String(a), Value::String(b)) = (a, b) {
        return Some(a.cmp(b));
    }
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    number(a)?.partial_cmp(&number(b)?)
}

/// A part of a version; a release is above its pre-releases, because the part behind its numbers is [`Self::End`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum VersionPart {
    Number(u64),
    Word(String),
    End,
}

/// The parts of `v1.12.0-rc.1+build` that decide its place.
fn version_parts(text: &str) -> Vec<VersionPart> {
    let text = text.trim().trim_start_matches('v');
    let text = text.split('+').next().unwrap_or_default();
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let part = |part: &str| part.parse().map_or_else(|_| VersionPart::Word(part.to_owned()), VersionPart::Number);
    let mut parts: Vec<VersionPart> = numbers.split('.').map(part).collect();
    // 1.2 is 1.2.0.
    while parts.len() < 3 {
        parts.push(VersionPart::Number(0));
    }
    match pre {
        Some(pre) => parts.extend(pre.split(['.', '-']).map(part)),
        None => parts.push(VersionPart::End),
    }
    parts
}

struct Parser {
    path: Vec<String>,
    errors: Vec<ConditionError>,
}

impl Parser {
    fn error(&mut self, message: impl Into<String>) {
        self.errors.push(ConditionError { path: self.path.join("."), message: message.into() });
    }

    fn within<T>(&mut self, key: &str, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let value = parse(self);
        self.path.pop();
        value
    }

    fn condition(&mut self, object: &Map<String, Value>) -> Condition {
        if self.path.len() > DEEPEST {
            self.error(format!("the condition is nested deeper than {DEEPEST} levels"));
            return Condition::default();
        }
        let clauses = object.iter().filter_map(|(key, value)| self.within(key, |p| p.clause(key, value)));
        Condition(clauses.collect())
    }

    fn clause(&mut self, key: &str, value: &Value) -> Option<Clause> {
        match key {
            "$and" => Some(Clause::All(self.list(value)?)),
            "$or" => Some(Clause::Any(self.list(value)?)),
            "$nor" => Some(Clause::None(self.list(value)?)),
            "$not" => Some(Clause::None(vec![self.sub(value)?])),
            key if key.starts_with('$') => {
                let hint = suggest::hint(key, LOGIC);
                self.error(format!("`{key}` is no way to join conditions: {hint}"));
                None
            }
            attribute => {
                let path = attribute.split('.').map(str::to_owned).collect();
                Some(Clause::Attribute(path, self.tests(value)))
            }
        }
    }

    fn sub(&mut self, value: &Value) -> Option<Condition> {
        let Some(object) = value.as_object() else {
            return self.wrong("a condition, such as {\"country\": \"DE\"}");
        };
        Some(self.condition(object))
    }

    fn list(&mut self, value: &Value) -> Option<Vec<Condition>> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.error("expected a list of one or more conditions");
            return None;
        };
        items.iter().enumerate().map(|(i, item)| self.within(&i.to_string(), |p| p.sub(item))).collect()
    }

    /// What an attribute must meet: a value that it equals, or an object of operators.
    fn tests(&mut self, value: &Value) -> Vec<Test> {
        match value.as_object() {
            Some(object) if object.keys().any(|key| key.starts_with('$')) => {
                if self.path.len() > DEEPEST {
                    self.error(format!("the condition is nested deeper than {DEEPEST} levels"));
                    return Vec::new();
                }
                object.iter().filter_map(|(key, value)| self.within(key, |p| p.test(key, value))).collect()
            }
            _ => vec![Test::Equal(value.clone())],
        }
    }

    fn test(&mut self, operator: &str, value: &Value) -> Option<Test> {
        Some(match operator {
            "$eq" => Test::Equal(value.clone()),
            "$ne" => Test::Not(vec![Test::Equal(value.clone())]),
            "$gt" | "$gte" | "$lt" | "$lte" => self.comparison(order_of(operator), value)?,
            "$in" => Test::In(self.values(value)?),
            "$nin" => Test::Not(vec![Test::In(self.values(value)?)]),
            "$exists" => Test::Exists(self.boolean(value)?),
            "$regex" => Test::Regex(self.regex(value)?),
            "$not" => Test::Not(self.tests(value)),
            "$size" => Test::Size(self.tests(value)),
            "$all" => {
                let items = self.values(value)?;
                Test::AllOf(items.iter().map(|item| self.tests(item)).collect())
            }
            "$elemMatch" => self.element(value)?,
            "$veq" | "$vne" | "$vgt" | "$vgte" | "$vlt" | "$vlte" => match value.as_str() {
                Some(text) => Test::Version(order_of(operator), version_parts(text)),
                None => return self.wrong("a version as text, such as \"1.12.0\""),
            },
            other => {
                let hint = suggest::hint(other, OPERATORS);
                self.error(format!("`{other}` is no operator: {hint}"));
                return None;
            }
        })
    }

    fn wrong<T>(&mut self, expected: &str) -> Option<T> {
        self.error(format!("expected {expected}"));
        None
    }

    fn comparison(&mut self, order: Order, value: &Value) -> Option<Test> {
        match value {
            Value::Number(_) | Value::String(_) => Some(Test::Compare(order, value.clone())),
            _ => self.wrong("a number or a text to compare with"),
        }
    }

    fn values(&mut self, value: &Value) -> Option<Vec<Value>> {
        match value.as_array() {
            Some(items) => Some(items.clone()),
            None => self.wrong("a list of values"),
        }
    }

    fn boolean(&mut self, value: &Value) -> Option<bool> {
        match value.as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong("true or false"),
        }
    }

    fn regex(&mut self, value: &Value) -> Option<Regex> {
        let Some(text) = value.as_str() else { return self.wrong("a regular expression as text") };
        match RegexBuilder::new(text).size_limit(LARGEST_REGEX).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.error(format!("`{text}` is no regular expression: {reason}"));
                None
            }
        }
    }

    fn element(&mut self, value: &Value) -> Option<Test> {
        match value.as_object() {
            Some(object) if object.keys().any(|k| k.starts_with('$') && !LOGIC.contains(&k.as_str())) => {
                Some(Test::Element(self.tests(value), Condition::default()))
            }
            Some(object) => Some(Test::Element(Vec::new(), self.condition(object))),
            None => self.wrong("operators or a condition that one element must meet"),
        }
    }
}

fn order_of(operator: &str) -> Order {
    match operator.trim_start_matches("$v").trim_start_matches('$') {
        "gt" => Order::Greater,
        "gte" => Order::GreaterOrEqual,
        "lt" => Order::Less,
        "lte" => Order::LessOrEqual,
        "ne" => Order::NotEqual,
        _ => Order::Equal,
    }
}

#[cfg(test)]
#[path = "condition/tests.rs"]
mod tests;
