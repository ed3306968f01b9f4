//! One kind from another, where nothing is lost.

use jaq_core::ValR;
use jaq_json::Val;

use super::{Decimal, string, takes, text_of, wrong};
use crate::mapping::read;

/// `12`, `"12"`, `12.0` → `12`.
pub(super) fn to_integer(value: &Val) -> ValR<Val> {
    let text = text_of(value).ok_or_else(|| takes("to_integer", "a number or a string of digits", value))?;
    let integer = Decimal::parse(text.trim()).and_then(|decimal| decimal.scaled(0));
    integer.ok_or_else(|| wrong("to_integer", "takes a whole number; this one has a fraction, or is none"))
}

/// `12.50`, `"12.50"` → `12.50`, digit by digit.
pub(super) fn to_number(value: &Val) -> ValR<Val> {
    match value {
        Val::Num(_) => Ok(value.clone()),
        Val::TStr(text) => {
            let number = read::document(text).ok().filter(|read| matches!(read, Val::Num(_)));
            number.ok_or_else(|| wrong("to_number", "takes a number as JSON writes it; this string is none"))
        }
        Val::Null | Val::Bool(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            Err(takes("to_number", "a number or a string that is one", value))
        }
    }
}

/// A string as it is; a number or boolean as printed.
pub(super) fn to_string(value: Val) -> ValR<Val> {
    match &value {
        Val::TStr(_) => Ok(value),
        Val::Bool(truth) => string(truth.to_string()),
        Val::Num(_) => string(text_of(&value).ok_or_else(|| wrong("to_string", "takes a finite number"))?),
        Val::Null | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            Err(takes("to_string", "a string, number or boolean", &value))
        }
    }
}

/// `true`, `"true"`, `"TRUE"`, `1`, `"1"` → `true`; their opposites → `false`.
pub(super) fn to_boolean(value: &Val) -> ValR<Val> {
    if let Val::Bool(_) = value {
        return Ok(value.clone());
    }
    let text = text_of(value)
        .ok_or_else(|| takes("to_boolean", "a boolean, or true, false, 1, 0 in a string", value))?;
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Val::Bool(true)),
        "false" | "0" => Ok(Val::Bool(false)),
        _ => Err(wrong("to_boolean", "takes true, false, 1 or 0")),
    }
}
