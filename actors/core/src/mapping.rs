//! Payload mapping with jq (being built).
