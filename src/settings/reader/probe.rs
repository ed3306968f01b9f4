//! What a reader would take: the forms of its keys, found by reading a document that is not there.
//!
//! The sections are the one place that knows their keys, so their schema is not written beside them but asked of them:
//! a probed document has every key that is asked for, and writes down what is asked of its value. A word of a closed
//! set and a choice between a string and a table lead to different keys, so each is decided anew in a further pass,
//! until every alternative has been tried once; what the passes saw is joined into one JSON Schema.
//!
//! Where the keys of a table depend on a word in it (`auth.type`), the schema has one alternative for each word, and
//! what is below it is tried with each. Other
//! dependencies between keys it does not tell: it is for editors, and accepts all that the reader does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use toml::de::DeTable;

use super::document::Document;
use super::table::Table;

/// The most passes over one reader: a bound, far above what alternatives there are.
const MAX_PASSES: usize = 10_000;

/// One pass over a reader, and the decisions it goes by.
#[derive(Default)]
pub(super) struct Probe {
    forced: BTreeMap<String, usize>,
    met: RefCell<Vec<(String, usize)>>,
    seen: RefCell<Pass>,
}

/// What one pass has seen.
#[derive(Default)]
struct Pass {
    places: BTreeMap<String, Place>,
    /// The words that were taken, by the path of their value.
    words: BTreeMap<String, &'static str>,
}

/// A value: what was asked of it, and, of a table, its keys and whether they must be there.
#[derive(Default)]
struct Place {
    shape: Map<String, Json>,
    keys: Vec<(&'static str, bool)>,
}

impl Probe {
    /// A key of the table at `table` was asked for.
    pub(super) fn asked(&self, table: &str, key: &'static str, required: bool) {
        let mut seen = self.seen.borrow_mut();
        let keys = &mut seen.places.entry(table.to_owned()).or_default().keys;
        match keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known |= required,
            None => keys.push((key, required)),
        }
    }

    /// The value at `path` was said to be like this; what is said of one value holds together.
    pub(super) fn shaped(&self, path: &str, shape: Json) {
        let Json::Object(shape) = shape else { return };
        self.seen.borrow_mut().places.entry(path.to_owned()).or_default().shape.extend(shape);
    }

    /// Which of so many alternatives is to be taken.
    pub(super) fn decide(&self, question: &str, alternatives: usize) -> usize {
        self.met.borrow_mut().push((question.to_owned(), alternatives));
        self.forced.get(question).copied().unwrap_or_default()
    }

    /// The word at `path` was taken.
    pub(super) fn chose(&self, path: &str, word: &'static str) {
        self.seen.borrow_mut().words.insert(path.to_owned(), word);
    }
}

/// The JSON Schema of what `read` takes.
pub(in crate::settings) fn schema(title: &str, read: impl Fn(&mut Table<'_>)) -> Json {
    let mut deciding = BTreeSet::new();
    let passes = loop {
        let passes = explore(&read, &deciding);
        let known = deciding.len();
        deciding.extend(deciding_paths(&passes));
        if deciding.len() == known {
            break passes;
        }
    };
    let passes: Vec<&Pass> = passes.iter().collect();
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(title));
    if let Json::Object(root) = value_at("", &passes) {
        schema.extend(root);
    }
    Json::Object(schema)
}

