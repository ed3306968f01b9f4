-- What wrk sends, and one line of JSON at the end instead of its table. With RATE in the environment, that many requests
-- a second in all (one thread), else as many as are answered.
wrk.method = "POST"
wrk.body = '{"amount":125000,"currency":"eur","token":"pm_card_visa","order":"ord-000123","note":"a benchmark call"}'
wrk.headers["content-type"] = "application/json"

-- With JOB_BYTES in the environment, the body is that long (load.py makes the same one), and nobody waits for what comes of it.
local size = tonumber(os.getenv("JOB_BYTES"))
if size then
  local text = "a benchmark call"
  wrk.body = wrk.body:gsub(text, text .. string.rep(".", size - #wrk.body))
  wrk.headers["prefer"] = "respond-async"
end

-- With OPERATIONS in the environment, a list of paths, they are called in turn.
local operations = {}
for path in string.gmatch(os.getenv("OPERATIONS") or "", "%S+") do operations[#operations + 1] = path end
if #operations > 0 then
  local requests, turn = {}, 0
  function init(args)
    for index, path in ipairs(operations) do requests[index] = wrk.format(nil, path) end
  end
  function request()
    turn = turn % #requests + 1
    return requests[turn]
  end
end

local rate = tonumber(os.getenv("RATE"))
if rate then
  local ffi = require("ffi")
  ffi.cdef [[
    struct timespec { long seconds; long nanoseconds; };
    int clock_gettime(int clock, struct timespec *time);
  ]]
  local MONOTONIC = 1
  local time = ffi.new("struct timespec")
  local slot = nil

  -- A connection that is about to send takes the next slot of one common timetable and waits for it. A timetable that
  -- has fallen behind is not caught up with in a burst.
  function delay()
    ffi.C.clock_gettime(MONOTONIC, time)
    local now = tonumber(time.seconds) * 1000 + tonumber(time.nanoseconds) / 1e6
    slot = math.max((slot or now) + 1000 / rate, now)
    return math.ceil(slot - now)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"not_2xx":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect, e.read, e.write, e.timeout))
end
