-- Asynchronous invokes; the request id of every accepted one goes to the file given as argument.
wrk.method = "POST"
wrk.body = '{"message":"ping"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Amz-Invocation-Type"] = "Event"

local accepted

function init(args)
  accepted = assert(io.open(args[1], "w"))
  accepted:setvbuf("line")
end

function response(status, headers, body)
  if status ~= 202 then return end
  for name, value in pairs(headers) do
    if name:lower() == "x-amzn-requestid" then accepted:write(value, "\n") end
  end
end

function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %.1f %.1f %.1f %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout))
end
