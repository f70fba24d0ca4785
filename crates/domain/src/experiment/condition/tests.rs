use serde_json::json;

use super::*;

fn check(condition: &Value, attributes: &Value, expected: bool) {
    let parsed = Condition::parse(condition.as_object().unwrap()).unwrap();
    assert_eq!(parsed.holds(attributes.as_object().unwrap()), expected, "{condition} on {attributes}");
}

#[test]
fn values_and_operators() {
    let someone =
        json!({"country": "DE", "age": 41, "tags": ["a", "b"], "user": {"plan": "pro"}, "v": "1.12.0", "n": null});
    let yes = |condition: Value| check(&condition, &someone, true);
    let no = |condition: Value| check(&condition, &someone, false);
    yes(json!({}));
    yes(json!({"country": "DE"}));
    no(json!({"country": "FR"}));
    yes(json!({"country": {"$in": ["DE", "FR"]}, "age": {"$gte": 41, "$lt": 42}}));
    no(json!({"country": {"$in": ["DE", "FR"]}, "age": {"$gt": 41}}));
    yes(json!({"age": 41.0}));
    yes(json!({"age": {"$gt": "7"}}));
    no(json!({"age": {"$gt": "old"}}));
    no(json!({"missing": {"$gt": 0}}));
    no(json!({"missing": {"$lte": 0}}));
    yes(json!({"missing": {"$ne": "x"}}));
    yes(json!({"missing": null}));
    yes(json!({"missing": {"$exists": false}, "n": {"$exists": false}, "age": {"$exists": true}}));
    yes(json!({"user.plan": "pro"}));
    no(json!({"user.plan.name": "pro"}));
    yes(json!({"tags": {"$in": ["b", "c"]}}));
    yes(json!({"tags": {"$nin": ["c"]}}));
    yes(json!({"tags": ["a", "b"]}));
    no(json!({"tags": ["b", "a"]}));
    yes(json!({"tags": {"$size": 2}}));
    yes(json!({"tags": {"$size": {"$gt": 1}}}));
    yes(json!({"tags": {"$all": ["b", "a"]}}));
    no(json!({"tags": {"$all": ["b", "c"]}}));
    yes(json!({"tags": {"$elemMatch": {"$regex": "^b"}}}));
    yes(json!({"country": {"$regex": "^D."}}));
    no(json!({"age": {"$regex": "4"}}));
    yes(json!({"country": {"$not": {"$in": ["FR"]}}}));
    yes(json!({"v": {"$vgt": "1.9.9", "$vlte": "1.12", "$vne": "2.0.0"}}));
    no(json!({"v": {"$vlt": "1.12.0-rc.1"}}));
    yes(json!({"$or": [{"country": "FR"}, {"age": 41}]}));
    no(json!({"$nor": [{"country": "FR"}, {"age": 41}]}));
    no(json!({"$not": {"country": "DE"}}));
    yes(json!({"$and": [{"country": "DE"}, {"$not": {"age": 1}}]}));
}

#[test]
fn attributes_with_dots_in_their_names() {
    check(&json!({"a.b": 1}), &json!({"a.b": 1}), true);
    check(
        &json!({"orders": {"$elemMatch": {"total": {"$gt": 5}}}}),
        &json!({"orders": [{"total": 3}, {"total": 9}]}),
        true,
    );
}

#[test]
fn mistakes_come_all_and_with_their_place() {
    let wrong = json!({
        "country": {"$inn": ["DE"]}, "age": {"$gt": [1]}, "plan": {"$in": "pro"}, "name": {"$regex": "("},
        "$orr": [], "$or": [], "x": {"$exists": 1}, "$not": 3, "v": {"$vgt": 1}
    });
    let errors = Condition::parse(wrong.as_object().unwrap()).unwrap_err();
    let lines: Vec<_> = errors.into_iter().map(|e| format!("{}: {}", e.path, e.message)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    country.$inn: `$inn` is no operator: did you mean $in?
    age.$gt: expected a number or a text to compare with
    plan.$in: expected a list of values
    name.$regex: `(` is no regular expression: unclosed group
    $orr: `$orr` is no way to join conditions: did you mean $or?
    $or: expected a list of one or more conditions
    x.$exists: expected true or false
    $not: expected a condition, such as {"country": "DE"}
    v.$vgt: expected a version as text, such as "1.12.0"
    "#);
}

#[test]
fn nesting_has_an_end() {
    let mut deep = json!({"a": 1});
    for _ in 0..50 {
        deep = json!({"$not": deep});
    }
    assert!(Condition::parse(deep.as_object().unwrap()).is_err());
    let mut deep = json!({"$eq": 1});
    for _ in 0..50 {
        deep = json!({"$not": deep});
    }
    assert!(Condition::parse(json!({"a": deep}).as_object().unwrap()).is_err());
}