/// Tries every alternative once, and once with each word at the `deciding` paths above it.
fn explore(read: impl Fn(&mut Table<'_>), deciding: &BTreeSet<String>) -> Vec<Pass> {
    let mut passes = Vec::new();
    let mut tried = BTreeSet::new();
    let mut open = vec![BTreeMap::new()];
    while let Some(forced) = open.pop().filter(|_| passes.len() < MAX_PASSES) {
        let probe = Probe { forced, ..Probe::default() };
        let document = Document::probing(&probe);
        Table::lend(&document, String::new(), 0, DeTable::new(), |table| read(table));
        for (question, alternatives) in probe.met.into_inner() {
            let taken = probe.forced.get(&question).copied().unwrap_or_default();
            let above = |(path, _): &(&String, &usize)| deciding.contains(*path) && is_above(path, &question);
            let words: Vec<usize> = probe.forced.iter().filter(above).map(|(_, word)| *word).collect();
            tried.insert((question.clone(), words.clone(), taken));
            for other in 0..alternatives {
                if tried.insert((question.clone(), words.clone(), other)) {
                    let mut forced = probe.forced.clone();
                    forced.insert(question.clone(), other);
                    open.push(forced);
                }
            }
        }
        passes.push(probe.seen.into_inner());
    }
    passes
}

/// Whether `question` is about what is in the same table as the word at `path`, or below it.
fn is_above(path: &str, question: &str) -> bool {
    let table = path.rfind('.').map_or("", |end| &path[..=end]);
    path != question && question.starts_with(table)
}

/// The paths of all words on which the keys beside them depend.
fn deciding_paths(passes: &[Pass]) -> BTreeSet<String> {
    let tables: BTreeSet<&String> = passes.iter().flat_map(|pass| pass.places.keys()).collect();
    let deciding = |path: &String| {
        let here: Vec<&Pass> = passes.iter().filter(|pass| pass.places.contains_key(path)).collect();
        deciding_word(path, &here).map(|(key, _)| below(path, key))
    };
    tables.into_iter().filter_map(deciding).collect()
}

/// The schema of the value at `path`: of each kind of value that the passes saw there, one alternative.
fn value_at(path: &str, passes: &[&Pass]) -> Json {
    let mut shapes: Vec<&Map<String, Json>> = Vec::new();
    let mut tables = Vec::new();
    for pass in passes {
        match pass.places.get(path) {
            Some(place) if !place.keys.is_empty() => tables.push(*pass),
            Some(place) if !place.shape.is_empty() && !shapes.contains(&&place.shape) => {
                shapes.push(&place.shape)
            }
            Some(_) | None => {}
        }
    }
    let mut alternatives: Vec<Json> = shapes.into_iter().map(|shape| whole(path, shape, passes)).collect();
    alternatives.extend(tables_at(path, &tables));
    match alternatives.len() {
        0 => json!({}),
        1 => alternatives.remove(0),
        _ => json!({ "anyOf": alternatives }),
    }
}

/// The shape of a value that is no table of known keys, with what is in it.
fn whole(path: &str, shape: &Map<String, Json>, passes: &[&Pass]) -> Json {
    let mut shape = shape.clone();
    if shape.get("type") == Some(&json!("array")) {
        shape.insert("items".to_owned(), value_at(&format!("{path}[]"), passes));
    } else if shape.get("type") == Some(&json!("object")) {
        shape.insert("additionalProperties".to_owned(), value_at(&format!("{path}.*"), passes));
    }
    Json::Object(shape)
}

/// The tables at `path`: one, or one for each word on which its keys depend.
fn tables_at(path: &str, passes: &[&Pass]) -> Vec<Json> {
    if passes.is_empty() {
        return Vec::new();
    }
    let Some((key, words)) = deciding_word(path, passes) else { return vec![table_at(path, passes, None)] };
    let of_word = |word: &'static str| {
        let with_word: Vec<&Pass> =
            passes.iter().copied().filter(|pass| pass.words.get(&below(path, key)) == Some(&word)).collect();
        table_at(path, &with_word, Some((key, word)))
    };
    words.into_iter().map(of_word).collect()
}

/// The key whose word decides, all other words of the table being equal, which other keys there are; and its words.
fn deciding_word(path: &str, passes: &[&Pass]) -> Option<(&'static str, BTreeSet<&'static str>)> {
    let all: Vec<&'static str> = keys_at(path, passes).into_keys().collect();
    all.iter().copied().find_map(|key| {
        let word = |pass: &Pass, key: &str| pass.words.get(&below(path, key)).copied();
        let others = |pass: &Pass| -> Vec<Option<&'static str>> {
            all.iter().filter(|other| **other != key).map(|other| word(pass, other)).collect()
        };
        let first = passes.iter().find(|pass| word(pass, key).is_some())?;
        // A word beside it that only some alternatives have is none to compare by.
        let same = |pass: &&&Pass| {
            others(pass)
                .iter()
                .zip(others(first))
                .all(|(one, other)| one.is_none() || other.is_none() || *one == other)
        };
        let mut keys: BTreeMap<&'static str, BTreeSet<&'static str>> = BTreeMap::new();
        for pass in passes.iter().filter(same) {
            if let Some(word) = word(pass, key) {
                keys.entry(word).or_default().extend(keys_at(path, &[pass]).into_keys());
            }
        }
        let distinct: BTreeSet<_> = keys.values().collect();
        (distinct.len() > 1).then(|| (key, keys.keys().copied().collect()))
    })
}

fn table_at(path: &str, passes: &[&Pass], word: Option<(&str, &str)>) -> Json {
    let keys = keys_at(path, passes);
    let required: Vec<&str> = keys.iter().filter(|(_, required)| **required).map(|(key, _)| *key).collect();
    let properties: Map<String, Json> = keys
        .keys()
        .map(|key| {
            let schema = match word {
                Some((decides, word)) if decides == *key => json!({ "const": word }),
                Some(_) | None => value_at(&below(path, key), passes),
            };
            ((*key).to_owned(), schema)
        })
        .collect();
    let mut table = Map::new();
    table.insert("type".to_owned(), json!("object"));
    table.insert("properties".to_owned(), Json::Object(properties));
    if !required.is_empty() {
        table.insert("required".to_owned(), json!(required));
    }
    table.insert("additionalProperties".to_owned(), json!(false));
    Json::Object(table)
}

/// The keys of the table at `path`, and whether each must be there whatever else is.
fn keys_at(path: &str, passes: &[&Pass]) -> BTreeMap<&'static str, bool> {
    let mut keys = BTreeMap::new();
    for (key, required) in
        passes.iter().filter_map(|pass| pass.places.get(path)).flat_map(|place| &place.keys)
    {
        keys.entry(*key).and_modify(|known| *known &= *required).or_insert(*required);
    }
    keys
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
