//! What each problem code means, and what to do about it.

use super::super::problem::Code;

/// For people who have met a code.
pub(super) struct Help {
    /// What it says, and what it does not.
    pub(super) meaning: &'static str,
    /// What the caller, or else the operator, does.
    pub(super) remedy: &'static str,
}

/// The help for a code. Every code has one.
#[expect(clippy::too_many_lines, reason = "a table: a row a code")]
pub(super) const fn of(code: Code) -> Help {
    match code {
        Code::MalformedRequest => Help {
            meaning: "The request is not one that this API takes: its body is no JSON, is nested deeper than 128 levels, or \
                      a header or parameter has a value that it cannot have. Nothing was run.",
            remedy: "`detail` names the part and what would be right. Sending the same request again gives the same answer.",
        },
        Code::ForeignOrigin => Help {
            meaning: "The listener asks for no key and so takes only what programs on its own machine send. The request was \
                      sent by a web page, or for a host name that is no loopback address.",
            remedy: "Call 127.0.0.1 or localhost from a program. To call from elsewhere, configure [[clients]] or \
                     [[operators]], and send a key.",
        },
        Code::Unauthenticated => Help {
            meaning: "This server knows its callers by keys; the request has none, or one that it does not know.",
            remedy: "Send `Authorization: Bearer KEY`. Check that the key is whole, of this server and not replaced since: a \
                     reload makes a new key good and the old one void.",
        },
        Code::Forbidden => Help {
            meaning: "The key is known and does not allow this: the operation is not among the client's `operations`, or \
                      the operator's role does not reach so far.",
            remedy: "Ask whoever runs the server to widen `operations` or `role` in causeway.toml, and to reload.",
        },
        Code::LockedOut => Help {
            meaning: "Ten wrong keys within a minute have come from this address, so nothing from there is listened to for \
                      a minute, be its key right or wrong.",
            remedy: "Wait as long as `Retry-After` says, and correct the key. If many callers share the address of a proxy, \
                     name the proxy in `listen.trusted_proxies`.",
        },
        Code::TooManyRequests => Help {
            meaning: "The client calls more often than its `rate` allows, or has as many runs under way as its \
                      `max_in_flight`. Nothing was run. Other clients are not concerned.",
            remedy: "Wait as long as `Retry-After` says, and call less often or less at once; or have the client's bounds \
                     raised.",
        },
        Code::NotFound => {
            Help { meaning: "There is nothing under this path.", remedy: "/docs lists what there is." }
        }
        Code::MethodNotAllowed => Help {
            meaning: "There is something under this path, and not for this method; `Allow` names the one it has.",
            remedy: "/docs lists what there is.",
        },
        Code::UnknownOperation => Help {
            meaning: "No file of the configuration defines the operation, or not in this version, or it exists only as a \
                      preview, which callers must ask for by version.",
            remedy: "`GET /v1/operations` lists what there is. If it was added lately, the configuration must be reloaded.",
        },
        Code::UnknownRun => Help {
            meaning: "No run of this id is known here, or it is another client's. Runs that only read are not kept unless \
                      that was asked for, nor are those for which nothing was sent.",
            remedy: "Check the id. Where it matters whether a run that is no longer known has acted, look at the provider.",
        },
        Code::UnknownRedrive => Help {
            meaning: "No bulk redrive of this id is known here. The last hundred are remembered.",
            remedy: "`GET /admin/v1/redrives` lists what there is.",
        },
        Code::UnknownAttempt => Help {
            meaning: "No attempt of this id is known here. They are kept for a while, and let go of under pressure.",
            remedy: "`GET /admin/v1/attempts` lists what there is; the server's log has every attempt that it wrote.",
        },
        Code::UnknownIntegration => Help {
            meaning: "No file of the configuration defines the integration.",
            remedy: "`GET /admin/v1/integrations` lists what there is.",
        },
        Code::RequestTimeout => Help {
            meaning: "The body of the request was not whole in time. Nothing was run.",
            remedy: "Send it again, faster.",
        },
        Code::BodyTooLarge => Help {
            meaning: "The body is larger than `listen.max_body`. Nothing was run.",
            remedy: "Send less, or have the bound raised.",
        },
        Code::UnsupportedMediaType => Help {
            meaning: "The body of the request is not declared as JSON.",
            remedy: "Send it as JSON, with `Content-Type: application/json`.",
        },
        Code::WrongConfiguration => Help {
            meaning: "The configuration that was to be loaded has errors. All of them are in `errors`, each with file, line \
                      and column. What held before still holds.",
            remedy: "Correct the files (`causeway check` tells the same) and reload again.",
        },
        Code::IdempotencyKeyRequired => Help {
            meaning: "The operation acts, and is configured to be run only with a key. Nothing was run.",
            remedy: "Send the header `Idempotency-Key`: a value of your own (an order's id, a UUID) that is new for each thing that \
                     is meant, and the same when you ask again.",
        },
        Code::IdempotencyKeyReused => Help {
            meaning: "A run with the same key had another input, or another version was asked for. Nothing was run.",
            remedy: "Use a new key for a new request; `detail` names the run that the key belongs to.",
        },
        Code::RunInFlight => Help {
            meaning: "The same request, with the same key, is under way and was not over in the time that you gave. Nothing was \
                      begun a second time.",
            remedy: "Ask again with the same key, or look the run up: `detail` names it.",
        },
        Code::NotReopened => Help {
            meaning: "The run of a dead letter cannot go on: what had succeeded was taken back, and its keys stand for that, or \
                      its operation is gone.",
            remedy: "Run what it was about anew, with a new key, and let the dead letter go (DELETE).",
        },
        Code::NotReplayed => Help {
            meaning: "The call of an attempt is not made again: it may act and `again` was not said, its input is not kept: \
                      it was too large, or was that of a run which is gone; or what it called is no longer configured.",
            remedy: "`detail` says which. To find out what became of a call that may have acted, redrive the dead letter of its \
                     run: that keeps its key.",
        },
        Code::StoreUnavailable => Help {
            meaning: "What must survive a crash could not be written to disk, so it was not promised: the disk is full or fails, or \
                      the database cannot be reached. Unless `detail` says that the run has ended, nothing was sent.",
            remedy: "Ask again with the same key; the server goes on by itself when the store works again. Its log and \
                     `causeway_store_errors_total` tell more.",
        },
        Code::InvalidInput => Help {
            meaning: "The input breaks the operation's schema. Each place is in `errors`, as a JSON pointer with what is \
                      wrong there. Nothing was run.",
            remedy: "Correct the input. `GET /v1/operations` and /docs show the schema.",
        },
        Code::Cancelled => Help {
            meaning: "The run was cancelled before it was done; what had succeeded was undone where an undo is defined, and \
                      nothing is in doubt.",
            remedy: "Nothing, if that was meant. `run` tells what each step has done.",
        },
        Code::ProviderRefused => Help {
            meaning: "The provider understood the request and refuses it: a declined card, an unknown customer, a missing \
                      right. It has done nothing.",
            remedy: "`run.error.code` and `.message` are the provider's own words, where its endpoint has rules for them. \
                     The same request will be refused again.",
        },
        Code::RateLimited => Help {
            meaning: "The provider has answered that too many requests come, and waiting for it did not fit the deadline. It \
                      has done nothing.",
            remedy: "Wait as long as `Retry-After` says. If it happens often, give the integration a limit below the \
                     provider's, so that calls wait instead of failing.",
        },
        Code::Throttled => Help {
            meaning: "A rate budget of the integration is used up, and its next token comes later than the deadline. \
                      Nothing was sent.",
            remedy: "Wait as long as `Retry-After` says, or give the call more time.",
        },
        Code::Internal => Help {
            meaning: "Causeway itself failed: an expression of the configuration does not fit this input or answer, \
                      credentials are missing, or there is a fault in the code.",
            remedy: "`detail` and the log under the correlation id say where. It is for whoever wrote the integration's \
                     file, not for the caller.",
        },
        Code::NotImplemented => Help {
            meaning: "The request asks for a promise that this version cannot keep, so it makes none. Nothing was run.",
            remedy: "Leave out the header that `detail` names.",
        },
        Code::ProviderFailed => Help {
            meaning: "The provider could not be reached or failed, again and again, as far as retries, their budget and the \
                      deadline allowed. Nothing is in doubt: what may act was not carried out.",
            remedy: "Try again later. `run.error.reason` tells where it broke; the integration's dashboard tells since when.",
        },
        Code::InvalidResponse => Help {
            meaning: "The provider answered with success, and its answer cannot be read or mapped, or breaks the schema that \
                      it is held to. The request has been carried out.",
            remedy: "Do not repeat it blindly. Compare the endpoint's `response` and `response_schema` with what the log \
                     shows of the answer.",
        },
        Code::Credential => Help {
            meaning: "The provider does not accept our credential, or its certificate is not one that we accept. Nothing \
                      was carried out.",
            remedy: "It is for the operator: look at the secret's source, its expiry, and [tls]. A new secret is read by \
                     itself at the next 401.",
        },
        Code::BreakerOpen => Help {
            meaning: "The integration's circuit breaker is open: the provider has failed too often lately, or an operator \
                      has tripped it. Nothing was sent.",
            remedy: "Wait as long as `Retry-After` says; the breaker tries again by itself. `causeway integrations show \
                     NAME` tells why it is open.",
        },
        Code::Overloaded => Help {
            meaning: "There is no room: as many runs are under way as the server takes on, or the integration's pool and \
                      queue are full, or the wait for a place was longer than `pool.max_wait`. Nothing was sent.",
            remedy: "Wait as long as `Retry-After` says. If it lasts, the provider is slow or `pool` and `max_in_flight` \
                     are too small.",
        },
        Code::Draining => Help {
            meaning: "The server is stopping and takes no new runs.",
            remedy: "Try again: another instance, or this one after its restart, takes the call.",
        },
        Code::DeadlineExceeded => Help {
            meaning: "The deadline passed, and nothing is in doubt: no request that may act was out.",
            remedy: "Give it more time (`X-Deadline-Ms`, the operation's `deadline`), or find out what takes so long: `run` \
                     tells the time of each step.",
        },
        Code::OutcomeUnknown => Help {
            meaning: "A request that may act was sent, and no answer tells whether the provider has acted. Neither success \
                      nor failure would be the truth.",
            remedy: "Look it up at the provider before you repeat it. An endpoint with an idempotency key is resent safely \
                     and rarely ends so; one without should get one.",
        },
        Code::OutcomePending => Help {
            meaning: "The deadline passed while a request that may act was out, or one was being undone. The run goes on \
                      and its outcome is recorded.",
            remedy: "Do not repeat it. Ask `GET /v1/runs/{id}` for the outcome; the id is in `run`.",
        },
    }
}
