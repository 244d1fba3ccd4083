-- One invocation of the ping function per request; the last line is for bench/run.py to read.
wrk.method = "POST"
wrk.body = '{"message":"ping"}'
wrk.headers["Content-Type"] = "application/json"

-- Words after `--` are further headers.
function init(args)
  for _, header in ipairs(args) do
    local name, value = header:match("^([^:]+): (.*)$")
    if name then wrk.headers[name] = value end
  end
end

function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %.1f %.1f %.1f %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout))
end
