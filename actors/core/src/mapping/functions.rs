//! Which functions a program may call.
//!
//! Programs are written by those who configure the server, but run on what providers send, on threads that serve
//! everyone. So there is a list of what may be called, and what is not on it is refused with what to write instead.

/// What a program may call, by name and number of arguments. Everything else is refused.
const ALLOWED: &[(&str, &[usize])] = &[
    ("@base64", &[0]),
    ("@base64d", &[0]),
    ("@html", &[0]),
    ("@json", &[0]),
    ("@sh", &[0]),
    ("@text", &[0]),
    ("@uri", &[0]),
    ("@urid", &[0]),
    ("abs", &[0]),
    ("add", &[0, 1]),
    ("all", &[0, 1, 2]),
    ("any", &[0, 1, 2]),
    ("arrays", &[0]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("booleans", &[0]),
    ("bsearch", &[1]),
    ("capture", &[1, 2]),
    ("ceil", &[0]),
    ("contains", &[1]),
    ("del", &[1]),
    ("delpaths", &[1]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("error", &[0, 1]),
    ("exp", &[0]),
    ("exp10", &[0]),
    ("exp2", &[0]),
    ("explode", &[0]),
    ("fabs", &[0]),
    ("false", &[0]),
    ("finites", &[0]),
    ("first", &[0, 1]),
    ("flatten", &[0, 1]),
    ("floor", &[0]),
    ("from_entries", &[0]),
    ("from_minor", &[2]),
    ("fromdate", &[0]),
    ("fromdateiso8601", &[0]),
    ("fromjson", &[0]),
    ("getpath", &[1]),
    ("gmtime", &[0]),
    ("group_by", &[1]),
    ("gsub", &[2, 3]),
    ("has", &[1]),
    ("in", &[1]),
    ("index", &[1]),
    ("indices", &[1]),
    ("infinite", &[0]),
    ("inside", &[1]),
    ("isarray", &[0]),
    ("isboolean", &[0]),
    ("isempty", &[1]),
    ("isfinite", &[0]),
    ("isinfinite", &[0]),
    ("isnan", &[0]),
    ("isnormal", &[0]),
    ("isnumber", &[0]),
    ("isobject", &[0]),
    ("isstring", &[0]),
    ("iterables", &[0]),
    ("join", &[1]),
    ("keys", &[0]),
    ("keys_unsorted", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("limit", &[2]),
    ("log", &[0]),
    ("log10", &[0]),
    ("log2", &[0]),
    ("ltrim", &[0]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("map_values", &[1]),
    ("match", &[1, 2]),
    ("max", &[0]),
    ("max_by", &[1]),
    ("min", &[0]),
    ("min_by", &[1]),
    ("minor_units", &[1]),
    ("mktime", &[0]),
    ("nan", &[0]),
    ("normals", &[0]),
    ("not", &[0]),
    ("nth", &[1, 2]),
    ("null", &[0]),
    ("nulls", &[0]),
    ("numbers", &[0]),
    ("objects", &[0]),
    ("or_missing", &[2]),
    ("or_null", &[2]),
    ("path", &[1]),
    ("paths", &[0, 1]),
    ("pick", &[1]),
    ("pow", &[2]),
    ("range", &[1, 2, 3]),
    ("recurse", &[0]),
    ("reverse", &[0]),
    ("rindex", &[1]),
    ("round", &[0]),
    ("rtrim", &[0]),
    ("rtrimstr", &[1]),
    ("scalars", &[0]),
    ("scan", &[1, 2]),
    ("select", &[1]),
    ("setpath", &[2]),
    ("skip", &[2]),
    ("sort", &[0]),
    ("sort_by", &[1]),
    ("split", &[1, 2]),
    ("splits", &[1, 2]),
    ("sqrt", &[0]),
    ("startswith", &[1]),
    ("strftime", &[1]),
    ("strings", &[0]),
    ("strptime", &[1]),
    ("sub", &[2, 3]),
    ("test", &[1, 2]),
    ("to_boolean", &[0]),
    ("to_date", &[0]),
    ("to_entries", &[0]),
    ("to_epoch", &[0]),
    ("to_epoch_ms", &[0]),
    ("to_integer", &[0]),
    ("to_minor", &[2]),
    ("to_number", &[0]),
    ("to_rfc3339", &[0]),
    ("to_string", &[0]),
    ("toboolean", &[0]),
    ("todate", &[0]),
    ("todateiso8601", &[0]),
    ("tojson", &[0]),
    ("tonumber", &[0]),
    ("tostring", &[0]),
    ("transpose", &[0]),
    ("trim", &[0]),
    ("true", &[0]),
    ("trunc", &[0]),
    ("type", &[0]),
    ("unique", &[0]),
    ("unique_by", &[1]),
    ("utf8bytelength", &[0]),
    ("values", &[0]),
    ("walk", &[1]),
    ("with_entries", &[1]),
];

/// Known functions that are refused, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["env"], "it would reveal the server's environment: hand secrets over through `[auth]`"),
    (&["halt", "halt_error"], "it would end the server: use `error(\"…\")`"),
    (&["input", "inputs", "input_filename", "input_line_number"], "there is one input only: it is `.`"),
    (&["debug", "stderr"], "it would write payloads to the log unmasked: use `error(\"…\")`"),
    (
        &["now", "localtime", "strflocaltime"],
        "a mapping must yield the same on every attempt: take times from the input",
    ),
    (&["recurse"], "with an argument it may never end: use `..` or `recurse`"),
    (&["while", "until", "repeat"], "it may never end: use `map`, `first(…)` or `limit(n; …)`"),
    (&["combinations"], "its result grows beyond bounds: name the combinations"),
    (&["include", "import", "module"], "a program stands alone: write it out"),
];

/// Functions whose first argument is a regular expression, with the index of the argument that holds its flags.
const REGEX: &[(&str, usize, usize)] = &[
    ("test", 1, 1),
    ("test", 2, 1),
    ("match", 1, 1),
    ("match", 2, 1),
    ("capture", 1, 1),
    ("capture", 2, 1),
    ("scan", 1, 1),
    ("scan", 2, 1),
    ("split", 2, 1),
    ("splits", 1, 1),
    ("splits", 2, 1),
    ("sub", 2, 2),
    ("sub", 3, 2),
    ("gsub", 2, 2),
    ("gsub", 3, 2),
];

/// What a function of jaq's costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// A glance, or it pays for itself.
    Small,
    /// It goes through its input's elements.
    Shallow,
    /// It goes through all there is in its input, and may sort it or quote it.
    Deep,
    /// It goes through its input's elements and compares what its argument makes of them.
    Keyed,
}

/// What cost functions of jaq's have that are not written in jq, where that is more than a glance.
const EFFORTS: &[(&str, usize, Effort)] = &[
    ("ascii_downcase", 0, Effort::Shallow),
    ("ascii_upcase", 0, Effort::Shallow),
    ("bsearch", 1, Effort::Keyed),
    ("decode_base64", 0, Effort::Shallow),
    ("decode_uri", 0, Effort::Shallow),
    ("encode_base64", 0, Effort::Shallow),
    ("encode_uri", 0, Effort::Shallow),
    ("endswith", 1, Effort::Shallow),
    ("escape_html", 0, Effort::Shallow),
    ("escape_sh", 0, Effort::Shallow),
    ("explode", 0, Effort::Deep),
    ("fromdateiso8601", 0, Effort::Shallow),
    ("gmtime", 0, Effort::Shallow),
    ("group_by", 1, Effort::Keyed),
    ("key_values", 0, Effort::Shallow),
    ("keys_unsorted", 0, Effort::Shallow),
    ("length", 0, Effort::Shallow),
    ("ltrim", 0, Effort::Shallow),
    ("ltrimstr", 1, Effort::Shallow),
    ("max_by_or_empty", 1, Effort::Keyed),
    ("min_by_or_empty", 1, Effort::Keyed),
    ("mktime", 0, Effort::Deep),
    ("reverse", 0, Effort::Shallow),
    ("rtrim", 0, Effort::Shallow),
    ("rtrimstr", 1, Effort::Shallow),
    ("sort", 0, Effort::Deep),
    ("sort_by", 1, Effort::Keyed),
    ("startswith", 1, Effort::Shallow),
    ("strftime", 1, Effort::Deep),
    ("strptime", 1, Effort::Shallow),
    ("todateiso8601", 0, Effort::Shallow),
    ("trim", 0, Effort::Shallow),
    ("utf8bytelength", 0, Effort::Shallow),
];

/// What a call of `name` with `arity` arguments costs.
pub(super) fn effort(name: &str, arity: usize) -> Effort {
    let found = EFFORTS.binary_search_by(|(known, _, _)| known.cmp(&name)).ok();
    let found = found.and_then(|index| EFFORTS.get(index)).filter(|(_, arguments, _)| *arguments == arity);
    found.map_or(Effort::Small, |(_, _, effort)| *effort)
}

/// Whether `name` may be called with `arity` arguments.
///
/// # Errors
/// Why not, and what to write instead.
pub(super) fn allow(name: &str, arity: usize) -> Result<(), String> {
    let known =
        ALLOWED.binary_search_by(|(allowed, _)| allowed.cmp(&name)).ok().map(|index| ALLOWED[index].1);
    if known.is_some_and(|arities| arities.contains(&arity)) {
        Ok(())
    } else {
        Err(refusal(name, arity, known))
    }
}

/// If the function takes a regular expression: which of its arguments holds the flags (the pattern is the first).
pub(super) fn regex_flags(name: &str, arity: usize) -> Option<usize> {
    REGEX.iter().find(|(regex, count, _)| *regex == name && *count == arity).map(|(_, _, flags)| *flags)
}

fn refusal(name: &str, arity: usize, known: Option<&[usize]>) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
        return format!("`{name}` is not allowed: {why}");
    }
    let counts = |arities: &[usize]| arities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    match known {
        Some(arities) => format!("`{name}` takes {} arguments, not {arity}", counts(arities)),
        None => format!(
            "there is no function `{name}`: see the list of functions in the documentation of mappings"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(ALLOWED.is_sorted_by_key(|(name, _)| name));
        assert!(EFFORTS.is_sorted_by_key(|(name, _, _)| name));
    }
}
