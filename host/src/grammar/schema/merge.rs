//! Schemas that hold together, as one: `allOf`, and keywords beside `$ref`, `anyOf` and `oneOf`.

use super::super::json::{Json, Members};
use super::{MAX_DEPTH, MAX_MERGED, Writer, check_keywords, keywords, types};
use crate::error::{Context, Result, bail, ensure};

impl Writer<'_> {
    /// A schema without `allOf`, and without a `$ref` beside other keywords.
    pub(super) fn merged(&mut self, members: &Members, path: &str) -> Result<Json> {
        self.merges(members.iter().map(|(_, value)| value.n_values()).sum(), path)?;
        let is_merged = members.iter().any(|(name, _)| matches!(name.as_str(), "$ref" | "allOf"));
        // Properties that no schema names are not written, so that none is left unevaluated.
        let is_kept = |name: &str| match name {
            "$ref" | "allOf" => false,
            "unevaluatedProperties" => !is_merged,
            _ => true,
        };
        let mut merged = Json::Object(members.iter().filter(|(name, _)| is_kept(name)).cloned().collect());
        for (name, value) in members {
            match name.as_str() {
                "$ref" => {
                    let target = value.as_str().with_context(|| format!("{path}/$ref: a string is expected"))?;
                    let schema = self.resolve(target, path)?;
                    merged = self.both(&merged, schema, target)?;
                }
                "allOf" => {
                    let branches =
                        value.as_array().with_context(|| format!("{path}/allOf: an array of schemas is expected"))?;
                    for (i, branch) in branches.iter().enumerate() {
                        merged = self.both(&merged, branch, &format!("{path}/allOf/{i}"))?;
                    }
                }
                _ => {}
            }
        }
        Ok(merged)
    }

    /// Counts values that are copied or compared.
    fn merges(&mut self, n: usize, path: &str) -> Result<()> {
        self.n_merged = self.n_merged.saturating_add(n).saturating_add(1);
        ensure!(self.n_merged <= MAX_MERGED, "{path}: schemas that hold together are too many, or too large");
        Ok(())
    }

    /// Schema of the values that obey both.
    pub(super) fn both(&mut self, a: &Json, b: &Json, path: &str) -> Result<Json> {
        ensure!(self.depth < MAX_DEPTH, "{path}: schemas that are merged lie more than {MAX_DEPTH} deep in each other");
        self.depth += 1;
        let both = self.both_of(a, b, path);
        self.depth -= 1;
        both
    }

    fn both_of(&mut self, a: &Json, b: &Json, path: &str) -> Result<Json> {
        let (a, b) = match (a, b) {
            (Json::Bool(false), _) | (_, Json::Bool(false)) => return Ok(Json::Bool(false)),
            (Json::Bool(true), Json::Bool(true)) => return Ok(Json::Bool(true)),
            (Json::Bool(true), Json::Object(one)) | (Json::Object(one), Json::Bool(true)) => {
                return self.merged(one, path);
            }
            (Json::Object(a), Json::Object(b)) => (a, b),
            _ => bail!("{path}: a schema is an object, true or false"),
        };
        check_keywords(a, path)?;
        check_keywords(b, path)?;
        if keywords(a).is_empty() || keywords(b).is_empty() {
            return self.merged(if keywords(a).is_empty() { b } else { a }, path);
        }
        let has = |members: &Members, name: &str| members.iter().any(|(other, _)| other == name);
        // Only the schema itself may name properties that it evaluates.
        for members in [a, b] {
            ensure!(
                !has(members, "unevaluatedProperties"),
                "{path}/unevaluatedProperties: in one of several schemas that hold together it is not supported"
            );
        }
        let (Json::Object(a), Json::Object(b)) = (self.merged(a, path)?, self.merged(b, path)?) else {
            return Ok(Json::Bool(false));
        };
        // `items` is about what the `prefixItems` beside it leave.
        for (one, other) in [(&a, &b), (&b, &a)] {
            ensure!(
                !has(one, "prefixItems") || !(has(other, "items") || has(other, "prefixItems")) || one == other,
                "{path}/prefixItems: beside items of another schema that holds, too, it is not supported"
            );
        }
        let mut merged: Members = Vec::new();
        for (name, value) in a.iter().chain(b.iter().filter(|(name, _)| !a.iter().any(|(other, _)| other == name))) {
            let of =
                |members: &Members| members.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
            let value = match (of(&a), of(&b)) {
                _ if matches!(name.as_str(), "properties" | "additionalProperties") => continue,
                (Some(x), Some(y)) if super::is_known(name) => match self.both_values(name, &x, &y, path)? {
                    Some(value) => value,
                    None => return Ok(Json::Bool(false)),
                },
                _ => value.clone(),
            };
            merged.push((name.clone(), value));
        }
        self.properties(&a, &b, &mut merged, path)?;
        Ok(Json::Object(merged))
    }

    /// Value of a keyword that both schemas have; `None` if no value obeys it.
    fn both_values(&mut self, name: &str, a: &Json, b: &Json, path: &str) -> Result<Option<Json>> {
        let array = |value: &Json| value.as_array().map(<[Json]>::to_vec).unwrap_or_default();
        let least = |lower: bool| -> Result<Json> {
            let of = |value: &Json| match value {
                Json::Number(number) => number.as_f64(),
                _ => None,
            };
            let (x, y) = of(a).zip(of(b)).with_context(|| format!("{path}/{name}: a number is expected"))?;
            Ok(if (x < y) == lower { a.clone() } else { b.clone() })
        };
        Ok(Some(match name {
            _ if a.equals(b) => a.clone(),
            "required" => Json::Array(array(a).into_iter().chain(array(b)).collect()),
            "enum" => {
                let (a, b) = (array(a), array(b));
                self.merges(a.len().saturating_mul(b.len()), path)?;
                Json::Array(a.into_iter().filter(|x| b.iter().any(|y| x.equals(y))).collect())
            }
            "const" => return Ok(None),
            "type" => return both_types(a, b, path),
            "minimum" | "exclusiveMinimum" | "minLength" | "minItems" => least(false)?,
            "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" => least(true)?,
            "items" => self.both(a, b, &format!("{path}/items"))?,
            "anyOf" | "oneOf" => {
                ensure!(name == "anyOf", "{path}/oneOf: two of them that hold together are not supported");
                let mut branches = Vec::new();
                for x in array(a) {
                    for y in array(b) {
                        branches.push(self.both(&x, &y, &format!("{path}/{name}"))?);
                        ensure!(branches.len() < 1000, "{path}/{name}: too many branches");
                    }
                }
                Json::Array(branches)
            }
            _ => bail!("{path}/{name}: two of them that hold together are not supported"),
        }))
    }

    /// Properties of both schemas. One that a schema does not name obeys its `additionalProperties`.
    fn properties(&mut self, a: &Members, b: &Members, merged: &mut Members, path: &str) -> Result<()> {
        let get = |members: &Members, name: &str| {
            members.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        };
        let named = |members: &Members| {
            get(members, "properties").and_then(|value| value.as_object().cloned()).unwrap_or_default()
        };
        let (of_a, of_b) = (named(a), named(b));
        let others = [a, b].map(|members| get(members, "additionalProperties"));
        let mut properties: Members = Vec::new();
        for (name, _) in of_a.iter().chain(of_b.iter().filter(|(name, _)| !of_a.iter().any(|(other, _)| other == name)))
        {
            let at = format!("{path}/properties/{name}");
            let [x, y] = [(&of_a, &others[0]), (&of_b, &others[1])]
                .map(|(named, others)| get(named, name).or_else(|| others.clone()).unwrap_or(Json::Bool(true)));
            properties.push((name.clone(), self.both(&x, &y, &at)?));
        }
        if !properties.is_empty() || get(a, "properties").or(get(b, "properties")).is_some() {
            merged.push(("properties".into(), Json::Object(properties)));
        }
        let others = match others {
            [Some(x), Some(y)] => Some(self.both(&x, &y, &format!("{path}/additionalProperties"))?),
            [x, y] => x.or(y),
        };
        merged.extend(others.map(|others| ("additionalProperties".into(), others)));
        Ok(())
    }

    /// Checks that no value obeys two of the branches.
    pub(super) fn check_disjoint(&mut self, branches: &[Json], path: &str) -> Result<()> {
        let mut merged = Vec::new();
        for (i, branch) in branches.iter().enumerate() {
            merged.push(match branch {
                Json::Object(members) => self.merged(members, &format!("{path}/oneOf/{i}"))?,
                other => other.clone(),
            });
        }
        for (i, a) in merged.iter().enumerate() {
            for (j, b) in merged.iter().enumerate().skip(i + 1) {
                ensure!(
                    self.are_disjoint(a, b, 0, path),
                    "{path}/oneOf: a value may obey both branch {i} and branch {j}: give them different types or constants, or use anyOf"
                );
            }
        }
        Ok(())
    }

    /// True if it is sure that no value obeys both: they differ in type, in constants, or in a property that both require.
    fn are_disjoint(&mut self, a: &Json, b: &Json, depth: usize, path: &str) -> bool {
        let (Json::Object(a), Json::Object(b)) = (a, b) else {
            return matches!(a, Json::Bool(false)) || matches!(b, Json::Bool(false));
        };
        let (Ok(Json::Object(a)), Ok(Json::Object(b))) = (self.merged(a, path), self.merged(b, path)) else {
            return false;
        };
        let types = [&a, &b].map(|members| types(members, path).unwrap_or_default());
        let meet = |x: &str, y: &str| x == y || matches!((x, y), ("integer", "number") | ("number", "integer"));
        if types.iter().all(|types| !types.is_empty()) && !types[0].iter().any(|x| types[1].iter().any(|y| meet(x, y)))
        {
            return true;
        }
        let get = |members: &Members, name: &str| {
            members.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
        };
        let constants = |members: &Members| match get(members, "const") {
            Some(value) => Some(vec![value]),
            None => get(members, "enum").and_then(|values| values.as_array().map(<[Json]>::to_vec)),
        };
        match (constants(&a), constants(&b)) {
            (Some(x), Some(y)) => return !x.iter().any(|x| y.iter().any(|y| x.equals(y))),
            (Some(values), None) | (None, Some(values)) => {
                let types = types.concat();
                let fits = |value: &Json| {
                    types.contains(&value.type_name()) || value.type_name() == "integer" && types.contains(&"number")
                };
                return !types.is_empty() && !values.iter().any(fits);
            }
            (None, None) => {}
        }
        let requires = |members: &Members, name: &str| {
            let required = get(members, "required");
            required
                .and_then(|names| names.as_array().map(|names| names.iter().any(|other| other.as_str() == Some(name))))
                == Some(true)
        };
        let only_objects = types.iter().all(|types| types[..] == ["object"]);
        let properties = [&a, &b]
            .map(|members| get(members, "properties").and_then(|value| value.as_object().cloned()).unwrap_or_default());
        let [of_a, of_b] = properties;
        only_objects
            && depth < 8
            && of_a.iter().any(|(name, x)| {
                let y = of_b.iter().find(|(other, _)| other == name);
                requires(&a, name)
                    && requires(&b, name)
                    && y.is_some_and(|(_, y)| self.are_disjoint(x, y, depth + 1, path))
            })
    }
}

/// Types that both values of `type` allow; `None` if there are none.
fn both_types(a: &Json, b: &Json, path: &str) -> Result<Option<Json>> {
    let of = |value: &Json| types(&vec![("type".into(), value.clone())], path);
    let (x, y) = (of(a)?, of(b)?);
    let meets = |x: &&str| y.contains(x) || *x == "integer" && y.contains(&"number");
    let mut both: Vec<&str> = x.iter().copied().filter(meets).collect();
    if y.contains(&"integer") && x.contains(&"number") {
        both.push("integer");
    }
    let names: Vec<Json> = both.into_iter().map(|name| Json::String(name.into())).collect();
    Ok((!names.is_empty()).then_some(Json::Array(names)))
}
