//! How both stores write what of limits outlives the process.
//!
//! Nothing in it travelled, and keys are digests before they come here, so nothing is sealed.

use causeway_actors::store::Unavailable;
use causeway_core::limits::{Owner, QuotaRecord, Record, Rest, Subject};
use causeway_core::name::{GroupName, IntegrationName, LimitName};
use serde::{Deserialize, Serialize};

use super::rows::{millis, wall};

/// A record, as a row.
#[derive(Clone, Debug)]
pub(super) struct LimitRow {
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) key: Vec<u8>,
    pub(super) until: i64,
    /// `None`: there is nothing to be told, and no row.
    pub(super) record: Option<String>,
}

/// What a record tells; times in milliseconds since the Unix epoch.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Told {
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    learned: Option<Left>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rest: Option<Left>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Quota {
    calendar: String,
    ends: i64,
    reserved: u32,
    late: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Left {
    left: u32,
    until: i64,
}

impl Left {
    fn of(rest: Rest) -> Self {
        Self { left: rest.left, until: millis(rest.until) }
    }

    fn into_rest(self) -> Rest {
        Rest { left: self.left, until: wall(self.until) }
    }
}

impl LimitRow {
    pub(super) fn of(record: &Record) -> Result<Self, Unavailable> {
        let Subject { owner, limit, key } = &record.subject;
        let owner = match owner {
            Owner::Integration(name) => format!("integration/{name}"),
            Owner::Group(name) => format!("group/{name}"),
        };
        let quota = record.quota.as_ref().map(|quota| Quota {
            calendar: quota.calendar.to_string(),
            ends: millis(quota.ends),
            reserved: quota.reserved,
            late: quota.late,
        });
        let told = Told {
            at: millis(record.at),
            quota,
            drained_until: record.drained_until.map(millis),
            learned: record.learned.map(Left::of),
            rest: record.rest.map(Left::of),
        };
        let text = || {
            serde_json::to_string(&told).map_err(|error| Unavailable(format!("a limit's record: {error}")))
        };
        Ok(Self {
            owner,
            name: limit.as_ref().map(ToString::to_string).unwrap_or_default(),
            key: key.map(Vec::from).unwrap_or_default(),
            until: millis(record.until()),
            record: if record.is_empty() { None } else { Some(text()?) },
        })
    }

    pub(super) fn open(self) -> Result<Record, Unavailable> {
        let Self { owner, name, key, record, .. } = self;
        let unreadable =
            |what: &str| Unavailable(format!("the {what} of a limit is not as this version writes it"));
        let owner = match owner.split_once('/') {
            Some(("integration", name)) => IntegrationName::new(name).ok().map(Owner::Integration),
            Some(("group", name)) => GroupName::new(name).ok().map(Owner::Group),
            _ => None,
        };
        let owner = owner.ok_or_else(|| unreadable("owner"))?;
        let limit = match name.as_str() {
            "" => None,
            name => Some(LimitName::new(name).map_err(|_| unreadable("name"))?),
        };
        let key = match key.as_slice() {
            [] => None,
            digest => Some(digest.try_into().map_err(|_| unreadable("key"))?),
        };
        let told: Told =
            serde_json::from_str(&record.unwrap_or_default()).map_err(|_| unreadable("record"))?;
        Ok(Record {
            subject: Subject { owner, limit, key },
            at: wall(told.at),
            quota: told.quota.map(|quota| QuotaRecord {
                calendar: quota.calendar.into(),
                ends: wall(quota.ends),
                reserved: quota.reserved,
                late: quota.late,
            }),
            drained_until: told.drained_until.map(wall),
            learned: told.learned.map(Left::into_rest),
            rest: told.rest.map(Left::into_rest),
        })
    }
}
