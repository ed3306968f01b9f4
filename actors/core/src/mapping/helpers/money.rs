//! Money: decimals and minor units (cents), digit by digit. No amount ever becomes a floating-point number.
//!
//! Source of the minor units: ISO 4217, list one.

use jaq_core::{Error, ValR};
use jaq_json::{Num, Val};

use super::{Decimal, string, takes, text_of, wrong};

/// Currencies whose minor unit is not a hundredth: digits behind the point, and codes.
const OTHERS: [(usize, &str); 3] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];
/// Currencies with hundredths.
const HUNDREDTHS: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP \
    BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
    GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD \
    MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB \
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
    UZS VED VES WST XCD XCG YER ZAR ZMW ZWG";

fn digits(name: &str, currency: &Val) -> Result<usize, Error<Val>> {
    let Val::TStr(code) = currency else {
        return Err(takes(name, "a currency's code such as \"EUR\"", currency));
    };
    let code = String::from_utf8_lossy(code).to_ascii_uppercase();
    let listed = |codes: &str| codes.split_whitespace().any(|known| known == code);
    let other = OTHERS.iter().find(|(_, codes)| listed(codes)).map(|(digits, _)| *digits);
    let found = other.or_else(|| listed(HUNDREDTHS).then_some(2));
    found.ok_or_else(|| wrong(name, "knows no such currency: write its code of ISO 4217, such as \"EUR\""))
}

/// How many digits a currency has behind the point.
pub(super) fn minor_units(currency: &Val) -> ValR<Val> {
    digits("minor_units", currency).map(Val::from)
}

/// `"19.99"` euro → `1999`.
pub(super) fn to_minor(amount: &Val, currency: &Val) -> ValR<Val> {
    let digits = digits("to_minor", currency)?;
    if let Val::Num(Num::Float(float)) = amount
        && float.fract() != 0.0
    {
        let why = "takes amounts as they were written, not as calculated: fractions of these are not exact";
        return Err(wrong("to_minor", why));
    }
    let text =
        text_of(amount).ok_or_else(|| takes("to_minor", "an amount, as a number or a string", amount))?;
    let decimal =
        Decimal::parse(text.trim()).ok_or_else(|| wrong("to_minor", "takes an amount such as \"19.99\""))?;
    decimal
        .scaled(digits)
        .ok_or_else(|| wrong("to_minor", "takes no more digits behind the point than the currency has"))
}

/// `1999` euro cents → `"19.99"`.
pub(super) fn from_minor(amount: &Val, currency: &Val) -> ValR<Val> {
    let places = digits("from_minor", currency)?;
    let text = text_of(amount).ok_or_else(|| takes("from_minor", "a whole number of minor units", amount))?;
    let whole = Decimal::parse(text.trim()).filter(|decimal| decimal.fraction.is_empty());
    let whole = whole.ok_or_else(|| wrong("from_minor", "takes a whole number of minor units"))?;
    let padded = format!("{:0>width$}", whole.whole, width = places + 1);
    let (units, minor) = padded.split_at(padded.len() - places);
    let sign = if whole.negative && !whole.whole.is_empty() { "-" } else { "" };
    let point = if places > 0 { "." } else { "" };
    string(format!("{sign}{units}{point}{minor}"))
}
